"""Every key of the dashboard with what it does: bindings, help, palette and documentation come from here."""

from dataclasses import dataclass

from tui.dashboard.screens import SCREENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key, or several with commas, the action it stands for, and its words.

    `group` is where the help puts it, `footer` its words in the footer, empty where it is not there.
    """

    group: str
    keys: str
    action: str
    name: str
    help: str
    footer: str = ""

    @property
    def asks(self) -> bool:
        """Whether it asks a person first and then does something."""
        return self.action.startswith("act(")


_GROUPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "Screens": tuple(
        (str(number), f"screen('{plan.name}')", plan.title, plan.help)
        for number, plan in enumerate(SCREENS, start=1)
    ),
    "Moving": (
        ("j,down", "move(1)", "Down", "The next row.", "Rows"),
        ("k,up", "move(-1)", "Up", "The row before."),
        ("pagedown,ctrl+d", "move(10)", "Ten down", "Ten rows on."),
        ("pageup,ctrl+u", "move(-10)", "Ten up", "Ten rows back."),
        ("g,home", "move(-1000000)", "First row", "To the first row."),
        ("G,end", "move(1000000)", "Last row", "To the last row."),
        ("tab,l,right", "panel(1)", "Next panel", "To the next panel.", "Panels"),
        ("shift+tab,h,left", "panel(-1)", "Panel before", "To the panel before."),
        ("enter", "open", "Open", "Open the chosen row.", "Open"),
        ("escape", "leave", "Back", "Clear the filter, or go back.", "Back"),
        ("right_square_bracket", "journal(1)", "Next session or run", "Choose the next one."),
        ("left_square_bracket", "journal(-1)", "Session or run before", "Choose the one before."),
        ("n", "call(1)", "Next forecast", "Open the next forecast."),
        ("N", "call(-1)", "Forecast before", "Open the one before."),
    ),
    "Looking": (
        ("z", "zoom", "Zoom", "The panel alone; tab then goes through all panels.", "Zoom"),
        ("slash", "filter", "Filter", "Keep the rows with a text.", "Filter"),
        ("question_mark", "help", "Help", "Help for the panel with the focus.", "Help"),
        ("u", "utc", "UTC or local time", "Times in UTC, or in your zone."),
        ("c", "palette", "Next palette", "Western, East Asian, colour-blind safe.", "Palette"),
        ("ctrl+p", "command_palette", "All actions", "Look for an action."),
        ("q,ctrl+c", "quit", "Quit", "Leave; sessions keep running.", "Quit"),
    ),
    "Session": (
        ("R", "act('resume')", "Resume", "The session trades again."),
        ("D", "act('reduce')", "Reduce", "The session takes no new risk."),
        ("H,P", "act('halt')", "Halt", "Give no order until it is resumed; positions stay."),
        ("F", "act('flatten')", "Flatten", "Halt, and close all that is held."),
    ),
    "Student": (
        ("T", "act('retrain')", "Retrain now", "One round of training."),
        ("M", "act('promote')", "Promote", "Make the chosen adapter champion."),
        ("B", "act('rollback')", "Roll back", "Back to the champion before."),
    ),
    "Start": (
        ("b", "act('backtest')", "Start a backtest", "On a simulated market."),
        ("s", "act('replay')", "Start a replay", "A paper session on simulated days."),
    ),
}
"""By group: the key, its action, name and help, and its words in the footer."""

KEYS: tuple[Key, ...] = tuple(
    Key(group=group, keys=keys, action=action, name=name, help=text, footer="".join(footer))
    for group, rows in _GROUPS.items()
    for keys, action, name, text, *footer in rows
)

_SYMBOLS = {
    "right_square_bracket": "]",
    "left_square_bracket": "[",
    "slash": "/",
    "question_mark": "?",
    "escape": "esc",
    "pagedown": "page down",
    "pageup": "page up",
    "down": "↓",
    "up": "↑",
    "left": "←",
    "right": "→",
}


def format_key(key: Key) -> str:
    """A key as people write it."""
    return " ".join(_SYMBOLS.get(name, name) for name in key.keys.split(","))


def keys_markdown() -> str:
    """All keys as a table in Markdown."""
    rows = [f"| {key.group} | `{format_key(key)}` | {key.name} | {key.help} |" for key in KEYS]
    return "\n".join(["| | key | | |", "|---|---|---|---|", *rows]) + "\n"

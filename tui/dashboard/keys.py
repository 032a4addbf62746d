"""Every key of the dashboard with what it does: bindings, help, palette and documentation come from here."""

from dataclasses import dataclass

from tui.dashboard.screens import SCREENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key, or several with commas, the action it stands for, and its words.

    `group` is where the help puts it, `footer` its words in the footer, empty where it is not there; `act`
    marks what asks a person first and then does something.
    """

    keys: str
    action: str
    name: str
    help: str
    group: str = "Moving"
    footer: str = ""
    act: bool = False


KEYS: tuple[Key, ...] = (
    *(
        Key(
            keys=str(number),
            action=f"screen('{plan.name}')",
            name=plan.title,
            help=plan.help,
            group="Screens",
        )
        for number, plan in enumerate(SCREENS, start=1)
    ),
    Key(keys="j,down", action="move(1)", name="Down", footer="Rows", help="The next row."),
    Key(keys="k,up", action="move(-1)", name="Up", help="The row before."),
    Key(keys="pagedown,ctrl+d", action="move(10)", name="Ten down", help="Ten rows on."),
    Key(keys="pageup,ctrl+u", action="move(-10)", name="Ten up", help="Ten rows back."),
    Key(keys="g,home", action="move(-1000000)", name="First row", help="To the first row."),
    Key(keys="G,end", action="move(1000000)", name="Last row", help="To the last row."),
    Key(keys="tab,l,right", action="panel(1)", name="Next panel", footer="Panels", help="To the next panel."),
    Key(keys="shift+tab,h,left", action="panel(-1)", name="Panel before", help="To the panel before."),
    Key(keys="enter", action="open", name="Open", footer="Open", help="Open the chosen row."),
    Key(keys="escape", action="leave", name="Back", footer="Back", help="Clear the filter, or go back."),
    Key(
        keys="right_square_bracket",
        action="journal(1)",
        name="Next session or run",
        help="Choose the next one.",
    ),
    Key(
        keys="left_square_bracket",
        action="journal(-1)",
        name="Session or run before",
        help="Choose the one before.",
    ),
    Key(keys="n", action="call(1)", name="Next forecast", help="Open the next forecast."),
    Key(keys="N", action="call(-1)", name="Forecast before", help="Open the one before."),
    Key(
        keys="z",
        action="zoom",
        name="Zoom",
        footer="Zoom",
        help="The panel alone; tab then goes through all panels.",
        group="Looking",
    ),
    Key(
        keys="slash",
        action="filter",
        name="Filter",
        footer="Filter",
        help="Keep the rows with a text.",
        group="Looking",
    ),
    Key(
        keys="question_mark",
        action="help",
        name="Help",
        footer="Help",
        help="Help for the panel with the focus.",
        group="Looking",
    ),
    Key(
        keys="u",
        action="utc",
        name="UTC or local time",
        help="Times in UTC, or in your zone.",
        group="Looking",
    ),
    Key(
        keys="c",
        action="palette",
        name="Next palette",
        footer="Palette",
        help="Western, East Asian, colour-blind safe.",
        group="Looking",
    ),
    Key(
        keys="ctrl+p",
        action="command_palette",
        name="All actions",
        help="Look for an action.",
        group="Looking",
    ),
    Key(
        keys="q,ctrl+c",
        action="quit",
        name="Quit",
        footer="Quit",
        help="Leave; sessions go on.",
        group="Looking",
    ),
    Key(
        keys="R",
        action="act('resume')",
        name="Resume",
        help="The session trades again.",
        group="Session",
        act=True,
    ),
    Key(
        keys="D",
        action="act('reduce')",
        name="Reduce",
        help="The session takes no new risk.",
        group="Session",
        act=True,
    ),
    Key(
        keys="H,P",
        action="act('halt')",
        name="Halt",
        help="Give no order until it is resumed; positions stay.",
        group="Session",
        act=True,
    ),
    Key(
        keys="F",
        action="act('flatten')",
        name="Flatten",
        help="Halt, and close all that is held.",
        group="Session",
        act=True,
    ),
    Key(
        keys="T",
        action="act('retrain')",
        name="Retrain now",
        help="One round of training.",
        group="Student",
        act=True,
    ),
    Key(
        keys="M",
        action="act('promote')",
        name="Promote",
        help="Make the chosen adapter champion.",
        group="Student",
        act=True,
    ),
    Key(
        keys="B",
        action="act('rollback')",
        name="Roll back",
        help="Back to the champion before.",
        group="Student",
        act=True,
    ),
    Key(
        keys="b",
        action="act('backtest')",
        name="Start a backtest",
        help="On a simulated market.",
        group="Start",
        act=True,
    ),
    Key(
        keys="s",
        action="act('replay')",
        name="Start a replay",
        help="A paper session on simulated days.",
        group="Start",
        act=True,
    ),
)


def format_key(key: Key) -> str:
    """A key as people write it."""
    names = {
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
    return " ".join(names.get(name, name) for name in key.keys.split(","))


def keys_markdown() -> str:
    """All keys as a table in Markdown."""
    rows = [f"| {key.group} | `{format_key(key)}` | {key.name} | {key.help} |" for key in KEYS]
    return "\n".join(["| | key | | |", "|---|---|---|---|", *rows]) + "\n"

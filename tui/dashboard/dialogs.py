"""The dialogs: a confirmation, the help, a line to type."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from tui.dashboard.actions import Action
from tui.dashboard.keys import KEYS, format_key
from tui.dashboard.sanitize import wrap
from tui.dashboard.view_state import Panel

_CSS = """
{name} {{ align: center middle; }}
{name} > Vertical {{ width: 76; max-width: 95%; height: auto; max-height: 90%; padding: 1 2;
    border: round $accent; background: $surface; }}
{name} Horizontal {{ height: auto; align-horizontal: right; margin-top: 1; }}
{name} Button {{ margin-left: 2; }}
{name} VerticalScroll {{ height: auto; max-height: 100%; }}
"""


class Confirm(ModalScreen[str | None]):
    """Says what an action will do and asks; ends with a person's reason, or None for no."""

    DEFAULT_CSS = _CSS.format(name="Confirm")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "no", "No"),
        Binding("ctrl+c", "no", "No", show=False),
    ]

    def __init__(self, action: Action) -> None:
        super().__init__()
        self.pending_action = action

    def compose(self) -> ComposeResult:
        """The words, a line for the reason, and two buttons; nothing to confirm where it is refused."""
        with Vertical():
            yield Static(Text(f"{action_title(self.pending_action)}?", style="bold"), id="what")
            yield Static(_wrapped(self.pending_action.description), id="will")
            if self.pending_action.refusal:
                yield Static(_wrapped(f"\nRefused: {self.pending_action.refusal}."), id="refused")
                with Horizontal():
                    yield Button("Back", id="no", variant="primary")
            else:
                if self.pending_action.on_record:
                    yield Input(placeholder="why, for the record (may stay empty)", max_length=300, id="why")
                with Horizontal():
                    yield Button("No", id="no")
                    yield Button(
                        Text(f"Yes, {action_title(self.pending_action).lower()}"), id="yes", variant="warning"
                    )

    def on_mount(self) -> None:
        """Nothing happens by the first key alone."""
        self.query_one(
            "#why" if self.pending_action.on_record and not self.pending_action.refusal else "#no"
        ).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Yes or no."""
        self.dismiss(self._why() if event.button.id == "yes" else None)

    def on_input_submitted(self) -> None:
        """Enter in the reason goes to the buttons, and does nothing yet."""
        self.query_one("#yes").focus()

    def action_no(self) -> None:
        """Leave things as they are."""
        self.dismiss(None)

    def _why(self) -> str:
        return self.query_one("#why", Input).value if self.pending_action.on_record else ""


class Help(ModalScreen[None]):
    """What the panel with the focus shows, and every key."""

    DEFAULT_CSS = _CSS.format(name="Help")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "close", "Close")]

    def __init__(self, panel: Panel | None, note: str) -> None:
        super().__init__()
        self._panel = panel
        self._note = note

    def compose(self) -> ComposeResult:
        """The panel's words, then the keys by group."""
        with Vertical(), VerticalScroll():
            if self._panel is not None:
                yield Static(Text(self._panel.title, style="bold"))
                yield Static(_wrapped(self._panel.help))
            yield Static(keys_text())
            yield Static(_wrapped(self._note))

    def action_close(self) -> None:
        """Back to the screen."""
        self.dismiss(None)


class TextPrompt(ModalScreen[str | None]):
    """A line to type at the bottom; ends with it, or None for esc."""

    DEFAULT_CSS = """
    TextPrompt { align: left bottom; background: transparent; }
    TextPrompt Input { width: 100%; height: 3; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "No")]

    def __init__(self, prompt: str, value: str) -> None:
        super().__init__()
        self._prompt, self._value = prompt, value

    def compose(self) -> ComposeResult:
        """The line."""
        yield Input(value=self._value, placeholder=self._prompt, max_length=200)

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Done."""
        self.dismiss(event.value)

    def action_no(self) -> None:
        """Nothing is changed."""
        self.dismiss(None)


def action_title(action: Action) -> str:
    """An action as its key names it."""
    return next((key.name for key in KEYS if key.action == f"act('{action.name}')"), action.name)


def keys_text() -> Text:
    """Every key with its meaning, by group."""
    text = Text()
    group = ""
    for key in KEYS:
        if key.group != group:
            group = key.group
            text.append(f"\n{group}\n", "bold")
        text.append(f"  {format_key(key):16}", "bold")
        text.append(f" {key.name}: {key.help}\n")
    return text


def _wrapped(text: str, most: int = 40) -> Text:
    rows: Sequence[str] = wrap(text, 68, most)
    return Text("\n".join(rows))

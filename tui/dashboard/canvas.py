"""The one widget that draws: it is given lines, and paints those that changed. Knows lines, no journal."""

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget


class Canvas(Widget, can_focus=True):
    """A screen's lines. Clicks and the wheel are told with the cell they hit."""

    DEFAULT_CSS = "Canvas { width: 1fr; height: 1fr; }"
    # A screen of Textual's takes these two before the app would see them.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.panel(1)", show=False),
        Binding("shift+tab", "app.panel(-1)", show=False),
    ]

    class Hit(Message):
        """A cell was clicked."""

        def __init__(self, x: int, y: int) -> None:
            super().__init__()
            self.x, self.y = x, y

    class Wheel(Message):
        """The wheel was turned over a cell, by so many rows."""

        def __init__(self, x: int, y: int, rows: int) -> None:
            super().__init__()
            self.x, self.y, self.rows = x, y, rows

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[Text] = []
        self._strips: list[Strip] = []
        self.painted = 0

    @property
    def plain(self) -> str:
        """What stands there now, as text."""
        return "\n".join(line.plain for line in self._lines)

    def paint(self, lines: Sequence[Text]) -> None:
        """Show these lines; those that are as they were are not painted again."""
        console = self.app.console
        strips, width = list(self._strips[: len(lines)]), self.size.width
        for y, line in enumerate(lines):
            if y < len(strips) and self._lines[y] == line and self._lines[y].spans == line.spans:
                continue
            segments = [one for one in line.render(console) if one.text]
            strip = Strip([Segment(each.text, each.style) for each in segments])
            if y < len(strips):
                strips[y] = strip
            else:
                strips.append(strip)
            self.refresh(Region(0, y, width, 1))
            self.painted += 1
        if len(lines) < len(self._lines):
            self.refresh()
        self._lines, self._strips = list(lines), strips

    def render_line(self, y: int) -> Strip:
        """A line as it was last painted."""
        if y < len(self._strips):
            return self._strips[y].apply_style(self.rich_style)
        return Strip.blank(self.size.width, self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Tell where."""
        self.post_message(self.Hit(event.x, event.y))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Tell where, and that it went down."""
        self.post_message(self.Wheel(event.x, event.y, 3))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Tell where, and that it went up."""
        self.post_message(self.Wheel(event.x, event.y, -3))

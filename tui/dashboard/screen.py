"""A screen of the dashboard and its widgets, on Textual's layout, focus and footer.

The bodies of panels are drawn by hand as lines: a session changes a few lines twice a second, and only those
are painted again.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import Reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Footer

from tui.dashboard.drawing import draw_panel
from tui.dashboard.header import current_notice, draw_header, draw_notice, draw_tabs, tab_at
from tui.dashboard.screens import SCREENS
from tui.dashboard.view_state import Panel, ScreenPlan, ViewState

GetState = Callable[[], ViewState]


class Lines(Widget):
    """Lines that `draw_lines` makes of the view state; those that are as before are not painted again."""

    def __init__(self, get_state: GetState, *, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self.get_state = get_state
        self.painted = 0
        self._drawn: tuple[ViewState, Size, bool] | None = None
        self._lines: list[Text] = []
        self._strips: list[Strip] = []

    def draw_lines(
        self,
        state: ViewState,  # noqa: ARG002  # for subclasses
        width: int,  # noqa: ARG002  # for subclasses
        height: int,  # noqa: ARG002  # for subclasses
    ) -> Sequence[Text]:
        """Return at most `height` lines of `width` cells; none unless a subclass draws them."""
        return ()

    def update(self) -> None:
        """Draw the view state as it is now, if the widget is displayed at all."""
        if self.display and self.size and (changed := self._draw()):
            self.refresh(*[Region(0, y, self.size.width, 1) for y in changed])

    def render_line(self, y: int) -> Strip:
        """Return a line, after drawing all of them where they are of another state or size."""
        self._draw()
        style = self.rich_style
        return (
            self._strips[y].apply_style(style)
            if y < len(self._strips)
            else Strip.blank(self.size.width, style)
        )

    def _draw(self) -> list[int]:
        """Bring the lines up to date; the numbers of those that changed."""
        # Which panel has the focus matters to the two that lose and take it alone.
        state, size = replace(self.get_state(), focus=""), self.size
        if self._drawn == (state, size, self.has_focus):
            return []
        self._drawn = state, size, self.has_focus
        lines = list(self.draw_lines(state, size.width, size.height))
        before, strips, self._strips = self._lines, self._strips, []
        changed = []
        for y, line in enumerate(lines):
            if y < len(before) and before[y] == line and before[y].spans == line.spans:
                self._strips.append(strips[y])
                continue
            # Rich leaves the style of a whole text out where it has no other; within another text it is kept.
            segments = Text.assemble(line, end="").render(self.app.console)
            self._strips.append(Strip([Segment(part.text, part.style) for part in segments if part.text]))
            changed.append(y)
        self.painted += len(changed)
        self._lines = lines
        return changed + list(range(len(lines), len(before)))


class TopBar(Lines):
    """The badges and the tabs."""

    class TabClicked(Message):
        """A screen's tab was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def draw_lines(self, state: ViewState, width: int, height: int) -> Sequence[Text]:
        """Return the two lines."""
        return [draw_header(state, width), draw_tabs(state, SCREENS, width)][:height]

    def on_click(self, event: events.Click) -> None:
        """Post the screen whose tab was hit."""
        name = tab_at(SCREENS, event.x) if event.y == 1 else None
        if name is not None:
            self.post_message(self.TabClicked(name))


class NoticeLine(Lines):
    """What is wrong or has just happened; it stands in the place of the footer."""

    def draw_lines(self, state: ViewState, width: int, height: int) -> Sequence[Text]:
        """Return the notice."""
        return [draw_notice(state, width)][:height]


class KeyFooter(Footer):
    """Textual's footer, composed once: here every panel has the same keys.

    Textual composes it again at each change of the focus: 199 ms of work for a digit, against 42 ms without.
    """

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Compose it when the bindings are ready, and never again."""
        if not self._bindings_ready:
            super().bindings_changed(screen)


class PanelView(Lines, can_focus=True):
    """A panel within its border."""

    FOCUS_ON_CLICK = False
    """A click on the focused panel opens a row, so the click itself moves the focus."""

    class Focused(Message):
        """A panel got the focus."""

        def __init__(self, panel: Panel) -> None:
            super().__init__()
            self.panel = panel

    class Clicked(Message):
        """A line of a panel was clicked; `focused` says whether the panel had the focus before."""

        def __init__(self, view: "PanelView", line: int, *, focused: bool) -> None:
            super().__init__()
            self.view, self.line, self.focused = view, line, focused

    class Scrolled(Message):
        """The wheel was turned over a panel by so many rows."""

        def __init__(self, view: "PanelView", rows: int) -> None:
            super().__init__()
            self.view, self.rows = view, rows

    def __init__(self, panel: Panel, get_state: GetState) -> None:
        super().__init__(get_state, id=panel.name)
        self.panel = panel
        self.border_title = panel.title

    def draw_lines(self, state: ViewState, width: int, height: int) -> Sequence[Text]:
        """Return the body; the chosen row is marked where the panel has the focus."""
        return draw_panel(self.panel, state, width, height, focused=self.has_focus)

    def on_focus(self) -> None:
        """Mark the title, so that not the colour alone says where the focus is."""
        self.border_title = f"▶ {self.panel.title}"
        self.post_message(self.Focused(self.panel))
        self.update()

    def on_blur(self) -> None:
        """Take the mark away."""
        self.border_title = self.panel.title
        self.update()

    def on_click(self, event: events.Click) -> None:
        """Take the focus and post the line; the border is line -1."""
        focused, offset = self.has_focus, event.get_content_offset(self)
        self.focus()
        self.post_message(self.Clicked(self, -1 if offset is None else offset.y, focused=focused))

    def on_mouse_scroll_down(self) -> None:
        """Move three rows down."""
        self.post_message(self.Scrolled(self, 3))

    def on_mouse_scroll_up(self) -> None:
        """Move three rows up."""
        self.post_message(self.Scrolled(self, -3))


class DashScreen(Screen[None]):
    """A screen as its plan states it: header, the grid of panels, and the footer or a notice."""

    AUTO_FOCUS = ""
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)  # the two panels paint themselves
    ALLOW_IN_MAXIMIZED_VIEW = "TopBar, NoticeLine, Footer"
    BINDINGS: ClassVar[list[BindingType]] = [
        # Textual's own screen binds these two to its focus alone; here they also walk through zoomed panels.
        Binding("tab", "app.panel(1)", show=False),
        Binding("shift+tab", "app.panel(-1)", show=False),
    ]

    def __init__(self, plan: ScreenPlan, get_state: GetState) -> None:
        super().__init__(id=f"{plan.name}-screen")
        self.plan, self.get_state = plan, get_state
        self._wanted_focus = ""

    def compose(self) -> ComposeResult:
        """Yield all panels of the plan; its CSS says which are displayed at which size."""
        yield TopBar(self.get_state)
        with Container(classes="body"):
            for panel in self.plan.panels:
                yield PanelView(panel, self.get_state)
        yield NoticeLine(self.get_state)
        yield KeyFooter(compact=True)

    def on_mount(self) -> None:
        """Choose the layout of the size."""
        self.on_resize()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Keep the styles of all nodes: a new theme and a new size bring their own update.

        Textual applies the CSS again to a screen that comes back: 20 of 45 ms for a digit at 200x60.
        """
        event.refresh_styles = False

    def on_resize(self) -> None:
        """Set the class of the size, then see to it that a displayed panel has the focus."""
        width, height = self.app.size
        large, middle = width >= 160 and height >= 50, width >= 110 and height >= 32
        size = "large" if large else "middle" if middle else "small"
        for name in ("small", "middle", "large"):
            self.set_class(name == size, name)
        self.call_after_refresh(self.focus_panel)

    def update(self) -> None:
        """Draw what changed of everything that is displayed."""
        self.set_class(bool(current_notice(self.get_state())), "notice")
        for lines in self.query(Lines):
            lines.update()

    def focus_panel(self, name: str = "") -> None:
        """Focus the panel of that name, or keep the focus, or give it to the first panel."""
        self._wanted_focus = name or self._wanted_focus
        views = [view for view in self.query(PanelView) if view.display]
        if not views:
            return  # not laid out yet: `on_resize` comes again
        wanted = next((view for view in views if view.id == self._wanted_focus), None)
        self._wanted_focus = ""
        if wanted is not None or self.focused not in views:
            self.set_focus(wanted or views[0])

    def zoom(self, step: int = 0) -> None:
        """Show the focused panel alone or all again; with a step, the panel after it, displayed or not."""
        views = list(self.query(PanelView))
        focused = self.focused if isinstance(self.focused, PanelView) else views[0]
        if step == 0 and self.maximized is not None:
            self.minimize()
            self.call_after_refresh(self.focus_panel)
            return
        view = views[(views.index(focused) + step) % len(views)]
        self.maximize(view)
        self.set_focus(view)

"""The keys and the mouse of the dashboard: each leads to another sight, a question, or an action.

What is drawn stands in `screens`, how scenes come in `viewing`, what is done in `acting`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC
from typing import ClassVar

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui.dash.acting import deed
from tui.dash.canvas import Canvas
from tui.dash.dialogs import Ask, Confirm, Help
from tui.dash.frame import Box, box_of
from tui.dash.keys import KEYS
from tui.dash.moving import back, clicked, moved, opened, other_call, other_journal, other_panel
from tui.dash.palette import PALETTES
from tui.dash.screens import layout, panels_of, tab_at
from tui.dash.sight import Panel
from tui.dash.viewing import Viewer


class DashApp(Viewer):
    """The dashboard as `closecall dash` shows it."""

    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.keys, key.action, key.name, show=False) for key in KEYS
    ]

    def action_screen(self, name: str) -> None:
        """Show one of the seven screens."""
        self.look(
            replace(
                self.sight, screen=name, focus=layout(name, *self.size)[0].panel.name, wanted="", notice=""
            )
        )

    def action_move(self, rows: int) -> None:
        """Move within the panel with the focus."""
        self.look(moved(self.sight, self._box(), rows))

    def action_panel(self, step: int) -> None:
        """Go to another panel."""
        where = panels_of(self.sight.screen) if self.sight.zoomed else [box.panel for box in self.boxes]
        self.look(other_panel(self.sight, where, step))

    def action_zoom(self) -> None:
        """The panel with the focus alone, or all of them again."""
        self.look(replace(self.sight, zoomed=not self.sight.zoomed))

    def action_journal(self, step: int) -> None:
        """Choose another session or run."""
        self.look(other_journal(self.sight, step))

    def action_call(self, step: int) -> None:
        """Open the next forecast, or the one before."""
        self.look(other_call(self.sight, step))

    def action_open(self) -> None:
        """Open the chosen row."""
        panel = self._box().panel.name
        after = opened(self.sight, panel)
        if panel == "kinds":
            self.search(after.search.text, after.search.kind)
        elif panel == "events" and after.event is not None:
            self.errands.event(after.chosen, after.event.seq, self.event_came)
        else:
            self.look(after)

    def action_leave(self) -> None:
        """Clear the filter, or leave where one is."""
        self.errands.stop_search()
        self.look(back(self.sight))

    def action_filter(self) -> None:
        """Ask for a text to look for."""
        journal = self.sight.screen == "journal"
        before = self.sight.search.text if journal else self.sight.wanted

        def asked(text: str | None) -> None:
            if text is None:
                return
            if journal:
                self.search(text, self.sight.search.kind)
            else:
                self.look(replace(self.sight, wanted=text, cursors={}, offsets={}))

        self.push_screen(Ask("look for a text; enter keeps it, esc leaves it", before), asked)

    def action_help(self) -> None:
        """Help for the panel with the focus, and all keys."""
        note = "\nResearch software. Paper trading only: nothing here can place a real order."
        self.push_screen(Help(self._box().panel, note))

    def action_utc(self) -> None:
        """Times in UTC, or in the user's zone again."""
        self.look(replace(self.sight, zone=self.local if self.sight.zone is UTC else UTC))

    def action_palette(self) -> None:
        """The next of the three palettes."""
        names = list(PALETTES)
        after = names[(names.index(self.sight.palette.name) + 1) % len(names)]
        self.look(replace(self.sight, palette=PALETTES[after], notice=f"palette: {after}"))

    def action_act(self, name: str) -> None:
        """Say what an action will do, and ask."""
        planned = deed(name, self.sight, self.clock)

        def answered(why: str | None) -> None:
            if why is not None:
                self.look(replace(self.sight, notice=f"{planned.name}…"))
                self.errands.carry_out(planned, why, self.done)

        self.push_screen(Confirm(planned), answered)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every key as an entry of the palette."""
        del screen
        for key in KEYS:
            if "palette" not in key.action or key.action == "palette":
                yield SystemCommand(f"{key.group}: {key.name}", key.help, self._runner(key.action))

    def on_canvas_hit(self, event: Canvas.Hit) -> None:
        """A click chooses; a click on what is chosen opens it."""
        name = tab_at(event.x) if event.y == 1 else None
        if name is not None:
            self.action_screen(name)
            return
        after, opens = clicked(self.sight, self.boxes, event.x, event.y)
        self.look(after)
        if opens:
            self.action_open()

    def on_canvas_wheel(self, event: Canvas.Wheel) -> None:
        """The wheel moves within the panel under it."""
        box = box_of(self.boxes, event.x, event.y)
        if box is not None:
            self.look(moved(replace(self.sight, focus=box.panel.name), box, event.rows))

    def _runner(self, action: str) -> Callable[[], object]:
        return lambda: self.call_later(self.run_action, action)

    def _box(self) -> Box:
        return next(box for box in self.boxes if box.panel.name == self.sight.focus)

    def panel(self) -> Panel:
        """The panel with the focus."""
        return self._box().panel

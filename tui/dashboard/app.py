"""The keys and the mouse of the dashboard: each leads to another sight, a question, or an action.

What is drawn stands in `screens`, how scenes come in `viewing`, what is done in `acting`.
"""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from strategies.monitor.follower import Reader
from strategies.monitor.journal_reader import Seen
from strategies.monitor.views import Scene
from tui.dashboard.actions import Done, Errands, deed
from tui.dashboard.canvas import Canvas
from tui.dashboard.dialogs import Ask, Confirm, Help
from tui.dashboard.frame import Box, box_of
from tui.dashboard.keys import KEYS
from tui.dashboard.navigation import back, clicked, moved, opened, other_call, other_journal, other_panel
from tui.dashboard.screens.layout import layout, panels_of, tab_at, whole
from tui.dashboard.text import choose
from tui.dashboard.themes import PALETTES
from tui.dashboard.view_state import Panel, Search, Sight

_HINTS = "1-7 screens  ↑↓ rows  tab panels  enter open  / filter  ? help  ^p all  q quit"


class Viewer(App[None]):
    """Reads `data_dir` through a Reader, whose scenes it draws; `clock` is the wall clock in UTC."""

    TITLE = "closecall"
    CSS = "Canvas { background: $background; }"

    def __init__(
        self,
        data_dir: Path,
        clock: Callable[[], datetime],
        *,
        name: str | None = None,
        palette: str = "western",
        zone: tzinfo = UTC,
        readonly: bool = False,
    ) -> None:
        super().__init__()
        self.clock, self.local, self._asked_for = clock, zone, name
        self.reader = Reader(data_dir, clock, self._told)
        scene = Scene(at=clock(), data_dir=str(data_dir))
        self.sight = Sight(
            scene=scene, palette=PALETTES[palette], zone=zone, readonly=readonly, focus="journals"
        )
        self._newest: Scene | None = None
        self._scenes = 0
        self._awaited: dict[tuple[str, int], str] = {}
        self.errands = Errands(self.reader, self._later)
        self._fetching = ("", 0)
        self.boxes: list[Box] = []

    def compose(self) -> ComposeResult:
        """One canvas is all there is."""
        yield Canvas()

    def on_mount(self) -> None:
        """Draw at once, then read."""
        self.query_one(Canvas).focus()
        self.draw()
        self.reader.start()

    def on_unmount(self) -> None:
        """Leave the files alone."""
        self.reader.stop()

    async def on_event(self, event: events.Event) -> None:
        """Keys and the mouse go before the counting of the past."""
        if isinstance(event, events.InputEvent):
            self.reader.hush()
        await super().on_event(event)

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self.draw)

    @property
    def settled(self) -> bool:
        """Whether a scene is drawn and every journal in it is counted to its end."""
        scene = self.sight.scene
        return self._scenes > 1 and all(one.counted >= one.newest for one in scene.journals)

    def draw(self) -> None:
        """Everything as it is now."""
        with contextlib.suppress(LookupError):
            canvas = self.screen_stack[0].query_one(Canvas)
            width, height = self.size
            zoomed = self.sight.focus if self.sight.zoomed else ""
            self.boxes = layout(self.sight.screen, width, height, zoomed)
            names = [box.panel.name for box in self.boxes]
            if self.sight.focus not in names:
                self.sight = replace(self.sight, focus=names[0])
            canvas.paint(whole(self.sight, width, height, _HINTS))

    def look(self, sight: Sight) -> None:
        """Look at something else."""
        before, self.sight = self.sight, sight
        if sight.chosen != before.chosen:
            self.reader.prefer(sight.chosen)
            self.sight = replace(self.sight, event=None, call=None, search=Search(), reward=None)
        if self.sight.screen == "forecast":
            self._fetch_call()
        self.draw()

    def _told(self, scene: Scene) -> None:
        """From the reading thread: keep the newest scene, and draw it soon."""
        waiting, self._newest = self._newest, scene
        if waiting is None:
            self._later(self._arrived)

    def _later(self, work: Callable[..., None], *values: object) -> None:
        """From another thread: do it on the screen's loop, unless that has ended."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self.call_later, work, *values)

    def _arrived(self) -> None:
        scene, self._newest = self._newest, None
        if scene is None:
            return
        self._scenes += 1
        chosen = self.sight.chosen
        if not chosen or scene.get(chosen) is None:
            chosen = choose(scene, self._asked_for) or choose(scene, None)
            self.reader.prefer(chosen)
        self.sight = replace(self.sight, scene=scene, chosen=chosen)
        for (key, seq), name in list(self._awaited.items()):
            one = scene.get(key)
            told = next((c for c in one.commands if c.seq == seq and c.answer), None) if one else None
            if told is not None:
                del self._awaited[key, seq]
                self.sight = replace(self.sight, notice=f"{name} (event {seq}) was obeyed: {told.answer}")
        if self.sight.screen == "forecast":
            self._fetch_call()
        self.draw()

    def done(self, name: str, done: Done) -> None:
        """What became of an action; where a session is to answer, its answer is waited for."""
        if done.event is not None:
            self._awaited[done.key, done.event] = name
        self.look(replace(self.sight, notice=done.said))

    def _fetch_call(self) -> None:
        one, call = self.sight.journal, self.sight.opened()
        if call is None or (self.sight.event is not None and self.sight.event.seq == call.seq):
            return
        if self._fetching == (self.sight.chosen, call.seq):
            return
        self._fetching = self.sight.chosen, call.seq
        self.errands.event(self.sight.chosen, call.seq, self.event_came)
        self.sight = replace(self.sight, reward=None)
        if one is not None and call.came is not None:
            self.errands.reward(one, call, self._rewarded)

    def _rewarded(self, seq: int, reward: dict[str, object]) -> None:
        call = self.sight.opened()
        if call is not None and call.seq == seq:
            self.sight = replace(self.sight, reward=reward)
            self.draw()

    def event_came(self, row: Seen | None) -> None:
        """The event that was asked for, or None where it cannot be read; then it is asked for again."""
        if row is None:
            self._fetching = "", 0
        self.sight = replace(self.sight, event=row)
        self.draw()

    def search(self, text: str, kind: str) -> None:
        """Look through the whole journal, in the reading thread."""
        self.errands.stop_search()
        search = Search(text=text, kind=kind, ended=not (text or kind))
        cursors = {**self.sight.cursors, "events": 0}
        self.look(replace(self.sight, search=search, cursors=cursors, offsets={}))
        if not search.ended:
            self.errands.search(self.sight.chosen, text, kind, self._found)

    def _found(self, search: Search) -> None:
        if (self.sight.search.text, self.sight.search.kind) == (search.text, search.kind):
            self.sight = replace(self.sight, search=search)
            self.draw()


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

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

from strategies.monitor.follower import JournalFollower
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.views import Snapshot
from tui.dashboard.actions import ActionResult, BackgroundTasks, plan_action
from tui.dashboard.canvas import Canvas
from tui.dashboard.dialogs import Confirm, Help, TextPrompt
from tui.dashboard.frame import Box, box_at
from tui.dashboard.keys import KEYS
from tui.dashboard.navigation import (
    focus_other_panel,
    go_back,
    handle_click,
    move_cursor,
    open_row,
    select_other_call,
    select_other_journal,
)
from tui.dashboard.screens.layout import layout, list_panels, render_screen, tab_at
from tui.dashboard.text import select_journal
from tui.dashboard.themes import PALETTES
from tui.dashboard.view_state import Panel, Search, ViewState

_HINTS = "1-7 screens  ↑↓ rows  tab panels  enter open  / filter  ? help  ^p all  q quit"


class DashboardView(App[None]):
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
        self.clock, self.local, self._requested_event = clock, zone, name
        self.reader = JournalFollower(data_dir, clock, self._on_snapshot)
        scene = Snapshot(at=clock(), data_dir=str(data_dir))
        self.view_state = ViewState(
            snapshot=scene, palette=PALETTES[palette], zone=zone, readonly=readonly, focus="journals"
        )
        self._newest: Snapshot | None = None
        self._snapshots = 0
        self._awaited: dict[tuple[str, int], str] = {}
        self.background_tasks = BackgroundTasks(self.reader, self._call_in_loop)
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
            self.reader.yield_to_input()
        await super().on_event(event)

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self.draw)

    @property
    def settled(self) -> bool:
        """Whether a scene is drawn and every journal in it is counted to its end."""
        scene = self.view_state.snapshot
        return self._snapshots > 1 and all(one.counted >= one.newest for one in scene.journals)

    def draw(self) -> None:
        """Everything as it is now."""
        with contextlib.suppress(LookupError):
            canvas = self.screen_stack[0].query_one(Canvas)
            width, height = self.size
            zoomed = self.view_state.focus if self.view_state.zoomed else ""
            self.boxes = layout(self.view_state.screen, width, height, zoomed)
            names = [box.panel.name for box in self.boxes]
            if self.view_state.focus not in names:
                self.view_state = replace(self.view_state, focus=names[0])
            canvas.paint(render_screen(self.view_state, width, height, _HINTS))

    def set_view(self, sight: ViewState) -> None:
        """Look at something else."""
        before, self.view_state = self.view_state, sight
        if sight.selected != before.selected:
            self.reader.prioritize(sight.selected)
            self.view_state = replace(self.view_state, event=None, call=None, search=Search(), reward=None)
        if self.view_state.screen == "forecast":
            self._fetch_call()
        self.draw()

    def _on_snapshot(self, scene: Snapshot) -> None:
        """From the reading thread: keep the newest scene, and draw it soon."""
        waiting, self._newest = self._newest, scene
        if waiting is None:
            self._call_in_loop(self._draw_newest)

    def _call_in_loop(self, work: Callable[..., None], *values: object) -> None:
        """From another thread: do it on the screen's loop, unless that has ended."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self.call_later, work, *values)

    def _draw_newest(self) -> None:
        scene, self._newest = self._newest, None
        if scene is None:
            return
        self._snapshots += 1
        chosen = self.view_state.selected
        if not chosen or scene.get(chosen) is None:
            chosen = select_journal(scene, self._requested_event) or select_journal(scene, None)
            self.reader.prioritize(chosen)
        self.view_state = replace(self.view_state, snapshot=scene, selected=chosen)
        for (key, seq), name in list(self._awaited.items()):
            one = scene.get(key)
            told = next((c for c in one.commands if c.seq == seq and c.answer), None) if one else None
            if told is not None:
                del self._awaited[key, seq]
                self.view_state = replace(
                    self.view_state, notice=f"{name} (event {seq}) was obeyed: {told.answer}"
                )
        if self.view_state.screen == "forecast":
            self._fetch_call()
        self.draw()

    def on_action_done(self, name: str, done: ActionResult) -> None:
        """What became of an action; where a session is to answer, its answer is waited for."""
        if done.event is not None:
            self._awaited[done.key, done.event] = name
        self.set_view(replace(self.view_state, notice=done.message))

    def _fetch_call(self) -> None:
        one, call = self.view_state.journal, self.view_state.opened_forecast()
        if call is None or (self.view_state.event is not None and self.view_state.event.seq == call.seq):
            return
        if self._fetching == (self.view_state.selected, call.seq):
            return
        self._fetching = self.view_state.selected, call.seq
        self.background_tasks.fetch_event(self.view_state.selected, call.seq, self.on_event_fetched)
        self.view_state = replace(self.view_state, reward=None)
        if one is not None and call.came is not None:
            self.background_tasks.compute_reward(one, call, self._on_reward)

    def _on_reward(self, seq: int, reward: dict[str, object]) -> None:
        call = self.view_state.opened_forecast()
        if call is not None and call.seq == seq:
            self.view_state = replace(self.view_state, reward=reward)
            self.draw()

    def on_event_fetched(self, row: EventRow | None) -> None:
        """The event that was asked for, or None where it cannot be read; then it is asked for again."""
        if row is None:
            self._fetching = "", 0
        self.view_state = replace(self.view_state, event=row)
        self.draw()

    def search(self, text: str, kind: str) -> None:
        """Look through the whole journal, in the reading thread."""
        self.background_tasks.stop_search()
        search = Search(text=text, kind=kind, ended=not (text or kind))
        cursors = {**self.view_state.cursors, "events": 0}
        self.set_view(replace(self.view_state, search=search, cursors=cursors, offsets={}))
        if not search.ended:
            self.background_tasks.search(self.view_state.selected, text, kind, self._on_search)

    def _on_search(self, search: Search) -> None:
        if (self.view_state.search.text, self.view_state.search.kind) == (search.text, search.kind):
            self.view_state = replace(self.view_state, search=search)
            self.draw()


class DashApp(DashboardView):
    """The dashboard as `closecall dash` shows it."""

    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.keys, key.action, key.name, show=False) for key in KEYS
    ]

    def action_screen(self, name: str) -> None:
        """Show one of the seven screens."""
        self.set_view(
            replace(
                self.view_state,
                screen=name,
                focus=layout(name, *self.size)[0].panel.name,
                filter_text="",
                notice="",
            )
        )

    def action_move(self, rows: int) -> None:
        """Move within the panel with the focus."""
        self.set_view(move_cursor(self.view_state, self._box(), rows))

    def action_panel(self, step: int) -> None:
        """Go to another panel."""
        where = (
            list_panels(self.view_state.screen)
            if self.view_state.zoomed
            else [box.panel for box in self.boxes]
        )
        self.set_view(focus_other_panel(self.view_state, where, step))

    def action_zoom(self) -> None:
        """The panel with the focus alone, or all of them again."""
        self.set_view(replace(self.view_state, zoomed=not self.view_state.zoomed))

    def action_journal(self, step: int) -> None:
        """Choose another session or run."""
        self.set_view(select_other_journal(self.view_state, step))

    def action_call(self, step: int) -> None:
        """Open the next forecast, or the one before."""
        self.set_view(select_other_call(self.view_state, step))

    def action_open(self) -> None:
        """Open the chosen row."""
        panel = self._box().panel.name
        after = open_row(self.view_state, panel)
        if panel == "kinds":
            self.search(after.search.text, after.search.kind)
        elif panel == "events" and after.event is not None:
            self.background_tasks.fetch_event(after.selected, after.event.seq, self.on_event_fetched)
        else:
            self.set_view(after)

    def action_leave(self) -> None:
        """Clear the filter, or leave where one is."""
        self.background_tasks.stop_search()
        self.set_view(go_back(self.view_state))

    def action_filter(self) -> None:
        """Ask for a text to look for."""
        journal = self.view_state.screen == "journal"
        before = self.view_state.search.text if journal else self.view_state.filter_text

        def asked(text: str | None) -> None:
            if text is None:
                return
            if journal:
                self.search(text, self.view_state.search.kind)
            else:
                self.set_view(replace(self.view_state, filter_text=text, cursors={}, offsets={}))

        self.push_screen(TextPrompt("look for a text; enter keeps it, esc leaves it", before), asked)

    def action_help(self) -> None:
        """Help for the panel with the focus, and all keys."""
        note = "\nResearch software. Paper trading only: nothing here can place a real order."
        self.push_screen(Help(self._box().panel, note))

    def action_utc(self) -> None:
        """Times in UTC, or in the user's zone again."""
        self.set_view(replace(self.view_state, zone=self.local if self.view_state.zone is UTC else UTC))

    def action_palette(self) -> None:
        """The next of the three palettes."""
        names = list(PALETTES)
        after = names[(names.index(self.view_state.palette.name) + 1) % len(names)]
        self.set_view(replace(self.view_state, palette=PALETTES[after], notice=f"palette: {after}"))

    def action_act(self, name: str) -> None:
        """Say what an action will do, and ask."""
        planned = plan_action(name, self.view_state, self.clock)

        def answered(why: str | None) -> None:
            if why is not None:
                self.set_view(replace(self.view_state, notice=f"{planned.name}…"))
                self.background_tasks.execute(planned, why, self.on_action_done)

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
        after, opens = handle_click(self.view_state, self.boxes, event.x, event.y)
        self.set_view(after)
        if opens:
            self.action_open()

    def on_canvas_wheel(self, event: Canvas.Wheel) -> None:
        """The wheel moves within the panel under it."""
        box = box_at(self.boxes, event.x, event.y)
        if box is not None:
            self.set_view(move_cursor(replace(self.view_state, focus=box.panel.name), box, event.rows))

    def _runner(self, action: str) -> Callable[[], object]:
        return lambda: self.call_later(self.run_action, action)

    def _box(self) -> Box:
        return next(box for box in self.boxes if box.panel.name == self.view_state.focus)

    def panel(self) -> Panel:
        """The panel with the focus."""
        return self._box().panel

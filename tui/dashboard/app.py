"""The keys and the mouse of the dashboard: each leads to another view state, a question or an action."""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import Theme

from strategies.monitor.follower import JournalFollower
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.views import Snapshot
from tui.dashboard.actions import ActionResult, BackgroundTasks, plan_action
from tui.dashboard.dialogs import Confirm, Help, TextPrompt
from tui.dashboard.keys import KEYS, format_key
from tui.dashboard.navigation import (
    choose_row,
    go_back,
    move_cursor,
    open_row,
    select_other_call,
    select_other_journal,
)
from tui.dashboard.screen import DashScreen, PanelView, TopBar
from tui.dashboard.screens import SCREENS
from tui.dashboard.text import select_journal
from tui.dashboard.themes import PALETTES, Palette
from tui.dashboard.view_state import Panel, Search, ViewState

_CSS = """
DashScreen { background: $background; }
DashScreen .body { layout: grid; height: 1fr; }
TopBar { dock: top; height: 2; }
NoticeLine { dock: bottom; height: 1; display: none; }
DashScreen.notice NoticeLine { display: block; }
DashScreen.notice Footer { display: none; }
Footer { background: $background; }
DashScreen.small FooterKey.-command-palette { display: none; }
PanelView { display: none; border: round $panel-lighten-3; border-title-color: $foreground; }
PanelView:focus { border: round $accent; border-title-color: $accent; border-title-style: bold; }
PanelView.-maximized { display: block !important; width: 1fr; height: 1fr; }
"""


class DashboardView(App[None]):
    """Reads `data_dir` and shows what a follower makes of it; `clock` is the wall clock in UTC."""

    TITLE = "closecall"
    CSS = _CSS + "".join(f"#{plan.name}-screen {{ {plan.css} }}" for plan in SCREENS)
    DEFAULT_MODE = SCREENS[0].name

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
        snapshot = Snapshot(at=clock(), data_dir=str(data_dir))
        self.view_state = ViewState(
            snapshot=snapshot, palette=PALETTES[palette], zone=zone, readonly=readonly
        )
        self._newest: Snapshot | None = None
        self._snapshots = 0
        self._awaited: dict[tuple[str, int], str] = {}
        self.background_tasks = BackgroundTasks(self.reader, self._call_in_loop)
        self._fetching = ("", 0)
        for each in PALETTES.values():
            self.register_theme(create_theme(each))
        self.theme = palette
        for plan in SCREENS:
            self.add_mode(plan.name, partial(DashScreen, plan, lambda: self.view_state))

    def on_mount(self) -> None:
        """Show the empty screen at once, then read."""
        self.reader.start()

    def on_unmount(self) -> None:
        """Leave the files alone."""
        self.reader.stop()

    async def on_event(self, event: events.Event) -> None:
        """Keys and the mouse go before the counting of the past."""
        if isinstance(event, events.InputEvent):
            self.reader.yield_to_input()
        await super().on_event(event)

    @property
    def settled(self) -> bool:
        """Whether a scene is drawn and every journal in it is counted to its end."""
        snapshot = self.view_state.snapshot
        return self._snapshots > 1 and all(journal.counted >= journal.newest for journal in snapshot.journals)

    @property
    def base(self) -> DashScreen | None:
        """The screen below any dialog."""
        screen = self.screen_stack[0] if self._screen_stack else None
        return screen if isinstance(screen, DashScreen) else None

    def draw(self) -> None:
        """Show the view state as it is now."""
        if self.base is not None:
            self.base.update()

    def set_view(self, state: ViewState) -> None:
        """Look at something else."""
        before, self.view_state = self.view_state, state
        if state.selected != before.selected:
            self.reader.prioritize(state.selected)
            self.view_state = replace(self.view_state, event=None, call=None, search=Search(), reward=None)
        if state.screen != self.current_mode:
            self.switch_mode(state.screen)
            if self.base is not None and state.focus:
                self.base.focus_panel(state.focus)
        if self.view_state.screen == "forecast":
            self._fetch_call()
        self.draw()

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        """From the reading thread: keep the newest scene, and draw it soon."""
        waiting, self._newest = self._newest, snapshot
        if waiting is None:
            self._call_in_loop(self._draw_newest)

    def _call_in_loop(self, work: Callable[..., None], *values: object) -> None:
        """From another thread: do it on the screen's loop, unless that has ended."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed since it was looked at
                loop.call_soon_threadsafe(self.call_later, work, *values)

    def _draw_newest(self) -> None:
        snapshot, self._newest = self._newest, None
        if snapshot is None:
            return
        self._snapshots += 1
        chosen = self.view_state.selected
        if not chosen or snapshot.get(chosen) is None:
            chosen = select_journal(snapshot, self._requested_event) or select_journal(snapshot, None)
            self.reader.prioritize(chosen)
        self.view_state = replace(self.view_state, snapshot=snapshot, selected=chosen)
        for (key, seq), name in list(self._awaited.items()):
            journal = snapshot.get(key)
            answered = (
                next((c for c in journal.commands if c.seq == seq and c.answer), None) if journal else None
            )
            if answered is not None:
                del self._awaited[key, seq]
                self.view_state = replace(
                    self.view_state, notice=f"{name} (event {seq}) was obeyed: {answered.answer}"
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
        journal, call = self.view_state.journal, self.view_state.opened_forecast()
        if call is None or (self.view_state.event is not None and self.view_state.event.seq == call.seq):
            return
        if self._fetching == (self.view_state.selected, call.seq):
            return
        self._fetching = self.view_state.selected, call.seq
        self.background_tasks.fetch_event(self.view_state.selected, call.seq, self.on_event_fetched)
        self.view_state = replace(self.view_state, reward=None)
        if journal is not None and call.came is not None:
            self.background_tasks.compute_reward(journal, call, self._on_reward)

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
        Binding(
            key.keys,
            key.action,
            key.footer or key.name,
            show=bool(key.footer),
            key_display="↑↓" if key.footer == "Rows" else format_key(key).split()[0].replace("ctrl+", "^"),
        )
        for key in KEYS
    ]

    def action_screen(self, name: str) -> None:
        """Show one of the screens."""
        self.set_view(replace(self.view_state, screen=name, focus="", filter_text="", notice=""))

    def action_move(self, rows: int) -> None:
        """Move within the panel with the focus."""
        view = self.focused
        if isinstance(view, PanelView):
            self.set_view(move_cursor(self.view_state, view.panel, rows, view.size.height))

    def action_panel(self, step: int) -> None:
        """Go to another panel."""
        if self.base is not None and self.base.maximized is not None:
            self.base.zoom(step)
        elif step > 0:
            self.screen.focus_next()
        else:
            self.screen.focus_previous()

    def action_zoom(self) -> None:
        """Show the panel with the focus alone, or all of them again."""
        if self.base is not None:
            self.base.zoom()

    def action_journal(self, step: int) -> None:
        """Choose another session or run."""
        self.set_view(select_other_journal(self.view_state, step))

    def action_call(self, step: int) -> None:
        """Open the next forecast, or the one before."""
        self.set_view(select_other_call(self.view_state, step))

    def action_open(self) -> None:
        """Open the chosen row."""
        panel = self.panel().name
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
        self.push_screen(Help(self.panel(), note))

    def action_utc(self) -> None:
        """Times in UTC, or in the user's zone again."""
        self.set_view(replace(self.view_state, zone=self.local if self.view_state.zone is UTC else UTC))

    def action_palette(self) -> None:
        """The next of the three palettes."""
        names = list(PALETTES)
        after = names[(names.index(self.view_state.palette.name) + 1) % len(names)]
        self.theme = after
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

    def on_panel_view_focused(self, event: PanelView.Focused) -> None:
        """Remember the panel."""
        self.view_state = replace(self.view_state, focus=event.panel.name)

    def on_top_bar_tab_clicked(self, event: TopBar.TabClicked) -> None:
        """Show the screen of the tab."""
        self.action_screen(event.name)

    def on_panel_view_clicked(self, event: PanelView.Clicked) -> None:
        """Choose the row of a click; a click on the chosen row of the focused panel opens it."""
        view = event.view
        after, chosen = choose_row(self.view_state, view.panel, event.line, view.size.height)
        self.set_view(after)
        if chosen and event.focused:
            self.action_open()

    def on_panel_view_scrolled(self, event: PanelView.Scrolled) -> None:
        """Move within the panel under the wheel."""
        event.view.focus()
        self.set_view(move_cursor(self.view_state, event.view.panel, event.rows, event.view.size.height))

    def _runner(self, action: str) -> Callable[[], object]:
        return lambda: self.call_later(self.run_action, action)

    def panel(self) -> Panel:
        """Return the panel with the focus."""
        focused = self.base.focused if self.base is not None else None
        return focused.panel if isinstance(focused, PanelView) else SCREENS[0].panels[0]


def create_theme(palette: Palette) -> Theme:
    """Return the Textual theme of a palette."""
    return Theme(
        name=palette.name,
        primary=palette.curve,
        accent=palette.curve,
        success=palette.up,
        error=palette.down,
        warning="#e5b567",
        foreground="#d7dbe0",
        background="#14171c",
        surface="#1b1f26",
        panel="#232831",
    )

"""Shows scenes as they come, on a terminal: the canvas, the reader, and what errands bring back.

Knows Textual; nothing here waits for a file, and no key is known (`app` knows them).
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from textual import events
from textual.app import App, ComposeResult

from tui.dash.acting import Done
from tui.dash.canvas import Canvas
from tui.dash.errands import Errands
from tui.dash.frame import Box
from tui.dash.journal_file import Seen
from tui.dash.palette import PALETTES
from tui.dash.plain import choose
from tui.dash.reading import Reader
from tui.dash.screens import layout, whole
from tui.dash.sight import Search, Sight
from tui.dash.views import Scene

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

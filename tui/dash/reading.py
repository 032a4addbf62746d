"""A thread that follows all journals of a data folder and says what there is to see, twice a second.

It also fetches single events and searches, so that the screen never waits. Knows no screen.
"""

import os
import queue
import shutil
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tui.dash.journal_file import Seen, Unreadable
from tui.dash.places import places
from tui.dash.tail import Tail
from tui.dash.views import JournalView, Scene

EVERY = 0.5
_LOOK_AROUND = 2.0
_SEARCH_SPAN = 50_000
_BREATH = 0.01
_QUIET = 0.3

Found = Callable[[list[Seen], int, bool], None]
"""Told what a search found so far, down to which number it has looked, and whether it is at its end."""


class Reader:
    """Follows the journals of `data_dir`; `poll` is one round, `start` makes rounds until `stop`."""

    def __init__(
        self, data_dir: Path, clock: Callable[[], datetime], on_scene: Callable[[Scene], None] | None = None
    ) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._on_scene = on_scene
        self._tails: dict[str, Tail] = {}
        self._first = ""
        self._looked = float("-inf")
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._problem = ""
        self._quiet_until = 0.0

    def start(self) -> None:
        """Read in a thread of its own, which does not keep the program alive."""
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading, at once as good as always."""
        self._stopping.set()
        self._asked.put(lambda: None)
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def hush(self) -> None:
        """A person acts: leave the processor to the screen for a moment, and count on afterwards."""
        self._quiet_until = time.monotonic() + _QUIET

    def prefer(self, key: str) -> None:
        """Read this journal before the others."""
        self._first = key

    def fetch(self, key: str, seq: int, on_found: Callable[[Seen | None], None]) -> None:
        """One event whole, told from the reading thread."""

        def work() -> None:
            tail = self._tails.get(key)
            try:
                on_found(tail.file.one(seq) if tail else None)
            except Unreadable:
                on_found(None)

        self._asked.put(work)

    def search(self, key: str, kind: str, text: str, most: int, on_found: Found) -> threading.Event:
        """The newest events of a kind with a text, told a part at a time; set the event to give up."""
        cancelled = threading.Event()

        def work(before: int | None = None, so_far: tuple[Seen, ...] = ()) -> None:
            tail = self._tails.get(key)
            if cancelled.is_set() or tail is None:
                return
            try:
                start = tail.file.newest() + 1 if before is None else before
                more = tail.file.found(start, most - len(so_far), _SEARCH_SPAN, kind=kind, text=text)
            except Unreadable:
                on_found(list(so_far), 0, True)  # noqa: FBT003  # finished
                return
            rows, lowest = (*so_far, *more), max(1, start - _SEARCH_SPAN)
            ended = lowest <= 1 or len(rows) >= most
            on_found(list(rows), lowest, ended)
            if not ended:
                self._asked.put(lambda: work(lowest, rows))

        self._asked.put(work)
        return cancelled

    def poll(self) -> Scene:
        """One round: look around now and then, take in a page of each journal, say what is known."""
        began = time.perf_counter()
        if began - self._looked >= _LOOK_AROUND:
            self._look_around()
            self._looked = began
        now = self._clock()
        views = [self._followed(tail, now) for tail in self._in_turn()]
        order = {key: place for place, key in enumerate(self._tails)}
        views.sort(key=lambda view: order[view.place.key])
        return Scene(
            at=now,
            data_dir=str(self._data_dir),
            journals=tuple(views),
            disk_free=_disk_free(self._data_dir),
            memory=_memory(),
            poll_seconds=time.perf_counter() - began,
            problem=self._problem,
        )

    def read_all(self) -> Scene:
        """Rounds until every journal is folded to its end, for a look that is had once."""
        scene = self.poll()
        while not self.caught_up:
            scene = self.poll()
        return scene

    @property
    def caught_up(self) -> bool:
        """Whether every journal is folded to its end."""
        return all(tail.caught_up for tail in self._tails.values())

    def close(self) -> None:
        """Let all files go."""
        for tail in self._tails.values():
            tail.close()

    def _in_turn(self) -> list[Tail]:
        return sorted(self._tails.values(), key=lambda tail: tail.place.key != self._first)

    def _followed(self, tail: Tail, now: datetime) -> JournalView:
        tail.poll(now)
        return tail.view(now)

    def _look_around(self) -> None:
        there = {place.key: place for place in places(self._data_dir)}
        kept: dict[str, Tail] = {key: self._tails.get(key) or Tail(place) for key, place in there.items()}
        for key, tail in self._tails.items():
            # One that was shown and is gone stays on the screen, which says that it is gone.
            if key not in kept:
                kept[key] = tail
        self._tails = dict(list(kept.items())[:80])
        self._problem = _problem_of(self._data_dir)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                scene = self.poll()
                if self._on_scene is not None and not self._stopping.is_set():
                    self._on_scene(scene)
                self._between(began + EVERY)
        finally:
            self.close()

    def _between(self, until: float) -> None:
        """Do what is asked; count on without haste while journals are not at their end."""
        while not self._stopping.is_set():
            left = until - time.monotonic()
            hushed = time.monotonic() < self._quiet_until
            busy = [] if hushed else [tail for tail in self._in_turn() if not tail.caught_up]
            try:
                self._asked.get(timeout=_BREATH if busy and left > 0 else max(0.0, min(left, _QUIET)))()
            except queue.Empty:
                if left <= 0:
                    return
            if busy:
                busy[0].poll(self._clock())


def _problem_of(data_dir: Path) -> str:
    if not data_dir.exists():
        return f"{data_dir} does not exist yet; closecall backtest makes it"
    return (
        ""
        if os.access(data_dir, os.R_OK | os.X_OK)
        else f"{data_dir} cannot be read; give yourself the right"
    )


def _disk_free(data_dir: Path) -> int | None:
    for place in (data_dir, *data_dir.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def _memory() -> int | None:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None

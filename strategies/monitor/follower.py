"""Follows journals as they grow, also where a file is moved, replaced or locked.

The end of a long journal is shown at once; its past is read afterwards, a page at a time.
"""

import os
import queue
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from strategies.monitor.catalog import JournalPlace, JournalType, list_places, lock_owner, modified_at
from strategies.monitor.journal_reader import EventRow, JournalFile, Unreadable
from strategies.monitor.projection import HEAVY, JournalProjection
from strategies.monitor.views import JournalView, Snapshot

RECENT = 3000
"""Of how many of the last events all kinds are folded and listed."""

_FIRST = 1000
"""The number of last events that are read to show a long journal at once."""

_SPAN = 500
_STILL = 60.0


class JournalTail:
    """One journal, from its first event to its newest."""

    def __init__(self, place: JournalPlace) -> None:
        self.place = place
        self.file = JournalFile(place.path)
        self._signature: object = None
        self._trouble = self._notice = ""
        self._trouble_at: datetime | None = None
        self._notice_at: datetime | None = None
        self._view: JournalView | None = None
        self._stale = True
        self._rate = 0.0
        self._polled: tuple[datetime, int] | None = None
        self._begin()

    @property
    def caught_up(self) -> bool:
        """Return whether every known event is folded."""
        return self._cursor >= self._newest

    def poll(self, now: datetime) -> None:
        """Fold one more page. Faults of a journal are stated by `view` and never raised."""
        signature = _file_signature(self.place.path)
        if signature == self._signature and self.caught_up and not self._trouble:
            self._stale = self._stale or self._rate > 0
            self._measure(now)
            return
        try:
            self._advance(now)
        except Unreadable as error:
            if str(error) != self._trouble:
                self._trouble, self._trouble_at = str(error), now
                self._stale = True
            return
        self._signature = signature
        if self._trouble:
            if self._notice_at != now:
                self._set_notice(now, f"can be read again (before: {self._trouble})")
            self._trouble, self._trouble_at = "", None
        self._measure(now)
        self._stale = True

    def view(self, now: datetime) -> JournalView:
        """Return the journal's view as of now."""
        if self._view is None or self._stale:
            self._stale = False
            self._view = (self._preview or self._projection).view(
                newest=self._newest,
                counted=min(self._cursor, self._newest),
                notice=self._notice,
                notice_at=self._notice_at,
                trouble=self._trouble,
                trouble_at=self._trouble_at,
                rate=self._rate,
            )
        endless = self.place.type in (JournalType.REGISTRY, JournalType.TRAINING)
        if endless or self._view.state in ("finished", "failed", "interrupted"):
            return self._view
        return self._is_alive(self._view, now)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _begin(self) -> None:
        self._projection = JournalProjection(self.place)
        self._preview: JournalProjection | None = None
        self._cursor = self._newest = 0
        self._chain: str | None = None
        self._whole_from: int | None = None

    def _advance(self, now: datetime) -> None:
        newest = self.file.newest()
        if self._cursor and self.file.chain(self._cursor) != self._chain:
            self._begin()
            self._set_notice(now, "another journal took its place; it was read from its beginning")
        self._newest = newest
        if self._whole_from is None:
            # The registry's state depends on each of its events, and all are small.
            registry = self.place.type is JournalType.REGISTRY
            self._whole_from = 0 if registry else max(0, newest - RECENT)
            if self._whole_from > 2 * _SPAN:
                self._preview = self._build_preview(newest - _FIRST, newest)
                return  # so that it is shown before any of the past is counted
        until = min(newest, self._cursor + _SPAN)
        if until > self._cursor:
            self._apply_page(until)
        if self._cursor >= self._newest:
            self._preview = None

    def _apply_page(self, until: int) -> None:
        whole = self._whole_from or 0
        if self._cursor < whole:
            until = min(until, whole)
        listed = self._cursor >= whole
        rows = self.file.page(self._cursor, until, _SPAN, without=() if listed else HEAVY)
        counts = self.file.count_kinds(self._cursor, until)
        chain = self.file.chain(until)
        for row in rows:
            self._projection.fold(row, listed=listed)
        self._projection.count(counts)
        self._cursor, self._chain = until, chain

    def _build_preview(self, since: int, newest: int) -> JournalProjection:
        """Return a projection of the first and last events, shown until the rest is folded."""
        projection = JournalProjection(self.place)
        for first, last in ((0, 2), (since, newest)):
            for row in self.file.page(first, last, RECENT):
                projection.fold(row, listed=first > 0)
        return projection

    def _set_notice(self, now: datetime, what: str) -> None:
        self._notice, self._notice_at = f"{now:%H:%M:%S} UTC: {what}", now

    def _measure(self, now: datetime) -> None:
        """Update the number of events per second over the last seconds."""
        before = self._polled
        if before is None:
            self._polled = now, self._newest
            return
        seconds = (now - before[0]).total_seconds()
        if seconds >= 2.0 or seconds < 0:
            self._rate = max(0.0, (self._newest - before[1]) / seconds) if seconds > 0 else 0.0
            self._polled = now, self._newest

    def _is_alive(self, view: JournalView, now: datetime) -> JournalView:
        """Return the view with its running state: by its lock, else by when it was last written."""
        held = lock_owner(self.place) is not None
        if self.place.type is JournalType.SESSION:
            state = "running" if held else "stopped" if view.state == "stopped" else "no process"
        else:
            recent = held or now.timestamp() - modified_at(self.place.path) < _STILL
            state = "running" if recent else "unfinished"
        return replace(view, state=state, held=held)


def _file_signature(path: Path) -> object:
    signature: list[tuple[int, ...] | None] = []
    for each in (path, path.with_name(path.name + "-wal")):
        try:
            stat = each.stat()
        except OSError:
            signature.append(None)
        else:
            signature.append((stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(signature)


POLL_INTERVAL = 0.5
_RESCAN_INTERVAL = 2.0
_SEARCH_SPAN = 50_000
_YIELD_SECONDS = 0.01
_QUIET = 0.3
Found = Callable[[list[EventRow], int, bool], None]
"""Called with the events found so far, the lowest number searched and whether the search has ended."""


class JournalFollower:
    """Follows the journals of `data_dir`; `poll` is one round, `start` makes rounds until `stop`."""

    def __init__(
        self,
        data_dir: Path,
        clock: Callable[[], datetime],
        on_scene: Callable[[Snapshot], None] | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._on_scene = on_scene
        self._tails: dict[str, JournalTail] = {}
        self._first = ""
        self._scanned_at = float("-inf")
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._problem = ""
        self._quiet_until = 0.0

    def start(self) -> None:
        """Start reading in a daemon thread."""
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and wait up to two seconds for the thread."""
        self._stopping.set()
        self._asked.put(lambda: None)
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def yield_to_input(self) -> None:
        """Pause reading for a moment after a key press, so that the screen answers at once."""
        self._quiet_until = time.monotonic() + _QUIET

    def prioritize(self, key: str) -> None:
        """Read this journal before the others."""
        self._first = key

    def fetch(self, key: str, seq: int, on_found: Callable[[EventRow | None], None]) -> None:
        """Read one event with its whole payload; `on_found` is called in the reading thread."""

        def work() -> None:
            tail = self._tails.get(key)
            try:
                on_found(tail.file.read_event(seq) if tail else None)
            except Unreadable:
                on_found(None)

        self._asked.put(work)

    def search(self, key: str, kind: str, text: str, most: int, on_found: Found) -> threading.Event:
        """Search the newest events by kind and text, a part at a time; set the returned event to cancel."""
        cancelled = threading.Event()

        def work(before: int | None = None, so_far: tuple[EventRow, ...] = ()) -> None:
            tail = self._tails.get(key)
            if cancelled.is_set() or tail is None:
                return
            try:
                start = tail.file.newest() + 1 if before is None else before
                more = tail.file.search(start, most - len(so_far), _SEARCH_SPAN, kind=kind, text=text)
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

    def poll(self) -> Snapshot:
        """Do one round: rescan the folder if due, fold a page of each journal, return a snapshot."""
        began = time.perf_counter()
        if began - self._scanned_at >= _RESCAN_INTERVAL:
            self._rescan()
            self._scanned_at = began
        now = self._clock()
        for tail in self._ordered_tails():
            tail.poll(now)
        return Snapshot(
            at=now,
            data_dir=str(self._data_dir),
            journals=tuple(tail.view(now) for tail in self._tails.values()),
            disk_free=_disk_free(self._data_dir),
            memory=_memory(),
            poll_seconds=time.perf_counter() - began,
            problem=self._problem,
        )

    def read_all(self) -> Snapshot:
        """Poll until every journal is folded to its end, and return the last snapshot."""
        scene = self.poll()
        while not self.caught_up:
            scene = self.poll()
        return scene

    @property
    def caught_up(self) -> bool:
        """Return whether every journal is folded to its end."""
        return all(tail.caught_up for tail in self._tails.values())

    def close(self) -> None:
        """Close all files."""
        for tail in self._tails.values():
            tail.close()

    def _ordered_tails(self) -> list[JournalTail]:
        return sorted(self._tails.values(), key=lambda tail: tail.place.key != self._first)

    def _rescan(self) -> None:
        there = {place.key: place for place in list_places(self._data_dir)}
        tails = {key: self._tails.get(key) or JournalTail(place) for key, place in there.items()}
        # A journal that was shown and is gone stays on the screen, marked as gone.
        gone = {key: tail for key, tail in self._tails.items() if key not in tails}
        self._tails = dict(list((tails | gone).items())[:80])
        self._problem = _find_problem(self._data_dir)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                scene = self.poll()
                if self._on_scene is not None and not self._stopping.is_set():
                    self._on_scene(scene)
                self._work_until(began + POLL_INTERVAL)
        finally:
            self.close()

    def _work_until(self, until: float) -> None:
        """Serve requests until an instant; between them fold journals that are not at their end."""
        while not self._stopping.is_set():
            left = until - time.monotonic()
            quiet = time.monotonic() < self._quiet_until
            busy = [] if quiet else [tail for tail in self._ordered_tails() if not tail.caught_up]
            try:
                self._asked.get(
                    timeout=_YIELD_SECONDS if busy and left > 0 else max(0.0, min(left, _QUIET))
                )()
            except queue.Empty:
                if left <= 0:
                    return
            if busy:
                busy[0].poll(self._clock())


def _find_problem(data_dir: Path) -> str:
    if not data_dir.exists():
        return f"{data_dir} does not exist yet; create it with: closecall backtest"
    return (
        "" if os.access(data_dir, os.R_OK | os.X_OK) else f"{data_dir} cannot be read; check its permissions"
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

"""Follows one journal by the numbers of its events, whatever becomes of its file meanwhile.

A long journal is shown from its end at once, and its past is counted behind that, a page at a time. Knows no
thread and no clock.
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tui.dash.board import HEAVY, Board
from tui.dash.journal_file import JournalFile, Unreadable
from tui.dash.places import Place, Sort, holder
from tui.dash.views import JournalView

RECENT = 3000
"""How many of the last events are folded whole, kinds and all."""
_FIRST = 1000
"""How many of the last events are read to show a long journal at once."""
_SPAN = 500
_STILL = 60.0


class Tail:
    """One journal, from its first event to its newest."""

    def __init__(self, place: Place) -> None:
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
        """Whether there is nothing left to fold, as far as is known."""
        return self._cursor >= self._newest

    def poll(self, now: datetime) -> None:
        """Take in one more page. Never raises for what is wrong with a journal: `view` tells it."""
        signature = _signature(self.place.path)
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
                self._say(now, f"can be read again (before: {self._trouble})")
            self._trouble, self._trouble_at = "", None
        self._measure(now)
        self._stale = True

    def view(self, now: datetime) -> JournalView:
        """What is known of it now."""
        if self._view is None or self._stale:
            self._stale = False
            board = self._preview or self._board
            self._view = board.view(
                newest=self._newest,
                counted=min(self._cursor, self._newest),
                notice=self._notice,
                notice_at=self._notice_at,
                trouble=self._trouble,
                trouble_at=self._trouble_at,
                rate=self._rate,
            )
        if self._view.state in ("finished", "failed", "interrupted") or self._ends_never:
            return self._view
        return self._alive(self._view, now)

    def close(self) -> None:
        """Let the file go."""
        self.file.close()

    @property
    def _ends_never(self) -> bool:
        return self.place.sort in (Sort.REGISTRY, Sort.TRAINING)

    def _begin(self) -> None:
        self._board = Board(self.place)
        self._preview: Board | None = None
        self._cursor = self._newest = 0
        self._chain: str | None = None
        self._whole_from: int | None = None

    def _advance(self, now: datetime) -> None:
        newest = self.file.newest()
        if self._cursor and self.file.chain(self._cursor) != self._chain:
            self._begin()
            self._say(now, "another journal took its place; it was read anew")
        self._newest = newest
        if self._whole_from is None:
            # The registry's state hangs on every event of it, and each of them is small.
            registry = self.place.sort is Sort.REGISTRY
            self._whole_from = 0 if registry else max(0, newest - RECENT)
            if self._whole_from > 2 * _SPAN:
                self._preview = self._ahead(newest - _FIRST, newest)
                return  # so that it is shown before any of the past is counted
        until = min(newest, self._cursor + _SPAN)
        if until > self._cursor:
            self._take(until)
        if self._cursor >= self._newest:
            self._preview = None

    def _take(self, until: int) -> None:
        whole = self._whole_from or 0
        if self._cursor < whole:
            until = min(until, whole)
        listed = self._cursor >= whole
        rows = self.file.page(self._cursor, until, _SPAN, () if listed else HEAVY)
        counts = self.file.counts(self._cursor, until)
        chain = self.file.chain(until)
        for row in rows:
            self._board.fold(row, listed=listed)
        self._board.count(counts)
        self._cursor, self._chain = until, chain

    def _ahead(self, since: int, newest: int) -> Board:
        """A board of the beginning and the end alone, to be shown until the past is counted."""
        board = Board(self.place)
        for first, last in ((0, 2), (since, newest)):
            for row in self.file.page(first, last, RECENT):
                board.fold(row, listed=first > 0)
        return board

    def _say(self, now: datetime, what: str) -> None:
        self._notice, self._notice_at = f"{now:%H:%M:%S} UTC: {what}", now

    def _measure(self, now: datetime) -> None:
        """Events a second, over the last seconds."""
        before = self._polled
        if before is None:
            self._polled = now, self._newest
            return
        seconds = (now - before[0]).total_seconds()
        if seconds >= 2.0 or seconds < 0:
            self._rate = max(0.0, (self._newest - before[1]) / seconds) if seconds > 0 else 0.0
            self._polled = now, self._newest

    def _alive(self, view: JournalView, now: datetime) -> JournalView:
        """Whether a process goes on with it: by its lock, else by when it was last written."""
        held = holder(self.place) is not None
        if self.place.sort is Sort.SESSION:
            state = "running" if held else "stopped" if view.state == "stopped" else "no process"
        else:
            recent = held or now.timestamp() - _written(self.place.path) < _STILL
            state = "running" if recent else "unfinished"
        return replace(view, state=state, held=held)


def _signature(path: Path) -> object:
    found: list[tuple[int, ...] | None] = []
    for each in (path, path.with_name(path.name + "-wal")):
        try:
            stat = each.stat()
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _written(path: Path) -> float:
    times = [0.0]
    for each in (path, path.with_name(path.name + "-wal")):
        try:
            times.append(each.stat().st_mtime)
        except OSError:
            continue
    return max(times)

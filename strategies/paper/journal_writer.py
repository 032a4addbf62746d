"""Writes a session's journal and retries until it succeeds: locked journals and full disks are waited for.

The session does nothing else meanwhile: nothing is acted on before it is committed.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from engine.errors import JournalError
from engine.journal.events import encode
from engine.journal.events.sessions import Fault
from engine.journal.journal import Event, Journal
from engine.journal.store import is_transient
from strategies.paper.clock import Clock


class FaultTracker:
    """The parts that are down, and the faults still to be journaled."""

    def __init__(self, journal: Journal, now: Callable[[], datetime]) -> None:
        self._journal = journal
        self._now = now
        self._down: dict[str, str] = {}
        self._unreported: list[Event] = []

    @property
    def down(self) -> dict[str, str]:
        """Return what is wrong, by part."""
        return dict(self._down)

    def set_status(self, part: str, reason: str | None) -> None:
        """Set a part down for a reason, or up again (None); each change is journaled once."""
        if (reason is not None) == (part in self._down):
            return
        if reason is None:
            fault = Fault(part=part, state="up", reason=self._down.pop(part))
        else:
            self._down[part] = reason
            fault = Fault(part=part, state="down", reason=reason)
        self._unreported.append(encode(fault, self._now()))

    def record(self, part: str, reason: str) -> None:
        """Record a fault that is over already."""
        self._unreported.append(encode(Fault(part=part, state="was", reason=reason), self._now()))

    def flush(self) -> None:
        """Journal the recorded faults. Raises JournalError, and keeps them then."""
        if self._unreported:
            self._journal.append(self._unreported, self._now())
            self._unreported = []


class ClockJumpDetector:
    """Detects a clock that moves back, or further ahead than was waited for."""

    def __init__(self, tolerance: timedelta = timedelta(minutes=2)) -> None:
        self._tolerance = tolerance
        self._latest: datetime | None = None

    def check(self, now: datetime, expected: datetime | None = None) -> str:
        """Return what is wrong with `now`, which was to be `expected` at the latest; empty if nothing is."""
        before, self._latest = self._latest, now
        if before is not None and now < before - self._tolerance:
            return f"the clock went back by {(before - now).total_seconds():.0f} s"
        limit = max(filter(None, (before, expected)), default=now)
        if before is not None and now > limit + self._tolerance:
            return (
                f"the clock went ahead by {(now - limit).total_seconds():.0f} s, or the machine stood still"
            )
        return ""


_RETRY_INTERVAL = timedelta(seconds=5)
_T = TypeVar("_T")


class StopRequested(Exception):
    """Leaves the engine without ending the session."""


class JournalWriter:
    """Appends payloads to the journal, and retries other reads and writes. `stop` says whether to give up.

    `on_message` is called when the journal cannot be written, and when it can be again.
    """

    def __init__(
        self,
        journal: Journal,
        time: Clock,
        stop: Callable[[], bool],
        on_message: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._journal = journal
        self._time = time
        self._stop = stop
        self._on_message = on_message
        self.faults = FaultTracker(journal, time.now)

    def append(self, payload: object, at: datetime | None = None) -> None:
        """Append the event of a payload, dated `at` or now."""
        event = encode(payload, at or self._time.now())
        self.retrying(lambda: self._journal.append([event], self._time.now()))

    def flush_faults(self) -> None:
        """Journal the recorded faults."""
        self.retrying(self.faults.flush)

    def retrying(self, write: Callable[[], _T], *, confirms_recovery: bool = True) -> _T:
        """Call a function that reads or writes the journal until it succeeds, and return its result.

        `confirms_recovery` says that success shows the journal to be writable. Raises JournalError for a
        fault that will not pass, StopRequested when `stop` says so meanwhile.
        """
        while True:
            try:
                done = write()
            except JournalError as error:
                if not is_transient(error):
                    raise
                self._set_status(str(error))
                if self._stop():
                    raise StopRequested from error
                self._time.wait_real_time(self._time.now() + _RETRY_INTERVAL)
            else:
                if confirms_recovery:
                    self._set_status(None)
                return done

    def _set_status(self, reason: str | None) -> None:
        """Set why the journal cannot be written, None once it can."""
        was_down = "journal" in self.faults.down
        self.faults.set_status("journal", reason)
        if reason is not None and not was_down:
            self._on_message(f"{reason}; no new positions until it can be written")
        elif reason is None and was_down:
            self._on_message("the journal can be written again; the session continues")

"""Writing a session's journal, however long it takes: locked journals and full disks are waited for.

Nothing else is done meanwhile, since what cannot be journaled does not happen. Knows no input and no effect.
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
    """The parts that are down, and what is to be said of them."""

    def __init__(self, journal: Journal, now: Callable[[], datetime]) -> None:
        self._journal = journal
        self._now = now
        self._down: dict[str, str] = {}
        self._unreported: list[Event] = []

    @property
    def down(self) -> dict[str, str]:
        """What is wrong, by part."""
        return dict(self._down)

    def set_status(self, part: str, reason: str | None) -> None:
        """The part is down for a reason, or right again (None); told once for each change."""
        if reason is None and part not in self._down:
            return
        if reason is not None and part in self._down:
            return
        if reason is None:
            fault = Fault(part=part, state="up", reason=self._down.pop(part))
        else:
            self._down[part] = reason
            fault = Fault(part=part, state="down", reason=reason)
        self._unreported.append(encode(fault, self._now()))

    def record(self, part: str, reason: str) -> None:
        """Something was wrong once and is over."""
        self._unreported.append(encode(Fault(part=part, state="was", reason=reason), self._now()))

    def flush(self) -> None:
        """Journal what was not said yet. Raises JournalError, and keeps it then."""
        if self._unreported:
            self._journal.append(self._unreported, self._now())
            self._unreported = []


class ClockJumpDetector:
    """Notices a clock that goes back, or further ahead than was waited for."""

    def __init__(self, tolerance: timedelta = timedelta(minutes=2)) -> None:
        self._tolerance = tolerance
        self._latest: datetime | None = None

    def check(self, now: datetime, expected: datetime | None = None) -> str:
        """What is wrong with `now`, where it was to be `expected` at the latest; empty if nothing is."""
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
    """Leads out of the engine without ending the session."""


class JournalWriter:
    """Appends notes to the journal, and whatever a function writes to it. `stop` says whether to give up.

    `say` is told what the journal cannot be: that it cannot be written, and when it can be again.
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
        """Journal the faults that were noticed."""
        self.retrying(self.faults.flush)

    def retrying(self, write: Callable[[], _T], *, confirms_recovery: bool = True) -> _T:
        """Call what reads or writes the journal until it succeeds; `proves`: then it can be written again.

        Raises JournalError for a journal that will not mend by itself, Stopped if told to stop meanwhile.
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
        """The journal cannot be written for a reason, or can be again."""
        was_down = "journal" in self.faults.down
        self.faults.set_status("journal", reason)
        if reason is not None and not was_down:
            self._on_message(f"{reason}; no new positions until it can be written")
        elif reason is None and was_down:
            self._on_message("the journal can be written again; the session goes on")

"""Writing a session's journal, however long it takes: locked journals and full disks are waited for.

Nothing else is done meanwhile, since what cannot be journaled does not happen. Knows no input and no effect.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from engine.errors import JournalError
from engine.journal.journal import Event, Journal
from engine.journal.store import passes
from strategies.paper.clock import Timekeeper

FAULT = "fault"


class Faults:
    """The parts that are down, and what is to be said of them."""

    def __init__(self, journal: Journal, now: Callable[[], datetime]) -> None:
        self._journal = journal
        self._now = now
        self._down: dict[str, str] = {}
        self._unsaid: list[Event] = []

    @property
    def down(self) -> dict[str, str]:
        """What is wrong, by part."""
        return dict(self._down)

    def tell(self, part: str, reason: str | None) -> None:
        """The part is down for a reason, or right again (None); told once for each change."""
        if reason is None and part not in self._down:
            return
        if reason is not None and part in self._down:
            return
        if reason is None:
            payload = {"part": part, "state": "up", "reason": self._down.pop(part)}
        else:
            self._down[part] = reason
            payload = {"part": part, "state": "down", "reason": reason}
        self._unsaid.append(Event(kind=FAULT, as_of=self._now(), payload=payload))

    def happened(self, part: str, reason: str) -> None:
        """Something was wrong once and is over."""
        payload = {"part": part, "state": "was", "reason": reason}
        self._unsaid.append(Event(kind=FAULT, as_of=self._now(), payload=payload))

    def flush(self) -> None:
        """Journal what was not said yet. Raises JournalError, and keeps it then."""
        if self._unsaid:
            self._journal.append(self._unsaid, self._now())
            self._unsaid = []


class JumpWatch:
    """Notices a clock that goes back, or further ahead than was waited for."""

    def __init__(self, tolerance: timedelta = timedelta(minutes=2)) -> None:
        self._tolerance = tolerance
        self._latest: datetime | None = None

    def look(self, now: datetime, expected: datetime | None = None) -> str:
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


_RETRY = timedelta(seconds=5)

_T = TypeVar("_T")


class Stopped(Exception):
    """Leads out of the engine without ending the session."""


class Writing:
    """Appends notes to the journal, and whatever a function writes to it. `stop` says whether to give up.

    `say` is told what the journal cannot be: that it cannot be written, and when it can be again.
    """

    def __init__(
        self,
        journal: Journal,
        time: Timekeeper,
        stop: Callable[[], bool],
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._journal = journal
        self._time = time
        self._stop = stop
        self._say = say
        self.faults = Faults(journal, time.now)

    def note(self, kind: str, payload: Mapping[str, Any], at: datetime | None = None) -> None:
        """Append one event, dated `at` or now."""
        event = Event(kind=kind, as_of=at or self._time.now(), payload=payload)
        self.through(lambda: self._journal.append([event], self._time.now()))

    def tell_faults(self) -> None:
        """Journal the faults that were noticed."""
        self.through(self.faults.flush)

    def through(self, write: Callable[[], _T], *, proves: bool = True) -> _T:
        """Call what reads or writes the journal until it succeeds; `proves`: then it can be written again.

        Raises JournalError for a journal that will not mend by itself, Stopped if told to stop meanwhile.
        """
        while True:
            try:
                done = write()
            except JournalError as error:
                if not passes(error):
                    raise
                self._tell(str(error))
                if self._stop():
                    raise Stopped from error
                self._time.hold(self._time.now() + _RETRY)
            else:
                if proves:
                    self._tell(None)
                return done

    def _tell(self, reason: str | None) -> None:
        """The journal cannot be written for a reason, or can be again."""
        was_down = "journal" in self.faults.down
        self.faults.tell("journal", reason)
        if reason is not None and not was_down:
            self._say(f"{reason}; no new positions until it can be written")
        elif reason is None and was_down:
            self._say("the journal can be written again; the session goes on")

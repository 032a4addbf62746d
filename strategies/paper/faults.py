"""What is wrong with a part of a session, journaled when it begins and when it ends.

Knows which failures of a journal pass by themselves. What cannot be journaled at once is journaled later.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from engine.errors import JournalError
from engine.journal import Event, Journal

FAULT = "fault"
_PASSING = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
)


def passes(error: JournalError) -> bool:
    """Whether the journal may be written again later: it is locked, the disk is full or cannot be reached.

    A journal that is damaged or was altered does not mend itself.
    """
    cause = getattr(error.__cause__, "orig", None)
    name = str(getattr(cause, "sqlite_errorname", ""))
    return name.startswith(_PASSING) or (not name and type(cause).__name__ == "OperationalError")


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

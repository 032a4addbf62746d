"""Writing a session's journal, however long it takes: locked journals and full disks are waited for.

Nothing else is done meanwhile, since what cannot be journaled does not happen. Knows no input and no effect.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from engine.errors import JournalError
from engine.journal import Event, Journal
from strategies.paper.faults import Faults, passes
from strategies.paper.sources import Timekeeper

_RETRY = timedelta(seconds=5)
_T = TypeVar("_T")


class Stopped(Exception):
    """Leads out of the engine without ending the session."""


class Writing:
    """Appends notes to the journal, and whatever a function writes to it. `stop` says whether to give up."""

    def __init__(self, journal: Journal, time: Timekeeper, stop: Callable[[], bool]) -> None:
        self._journal = journal
        self._time = time
        self._stop = stop
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
                self.faults.tell("journal", str(error))
                if self._stop():
                    raise Stopped from error
                self._time.wait(self._time.now() + _RETRY)
            else:
                if proves:
                    self.faults.tell("journal", None)
                return done

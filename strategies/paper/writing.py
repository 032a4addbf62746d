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

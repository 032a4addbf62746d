"""Follows a session's journal, which others write. Knows rows and nothing of what they mean."""

from collections.abc import Collection
from datetime import datetime
from itertools import islice
from pathlib import Path

from engine.errors import JournalError
from engine.journal import Event, Journal, Row
from strategies.paper.faults import FAULT

_MOST = 2000
_PATIENCE = 2.0


class Tail:
    """The events of some kinds from where the journal ends now; of one that is not there yet, all."""

    def __init__(self, path: Path, name: str, kinds: Collection[str]) -> None:
        self._path, self._name, self._kinds = path, name, kinds
        self._journal: Journal | None = None
        self._since = 0
        if journal := self._open():
            self._since = journal.last_seq

    def look(self) -> list[Row]:
        """What came since the last look, up to some thousands; nothing while the journal cannot be read."""
        try:
            if (journal := self._open()) is None:
                return []
            found = list(islice(journal.read(self._since, self._kinds), _MOST))
            self._since = found[-1].seq if found else self._since
        except JournalError:
            return []
        return found

    def fault(self, part: str, reason: str, at: datetime) -> bool:
        """Put on record that something was wrong; whether that could be done."""
        event = Event(kind=FAULT, as_of=at, payload={"part": part, "state": "was", "reason": reason})
        try:
            if not self._path.is_file():
                return False
            with Journal.open(self._path, self._name, lock_timeout=_PATIENCE) as journal:
                if not journal.last_seq:
                    return False
                journal.append([event], at)
        except JournalError:
            return False
        return True

    def close(self) -> None:
        """Let the journal go."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _open(self) -> Journal | None:
        if self._journal is None and self._path.is_file():
            try:
                self._journal = Journal.open(self._path, self._name, lock_timeout=_PATIENCE)
            except JournalError:
                return None  # it is being made, or its own process says what is wrong
        return self._journal

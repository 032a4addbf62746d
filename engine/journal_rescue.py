"""The good part of a damaged journal: every event before the first that is altered, gone or unreadable.

Knows rows and chains. It changes nothing of the journal that it reads, and knows no payload.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import JournalError, UsageError
from engine.journal import chain_after, first_chain
from engine.journal_store import Store, StoredRow

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescued:
    """How many events are good, and why the next one is not; empty where nothing is wrong."""

    events: int
    reason: str


def rescue(where: Path, session: str, into: Path, group: Callable[[StoredRow], object]) -> Rescued:
    """Copy the good part of a session's journal into a new one, to the letter.

    Neighbours with an equal `group` that is not None belong together; where the journal is damaged, the last
    group, of which some may be lost, is left out. Raises UsageError where `into` exists, JournalError where
    not even the first event can be read.
    """
    if into.exists():
        raise UsageError(f"{into} exists; choose another file, or remove it first")
    reading = _Reading(where, session)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".closecall-") as scratch:
        part = Path(scratch) / into.name
        copied = _copied(reading, part, group)
        if not copied:
            why = reading.reason or "there are no events of that session"
            raise JournalError(f"{where}: nothing of session {session} can be saved ({why}); restore a copy")
        part.replace(into)
    return Rescued(events=copied, reason=reading.reason)


def _copied(reading: "_Reading", part: Path, group: Callable[[StoredRow], object]) -> int:
    store = Store(part, create=True, lock_timeout=10.0)
    copied, held = 0, list[StoredRow]()
    try:
        for rows in reading.pages():
            rows = held + rows
            last = group(rows[-1])
            since = len(rows)
            while last is not None and since and group(rows[since - 1]) == last:
                since -= 1
            copied += _written(store, rows[:since])
            held = rows[since:]
        if not reading.reason:
            copied += _written(store, held)
    finally:
        store.close()
    return copied


def _written(store: Store, rows: list[StoredRow]) -> int:
    if rows:
        with store.writing():
            store.insert(rows)
    return len(rows)


class _Reading:
    """Reads on until something is wrong, and then says what in `reason`."""

    def __init__(self, where: Path, session: str) -> None:
        self._store = Store(where, create=False, lock_timeout=10.0)
        self._session = session
        self.reason = ""

    def pages(self) -> Iterator[list[StoredRow]]:
        """The good rows, many at a time."""
        last, chain = 0, first_chain(self._session)
        try:
            while not self.reason and (page := self._page(last)):
                good: list[StoredRow] = []
                for row in page:
                    if row.seq != last + 1 or row.chain != chain_after(chain, row):
                        self.reason = f"event {last + 1} was altered or removed"
                        break
                    last, chain = row.seq, row.chain
                    good.append(row)
                if good:
                    yield good
        finally:
            self._store.close()

    def _page(self, last: int) -> list[StoredRow]:
        """The next rows: fewer, where the file is damaged further on."""
        size = _PAGE
        while True:
            try:
                return self._store.page(self._session, last, None, size)
            except JournalError as error:
                if size == 1:
                    self.reason = f"event {last + 1} cannot be read ({error})"
                    return []
                size = max(1, size // 10)

"""The append-only record of what happened in a session, each event chained to the one before it.

Covers events, numbers and digests. The meaning of payloads is in `engine.journal.events`, the table in
`engine.journal.store`; there is no clock here: `recorded_at` is passed in.

The chain of an event is the SHA-256 (`engine.journal.canonical.row_digest`) of one row: the chain before it,
session, seq, as_of, recorded_at, kind, payload. The first event is chained to the SHA-256 of the session's
name. It shows any change within the journal; events missing from its end show against a `last_chain` that was
noted elsewhere.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from engine.errors import JournalError
from engine.journal.canonical import canonical_json, format_utc, row_digest
from engine.model import require_utc

if TYPE_CHECKING:
    from engine.journal.store import Store, StoredRow

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event to record: its kind, the instant it belongs to and what `canonical_json` can write."""

    kind: str
    as_of: datetime
    payload: Mapping[str, object]

    def __post_init__(self) -> None:
        if not self.kind:
            raise ValueError("an event needs a kind")
        require_utc(self.as_of, "as_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An event as it stands in the journal, with its number (from 1 in each session) and chain (hex)."""

    session: str
    seq: int
    as_of: datetime
    recorded_at: datetime
    kind: str
    payload: Mapping[str, Any]
    chain: str


class Journal:
    """One session's events. Processes and threads may append at once, each through a Journal of its own.

    Use it as a context manager, or call `close`. Every failure of the database is a JournalError.
    """

    def __init__(self, store: "Store", session: str) -> None:
        self._store = store
        self._session = session

    @classmethod
    def open(
        cls, where: str | Path, session: str, *, create: bool = False, lock_timeout: float = 10.0
    ) -> Self:
        """Open the journal at a path (SQLite) or a database URL; `create` makes one where there is none.

        `lock_timeout` is how many seconds an append waits for another process. Raises JournalError for a
        file that is missing, damaged, not a journal, or of a newer version.
        """
        from engine.journal.store import Store

        if not session:
            raise ValueError("a journal needs a session's name")
        return cls(Store(where, create=create, lock_timeout=lock_timeout), session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the database. Closing twice does no harm."""
        self._store.close()

    @property
    def session(self) -> str:
        """The name of the session whose events these are."""
        return self._session

    @property
    def last_seq(self) -> int:
        """The number of the newest event, 0 before the first."""
        return self.head[0]

    @property
    def last_chain(self) -> str:
        """The chain of the newest event: equal for two journals only if all their events are."""
        return self.head[1]

    @property
    def head(self) -> tuple[int, str]:
        """Return number and chain of the newest event, read together."""
        with self._store.reading():
            newest = self._store.newest(self._session)
        return (newest.seq, newest.chain) if newest else (0, first_chain(self._session))

    def append(self, events: Sequence[Event], recorded_at: datetime) -> range:
        """Record the events in one transaction, all or none, and return their numbers.

        Raises JournalError if the database refuses, ValueError or TypeError for a payload that
        `canonical_json` refuses; nothing is recorded then.
        """
        from engine.journal.store import StoredRow

        require_utc(recorded_at, "recorded_at")
        texts = [(_instant(event.as_of), event.kind, canonical_json(event.payload)) for event in events]
        recorded = _instant(recorded_at)
        if not texts:
            return range(self.last_seq + 1, self.last_seq + 1)
        with self._store.writing():
            newest = self._store.newest(self._session)
            last, chain = (newest.seq, newest.chain) if newest else (0, first_chain(self._session))
            rows = []
            for seq, (as_of, kind, payload) in enumerate(texts, start=last + 1):
                cells = (self._session, seq, as_of, recorded, kind, payload)
                chain = chain_after(chain, cells)
                rows.append(StoredRow(*cells, chain))
            self._store.insert(rows)
        return range(last + 1, last + 1 + len(rows))

    def read(self, since_seq: int = 0, kinds: Collection[str] | None = None) -> Iterator[Row]:
        """Return the events numbered above `since_seq`, in order, of these kinds or of all.

        They are fetched a page at a time, so that a slow reader holds up nobody; events appended
        meanwhile are seen. Raises JournalError for a row that cannot be read.
        """
        wanted = None if kinds is None else sorted(kinds)
        while page := self._store.page(self._session, since_seq, wanted, _PAGE):
            for stored in page:
                yield self._row(stored)
            since_seq = page[-1].seq

    def verify(self) -> None:
        """Recompute the whole chain. Raises JournalError naming the first event that does not fit."""
        last, chain = 0, first_chain(self._session)
        while page := self._store.page(self._session, last, None, _PAGE):
            for row in page:
                if row.seq != last + 1:
                    raise self._corruption_error(last + 1)
                chain = chain_after(chain, row)
                if row.chain != chain:
                    raise self._corruption_error(row.seq)
                last = row.seq

    def _row(self, stored: "StoredRow") -> Row:
        try:
            return Row(
                session=stored.session,
                seq=stored.seq,
                as_of=datetime.fromisoformat(stored.as_of),
                recorded_at=datetime.fromisoformat(stored.recorded_at),
                kind=stored.kind,
                payload=json.loads(stored.payload),
                chain=stored.chain,
            )
        except (TypeError, ValueError) as error:
            raise self._corruption_error(stored.seq) from error

    def _corruption_error(self, seq: int) -> JournalError:
        return JournalError(
            f"{self._store.place}: event {seq} of session {self._session} was altered or removed; "
            "restore the journal from a copy (to save the good part of a session's: "
            "closecall paper export NAME FILE)"
        )


def first_chain(session: str) -> str:
    """Return the chain that a session's first event follows on."""
    return hashlib.sha256(session.encode()).hexdigest()


def chain_after(before: str, cells: tuple[object, ...]) -> str:
    """Return the chain of a row that follows on `before`; its first six cells are those of `StoredRow`."""
    # Whatever an altered cell now holds, it is only text here, and the wrong one.
    texts = (cell if isinstance(cell, str | int) else repr(cell) for cell in cells[:6])
    return row_digest([(before, *texts)])


def _instant(moment: datetime) -> str:
    return format_utc(moment, "microseconds")

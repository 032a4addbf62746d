"""Recovers the intact part of a damaged journal: all events before the first altered or unreadable one.

Works on rows and chains, not on payloads, and never writes to the journal that it reads.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import JournalError, UsageError
from engine.journal.journal import Journal, chain_after, first_chain
from engine.journal.store import Store, StoredRow

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryReport:
    """How many events are intact, and what is wrong with the next one; empty where nothing is."""

    events: int
    reason: str


def recover(where: Path, session: str, into: Path, group: Callable[[StoredRow], object]) -> RecoveryReport:
    """Copy the intact part of a session's journal into a new one, byte for byte.

    Neighbours with an equal `group` that is not None belong together; where the journal is damaged, the last
    group, of which some may be lost, is left out. Raises UsageError where `into` exists, JournalError where
    not even the first event can be read.
    """
    if into.exists():
        raise UsageError(f"{into} exists; choose another file, or remove it first")
    reading = _Reading(where, session)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".closecall-") as scratch:
        part = Path(scratch) / into.name
        copied = _copy_rows(reading, part, group)
        if not copied:
            why = reading.reason or "there are no events of that session"
            raise JournalError(f"{where}: nothing of session {session} can be saved ({why}); restore a copy")
        part.replace(into)
    return RecoveryReport(events=copied, reason=reading.reason)


def _copy_rows(reading: "_Reading", part: Path, group: Callable[[StoredRow], object]) -> int:
    store = Store(part, create=True, lock_timeout=10.0)
    copied, held = 0, list[StoredRow]()
    try:
        for rows in reading.pages():
            rows = held + rows
            last = group(rows[-1])
            since = len(rows)
            while last is not None and since and group(rows[since - 1]) == last:
                since -= 1
            copied += _write_rows(store, rows[:since])
            held = rows[since:]
        if not reading.reason:
            copied += _write_rows(store, held)
    finally:
        store.close()
    return copied


def _write_rows(store: Store, rows: list[StoredRow]) -> int:
    if rows:
        with store.writing():
            store.insert(rows)
    return len(rows)


class _Reading:
    """Reads until something is wrong, which `reason` then states."""

    def __init__(self, where: Path, session: str) -> None:
        self._store = Store(where, create=False, lock_timeout=10.0)
        self._session = session
        self.reason = ""

    def pages(self) -> Iterator[list[StoredRow]]:
        """Yield the intact rows, a page at a time."""
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
        """Return the next rows: fewer where the file is damaged after them."""
        size = _PAGE
        while True:
            try:
                return self._store.page(self._session, last, None, size)
            except JournalError as error:
                if size == 1:
                    self.reason = f"event {last + 1} cannot be read ({error})"
                    return []
                size = max(1, size // 10)


CHECKPOINT_FILE = "journal.tip"
_WIDTH = 240


class Checkpoint:
    """The note beside a journal. One that cannot be read or written counts as none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, journal: Journal) -> None:
        """Save number and chain of the newest event in one short write that a kill cannot split."""
        seq, chain = journal.head
        text = json.dumps({"session": journal.session, "seq": seq, "chain": chain}).ljust(_WIDTH)
        with suppress(OSError):  # the disk may be full; the last note stays true
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.write(file, text.encode())
            finally:
                os.close(file)

    def missing_events(self, journal: Journal) -> int:
        """Return how many saved events are missing from the journal's end, 0 if none are known to be.

        Raises JournalError where the saved event has changed.
        """
        try:
            saved = json.loads(self._path.read_text(encoding="utf-8"))
            session, seq, chain = saved["session"], int(saved["seq"]), str(saved["chain"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        if session != journal.session or seq <= 0:
            return 0
        if seq > journal.last_seq:
            return seq - journal.last_seq
        row = next(journal.read(seq - 1), None)
        if row is None or row.chain != chain:
            raise JournalError(
                f"event {seq} of session {session} is not the one that {self._path} notes; restore the "
                "journal from a copy, or remove that file if you have put the journal there yourself"
            )
        return 0

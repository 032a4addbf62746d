"""Reads one journal's file without ever writing, creating or altering it.

The only module here that opens a database. It bypasses `engine.journal.journal`, which opens for appending:
SQLite's read-only mode makes writing impossible, and opening takes milliseconds without SQLAlchemy.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from engine.errors import ClosecallError

VERSION = 1
"""The newest version of a journal that can be read (`engine.journal.store`)."""

MAX_PAYLOAD_BYTES = 64_000
"""The largest payload, in characters, that is read whole; the long texts of a larger one are left out."""

_WAIT = 0.2
_SHORTENED = "'$.prompt', '', '$.output', '', '$.text', '', '$.news', json('[]'), '$.bars', json('{}')"
"""Replacements of a large payload's long values with which it can still be decoded."""


class Unreadable(ClosecallError):
    """A journal cannot be read now. The dashboard shows this, keeps what it has, and tries again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One event as read; where its payload is no JSON object, `payload` is empty and `faulty` is set."""

    seq: int
    as_of: datetime
    recorded_at: datetime
    kind: str
    payload: dict[str, Any]
    chain: str
    faulty: bool = False
    size: int = 0


class JournalFile:
    """A journal at a path, reopened whenever another file has taken its place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int, int] | None = None
        self._session = ""

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._opened = None

    @property
    def session(self) -> str:
        """Return the name of the session whose events these are; empty before anything was read."""
        return self._session

    def newest(self) -> int:
        """Return the number of the last event, 0 for none. Raises Unreadable, as all methods do."""
        with self._translate_errors() as connection:
            return int(
                connection.execute(
                    "SELECT coalesce(max(seq), 0) FROM journal_events WHERE session = ?", (self._session,)
                ).fetchone()[0]
            )

    def chain(self, seq: int) -> str | None:
        """Return the chain of one event, by which two journals differ; None where there is no such event."""
        with self._translate_errors() as connection:
            row = connection.execute(
                "SELECT chain FROM journal_events WHERE session = ? AND seq = ?", (self._session, seq)
            ).fetchone()
        return None if row is None else str(row[0])

    def page(
        self,
        since: int,
        until: int,
        size: int,
        *,
        only: Sequence[str] | None = None,
        without: Sequence[str] = (),
    ) -> list[EventRow]:
        """Return at most `size` events with since < seq <= until, in order, by their kinds."""
        kinds = without if only is None else only
        which = f"{'NOT IN' if only is None else 'IN'} ({', '.join('?' * len(kinds))})"
        return self._rows(
            f"seq > ? AND seq <= ? AND kind {which} ORDER BY seq LIMIT ?",
            (since, until, *map(str, kinds), size),
        )

    def count_kinds(self, since: int, until: int) -> dict[str, int]:
        """Return the number of events of each kind with since < seq <= until."""
        with self._translate_errors() as connection:
            rows = connection.execute(
                "SELECT kind, count(*) FROM journal_events WHERE session = ? AND seq > ? AND seq <= ? "
                "GROUP BY kind",
                (self._session, since, until),
            ).fetchall()
        return {str(kind): int(number) for kind, number in rows}

    def read_event(self, seq: int) -> EventRow | None:
        """Return one event with its whole payload, up to a megabyte."""
        rows = self._rows("seq = ? LIMIT 1", (seq,), largest=1_000_000)
        return rows[0] if rows else None

    def search(self, before: int, size: int, span: int, *, kind: str = "", text: str = "") -> list[EventRow]:
        """Return events with before - span <= seq < before, newest first, of a kind and with a text."""
        where, values = "seq < ? AND seq >= ?", list[object]([before, before - span])
        if kind:
            where, values = where + " AND kind = ?", [*values, kind]
        if text:
            where, values = where + " AND instr(lower(payload), ?) > 0", [*values, text.lower()]
        return self._rows(f"{where} ORDER BY seq DESC LIMIT ?", (*values, size), largest=2000)

    def _rows(self, where: str, values: Sequence[object], largest: int = MAX_PAYLOAD_BYTES) -> list[EventRow]:
        # `where` is built from constants; values from outside are bound.
        query = (
            "SELECT seq, as_of, recorded_at, kind, chain, length(payload), "  # noqa: S608  # see above
            f"CASE WHEN length(payload) <= {largest:d} THEN payload "
            f"WHEN json_valid(payload) THEN json_replace(payload, {_SHORTENED}) END "
            f"FROM journal_events WHERE session = ? AND {where}"
        )
        with self._translate_errors() as connection:
            rows = connection.execute(query, (self._session, *values)).fetchall()
        return [_parse_row(row) for row in rows]

    @contextmanager
    def _translate_errors(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connect()
        except Unreadable:
            self.close()
            raise
        except sqlite3.Error as error:
            self.close()
            raise Unreadable(_reason(error)) from error
        except OSError as error:
            self.close()
            raise Unreadable(_missing_file_error(error)) from error

    def _connect(self) -> sqlite3.Connection:
        """Return a connection to the file that is at the path now."""
        stat = self.path.stat()
        live = self.path.with_name(self.path.name + "-wal").exists()
        now = (stat.st_dev, stat.st_ino, 0 if live else stat.st_mtime_ns)
        # Without a writer there is no log, and SQLite must not create files of its own beside the journal.
        if self._connection is None or self._opened != now:
            self.close()
            mode = "mode=ro" if live else "immutable=1"
            self._connection = sqlite3.connect(
                f"file:{quote(str(self.path))}?{mode}", uri=True, timeout=_WAIT, isolation_level=None
            )
            self._connection.execute("PRAGMA cache_size = -2000")
            self._opened = now
            self._check()
        if not self._session:
            row = self._connection.execute("SELECT session FROM journal_events LIMIT 1").fetchone()
            self._session = str(row[0]) if row else ""
        return self._connection

    def _check(self) -> None:
        connection = self._connection
        if connection is None:
            raise RuntimeError("no journal is open")
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"journal_version", "journal_events"} <= tables:
            raise Unreadable("is not a journal, or was written by an incompatible closecall version")
        versions = [row[0] for row in connection.execute("SELECT version FROM journal_version")]
        if versions != [VERSION]:
            stated = ", ".join(map(str, versions)) or "none"
            raise Unreadable(
                f"has version {stated} and this closecall reads {VERSION}; "
                "open it with the version that wrote it"
            )
        self._session = ""


def _parse_row(row: tuple[Any, ...]) -> EventRow:
    seq, as_of, recorded_at, kind, chain, size, text = row
    faulty = False
    try:
        payload = json.loads(text) if text is not None else None
    except (TypeError, ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        payload, faulty = {}, True
    return EventRow(
        seq=int(seq),
        as_of=_instant(as_of),
        recorded_at=_instant(recorded_at),
        kind=str(kind)[:80],
        payload=payload,
        chain=str(chain),
        faulty=faulty,
        size=int(size or 0),
    )


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _instant(text: object) -> datetime:
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        return _EPOCH
    return instant if instant.tzinfo else _EPOCH


def _reason(error: sqlite3.Error) -> str:
    name = str(getattr(error, "sqlite_errorname", ""))
    known = {
        "SQLITE_BUSY": "is locked by another program",
        "SQLITE_LOCKED": "is locked by another program",
        "SQLITE_NOTADB": "is not a journal",
        "SQLITE_CORRUPT": "is damaged; restore it from a copy",
        "SQLITE_CANTOPEN": "cannot be opened; check that it can be read",
        "SQLITE_IOERR": "cannot be read; check the disk",
        "SQLITE_PERM": "may not be read; check its permissions",
    }
    for prefix, reason in known.items():
        if name.startswith(prefix):
            return reason
    return f"cannot be read ({str(error)[:120]})"


def _missing_file_error(error: OSError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "is gone: it was moved or removed"
    return f"cannot be read ({error.strerror or error})"

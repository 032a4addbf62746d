"""The journal's table in a database: how it is laid out, guarded, locked, written and paged through.

The only module that imports SQLAlchemy, for SQLite and PostgreSQL; `engine.journal.journal` imports it when a
journal is opened. Chains are computed there; a payload is only text here.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import (
    DDL,
    URL,
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    NullPool,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from engine.errors import JournalError

SCHEMA_VERSION = 1
_metadata = MetaData()

_version = Table(
    "journal_version", _metadata, Column("version", Integer, primary_key=True, autoincrement=False)
)

# The instants are text in one fixed form: what was hashed is stored to the letter in either database.
_events = Table(
    "journal_events",
    _metadata,
    Column("session", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("as_of", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("chain", Text, nullable=False),
)

_SQLITE_GUARDS = (
    """CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal_events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal_events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    # INSERT OR REPLACE deletes without waking a delete trigger, so a taken or skipped number is refused.
    """CREATE TRIGGER journal_in_order BEFORE INSERT ON journal_events
    WHEN NEW.seq IS NOT 1 + coalesce(
        (SELECT max(seq) FROM journal_events WHERE session = NEW.session), 0)
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only and numbered without gaps'); END""",
)

_POSTGRESQL_GUARDS = (
    """CREATE FUNCTION journal_refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$""",
    """CREATE TRIGGER journal_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_events
    FOR EACH STATEMENT EXECUTE FUNCTION journal_refuse()""",
)


for _dialect, _guards in (("sqlite", _SQLITE_GUARDS), ("postgresql", _POSTGRESQL_GUARDS)):
    for _guard in _guards:
        _rule = DDL(_guard).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]  # SQLAlchemy has no type for it
        event.listen(_events, "after_create", _rule)

_ADVICE = {
    "SQLITE_BUSY": "is locked by another program; wait for it to finish or close it, then try again",
    "SQLITE_NOTADB": "is not a journal; name another file",
    "SQLITE_CORRUPT": "is damaged; restore it from a copy",
    "SQLITE_FULL": "cannot grow because the disk is full; make room and try again",
    "SQLITE_READONLY": "cannot be written; give yourself write access to the file and its folder",
    "SQLITE_CANTOPEN": "cannot be opened; check that its folder exists and can be written",
    "SQLITE_IOERR": "cannot be read or written; check the disk",
}


class StoredRow(NamedTuple):
    """A row as stored: instants as text with microseconds and Z, the payload as canonical JSON."""

    session: str
    seq: int
    as_of: str
    recorded_at: str
    kind: str
    payload: str
    chain: str


class Store:
    """One connection to the journal's tables, for one thread at a time. Every failure is a JournalError."""

    def __init__(self, where: str | Path, *, create: bool, lock_timeout: float) -> None:
        url = _url(where)
        self._sqlite = url.get_backend_name() == "sqlite"
        self.place = str(url.database) if self._sqlite else url.render_as_string(hide_password=True)
        if self._sqlite and not create and not Path(url.database or "").is_file():
            raise JournalError(f"{self.place}: there is no journal; check the path or start a session first")
        # Autocommit as sqlite3 sees it: `writing` sends the BEGIN that is wanted, and reads need none.
        args = {"timeout": lock_timeout, "isolation_level": None} if self._sqlite else {}
        with self._in_one_line():
            self._engine = create_engine(url, poolclass=NullPool, connect_args=args)
            self._connection: Connection = self._engine.connect()
        try:
            self._prepare(create=create)
        except BaseException:  # also Ctrl-C must not leave the connection open
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; what was committed stays."""
        self._connection.close()
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Open the one transaction that may append; it is rolled back if the block raises."""
        with self._in_one_line(), self._connection.begin():
            if self._sqlite:
                self._connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                self._connection.execute(select(_version).with_for_update())
            yield

    def insert(self, rows: Sequence[StoredRow]) -> None:
        """Write the rows; call it inside `writing`."""
        self._connection.execute(insert(_events), [row._asdict() for row in rows])

    def newest(self, session: str) -> StoredRow | None:
        """Return the session's last row; call it inside `writing` or `reading`."""
        query = select(_events).where(_events.c.session == session).order_by(_events.c.seq.desc()).limit(1)
        row = self._connection.execute(query).first()
        return None if row is None else StoredRow(*row)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Open one short read; it never waits for a writer."""
        with self._in_one_line(), self._connection.begin():
            yield

    def page(self, session: str, since_seq: int, kinds: Sequence[str] | None, size: int) -> list[StoredRow]:
        """Return at most `size` rows with a number above `since_seq`, in order."""
        query = select(_events).where(_events.c.session == session, _events.c.seq > since_seq)
        if kinds is not None:
            query = query.where(_events.c.kind.in_(kinds))
        with self.reading():
            rows = self._connection.execute(query.order_by(_events.c.seq).limit(size)).all()
        return [StoredRow(*row) for row in rows]

    def _prepare(self, *, create: bool) -> None:
        if self._sqlite:
            with self._in_one_line():
                if create:
                    self._connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                # What is journaled must outlive a power cut, which NORMAL does not promise.
                self._connection.exec_driver_sql("PRAGMA synchronous=FULL")
                self._connection.rollback()
        if create and not self._exists():
            self._create()
        if not self._exists():
            raise JournalError(f"{self.place}: there is no journal; check the path or start a session first")
        self._check_version()

    def _exists(self) -> bool:
        with self.reading():
            return inspect(self._connection).has_table(_version.name)

    def _create(self) -> None:
        with self._in_one_line(), self._connection.begin():
            if self._sqlite:
                self._connection.exec_driver_sql("BEGIN IMMEDIATE")
            if not inspect(self._connection).has_table(_version.name):  # another process may have been first
                _metadata.create_all(self._connection)
                self._connection.execute(insert(_version), {"version": SCHEMA_VERSION})

    def _check_version(self) -> None:
        with self.reading():
            versions = list(self._connection.execute(select(_version.c.version)).scalars())
        if versions and max(versions) > SCHEMA_VERSION:
            raise JournalError(
                f"{self.place}: the journal has version {max(versions)} and this closecall reads up to "
                f"{SCHEMA_VERSION}; upgrade closecall"
            )
        if versions != [SCHEMA_VERSION]:
            raise JournalError(f"{self.place}: the journal states no valid version; restore it from a copy")

    @contextmanager
    def _in_one_line(self) -> Iterator[None]:
        try:
            yield
        except ModuleNotFoundError as error:
            raise JournalError(f"{self.place}: needs the package {error.name}; install it") from error
        except SQLAlchemyError as error:
            raise JournalError(f"{self.place}: {_reason(error)}") from error


def _url(where: str | Path) -> URL:
    if isinstance(where, str) and "://" in where:
        try:
            url = make_url(where)
            url.get_dialect()
        except SQLAlchemyError as error:
            raise JournalError(
                "the journal's URL names no known database; give a path, sqlite:/// or postgresql://"
            ) from error
        return url
    return URL.create("sqlite", database=str(where))


def _reason(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    name = str(getattr(cause, "sqlite_errorname", ""))
    for prefix, advice in _ADVICE.items():
        if name.startswith(prefix):
            return advice
    lines = str(cause).splitlines() or [type(cause).__name__]
    return f"{lines[0]}; check the database"


_TRANSIENT_ERRORS = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
)


def is_transient(error: JournalError) -> bool:
    """Return whether writing may succeed later: the journal is locked, the disk is full or unreachable.

    A journal that is damaged or was altered stays so.
    """
    cause = getattr(error.__cause__, "orig", None)
    name = str(getattr(cause, "sqlite_errorname", ""))
    return name.startswith(_TRANSIENT_ERRORS) or (not name and type(cause).__name__ == "OperationalError")

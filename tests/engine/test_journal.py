import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import JournalError
from engine.journal.journal import Event, Journal, Row
from tests.support.own_processes import started
from tests.support.places import ROOT

START = datetime(2024, 1, 1, tzinfo=UTC)
LATER = datetime(2024, 1, 9, 8, 30, 0, 125, tzinfo=UTC)


def mark(number: int, kind: str = "mark") -> Event:
    return Event(kind=kind, as_of=START + timedelta(days=number), payload={"value": number / 7})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.open(path, "first", create=True) as journal:
        yield journal


def tamper_with(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for trigger in ("journal_no_update", "journal_no_delete", "journal_in_order"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def complaint(path: str | Path, **options: object) -> str:
    with pytest.raises(JournalError) as caught:
        Journal.open(path, "first", **options).close()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_is_appended_is_read_back_with_numbers_from_one(journal: Journal) -> None:
    assert journal.append([mark(0), mark(1)], LATER) == range(1, 3)
    assert journal.append([mark(2)], LATER) == range(3, 4)
    first, _, third = journal.read()
    assert (first.session, first.seq, first.kind) == ("first", 1, "mark")
    assert (third.as_of, third.recorded_at, third.payload) == (mark(2).as_of, LATER, {"value": 2 / 7})
    assert third.as_of.tzinfo is UTC
    assert journal.last_seq == 3


def test_an_append_of_nothing_takes_no_number(journal: Journal) -> None:
    journal.append([mark(0)], LATER)
    assert journal.append([], LATER) == range(2, 2)
    assert journal.last_seq == 1


def test_a_reader_can_start_after_a_number_and_name_kinds(journal: Journal) -> None:
    journal.append([mark(n, kind=("mark", "fill", "news")[n % 3]) for n in range(9)], LATER)
    assert [row.seq for row in journal.read(since_seq=6)] == [7, 8, 9]
    assert [row.seq for row in journal.read(since_seq=2, kinds={"news", "mark"})] == [3, 4, 6, 7, 9]
    assert list(journal.read(kinds=[])) == []


def test_more_rows_than_fit_a_page_come_in_order(journal: Journal) -> None:
    journal.append([mark(n) for n in range(2500)], LATER)
    assert [row.seq for row in journal.read()] == list(range(1, 2501))
    journal.verify()


def test_events_appended_while_a_reader_is_under_way_are_seen_and_not_held_up(journal: Journal) -> None:
    journal.append([mark(n) for n in range(1000)], LATER)
    rows = journal.read()
    next(rows)
    journal.append([mark(1000)], LATER)
    assert sum(1 for _ in rows) == 1000


def test_the_journal_outlives_its_closing(path: Path) -> None:
    with Journal.open(path, "first", create=True) as journal:
        journal.append([mark(0)], LATER)
        chain = journal.last_chain
    with Journal.open(str(path), "first") as journal:
        assert journal.append([mark(1)], LATER) == range(2, 3)
        assert next(journal.read()).chain == chain
        journal.verify()


def test_a_path_and_a_url_open_the_same_journal(path: Path) -> None:
    with Journal.open(f"sqlite:///{path}", "first", create=True) as journal:
        journal.append([mark(0)], LATER)
    with Journal.open(path, "first") as journal:
        assert journal.last_seq == 1


def test_sessions_in_one_file_are_numbered_and_chained_apart(journal: Journal, path: Path) -> None:
    journal.append([mark(0), mark(1)], LATER)
    with Journal.open(path, "second", create=True) as other:
        assert other.append([mark(0)], LATER) == range(1, 2)
        other.verify()
        assert [row.session for row in other.read()] == ["second"]
        assert other.last_chain != next(journal.read()).chain
    journal.verify()


def test_a_chain_is_the_sha256_of_the_chain_before_it_and_the_row(journal: Journal) -> None:
    journal.append([mark(0), mark(1)], LATER)
    chain = hashlib.sha256(b"first").hexdigest()
    for row in journal.read():
        instants = [f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z" for moment in (row.as_of, row.recorded_at)]
        payload = json.dumps(row.payload, separators=(",", ":"), sort_keys=True)
        cells = [chain, row.session, row.seq, *instants, row.kind, payload]
        line = json.dumps(cells, separators=(",", ":"), ensure_ascii=False) + "\n"
        chain = hashlib.sha256(line.encode()).hexdigest()
        assert row.chain == chain
    assert journal.last_chain == chain


def test_an_empty_journal_has_a_chain_of_its_own_and_verifies(journal: Journal) -> None:
    journal.verify()
    assert journal.last_chain == hashlib.sha256(b"first").hexdigest()


numbers = st.floats(allow_nan=False, allow_infinity=False)
batches = st.lists(st.lists(st.dictionaries(st.text(), st.text() | numbers), max_size=4), max_size=5)


@given(payloads=batches)
@settings(max_examples=12, deadline=None)
def test_how_events_are_batched_changes_no_row(
    payloads: list[list[dict]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("batches")
    many = [[Event(kind="k", as_of=START, payload=payload) for payload in batch] for batch in payloads]
    one = [event for batch in many for event in batch]
    rows: list[list[Row]] = []
    for name, split in (("many", many), ("one", [one])):
        with Journal.open(folder / name, "first", create=True) as journal:
            for batch in split:
                journal.append(batch, LATER)
            journal.verify()
            rows.append(list(journal.read()))
    assert rows[0] == rows[1]
    assert [row.payload for row in rows[0]] == [event.payload for event in one]


@pytest.mark.parametrize(
    "change",
    [
        """payload = '{"value":9.0}'""",
        "payload = x'00ff'",
        "as_of = '2024-01-02T00:00:00.000001Z'",
        "recorded_at = 'yesterday'",
        "kind = 'fill'",
        "chain = upper(chain)",
        "seq = 77",
    ],
)
def test_a_changed_cell_is_found_by_its_number(journal: Journal, path: Path, change: str) -> None:
    journal.append([mark(n) for n in range(4)], LATER)
    tamper_with(path, f"UPDATE journal_events SET {change} WHERE seq = 3")
    with pytest.raises(JournalError, match="event 3 of session first"):
        journal.verify()


def test_a_removed_event_is_found_by_its_number(journal: Journal, path: Path) -> None:
    journal.append([mark(n) for n in range(4)], LATER)
    tamper_with(path, "DELETE FROM journal_events WHERE seq = 2")
    with pytest.raises(JournalError, match="event 2 of session first"):
        journal.verify()


def test_events_missing_from_the_end_show_in_the_last_chain(journal: Journal, path: Path) -> None:
    journal.append([mark(n) for n in range(4)], LATER)
    noted = journal.last_chain
    tamper_with(path, "DELETE FROM journal_events WHERE seq = 4")
    journal.verify()
    assert journal.last_chain != noted


@pytest.mark.parametrize("cell", ["payload = '{'", "as_of = 'never'"])
def test_a_row_that_cannot_be_read_is_refused_by_its_number(journal: Journal, path: Path, cell: str) -> None:
    journal.append([mark(n) for n in range(3)], LATER)
    tamper_with(path, f"UPDATE journal_events SET {cell} WHERE seq = 2")
    rows = journal.read()
    assert next(rows).seq == 1
    with pytest.raises(JournalError, match="event 2 of session first"):
        next(rows)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal_events SET kind = 'fill'",
        "DELETE FROM journal_events WHERE seq = 2",
        "INSERT OR REPLACE INTO journal_events SELECT session, 1, as_of, recorded_at, 'fill', payload, chain "
        "FROM journal_events WHERE seq = 2",
        "INSERT INTO journal_events SELECT session, 9, as_of, recorded_at, kind, payload, chain "
        "FROM journal_events WHERE seq = 2",
    ],
)
def test_the_database_refuses_to_change_what_was_recorded(
    journal: Journal, path: Path, statement: str
) -> None:
    journal.append([mark(0), mark(1)], LATER)
    before = list(journal.read())
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(statement)
    assert list(journal.read()) == before


def test_a_batch_with_one_bad_payload_records_nothing(journal: Journal) -> None:
    bad = Event(kind="mark", as_of=START, payload={"value": float("nan")})
    with pytest.raises(ValueError):
        journal.append([mark(0), bad], LATER)
    assert journal.last_seq == 0
    assert journal.append([mark(0)], LATER) == range(1, 2)


def test_a_time_that_is_not_utc_is_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="recorded_at"):
        journal.append([mark(0)], datetime(2024, 1, 1))


APPENDER = """
import sys
from datetime import UTC, datetime
from tests.support.places import ROOT
from engine.journal.journal import Event, Journal

at = datetime(2024, 1, 1, tzinfo=UTC)
with Journal.open(sys.argv[1], "first", create=True) as journal:
    for number in range(40):
        payloads = [{"number": number, "part": part} for part in (0, 1)]
        journal.append([Event(kind=sys.argv[2], as_of=at, payload=payload) for payload in payloads], at)
"""


def test_processes_that_create_and_append_at_once_lose_and_mix_up_nothing(path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", APPENDER, str(path)]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started([*command, name], cwd=ROOT)) for name in ("left", "right", "middle")
        ]
        assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    with Journal.open(path, "first") as journal:
        journal.verify()
        rows = list(journal.read())
    assert len(rows) == 240
    for name in ("left", "right", "middle"):
        mine = [row for row in rows if row.kind == name]
        assert [row.payload["number"] for row in mine[::2]] == list(range(40))
        assert all(second.seq == first.seq + 1 for first, second in zip(mine[::2], mine[1::2], strict=True))


def test_a_missing_journal_is_named_with_the_remedy(path: Path) -> None:
    assert complaint(path) == f"{path}: there is no journal; check the path or start a session first"
    assert not path.exists()


def test_a_database_without_a_journal_is_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (a)")
    assert "there is no journal" in complaint(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("other",)]


@pytest.mark.parametrize("create", [False, True])
def test_a_file_that_is_no_database_is_refused(path: Path, create: bool) -> None:
    path.write_text("date,open,close\n" * 100)
    assert complaint(path, create=create) == f"{path}: is not a journal; name another file"


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert "cannot be opened; check that its folder" in complaint(tmp_path / "none" / "j.db", create=True)


def test_a_newer_journal_is_refused_with_the_remedy(journal: Journal, path: Path) -> None:
    tamper_with(path, "UPDATE journal_version SET version = 2")
    assert "version 2" in complaint(path)
    assert complaint(path, create=True).endswith("upgrade closecall")


def test_a_journal_without_its_version_is_refused(journal: Journal, path: Path) -> None:
    tamper_with(path, "DELETE FROM journal_version")
    assert "no valid version" in complaint(path)


def test_a_locked_journal_is_refused_after_the_stated_wait_and_can_be_read_meanwhile(path: Path) -> None:
    with Journal.open(path, "first", create=True, lock_timeout=0.05) as journal:
        journal.append([mark(0)], LATER)
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalError, match="is locked by another program; wait"):
                journal.append([mark(1)], LATER)
            assert [row.seq for row in journal.read()] == [1]
        assert journal.append([mark(1)], LATER) == range(2, 3)


def test_a_full_disk_is_named_and_what_was_recorded_stays(path: Path) -> None:
    def small(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 20")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", small)
    try:
        with Journal.open(path, "first", create=True) as journal:
            journal.append([mark(0)], LATER)
            with pytest.raises(JournalError, match="disk is full; make room"):
                journal.append([mark(n) for n in range(2000)], LATER)
            assert journal.last_seq == 1
            journal.verify()
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", small)


def test_a_closed_journal_says_so_in_one_line(journal: Journal) -> None:
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append([mark(0)], LATER)


def test_a_url_of_no_known_database_is_refused() -> None:
    assert "names no known database" in complaint("nosuch://host/journal", create=True)


def test_a_password_in_a_url_is_never_shown() -> None:
    message = complaint("postgresql://trader:secret@127.0.0.1:1/journal", create=True)
    assert message.startswith("postgresql://trader:***@127.0.0.1:1/journal: ")
    assert "secret" not in message

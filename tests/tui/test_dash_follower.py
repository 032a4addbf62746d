"""Journals are followed read-only, whatever becomes of their files, and the dashboard says what happened."""

import os
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from engine.journal.events import decode
from engine.journal.journal import Event, Journal
from strategies.monitor.catalog import JournalPlace, JournalType
from strategies.monitor.follower import RECENT, JournalFollower, JournalTail
from strategies.monitor.journal_reader import JournalFile, Unreadable
from tests.support.dash_scenes import NOW, tree
from tests.support.journal_events import stored_payload

START = datetime(2024, 1, 1, tzinfo=UTC)


def marks(count, first=0):
    for number in range(first, first + count):
        yield Event(
            kind="mark",
            as_of=START + timedelta(hours=number),
            payload=stored_payload("mark", value=100.0 + number, cash=1.0),
        )


def write(path, events, name=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with Journal.open(path, name or path.parent.name, create=True) as journal:
        journal.append(list(events), START)
    return path


def open_tail(path):
    return JournalTail(JournalPlace(type=JournalType.SESSION, name=path.parent.name, path=path))


def look(tail, rounds=1, now=NOW):
    for _ in range(rounds):
        tail.poll(now)
    return tail.view(now)


def caught_up(tail):
    view = look(tail)
    while not tail.caught_up:
        view = look(tail)
    return view


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "sessions" / "one" / "journal.sqlite", marks(10))


def test_what_is_appended_is_seen_at_the_next_look(path):
    tail = open_tail(path)
    assert caught_up(tail).money.value == 109.0
    write(path, marks(5, first=10))
    view = caught_up(tail)
    assert (view.newest, view.money.value, view.kinds) == (15, 114.0, {"mark": 15})


def test_an_open_journal_is_read_beside_its_writer(path):
    tail = open_tail(path)
    with Journal.open(path, "one") as journal:
        caught_up(tail)
        journal.append(list(marks(3, first=10)), START)
        assert caught_up(tail).newest == 13


def test_reading_creates_and_changes_no_file(path):
    before = tree(path.parent)
    tail = open_tail(path)
    caught_up(tail)
    assert tree(path.parent) == before
    tail.close()
    assert tree(path.parent) == before
    file = JournalFile(path)
    with pytest.raises(Unreadable), file._translate_errors() as connection:
        connection.execute("DELETE FROM journal_events")
    assert tree(path.parent) == before


def test_a_long_journal_shows_its_end_at_once_and_counts_its_past_behind(tmp_path):
    long = write(tmp_path / "sessions" / "long" / "journal.sqlite", marks(4 * RECENT))
    tail = open_tail(long)
    first = look(tail)
    assert first.counted < first.newest == 4 * RECENT
    assert first.money.value == 99.0 + 4 * RECENT
    last = caught_up(tail)
    assert last.kinds == {"mark": 4 * RECENT}
    assert last.money.value == first.money.value
    assert last.money.equity[0].value == 100.0


def test_a_journal_that_was_moved_is_missed_and_found_again(path, tmp_path):
    tail = open_tail(path)
    caught_up(tail)
    path.rename(tmp_path / "elsewhere")
    gone = look(tail)
    assert "moved or removed" in gone.trouble
    assert gone.money.value == 109.0
    (tmp_path / "elsewhere").rename(path)
    back = look(tail)
    assert (back.trouble, back.money.value) == ("", 109.0)
    assert "can be read again" in back.notice


def copy_over(source, target):
    shutil.copyfile(source, target)
    os.utime(target, (2e9, 2e9))


@pytest.mark.parametrize("put", [os.replace, copy_over])
def test_a_journal_that_was_replaced_is_read_from_its_beginning(path, tmp_path, put):
    tail = open_tail(path)
    caught_up(tail)
    put(write(tmp_path / "other" / "journal.sqlite", marks(20, first=500), name="one"), path)
    view = caught_up(tail)
    assert (view.newest, view.money.value) == (20, 619.0)
    assert "another journal took its place" in view.notice


def test_a_locked_journal_is_waited_for(path):
    tail = open_tail(path)
    caught_up(tail)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("CREATE TABLE other (a)")
    assert "locked" in look(tail).trouble
    connection.execute("ROLLBACK")
    connection.close()
    assert look(tail, 2).trouble == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE journal_version SET version = 7", "version 7"),
        ("DROP TABLE journal_version", "is not a journal"),
        ("DROP TABLE journal_events", "is not a journal"),
    ],
)
def test_a_journal_of_another_version_is_named_as_such(path, change, message):
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    view = look(open_tail(path), rounds=3)
    assert message in view.trouble
    assert view.newest == 0


def test_a_journal_of_another_version_in_the_place_of_one_that_was_shown_is_never_read(path, tmp_path):
    tail = open_tail(path)
    caught_up(tail)
    other = write(tmp_path / "other" / "journal.sqlite", marks(20, first=500), name="one")
    with sqlite3.connect(other) as connection:
        connection.execute("UPDATE journal_version SET version = 0")
    connection.close()
    path.rename(tmp_path / "kept")
    other.replace(path)
    view = look(tail, rounds=3)
    assert "version 0" in view.trouble
    assert view.money.value == 109.0
    (tmp_path / "kept").replace(path)
    view = look(tail, rounds=2)
    assert (view.trouble, view.money.value, view.newest) == ("", 109.0, 10)
    assert "can be read again" in view.notice


def test_a_file_that_is_no_database_is_named_as_such(path):
    tail = open_tail(path)
    caught_up(tail)
    path.write_bytes(b"no journal " * 1000)
    view = look(tail)
    assert "not a journal" in view.trouble
    assert view.money.value == 109.0


def test_an_event_that_is_no_json_is_counted_and_passed_over(path):
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO journal_events SELECT session, 11, 'never', recorded_at, 'mark', '{', chain "
            "FROM journal_events WHERE seq = 10"
        )
    connection.close()
    view = caught_up(open_tail(path))
    assert (view.newest, view.health.faulty, view.money.value) == (11, 1, 109.0)


def test_a_payload_of_a_megabyte_is_read_without_its_long_texts(path):
    long = stored_payload("forecast", symbol="A", output="x" * 10**6)
    write(path, [Event(kind="forecast", as_of=START, payload=long)])
    file = JournalFile(path)
    (row,) = file.page(10, 11, 5)
    assert row.payload["output"] == ""
    assert (row.payload["symbol"], row.size > 10**6) == ("A", True)
    assert decode(row).call.symbol == "A"


def test_a_search_finds_what_is_far_back(path):
    write(path, marks(200, first=10))
    write(path, [Event(kind="note", as_of=START, payload={"text": "a NEEDLE here"})])
    write(path, marks(200, first=300))
    reader = JournalFollower(path.parents[2], lambda: NOW)
    reader.read_all()
    found = []
    reader.search("session/one", "", "needle", 5, lambda rows, _reached, ended: found.append((rows, ended)))
    reader.search("session/one", "note", "", 5, lambda rows, _reached, ended: found.append((rows, ended)))
    while not reader._asked.empty():
        reader._asked.get()()
    assert [([row.seq for row in rows], ended) for rows, ended in found] == [([211], True), ([211], True)]
    reader.close()


def test_a_reader_that_runs_stops_at_once(path):
    scenes = []
    reader = JournalFollower(path.parents[2], lambda: NOW, scenes.append)
    reader.start()
    thread = reader._thread
    assert thread is not None and thread.daemon
    while not scenes:
        thread.join(0.01)
    reader.stop()
    assert not thread.is_alive()

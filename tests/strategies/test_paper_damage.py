"""What a damaged journal comes to: no decision, the good part saved, and a cut end made again."""

import json
import os
import random
import re
import shutil
import sqlite3

import pytest

from engine.errors import JournalError
from engine.journal.journal import Journal
from engine.journal.recovery import CHECKPOINT_FILE, recover
from strategies.paper.files import session_folder
from strategies.runs import JOURNAL
from tests.support.paper_sessions import (
    NAME,
    check_replay,
    die_at,
    full_script,
    in_memory,
    open_journal,
    read_digests,
    read_rows,
    replay,
    run_in_child,
)
from tui.cli.main import run


@pytest.fixture(scope="module")
def finished():
    """A folder with a session that ran to its end in many small transactions."""
    for folder in in_memory():
        replay(folder, full_script(), ahead=1)
        yield folder


def copy_session(finished, folder):
    """A folder with a copy of the finished session; the journal's path."""
    shutil.copytree(session_folder(finished, NAME), session_folder(folder, NAME))
    shutil.copy(finished / "ledger.sqlite", folder)
    return session_folder(folder, NAME) / JOURNAL


def cut_end(path, slices):
    """Take the last slices away and all that followed, as an old copy would; how many events that is."""
    with sqlite3.connect(path) as database:
        database.execute("DROP TRIGGER journal_no_delete")
        (since,) = database.execute(
            "SELECT seq FROM journal_events WHERE kind = 'slice' ORDER BY seq DESC LIMIT 1 OFFSET ?",
            (slices,),
        ).fetchone()
        gone = database.execute("DELETE FROM journal_events WHERE seq >= ?", (since,)).rowcount
        database.execute(
            "CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal_events "
            "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
        )
    database.close()
    return gone


def alter(path, kind, number):
    """Alter the payload of one event; its number."""
    with sqlite3.connect(path) as database:
        (seq,) = database.execute(
            "SELECT seq FROM journal_events WHERE kind = ? ORDER BY seq LIMIT 1 OFFSET ?", (kind, number)
        ).fetchone()
        database.execute("DROP TRIGGER journal_no_update")
        database.execute("UPDATE journal_events SET payload = payload || ' ' WHERE seq = ?", (seq,))
    database.close()
    return seq


def test_a_flipped_byte_of_a_payload_starts_nothing(tmp_path, finished):
    path = copy_session(finished, tmp_path)
    whole = path.read_bytes()
    texts = [match.span() for match in re.finditer(rb'\{"[^\x00-\x1f]{20,}\}', whole)]
    assert len(texts) > 300
    dice = random.Random(3)
    for number in range(60):
        begin, end = dice.choice(texts)
        place = dice.randrange(begin, end)
        flipped = bytearray(whole)
        flipped[place] ^= 1 << dice.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(JournalError), open_journal(tmp_path) as journal:
            journal.verify()  # which is the first thing that a session does
        if number < 4:
            with pytest.raises(JournalError):
                replay(tmp_path, full_script())
            assert path.read_bytes() == flipped


@pytest.mark.parametrize("share", [0.05, 0.3, 0.62, 0.999])
def test_a_truncated_file_starts_nothing(tmp_path, finished, share):
    path = copy_session(finished, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(JournalError):
        replay(tmp_path, full_script())


def test_events_that_are_gone_from_the_end_are_named_and_made_again(tmp_path, finished):
    path = copy_session(finished, tmp_path)
    gone = cut_end(path, 12)
    replay(tmp_path, full_script())
    assert read_digests(tmp_path) == read_digests(finished)
    assert check_replay(tmp_path).equal
    (fault,) = read_rows(tmp_path, "fault")
    assert fault.payload["reason"] == (
        f"its last {gone} events are missing; prices and their outputs are restored, commands and adoptions "
        "are not: repeat lost commands"
    )


def test_a_session_that_dies_soon_after_it_lost_its_end_can_be_started_again(tmp_path, finished):
    steps = iter(range(60))
    replay(tmp_path, full_script(), ahead=1, stop=lambda: next(steps, None) is None)
    path = session_folder(tmp_path, NAME) / JOURNAL
    noted = json.loads(path.with_name(CHECKPOINT_FILE).read_text())["seq"]
    cut_end(path, 1)
    assert run_in_child(lambda: replay(tmp_path, full_script(), ahead=1, at=die_at(40))) == 9
    with Journal.open(path, NAME) as journal:
        assert journal.last_seq > noted
    replay(tmp_path, full_script())
    assert read_digests(tmp_path) == read_digests(finished)


def test_another_journal_of_the_same_name_is_not_taken_for_the_one_that_was_noted(tmp_path, finished):
    copy_session(finished, tmp_path)
    note = session_folder(tmp_path, NAME) / CHECKPOINT_FILE
    said = json.loads(note.read_text())
    note.write_text(json.dumps(said | {"chain": "0" * 64}))
    with pytest.raises(JournalError, match=f"event {said['seq']} of session trial is not the one"):
        replay(tmp_path, full_script())
    note.unlink()
    replay(tmp_path, full_script())


def test_a_write_ahead_log_cut_at_its_end_is_repaired_like_a_crash(tmp_path, finished):
    dice = random.Random(4)
    for count in (60, 120):
        assert run_in_child(lambda: replay(tmp_path, full_script(), ahead=1, at=die_at(count))) == 9  # noqa: B023  # runs at once
        log = session_folder(tmp_path, NAME) / (JOURNAL + "-wal")
        size = log.stat().st_size
        os.truncate(log, size - dice.randrange(1, min(size // 3, 30_000)))
    replay(tmp_path, full_script(), ahead=1)
    assert read_digests(tmp_path) == read_digests(finished)
    assert check_replay(tmp_path).equal


def test_the_good_part_of_a_damaged_journal_is_written_to_the_letter_and_goes_on(tmp_path, finished):
    path = copy_session(finished, tmp_path)
    before = read_rows(tmp_path)
    seq = alter(path, "fill", 9)
    saved = tmp_path / "saved.sqlite"
    code = run(["paper", "export", NAME, str(saved), "--data-dir", str(tmp_path)])
    assert code == 0
    with Journal.open(saved, NAME) as journal:
        journal.verify()
        kept = list(journal.read())
    assert kept == before[: len(kept)]
    # The effects of one input are whole or not there: those that stood before the damaged one are left out.
    assert {row.payload.get("input") for row in before[len(kept) : seq]} == {before[seq - 1].payload["input"]}
    for left in path.parent.glob("journal.*"):
        left.unlink()
    saved.rename(path)
    replay(tmp_path, full_script())
    assert read_digests(tmp_path) == read_digests(finished)


def test_an_export_says_what_is_left_out_and_what_to_do(tmp_path, finished, capsys):
    path = copy_session(finished, tmp_path)
    words = ["paper", "export", NAME, str(tmp_path / "whole.sqlite"), "--data-dir", str(tmp_path)]
    assert run(words) == 0
    assert "The journal is whole" in capsys.readouterr().out
    assert run(words) == 2
    assert "exists; choose another file" in capsys.readouterr().err
    seq = alter(path, "slice", 30)
    saved = tmp_path / "part.sqlite"
    assert run(["paper", "export", NAME, str(saved), "--data-dir", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reason"] == f"event {seq} was altered or removed"
    assert seq - 12 < found["events"] < seq


def test_a_file_that_is_damaged_further_on_is_read_up_to_there(tmp_path, finished):
    path = copy_session(finished, tmp_path)
    with open_journal(tmp_path) as journal:
        last = journal.last_seq
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        found = recover(path, NAME, tmp_path / "saved.sqlite", lambda _row: None)
    except JournalError as error:  # not even the first event can be found in such a file
        assert "restore a copy" in str(error) or "damaged" in str(error)
        assert not (tmp_path / "saved.sqlite").exists()
    else:
        assert 0 < found.events < last
        assert found.reason

"""What is stored is listed, and removed whole or not at all; help says where it is."""

import io
import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from strategies.paper.files import SUPERVISOR_LOCK
from strategies.paper.lock import SessionLock
from strategies.stored_data import list_stored
from tests.golden.commands import DATA, HERE, VERSION
from tests.support.dash_scenes import tree
from tests.support.own_processes import CLOSECALL, ran
from tests.test_docs import every_command
from tui.cli.app import app
from tui.cli.main import run

RUN = "20261129-030217"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(HERE / VERSION / DATA, tmp_path / "data"))


@pytest.fixture
def said(folder, capsys):
    def call(*words, code=0):
        assert run(["data", *words, "--data-dir", str(folder)]) == code
        return "".join(capsys.readouterr())

    return call


def keys(folder):
    return [part.key for part in list_stored(folder)]


def test_everything_that_is_stored_is_listed_with_its_bytes(folder, said):
    listed = json.loads(said("list", "--json"))["stored"]
    assert {part["what"] for part in listed} >= {"session/whole", f"run/{RUN}", "bars/ccxt:binance", "news"}
    assert sum(part["bytes"] for part in listed) == sum(map(len, tree(folder).values()))
    assert f"{len(listed)} parts" in said("list")


def test_a_removal_is_asked_for_and_takes_what_was_named_only(folder, said, monkeypatch):
    before, wanted = tree(folder), ["halved", f"run/{RUN}", "news"]
    text = said("rm", *wanted, code=2)
    assert "session/halved" in text and "3 parts, 496 KB would be removed" in text and "add --yes" in text
    for answer in ("n\n", ""):
        terminal = io.StringIO(answer)
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", terminal)
        assert "nothing was removed" in said("rm", *wanted, code=2)
    assert tree(folder) == before
    assert "Removed 3 parts, 496 KB" in said("rm", *wanted, "--yes")
    gone = ("sessions/halved/", f"runs/{RUN}/", "news/")
    assert tree(folder) == {name: held for name, held in before.items() if not name.startswith(gone)}


def test_all_runs_go_at_once_and_stay_counted_as_trials(folder, said):
    said("rm", "runs", "--yes")
    assert not (folder / "runs").exists() and (folder / "trials.jsonl").is_file()
    assert "no runs are stored" in said("rm", "runs", "--yes", code=2)
    assert "with everything only" in said("rm", "trials", "--yes", code=2)


def test_everything_is_what_closecall_wrote_and_nothing_else(folder, said):
    (folder / "mine.txt").write_text("keep")
    said("rm", "everything", "--yes")
    assert tree(folder) == {"mine.txt": b"keep"}
    assert keys(folder) == []


def test_the_users_record_of_trials_stays_and_is_named(folder, said, tmp_path, monkeypatch):
    record = tmp_path / "users.jsonl"
    record.write_text("")
    monkeypatch.setenv("CLOSECALL_TRIALS", str(record))
    assert f"still count as trials; their record is {record}" in said("rm", "everything", "--yes")
    assert record.is_file()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["halvd"], "did you mean halved?"),
        (["zzzzzz"], "closecall data list"),
        (["../../etc"], "nothing stored is called"),
        (["twin"], "write session/twin or run/twin"),
    ],
)
def test_a_word_that_names_nothing_or_two_things_is_refused(folder, said, words, part):
    for kind in ("sessions", "runs"):
        shutil.copytree(folder / "sessions" / "halved", folder / kind / "twin")
    before = tree(folder)
    assert part in said("rm", *words, "--yes", code=2)
    assert tree(folder) == before


@pytest.mark.parametrize("lock", ["session.lock", SUPERVISOR_LOCK])
def test_a_session_that_runs_is_refused_with_all_that_was_named(folder, said, lock):
    with SessionLock(folder / "sessions" / "whole" / lock):
        assert f"in process {os.getpid()}" in said("rm", "halved", "whole", "--yes", code=2)
    assert {"session/halved", "session/whole"} <= set(keys(folder))
    said("rm", "halved", "whole", "--yes")
    assert not {"session/halved", "session/whole"} & set(keys(folder))


def test_what_another_connection_has_open_is_refused(folder, said):
    database = sqlite3.connect(folder / "runs" / RUN / "journal.sqlite")
    database.execute("SELECT count(*) FROM journal_events").fetchone()
    assert f"run/{RUN} is in use" in said("rm", "runs", "--yes", code=2)
    database.close()
    said("rm", "runs", "--yes")


def test_what_a_killed_removal_left_is_no_run_and_goes_with_the_next(folder, said):
    (folder / "runs" / ".removed").mkdir()
    (folder / "runs" / RUN).rename(folder / "runs" / ".removed" / RUN)
    assert f"run/{RUN}" not in keys(folder) and "run/.removed" not in keys(folder)
    said("rm", "20261129-025146", "--yes")
    assert not (folder / "runs" / ".removed").exists()


def test_every_command_that_uses_the_data_folder_says_where_it_is(capsys):
    found = 0
    for command in every_command(get_command(app)):
        for option in command.params:
            if "--data-dir" in option.opts:
                assert "closecall" in option.help.partition("default: ")[2]
                found += 1
    assert found > 20
    assert run(["data", "rm", "-h"]) == 0
    short = capsys.readouterr().out
    assert run(["data", "rm", "--help"]) == 0
    assert capsys.readouterr().out == short
    assert run(["-h"]) == 0
    assert "Data is kept in" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        ("data rm", ["rm"]),
        ("paper status ", ["halved", "taught", "whole"]),
        ("paper stop --data-dir {0} h", ["halved"]),
        ("data rm ta", ["taught"]),
        ("runs 20261129-0259", ["20261129-025926"]),
    ],
)
def test_completion_proposes_commands_and_names_and_writes_nothing(folder, tmp_path, typed, proposed):
    before = tree(tmp_path)
    typed = typed.format(folder)
    words = {"COMP_WORDS": f"closecall {typed}", "COMP_CWORD": str(len(typed.split(" ")))}
    env = {**os.environ, "HOME": str(tmp_path), "_CLOSECALL_COMPLETE": "complete_bash", **words}
    env |= {} if "--data-dir" in typed else {"CLOSECALL_DATA_DIR": str(folder)}
    done = ran([CLOSECALL], env=env, capture_output=True, text=True)
    assert done.stdout.split() == proposed
    assert tree(tmp_path) == before

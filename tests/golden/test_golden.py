"""Data written by an earlier version are opened, shown, replayed, continued, scored and trained from.

See make.py for what the data are. Everything goes through the command line, on copies.
"""

import contextlib
import json
import re
import shutil
import sqlite3
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.golden.commands import DATA, HERE, SHARED, VERSION, answer, closecall, kinds, running, wait_for
from tests.golden.digests import DIGESTS, digests_of, lacks
from tests.golden.make import WALKFORWARD, WINDOWS, loopback
from tests.golden.shown import SEEN

EXPECTED = json.loads((HERE / VERSION / "expected.json").read_text(encoding="utf-8"))
ENTRIES = json.loads(DIGESTS.read_text(encoding="utf-8"))
SESSIONS = sorted(EXPECTED["sessions"])
FINISHED = sorted(name for name, one in EXPECTED["runs"].items() if one["state"] == "finished")
ABSOLUTE_PATH = re.compile(rb"""["'=]\s?/[A-Za-z][\w.-]*/""")
"""A path from the root of a file system, as it stands in JSON, TOML and a database of such."""
PUBLISHED = ("forecasts", "orders", "fills", "equity")


def copied(folder):
    """A golden folder of one's own."""
    return Path(shutil.copytree(HERE / VERSION, folder / VERSION))


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """A copy that tests read only."""
    return copied(tmp_path_factory.mktemp("golden"))


@pytest.fixture
def own(tmp_path):
    """A copy that a test may change."""
    return copied(tmp_path)


def events(root, kind):
    """The payloads of a kind in every journal of the runs, by run."""
    found = {}
    for path in sorted((root / DATA / "runs").glob("*/journal.sqlite")):
        with contextlib.closing(sqlite3.connect(path)) as database:
            query = "SELECT payload FROM journal_events WHERE kind = ?"
            found[path.parent.name] = [json.loads(row[0]) for row in database.execute(query, (kind,))]
    return found


def run_of(root, name):
    """The finished run that was made with a configuration of `files`, known by its seed and span."""
    wanted = tomllib.loads((root / "files" / name).read_text(encoding="utf-8"))
    walked = events(root, "walkforward_started")
    known = wanted.get("seed", 7), wanted.get("market", {}).get("days", 500), "bars" in wanted
    for run, (said, *_) in events(root, "run_started").items():
        same = (said["seed"], said["market"]["days"], bool(said["bars"])) == known
        if same and not walked[run] and run in FINISHED:
            return run
    raise AssertionError(f"no run of {name}")


def walkforwards(root):
    """The names of the finished walk-forward and of the one that was killed."""
    walked = [run for run, found in events(root, "walkforward_started").items() if found]
    (whole,) = [run for run in walked if run in FINISHED]
    (killed,) = [run for run in walked if run not in FINISHED]
    return whole, killed


def test_a_golden_folder_has_no_path_of_a_machine_and_no_log_beside_a_database():
    for path in HERE.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            assert not path.name.endswith(("-wal", "-shm"))
            assert not ABSOLUTE_PATH.search(path.read_bytes()), path


@pytest.mark.parametrize("part", sorted(SEEN))
def test_the_commands_say_of_old_data_what_they_said_when_the_data_were_made(own, part):
    assert json.loads(json.dumps(SEEN[part](own))) == EXPECTED[part]


def test_old_runs_and_sessions_are_shown_as_tables(golden):
    shown = closecall("runs", "--data-dir", DATA, cwd=golden)
    assert all(run in shown for run in EXPECTED["runs"])
    for run in FINISHED:
        assert "accuracy" in closecall("runs", run, "--data-dir", DATA, cwd=golden)
    for name in SESSIONS:
        assert name in closecall("paper", "status", name, "--data-dir", DATA, cwd=golden)


@pytest.mark.parametrize("name", ["", "live", "walkforward", *SESSIONS])
def test_the_dashboard_reads_old_journals(golden, name):
    chosen = walkforwards(golden)[0] if name == "walkforward" else name
    shown = closecall("dash", *filter(None, [chosen]), "--once", "--utc", "--data-dir", DATA, cwd=golden)
    assert chosen in shown
    assert len(shown.splitlines()) > 10


@pytest.mark.parametrize("name", SESSIONS)
def test_an_old_session_is_exported_whole(golden, tmp_path, name):
    said = answer("paper", "export", name, tmp_path / "saved.sqlite", "--data-dir", DATA, cwd=golden)
    assert (said["events"], said["reason"]) == (EXPECTED["sessions"][name]["events"], "")
    assert kinds(tmp_path / "saved.sqlite") == EXPECTED["journals"][f"sessions/{name}/journal.sqlite"]


def test_a_session_that_was_stopped_goes_on_to_what_it_would_have_come_to(own):
    closecall("paper", "start", "--name", "halved", "--data-dir", DATA, cwd=own)
    said = answer("check", "parity", "halved", "--data-dir", DATA, cwd=own)
    whole = EXPECTED["parity"]["whole"]["digests"]
    assert said["equal"]
    assert [said["digests"][name] for name in PUBLISHED] == [whole[name] for name in PUBLISHED]
    assert "session_finished" in kinds(own / DATA / "sessions" / "halved" / "journal.sqlite")


def test_a_session_that_had_ended_does_nothing_more_when_it_is_started(own):
    for name in ("whole", "taught"):
        closecall("paper", "start", "--name", name, "--data-dir", DATA, cwd=own)
        said = answer("paper", "status", name, "--data-dir", DATA, cwd=own)
        assert (said["runs"], said["equity"]) == ("finished", EXPECTED["sessions"][name]["equity"])


def test_a_walk_forward_that_was_killed_under_older_rules_is_not_resumed_under_these(own):
    _, killed = walkforwards(own)
    words = ("walkforward", *WALKFORWARD, *WINDOWS, "--resume", killed, "--data-dir", DATA)
    with pytest.raises(RuntimeError, match=r"exit code 3: .*older rules .*start it again without --resume"):
        answer(*words, cwd=own)


def test_old_adapters_are_promoted_and_rolled_back(own):
    (champion,) = [one["name"] for one in EXPECTED["models"] if one["status"] == "champion"]
    (other,) = [one["name"] for one in EXPECTED["models"] if one["status"] == "rejected"]
    newest = max(
        each["at"] for each in answer("models", "show", champion, "--data-dir", DATA, cwd=own)["changes"]
    )
    if datetime.fromisoformat(newest) > datetime.now(UTC):
        pytest.skip("the clock of this machine is behind the last promotion on record")
    changes = [
        answer("models", *words, "--data-dir", DATA, cwd=own)
        for words in (("rollback",), ("promote", other), ("promote", champion), ("rollback",))
    ]
    assert [one["before"] for one in changes] == [champion, None, other, champion]
    listed = answer("models", "list", "--data-dir", DATA, cwd=own)["adapters"]
    assert {one["name"]: one["status"] for one in listed} == {champion: "retired", other: "champion"}


@pytest.mark.parametrize("name", ["simulated.toml", "files.toml", "champion.toml"])
def test_the_old_ledger_answers_a_backtest_without_a_question_to_the_student(own, name):
    said = answer("backtest", "--config", f"files/{name}", "--data-dir", DATA, cwd=own)
    assert said["asked"] == 0
    known = EXPECTED["runs"][run_of(own, name)]["digests"]
    # The A-share among the files pays other costs since rules 2.
    same = ("forecasts",) if name == "files.toml" else PUBLISHED
    assert [said["digests"][part] for part in same] == [known[part] for part in same]


def test_files_that_were_imported_before_bring_nothing_new(own):
    words = ("fetch", "bars", "--source", "file", "--bars", "files/bars", "--adjustment", "split")
    (said,) = answer(*words, "--data-dir", DATA, cwd=own)["fetched"]
    assert {one["new"] for one in said["symbols"]} == {0}


@pytest.mark.slow
def test_an_old_collection_goes_on(own):
    if not (SHARED / "wire_samples").is_dir():
        pytest.skip("needs the wire samples in ../shared/data")
    journal = own / DATA / "collections" / "live" / "journal.sqlite"
    words = ("collect", "--source", "ccxt:binance=BTC/USDT,ETH/USDT", "--data-dir", DATA)
    before = sum(kinds(journal).values())
    with loopback() as (exchange, feed):
        more = ("--feed", feed, "--url", f"ccxt:binance={exchange}")
        with running(*words, *more, cwd=own) as process:
            wait_for(lambda: sum(kinds(journal).values()) > before, process)
    with contextlib.closing(sqlite3.connect(journal)) as database:
        rows = database.execute("SELECT seq FROM journal_events ORDER BY seq").fetchall()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("source", ["run", pytest.param("session", marks=pytest.mark.slow)])
def test_a_student_is_trained_from_an_old_run_and_an_old_session(own, source):
    name = "taught" if source == "session" else run_of(own, "more-lessons.toml")
    if source == "session":  # the champion has seen later days than the session has, and cannot be its parent
        answer("models", "rollback", "--data-dir", DATA, cwd=own)
    window = ("--train-days", "40", "--test-days", "20")
    words = ("retrain", "--from", name, "--method", "grpo", "--steps", "1", *window)
    said = answer(*words, "--data-dir", DATA, cwd=own)
    assert said["run"] == name
    assert said["trained"]["trained_on"] > 20
    names = [one["name"] for one in answer("models", "list", "--data-dir", DATA, cwd=own)["adapters"]]
    assert said["trained"]["adapter"] in names
    assert len(names) == len(EXPECTED["models"]) + 1


@pytest.mark.slow
@pytest.mark.parametrize("entry", [one for one in ENTRIES if one["in_suite"]], ids=lambda one: one["name"])
def test_a_backtest_or_session_comes_to_the_published_digests(entry, tmp_path):
    if missing := lacks(entry):
        pytest.skip(f"needs {missing} in ../shared/data")
    assert digests_of(entry, tmp_path) == entry["digests"]

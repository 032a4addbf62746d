"""What only a real process of the command can show: Ctrl-C, a closed pipe, a clash of packages."""

import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from engine.journal.journal import Journal
from strategies.runs import JOURNAL
from tests.support.own_processes import CLOSECALL, ran, started
from tests.support.tables_on_disk import write_lines


def typed(*arguments, **environment):
    return started(
        [CLOSECALL, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(running):
    """Exit code, stdout and stderr of a process once it has ended."""
    out, err = running.communicate(timeout=120)
    return running.returncode, out, err


def test_ctrl_c_leaves_an_interrupted_run_and_no_broken_file(tmp_path):
    long = write_lines(
        tmp_path / "long.toml", ["batch = 16", "[market]", "coins = 1", "stocks = 0", "days = 800"]
    )
    data = tmp_path / "data"
    with typed("backtest", "--config", long, "--data-dir", data, "--out", tmp_path / "out") as running:
        assert running.stderr.readline().startswith("forecasting ")
        running.send_signal(signal.SIGINT)
        code, out, err = ended(running)
    assert (code, out) == (130, ""), err
    assert err.splitlines()[-1].startswith("closecall: interrupted; ")
    with typed("runs", "--json", "--data-dir", data) as listing:
        (listed,) = json.loads(ended(listing)[1])["runs"]
    assert listed["state"] == "interrupted"
    with Journal.open(data / "runs" / listed["run"] / JOURNAL, listed["run"]) as journal:
        journal.verify()
    with sqlite3.connect(data / "ledger.sqlite") as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not (tmp_path / "out").exists()
    assert [path for path in data.rglob("*") if path.suffix == ".part"] == []


def test_a_reader_that_goes_away_is_no_failure(tmp_path):
    with typed("doctor", "--json", "--data-dir", tmp_path) as running:
        running.stdout.close()
        running.stdout = None
        assert ended(running) == (0, None, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_stdout_is_told_in_one_line(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = ran(
            [CLOSECALL, "doctor", "--data-dir", tmp_path],
            env={**os.environ, "PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            seconds=60,
        )
    assert done.returncode == 3
    assert done.stderr == "closecall: stdout: No space left on device; send it elsewhere\n"


def test_beside_the_package_llm_of_pypi_the_command_stops_with_one_sentence(tmp_path):
    metadata = ["Metadata-Version: 2.1", "Name: llm", "Version: 1.0"]
    write_lines(tmp_path / "llm-1.0.dist-info" / "METADATA", metadata)
    paths = filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])
    with typed("doctor", PYTHONPATH=os.pathsep.join(paths)) as running:
        code, out, err = ended(running)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("closecall: closecall cannot share an environment with the PyPI package 'llm'")
    assert "pip install closecall" in line

"""A session's processes on a small file system that fills up, as root can make one."""

import errno
import os
import time
from contextlib import suppress

import pytest

from engine.errors import JournalError
from engine.journal.journal import Journal
from strategies.backtest import backtest
from strategies.config_file import load_config
from strategies.console import utc_now
from strategies.paper.files import journal_path
from strategies.paper.outputs import load_outputs, session_digests
from strategies.paper_runtime.launch import LaunchSpec
from strategies.replay_check import check_session_replay
from tests.support.own_processes import ran
from tests.support.paper_process import start_supervised, wait_until
from tests.support.students import RuleStudent

NAME = "trial"
MARKET = {"market": {"coins": 2, "stocks": 1, "days": 22}}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of three megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = False
    with suppress(FileNotFoundError):  # there is no mount here: skipped below
        words = ["mount", "-t", "tmpfs", "-o", "size=3m", "closecall", place]
        mounted = ran(words, capture_output=True).returncode == 0
    if mounted:
        try:
            yield place
        finally:
            ran(["umount", place], check=True)
        return
    pytest.skip("a file system cannot be mounted here; that takes root")


def fill_up(place):
    """Write until there is no room left; the file that holds it."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"\0" * 4096)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                return ballast


def count(folder, kind):
    try:
        with Journal.open(journal_path(folder, NAME), NAME) as journal:
            return sum(1 for _ in journal.read(kinds=(kind,)))
    except JournalError:
        return 0


def test_a_session_on_a_full_disk_takes_no_position_says_so_and_goes_on_with_room(small_disk, tmp_path):
    config = load_config(None, MARKET)
    spec = LaunchSpec(data_dir=small_disk, name=NAME, config=config, replay=True, speed=4e5)
    with start_supervised(spec) as process:
        fill_and_free(small_disk, process)
    with Journal.open(journal_path(small_disk, NAME), NAME) as journal:
        assert check_session_replay(journal).equal
        digests = session_digests(load_outputs(journal))
        faults = [row.payload for row in journal.read(kinds=("fault",)) if row.payload["part"] == "journal"]
    assert [one["state"] for one in faults] == ["down", "up"]
    assert "the disk is full" in faults[0]["reason"]
    run = backtest(config, data_dir=tmp_path, clock=utc_now, student=RuleStudent())
    assert {name: digests[name] for name in run.result["digests"]} == run.result["digests"]


def fill_and_free(small_disk, process):
    """Leave a running session no room for a while, and see it to its end."""
    said = bytearray()
    os.set_blocking(process.stderr.fileno(), False)

    def heard(words):
        with suppress(BlockingIOError):  # nothing was said since
            said.extend(os.read(process.stderr.fileno(), 65536))
        return words in said.decode()

    wait_until(lambda: count(small_disk, "fill") > 2)
    ballast = fill_up(small_disk)
    wait_until(lambda: heard("no new positions until it can be written"))
    before = count(small_disk, "mark")
    assert before > 0
    time.sleep(1.5)  # days would pass
    assert count(small_disk, "mark") == before
    with Journal.open(journal_path(small_disk, NAME), NAME) as journal:
        journal.verify()
    ballast.unlink()
    wait_until(lambda: heard("the session continues"))
    wait_until(lambda: process.poll() is not None, seconds=60)
    assert process.returncode == 0

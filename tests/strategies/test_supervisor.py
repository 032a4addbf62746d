"""A session's processes, killed, hung and watched; the student answers by a rule."""

import json
import os
import random
import signal
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from engine.errors import JournalError, UsageError
from engine.journal.journal import Journal
from engine.trading.risk import CommandKind
from strategies.backtest import backtest
from strategies.config_file import load_config
from strategies.console import utc_now
from strategies.paper.files import LOG, journal_path, runner_pid, session_folder, supervisor_pid
from strategies.paper.forecasting import INTERRUPTED, TIMED_OUT
from strategies.paper.outputs import load_outputs, session_digests
from strategies.paper_runtime.control import send_command as commanded
from strategies.paper_runtime.control import stop_session
from strategies.paper_runtime.launch import LaunchSpec
from strategies.paper_runtime.notifications import SessionLog, require_webhook
from strategies.paper_runtime.supervisor import SessionEnd, Supervisor
from strategies.replay_check import check_session_replay
from tests.support.paper_process import children, command, start_supervised, wait_until
from tests.support.students import RuleStudent

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's /proc")  # noqa: PTH112
NAME = "trial"
DAYS = 16


def make_plan(folder, *, speed=None, webhook=None, days=DAYS, **paper):
    config = load_config(None, {"market": {"coins": 3, "stocks": 0, "days": days}, "paper": paper})
    return LaunchSpec(data_dir=folder, name=NAME, config=config, replay=True, speed=speed, webhook=webhook)


def finish(plan):
    """Run a plan to its end in this process, under a supervisor."""
    stop = threading.Event()
    return Supervisor(
        plan, show=lambda _row: None, on_message=lambda _line: None, stop=stop, command=command("session")
    ).run()


def read_rows(folder, *kinds):
    with Journal.open(journal_path(folder, NAME), NAME) as journal:
        return list(journal.read(kinds=kinds or None))


def read_digests(folder):
    with Journal.open(journal_path(folder, NAME), NAME) as journal:
        assert check_session_replay(journal).equal
        return session_digests(load_outputs(journal))


def read_student(folder):
    """The student's process while there is one."""
    session = runner_pid(session_folder(folder, NAME))
    return next(iter(children(session)), None) if session else None


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The digests of a session that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert finish(make_plan(folder)) is SessionEnd.FINISHED
    return read_digests(folder)


def test_a_session_in_processes_of_its_own_does_what_a_backtest_does(undisturbed, tmp_path):
    run = backtest(make_plan(tmp_path).config, data_dir=tmp_path, clock=utc_now, student=RuleStudent())
    assert {name: undisturbed[name] for name in run.result["digests"]} == run.result["digests"]


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_and_started_again_it_ends_as_if_it_had_never_been(
    undisturbed, tmp_path, seed
):
    draw = random.Random(seed)
    plan = make_plan(tmp_path, speed=5e5)  # nearly six days a second
    folder = session_folder(tmp_path, NAME)
    for _ in range(2):
        with start_supervised(plan) as process:
            runner = wait_until(lambda: runner_pid(folder))
            time.sleep(draw.uniform(0.2, 1.5))
            kind = draw.choice(["supervisor", "session", "student"])
            victim = {"supervisor": process.pid, "session": runner, "student": read_student(tmp_path)}[kind]
            if victim and process.poll() is None:
                os.kill(victim, signal.SIGKILL)
                time.sleep(draw.uniform(0.2, 1.5))
            process.kill()
            process.communicate()
            wait_until(lambda: runner_pid(folder) is None)  # what it ran ends with it, by itself
    assert finish(make_plan(tmp_path)) is SessionEnd.FINISHED
    assert read_digests(tmp_path) == undisturbed


def test_a_process_that_dies_is_started_again_and_the_journal_says_so(undisturbed, tmp_path):
    with start_supervised(make_plan(tmp_path, speed=4e5)) as process:
        folder = session_folder(tmp_path, NAME)
        first = wait_until(lambda: runner_pid(folder) if read_rows_if_any(tmp_path, "forecast") else None)
        os.kill(first, signal.SIGKILL)
        second = wait_until(lambda: (pid := runner_pid(folder)) and pid != first and pid)
        os.kill(wait_until(lambda: read_student(tmp_path)), signal.SIGKILL)
        process.communicate(timeout=60)
    assert second != first
    assert process.returncode == 0
    said = {row.payload["part"]: row.payload["reason"] for row in read_rows(tmp_path, "fault")}
    assert "died of signal 9" in said["session"]
    assert "died of signal 9" in said["student"]
    assert read_digests(tmp_path) == undisturbed


def read_rows_if_any(folder, *kinds):
    """The same, nothing while the journal is still being made."""
    try:
        return read_rows(folder, *kinds)
    except JournalError:
        return []


def test_halt_is_obeyed_while_the_student_hangs(tmp_path):
    with start_supervised(make_plan(tmp_path, speed=86_400, deadline_seconds=60)) as process:
        wait_until(lambda: read_rows_if_any(tmp_path, "forecast"))
        os.kill(wait_until(lambda: read_student(tmp_path)), signal.SIGSTOP)
        time.sleep(1.5)  # the next close comes, and its question stays without an answer
        before = time.monotonic()
        done = commanded(tmp_path, NAME, CommandKind.HALT, "it hangs", clock=utc_now)
        assert done["answer"]["now"] == "halted"
        assert time.monotonic() - before < 10
        assert stop_session(tmp_path, NAME)
        process.communicate(timeout=30)
    assert INTERRUPTED in {row.payload["abstention"] for row in read_rows(tmp_path, "forecast")}
    assert supervisor_pid(session_folder(tmp_path, NAME)) is None


def test_a_student_that_hangs_is_replaced_after_its_time(tmp_path):
    with start_supervised(make_plan(tmp_path, days=300, speed=86_400, deadline_seconds=5.0)) as process:
        wait_until(lambda: read_rows_if_any(tmp_path, "forecast"))
        os.kill(wait_until(lambda: read_student(tmp_path)), signal.SIGSTOP)
        wait_until(lambda: "up" in [row.payload["state"] for row in read_rows_if_any(tmp_path, "fault")])
        wait_until(lambda: read_rows(tmp_path, "forecast")[-1].payload["abstention"] is None)
        assert stop_session(tmp_path, NAME)
        process.communicate(timeout=60)
    assert TIMED_OUT in {row.payload["abstention"] for row in read_rows(tmp_path, "forecast")}
    faults = [(row.payload["part"], row.payload["state"]) for row in read_rows(tmp_path, "fault")]
    assert faults == [("student", "down"), ("student", "up")]


def test_a_second_start_is_refused_and_says_who_runs_it(tmp_path):
    with start_supervised(make_plan(tmp_path, speed=86_400)) as process:
        wait_until(lambda: read_rows_if_any(tmp_path, "forecast"))
        with pytest.raises(UsageError, match=f"runs already, in process {process.pid}"):
            finish(make_plan(tmp_path))
        assert stop_session(tmp_path, NAME)
        process.communicate(timeout=30)
    assert not stop_session(tmp_path, NAME)
    assert [row.payload["reason"] for row in read_rows(tmp_path, "session_stopped")] == ["stop requested"]


@contextmanager
def listener(status=200):
    """A server that takes POSTs; what it was sent, with its address."""
    taken = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield taken, f"http://127.0.0.1:{server.server_port}/hook?token=s3cret"
        server.shutdown()


def test_a_webhook_is_told_of_each_change_and_its_address_is_kept_nowhere(tmp_path):
    with listener() as (taken, address):
        finish(make_plan(tmp_path, days=10, webhook=address))
    assert [one["event"] for one in taken] == ["session_started", "session_finished"]
    assert {one["session"] for one in taken} == {NAME}
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"s3cret" not in written


@pytest.mark.parametrize("status", [302, 500])
def test_a_webhook_that_fails_is_named_in_the_journal_and_stops_nothing(tmp_path, status):
    with listener(status) as (taken, address):
        assert finish(make_plan(tmp_path, days=10, webhook=address)) is SessionEnd.FINISHED
    faults = [row.payload for row in read_rows(tmp_path, "fault")]
    assert {one["part"] for one in faults} == {"webhook"}
    assert f"127.0.0.1 could not be reached: it answers {status}" in faults[0]["reason"]
    assert len(taken) == 2


@pytest.mark.parametrize(
    "address", ["http://example.org/x", "ftp://127.0.0.1/s3cret", "s3cret", "https://", "http://[s3cret"]
)
def test_a_webhook_is_https_or_on_this_machine_and_a_wrong_one_is_not_repeated(address):
    with pytest.raises(UsageError) as refused:
        require_webhook(address)
    assert "s3cret" not in str(refused.value)


def test_the_log_has_a_json_object_on_each_line_and_takes_turns(tmp_path, monkeypatch):
    monkeypatch.setattr("strategies.paper_runtime.notifications._MAX_BYTES", 2000)
    log = SessionLog(tmp_path / LOG)
    for number in range(200):
        log.write(utc_now(), "tick", number=number, text="äöü")
    log.close()
    files = sorted(tmp_path.glob(f"{LOG}*"))
    assert len(files) == 6
    lines = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    assert {line["event"] for line in lines} == {"tick"}
    assert max(line["number"] for line in lines) == 199
    finish(make_plan(tmp_path, days=10))
    files = session_folder(tmp_path, NAME).glob(f"{LOG}*")
    written = [line for file in files for line in file.read_text("utf-8").splitlines()]
    assert {"process started", "session_started", "session_finished", "process ended"} <= {
        json.loads(line)["event"] for line in written
    }

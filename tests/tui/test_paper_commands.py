"""`closecall paper` as it is typed, with the shipped student and sources on loopback."""

import json
import math
import os
import signal
import sqlite3
import subprocess
from datetime import UTC, datetime

import pytest

from engine.errors import JournalError
from engine.journal.journal import Journal
from strategies.config_file import load_config
from strategies.paper.files import journal_path, runner_pid, supervisor_pid
from tests.support.own_processes import CLOSECALL, none_left, started, typed
from tests.support.paper_process import wait_until
from tests.support.servers.bars_on_disk import DATA, daily
from tests.support.servers.binance import BinanceServer
from tests.support.tables_on_disk import write_lines
from tui.cli.main import run

needs_real = pytest.mark.skipif(not DATA.is_dir(), reason="the wire samples are not on this machine")
KEYS = {"BINANCE_API_KEY": "k3y", "BINANCE_API_SECRET": "s3cret", "CCXT_BINANCE_APIKEY": "k3y"}
SMALL = ["[market]", "coins = 1", "stocks = 0", "days = 16"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A data folder with a session that was replayed to its end, and what that printed."""
    folder = tmp_path_factory.mktemp("finished")
    config = write_lines(folder / "closecall.toml", ["batch = 8", "max_gross_exposure = 0.9", *SMALL])
    return folder, typed("paper", "start", "--replay", "--config", config, "--data-dir", folder)


def run_captured(capsys, *words):
    """What a command prints within this process, as (exit code, stdout, stderr)."""
    code = run(list(map(str, words)))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_first_replay_says_what_it_is_what_happens_and_how_it_ended(finished):
    folder, (shown, errors) = finished
    assert "a replay of a SIMULATED market, as fast as possible; no order is real" in errors
    assert f"it begins in {folder / 'sessions' / 'replay'}" in errors
    assert "Ctrl-C stops it" in errors
    assert f"To see it again: closecall paper status --data-dir {folder} replay" in errors
    assert "SIMULATED market" in shown
    assert "Verdicts at 5%" in shown
    assert "buy&hold" in shown
    assert "Traceback" not in errors


def test_its_status_has_its_end_its_money_and_its_scores(finished, capsys):
    folder, (shown, _) = finished
    code, out, _ = run_captured(capsys, "paper", "status", "replay", "--data-dir", folder)
    assert code == 0
    assert "session replay: finished" in out
    assert "No real money" in out
    assert "Last forecasts:" in out
    assert out.endswith(shown)
    found = json.loads(run_captured(capsys, "paper", "status", "replay", "--json", "--data-dir", folder)[1])
    assert (found["runs"], found["state"], found["simulated"]) == ("finished", "active", True)
    assert found["result"]["run"] == "replay"


def test_the_list_shows_it_and_says_how_to_begin_where_there_is_none(finished, tmp_path, capsys):
    folder, _ = finished
    _, out, _ = run_captured(capsys, "paper", "list", "--data-dir", folder)
    assert out.splitlines()[1].split()[:3] == ["replay", "simulated", "finished"]
    _, out, _ = run_captured(capsys, "paper", "list", "--data-dir", tmp_path)
    assert f"Begin one: closecall paper start --data-dir {tmp_path} --replay" in out


def test_the_same_command_again_shows_the_end_and_counts_it_once(finished):
    folder, (shown, _) = finished
    again, errors = typed(
        "paper", "start", "--replay", "--config", folder / "closecall.toml", "--data-dir", folder
    )
    assert again == shown
    assert "resumes" in errors
    trials = (folder / "trials.jsonl").read_text().splitlines()
    assert len(trials) == 1


def test_parity_holds_and_a_fill_altered_by_a_last_digit_gives_exit_4(finished, capsys):
    folder, _ = finished
    code, out, _ = run_captured(capsys, "check", "parity", "replay", "--data-dir", folder)
    assert (code, "outputs identical" in out) == (0, True)
    path = journal_path(folder, "replay")
    copy = folder / "copy" / "sessions" / "replay"
    copy.mkdir(parents=True)
    with sqlite3.connect(path) as original, sqlite3.connect(copy / path.name) as altered:
        original.backup(altered)
        altered.execute("DROP TRIGGER journal_no_update")
        (seq, payload) = altered.execute(
            "SELECT seq, payload FROM journal_events WHERE kind = 'fill' ORDER BY seq LIMIT 1"
        ).fetchone()
        fill = json.loads(payload)
        fill["price"] = math.nextafter(fill["price"], math.inf)
        altered.execute(
            "UPDATE journal_events SET payload = ? WHERE seq = ?",
            (json.dumps(fill, sort_keys=True, separators=(",", ":")), seq),
        )
    code, out, _ = run_captured(capsys, "check", "parity", "replay", "--json", "--data-dir", folder / "copy")
    found = json.loads(out)
    assert (code, found["equal"]) == (4, False)
    assert found["digests"]["fills"] != found["replayed"]["fills"]
    assert found["digests"]["forecasts"] == found["replayed"]["forecasts"]
    assert f"event {seq} " in found["chain"]


def test_a_backtest_has_parity_too(tmp_path, capsys):
    config = write_lines(tmp_path / "closecall.toml", ["batch = 8", *SMALL])
    _, shown, _ = run_captured(capsys, "backtest", "--config", config, "--data-dir", tmp_path, "--json")
    name = json.loads(shown)["run"]
    code, out, _ = run_captured(capsys, "check", "parity", name, "--json", "--data-dir", tmp_path)
    found = json.loads(out)
    assert (code, found["equal"]) == (0, True)
    assert json.loads(shown)["digests"].items() <= found["digests"].items()


def test_a_run_that_failed_has_nothing_to_compare(tmp_path, capsys):
    student = write_lines(
        tmp_path / "fails.py",
        ["import closecall as cc", "class Fails(cc.Student):", "    def answer(self, *_): raise ValueError"],
    )
    words = ["--student", f"{student}:Fails", "--days", "30", "--data-dir", tmp_path]
    assert run_captured(capsys, "backtest", *words)[0] != 0
    (folder,) = (tmp_path / "runs").iterdir()
    code, out, errors = run_captured(capsys, "check", "parity", folder.name, "--data-dir", tmp_path)
    assert (code, out) == (2, "")
    assert "is failed and has no result" in errors


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["paper", "start"], ["name a live source", "--replay"]),
        (["paper", "start", "--name", "gone"], ["no session 'gone'", "--replay"]),
        (["paper", "start", "--name", "../x", "--replay"], ["use letters"]),
        (["paper", "start", "somewhere"], ["add --replay"]),
        (["paper", "start", "--replay", "--speed", "0"], ["--speed 0", "max", "86400"]),
        (["paper", "start", "--replay", "--retrain", "hourly"], ["'hourly' does not fit"]),
        (["paper", "start", "--replay", "--cash", "5"], ["started with cash = 100000.0, not 5", "--name"]),
        (["paper", "status", "repaly"], ["no session 'repaly'", "did you mean replay?"]),
        (["paper", "halt", "replay"], ["has finished", "nothing to halt"]),
        (["paper", "stop", "nothing"], ["no session 'nothing'"]),
        (["check", "parity", "nothing"], ["no run or session 'nothing'"]),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(finished, capsys, words, parts):
    code, out, errors = run_captured(capsys, *words, "--data-dir", finished[0])
    assert (code, out) == (2, "")
    (line,) = errors.splitlines()
    for part in parts:
        assert part in line


def test_a_webhook_in_a_file_is_read_and_never_said(tmp_path, capsys):
    address = "http://example.org/s3cret"
    config = write_lines(tmp_path / "closecall.toml", ["[paper]", f'webhook = "{address}"'])
    assert load_config(config, {}).paper.webhook.get_secret_value() == address
    assert "s3cret" not in repr(load_config(config, {})) + load_config(config, {}).model_dump_json()
    code, _, errors = run_captured(
        capsys, "paper", "start", "--replay", "--config", config, "--data-dir", tmp_path
    )
    assert (code, "not an https address" in errors, "s3cret" in errors) == (2, True, False)
    config.write_text(f'[paper]\nwebhook = "{address}"\nlate_seconds = 5\n')
    code, _, errors = run_captured(
        capsys, "paper", "start", "--replay", "--config", config, "--data-dir", tmp_path
    )
    assert (code, "late_seconds = 5" in errors, "s3cret" in errors) == (2, True, False)


@pytest.fixture
def binance():
    today = datetime.now(UTC).date()
    now = int(datetime.now(UTC).timestamp() * 1000)
    with BinanceServer({"BTCUSDT": daily(150, today)}, now) as server:
        yield server


def live_flags(binance, folder):
    url = f"ccxt:binance={binance.url}"
    return ["--source", "ccxt:binance=BTC/USDT", "--url", url, "--data-dir", folder]


@pytest.fixture
def nothing_stays():
    with none_left():
        yield


@needs_real
@pytest.mark.usefixtures("nothing_stays")
def test_a_live_session_in_the_background_asks_for_public_prices_only_and_obeys(binance, tmp_path):
    flags = live_flags(binance, tmp_path)
    _, errors = typed("paper", "start", "--detach", *flags, **KEYS)
    assert "session live runs in the background" in errors
    folder = tmp_path / "sessions" / "live"
    try:
        wait_until(lambda: {"slice", "quote", "waiting"} <= kinds(tmp_path), 60)
        shown, _ = typed("paper", "status", "live", "--data-dir", tmp_path)
        assert "Live, session live: running (process " in shown
        assert "It is waiting for the next input until " in shown
        assert "Next decision at the close of " in shown
        assert "No forecast is made yet" in shown
        halted = json.loads(
            typed("paper", "halt", "live", "--reason", "lunch", "--json", "--data-dir", tmp_path)[0]
        )
        assert (halted["answer"]["was"], halted["answer"]["now"]) == ("active", "halted")
        _, refused = typed("paper", "start", *flags, code=2)
        assert f"runs already, in process {supervisor_pid(folder)}" in refused
        assert "it resumes" not in refused
        first = runner_pid(folder)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: (pid := runner_pid(folder)) and pid != first, 60)
    finally:
        _, errors = typed("paper", "stop", "live", "--data-dir", tmp_path)
    assert f"to resume: closecall paper start --data-dir {tmp_path} --name live" in errors
    assert supervisor_pid(folder) is runner_pid(folder) is None
    asked = {request.path for request in binance.requests}
    assert asked <= {"/api/v3/time", "/api/v3/exchangeInfo", "/api/v3/klines", "/api/v3/ticker/24hr"}
    sent = "".join(str(request) for request in binance.requests)
    assert "k3y" not in sent
    assert "signature" not in sent
    later, _ = typed("paper", "resume", "live", "--data-dir", tmp_path)
    assert "applies it when it is started" in later


def kinds(folder):
    try:
        with Journal.open(journal_path(folder, "live"), "live") as journal:
            return {row.kind for row in journal.read()}
    except JournalError:  # not there yet
        return set()


@needs_real
def test_a_live_session_ends_with_ctrl_c_and_goes_on_with_the_network_gone(binance, tmp_path):
    flags = live_flags(binance, tmp_path)
    resume = f"closecall paper start --data-dir {tmp_path} --name live"
    for again in (False, True):
        words = ["--name", "live", "--data-dir", tmp_path] if again else flags
        with started(
            [CLOSECALL, "paper", "start", *words],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            wanted = "source" if again else "slice"
            wait_until(lambda wanted=wanted: wanted in kinds(tmp_path), 60)
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=30)
        assert running.returncode == 130, errors
        assert errors.splitlines()[-1] == f"stopped; to resume: {resume}"
        assert "Traceback" not in errors
        assert ("is down: it gives no answer" in errors) is again
        if not again:
            binance.__exit__(None, None, None)

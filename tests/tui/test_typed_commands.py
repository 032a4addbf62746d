"""The commands as they are typed, most in processes of their own, against sources on loopback."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.calendars import RoundTheClock, load_calendar
from engine.errors import JournalError
from engine.journal.journal import Journal
from tests.support.own_processes import CLOSECALL, ran, started, typed
from tests.support.servers.bars_on_disk import DATA, daily, milliseconds
from tests.support.servers.binance import BinanceServer
from tests.support.servers.tape import Tape
from tests.support.servers.yahoo import YahooServer
from tests.support.tables_on_disk import write_bars, write_lines
from tui.cli.main import run

needs_real = pytest.mark.skipif(not DATA.is_dir(), reason="the wire samples are not on this machine")


@pytest.fixture
def binance():
    today = datetime.now(UTC).date()
    now = int(datetime.now(UTC).timestamp() * 1000)
    with BinanceServer({"BTCUSDT": daily(60, today), "ETHUSDT": daily(60, today)}, now) as server:
        yield server


@needs_real
def test_bars_are_fetched_from_an_address_of_ones_own_and_a_backtest_runs_on_them(binance, tmp_path, capsys):
    def answer(*words):
        assert run([*map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    data = ["--data-dir", tmp_path / "data"]
    since = datetime.now(UTC).date() - timedelta(days=60)
    flags = ["--source", "ccxt:binance", "--symbols", "BTC/USDT,ETH/USDT", "--since", since, *data]
    shown, errors = typed("fetch", "bars", *flags, "--url", f"ccxt:binance={binance.url}")
    assert f"at {binance.url} (not the official address)" in shown
    assert "BTC/USDT 0/60" in errors
    assert "BTC/USDT 60/60" in errors
    config = write_lines(
        tmp_path / "closecall.toml",
        ['store = ["ccxt:binance"]', '[sources."ccxt:binance"]', f'url = "{binance.url}"'],
    )
    (report,) = answer("fetch", "bars", *flags, "--config", config)["fetched"]
    assert [(one["new"], one["stored"]) for one in report["symbols"]] == [(0, 60), (0, 60)]
    assert answer("check", "data", "--store", *data)["harmful"] == 0
    result = answer("backtest", "--store", "ccxt:binance", *data)
    assert (result["symbols"], result["bars"]) == (["BTC/USDT", "ETH/USDT"], 120)
    assert f"at {binance.url} (not the official address)" in " ".join(result["notes"])


@needs_real
def test_one_configuration_names_several_sources_for_a_fetch(binance, tmp_path):
    pytest.importorskip("yfinance", reason="the extra `stocks` is not installed")
    today = datetime.now(UTC).date()
    since = today - timedelta(days=20)
    calendar = load_calendar("XNYS", since, today)
    days = [since + timedelta(days=n) for n in range(19) if calendar.session(since + timedelta(days=n))]
    rows = [(milliseconds(day), "100", "102", "99", "101", "5000") for day in days]
    with YahooServer({"AAPL": rows}) as yahoo:
        lines = [
            'store = ["yfinance", "ccxt:binance"]',
            'symbols = ["BTC/USDT", "AAPL"]',
            f"start = {since}",
            f"end = {today - timedelta(days=2)}",
            '[sources."ccxt:binance"]',
            f'url = "{binance.url}"',
            "[sources.yfinance]",
            f'url = "{yahoo.url}"',
        ]
        config = write_lines(tmp_path / "closecall.toml", lines)
        flags = ["--config", config, "--data-dir", tmp_path / "data"]
        fetched = json.loads(typed("fetch", "bars", *flags, "--json")[0])["fetched"]
    found = {one["source"]: [(each["symbol"], each["stored"]) for each in one["symbols"]] for one in fetched}
    assert found == {"yfinance": [("AAPL", len(days))], "ccxt:binance": [("BTC/USDT", 19)]}


def collected(arguments, folder: Path, kinds: set[str], seconds: float = 60):
    """Type `collect`, press Ctrl-C once the journal has all of `kinds`; its events and what it printed."""
    path = folder / "collections" / "live" / "journal.sqlite"
    until = time.monotonic() + seconds
    with started(
        [CLOSECALL, "collect", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        while time.monotonic() < until and running.poll() is None:
            with suppress(JournalError):  # a journal that is just being created has no table yet
                if path.is_file() and kinds <= {row.kind for row in events(path)}:
                    break
            time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        shown, errors = running.communicate(timeout=30)
    assert running.returncode == 130, errors
    return events(path), shown, errors


def events(path: Path):
    with Journal.open(path, "live") as journal:
        return list(journal.read())


@needs_real
def test_coins_and_stocks_are_collected_together_until_ctrl_c(binance, tmp_path):
    pytest.importorskip("yfinance", reason="the extra `stocks` is not installed")
    now = datetime.now(UTC)
    tape = Tape(calendar=RoundTheClock(), rows={"AAPL": daily(40, now.date() + timedelta(days=1))}, now=now)
    lines = [
        'store = ["ccxt:binance", "yfinance"]',
        'symbols = ["BTC/USDT", "AAPL"]',
        "[instruments.AAPL]",
        'asset_class = "stock"',
        'calendar = "24/7"',  # so that its session runs whenever this test does
    ]
    config = write_lines(tmp_path / "closecall.toml", lines)
    with YahooServer(tape.rows, tape=tape) as yahoo:
        urls = ["--url", f"ccxt:binance={binance.url}", "--url", f"yfinance={yahoo.url}"]
        flags = ["--config", config, "--data-dir", tmp_path / "data", *urls]
        journaled, shown, errors = collected(flags, tmp_path / "data", {"slice", "quote"})
    (begun,) = [row for row in journaled if row.kind == "collecting"]
    assert begun.payload["sources"].keys() == {"ccxt:binance", "yfinance"}
    assert f"at {yahoo.url} (not the official address)" in begun.payload["sources"]["yfinance"]
    (opened,) = [row for row in journaled if row.kind == "slice"]
    assert (opened.payload["phase"], sorted(opened.payload["bars"])) == ("open", ["AAPL", "BTC/USDT"])
    assert opened.as_of == datetime.combine(now.date(), datetime.min.time(), UTC)
    assert shown == ""
    assert "open" in errors
    assert "stopped; the same command resumes" in errors
    assert "Traceback" not in errors


def test_without_a_connection_each_try_is_shown_and_the_end_is_one_clear_line(tmp_path, capsys, monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    flags = ["--symbols", "BTC/USDT", "--since", "2024-01-01", "--data-dir", str(tmp_path)]
    address = ["--url", "ccxt:binance=http://127.0.0.1:9"]
    assert run(["fetch", "bars", "--source", "ccxt:binance", *flags, *address]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("ccxt:binance: no answer (NetworkError, Connection refused); asking again")
    assert [line.partition("; ")[2] for line in lines[:4]] == [
        f"asking again in {seconds} s, try {number} of 5"
        for number, seconds in ((2, 1), (3, 2), (4, 4), (5, 8))
    ]
    assert lines[4].startswith("closecall: ccxt:binance: no answer in 5 tries")
    assert len(lines) == 5
    assert [seconds for seconds in waited if seconds >= 1] == [1, 2, 4, 8]  # ccxt itself waits less


def test_an_import_goes_on_when_nobody_reads_stderr_any_longer(tmp_path):
    bars = write_bars(tmp_path / "bars", "AAA-USD", "BBB-USD")
    flags = ["--bars", *bars, "--adjustment", "raw", "--data-dir", tmp_path / "data", "--json"]
    reader, writer = os.pipe()
    os.close(reader)
    running = ran(
        [CLOSECALL, "fetch", "bars", "--source", "file", *flags],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=writer,
        seconds=60,
    )
    os.close(writer)
    (report,) = json.loads(running.stdout)["fetched"]
    assert (running.returncode, len(report["symbols"])) == (0, 2)
    assert len(list((tmp_path / "data").rglob("*.parquet"))) == 2

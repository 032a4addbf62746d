"""Fetching, checking and backtesting what was fetched, by the commands a user types."""

import json
import threading

import pytest

from tests.support.places import SHARED_DATA
from tests.support.tables_on_disk import write_bars
from tui.cli.main import run

REAL = SHARED_DATA
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not here")


def run_and_read(capsys, *arguments, code=0):
    """What a command printed on stdout; stderr is in `capsys` no longer."""
    assert run(list(map(str, arguments))) == code
    return capsys.readouterr().out


def test_files_go_into_the_store_and_a_backtest_runs_on_it(tmp_path, capsys):
    bars = write_bars(tmp_path, "AAA-USD")
    data = ["--data-dir", tmp_path / "data"]
    fetched = json.loads(
        run_and_read(
            capsys,
            "fetch",
            "bars",
            "--source",
            "file",
            "--bars",
            *bars,
            "--adjustment",
            "raw",
            *data,
            "--json",
        )
    )
    (report,) = fetched["fetched"]
    (symbol,) = report["symbols"]
    assert (symbol["symbol"], symbol["gaps"]) == ("AAA-USD", [])
    result = json.loads(run_and_read(capsys, "backtest", "--store", "file", *data, "--json"))
    assert result["bars"] == symbol["stored"]
    assert "raw prices by" in " ".join(result["notes"])


def test_an_empty_store_names_the_command_that_fills_it(tmp_path, capsys):
    assert run(["backtest", "--store", "ccxt:binance", "--data-dir", str(tmp_path)]) == 3
    assert f"fetch bars --data-dir {tmp_path} --source ccxt:binance" in capsys.readouterr().err
    assert run(["check", "data", "--store", "--data-dir", str(tmp_path)]) == 3
    assert "nothing is stored; fetch first" in capsys.readouterr().err


def test_a_file_that_would_harm_is_found_refused_and_accepted_when_told(tmp_path, capsys):
    (path,) = write_bars(tmp_path, "AAA-USD")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-2] + lines[-1:]) + "\n")
    found = json.loads(run_and_read(capsys, "check", "data", path, "--json", code=4))
    assert found["harmful"] == 1
    assert found["findings"][0]["kind"] == "gap"
    data = ["--data-dir", str(tmp_path / "data")]
    assert run(["backtest", "--bars", str(path), *data]) == 3
    assert "--allow-bad-data" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    told = run_and_read(capsys, "backtest", "--bars", path, "--allow-bad-data", "--json", *data)
    assert "Accepted because of --allow-bad-data" in " ".join(json.loads(told)["notes"])


def test_findings_of_one_kind_are_one_line_of_their_file(tmp_path, capsys):
    (path,) = write_bars(tmp_path, "AAA-USD")
    lines = path.read_text().splitlines()
    kept = [line for number, line in enumerate(lines) if number < 3 or number % 3]
    path.write_text("\n".join(kept) + "\n")
    header, *shown = run_and_read(capsys, "check", "data", path, code=4).splitlines()
    assert header == str(path)
    gaps = len(lines) // 3 - 1
    assert [line.split()[:3] for line in shown if "gap" in line] == [["yes", "gap", str(gaps)]]
    assert f"{gaps} findings, {gaps} would harm a backtest" in shown
    days = [line.split(",")[0] for line in kept[1:]]
    assert shown[-1] == (f"1 file read: {len(days)} bars of 1 symbol, 0 news items, {days[0]} to {days[-1]}")
    read = json.loads(run_and_read(capsys, "check", "data", path, "--json", code=4))["read"]
    assert (read["files"], read["bars"], read["symbols"], read["first"]) == (1, len(days), 1, days[0])


def test_what_is_missing_on_the_command_line_is_named(capsys, tmp_path):
    for arguments, part in (
        (["fetch", "bars"], "--source"),
        (["fetch", "bars", "--source", "ccxt:binance"], "--symbols"),
        (["fetch", "bars", "--source", "file"], "--adjustment"),
        (["fetch", "bars", "--source", "nowhere", "--symbols", "X", "--since", "2024-01-01"], "unknown"),
        (["fetch", "bars", "--source", "nowhere"], "unknown"),
        (["fetch", "bars", "--source", "yfinance", "--url", "http://x"], "SOURCE=URL"),
        (["fetch", "bars", "--source", "yfinance", "--url", "yfinance=ftp://x"], "https://mirror.example"),
        (["fetch", "bars", "--source", "yfinance", "--url", "yfinance=http://u:p@x"], "password out"),
        (["fetch", "bars", "--source", "yfinance", "--url", "eastmoney=http://x"], "not asked"),
        (["backtest", "--store", "binance"], "give ccxt:EXCHANGE"),
        (["fetch", "news"], "--feed"),
        (["check", "data"], "--store"),
        (["collect"], "--source"),
        (["collect", "--source", "yfinance"], "--symbols"),
        (["collect", "--source", "ccxt:binance", "--symbols", "AAPL"], "--source yfinance=AAPL"),
    ):
        assert run([*arguments, "--data-dir", str(tmp_path)]) == 2
        assert part in capsys.readouterr().err


@needs_real
def test_three_markets_in_three_currencies_run_with_rates(tmp_path, capsys):
    days = [f"2021-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    for pair, rate in (("CNYUSD", 0.15), ("USDTUSD", 1.0)):
        rows = [f"{day},{rate + 0.0001 * (n % 7)}" for n, day in enumerate(["2020-12-28", *days])]
        (tmp_path / f"{pair}.csv").write_text("date,close\n" + "\n".join(rows) + "\n")
    bars = [
        REAL / "coins_binance_daily" / "BTCUSDT.csv",
        REAL / "us_stocks_daily" / "AAPL.csv",
        REAL / "cn_stocks_raw" / "600519.csv",
    ]
    window = ["--start", "2021-03-01", "--end", "2021-05-31", "--cash", "1000000"]
    rates = ["--rates", tmp_path / "CNYUSD.csv", tmp_path / "USDTUSD.csv", "--base", "USD"]
    data = ["--data-dir", tmp_path / "data", "--out", tmp_path / "out", "--json"]
    result = json.loads(run_and_read(capsys, "backtest", "--bars", *bars, *window, *rates, *data))
    assert (result["symbols"], result["currency"]) == (["600519", "AAPL", "BTCUSDT"], "USD")
    fills = (tmp_path / "out" / "fills.csv").read_text()
    assert "T00:00:00Z,BTCUSDT," in fills
    assert "T13:30:00Z,AAPL," in fills
    assert "T01:30:00Z,600519," in fills


def test_a_feed_is_fetched_from_a_server_and_kept_once(tmp_path, capsys):
    feed = (
        '<rss version="2.0"><channel><title>Wire</title><item><title>Bitcoin soars after ruling</title>'
        "<guid>1</guid><pubDate>Mon, 01 Jan 2024 10:00:00 GMT</pubDate>"
        "<description>It soars.</description></item></channel></rss>"
    )
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Wire(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/rss+xml")
            self.end_headers()
            self.wfile.write(feed.encode())

        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Wire) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/rss"
        command = ["fetch", "news", "--feed", url, "--articles", "0", "--data-dir", tmp_path, "--json"]
        first, second = (json.loads(run_and_read(capsys, *command)) for _ in range(2))
        server.shutdown()
    assert (first["read"], first["stored"]) == (1, 1)
    assert (second["read"], second["stored"]) == (1, 0)
    assert (tmp_path / "news" / "seen.jsonl").read_text().count("\n") == 1

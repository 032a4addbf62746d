import sys
from datetime import UTC, date, datetime

import pytest

from engine.calendars import load_calendar
from engine.errors import DataError, UsageError
from feeds.files.bars import read_bars
from feeds.history.candles import Adjustment
from feeds.history.client import SourceError, TemporaryError
from feeds.history.download import fetch_bars
from feeds.history.store import BarStore
from feeds.instruments import guess_instrument
from feeds.sources import ccxt_source
from feeds.sources.registry import create_client
from tests.stress.fetch_faults import (
    COINS,
    binance,
    cells,
    clock,
    coin_rows,
    fetch_coins,
    ignore_progress,
    noon_after,
    parse_rows,
    run_with_kills,
    under_faults,
)
from tests.support.own_processes import ran
from tests.support.places import ROOT
from tests.support.servers.bars_on_disk import DATA, DAY_MS
from tests.support.servers.binance import BinanceServer
from tests.support.servers.faults import FaultPlan
from tests.support.servers.okx import OkxServer

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared market data is not on this machine")
BTC = ["BTC/USDT"]
WINDOW = (date(2018, 3, 20), date(2018, 8, 31))
SINCE = WINDOW[0]


@pytest.fixture(scope="module")
def rows():
    return coin_rows(*WINDOW)


def only(kind: str, **more) -> FaultPlan:
    """A plan in which nothing but `kind` happens, to at most one transport in a row."""
    return FaultPlan(seed=1, transport=0.9, rows=0.9, in_a_row=1, kinds=(kind,), **more)


@pytest.mark.slow
def test_all_stored_days_come_back_row_by_row_in_spite_of_faults():
    counts = under_faults([0, 2], coin_rows())
    assert (counts["wrong"], counts["invented"], counts["silent"], counts["lost"]) == (0, 0, 0, 0)
    assert counts["days"] == 2 * (2694 + 2694 + 2479)


@pytest.mark.slow
def test_under_seeded_faults_no_day_is_wrong_missing_or_invented_without_a_named_gap(rows):
    counts = under_faults(range(10), rows)
    assert (counts["wrong"], counts["invented"], counts["silent"]) == (0, 0, 0)
    assert counts["faults"] > 100


@pytest.mark.slow
def test_killed_at_any_moment_the_fetch_resumes_and_ends_identical_without_a_file_left(tmp_path):
    outcome = run_with_kills(6, 4, coin_rows(date(2018, 3, 20), date(2019, 12, 31)), tmp_path)
    assert (outcome["kills"], outcome["differ"], outcome["left"]) == (6, 0, 0)


@pytest.mark.parametrize(
    "kind",
    [
        "429",
        "418",
        "503",
        "reset",
        "stall",
        "truncated",
        "cut",
        "missing",
        "differing",
        "reordered",
        "absurd",
    ],
)
def test_each_kind_of_fault_alone_leaves_no_trace(rows, tmp_path, kind):
    plan = only(kind)
    with BinanceServer(rows, noon_after(rows), plan) as server:
        fetch_coins(server.url, BarStore(tmp_path), symbols=BTC, since=SINCE)
    assert kind in plan.done
    stored = BarStore(tmp_path).read("ccxt:binance", "BTC/USDT")
    assert (cells(stored), stored.gaps) == (parse_rows(rows["BTCUSDT"]), ())


class LastCandleTwice(FaultPlan):
    """The first answer ends in two versions of its last candle, the wrong one first."""

    def spoil(self, rows):
        self.done.append("last candle twice")
        if len(self.done) > 1:
            return list(rows)
        return [*rows[:-1], (*rows[-1][:4], rows[-1][1], rows[-1][5]), rows[-1]]


def test_a_second_version_beyond_the_limit_of_an_answer_is_not_cut_off_unseen(rows, tmp_path):
    with BinanceServer(rows, noon_after(rows), LastCandleTwice(seed=1, transport=0)) as server:
        fetch_coins(server.url, BarStore(tmp_path), symbols=BTC, since=SINCE)
    assert cells(BarStore(tmp_path).read("ccxt:binance", "BTC/USDT")) == parse_rows(rows["BTCUSDT"])


@pytest.mark.parametrize("kind", ["429", "418"])
def test_an_exchange_that_names_a_pause_is_left_alone_that_long(rows, tmp_path, kind):
    waits: list[float] = []
    with BinanceServer(rows, noon_after(rows), only(kind)) as server:
        fetch_coins(server.url, BarStore(tmp_path), symbols=BTC, since=SINCE, sleep=waits.append)
    assert 17.0 in waits


def test_a_truncated_answer_is_no_empty_answer(rows):
    with BinanceServer(rows, noon_after(rows), only("truncated")) as server:
        client = binance(server.url)
        with pytest.raises(TemporaryError, match="the answer is not whole"):
            while True:
                client.server_time()


def test_the_last_candle_is_left_out_by_the_exchanges_own_clock_and_not_by_ours(rows, tmp_path):
    midnight_ms = noon_after(rows) // DAY_MS * DAY_MS
    with BinanceServer(rows, midnight_ms - 1) as server:
        fetch_coins(server.url, BarStore(tmp_path), symbols=BTC, since=SINCE)
        stored = BarStore(tmp_path).read("ccxt:binance", "BTC/USDT")
        assert stored.candles[-1].starts_at.date() == date(2018, 8, 30)
        server.now = midnight_ms
        fetch_coins(server.url, BarStore(tmp_path), symbols=BTC, since=SINCE)
    stored = BarStore(tmp_path).read("ccxt:binance", "BTC/USDT")
    assert stored.candles[-1].starts_at.date() == date(2018, 8, 31)


def test_a_second_fetch_asks_the_exchange_for_nothing_it_has(rows, tmp_path):
    with BinanceServer(rows, noon_after(rows)) as server:
        fetch_coins(
            server.url, BarStore(tmp_path), symbols=BTC, since=date(2018, 5, 1), until=date(2018, 7, 31)
        )
        fetch_coins(server.url, BarStore(tmp_path), symbols=BTC, since=SINCE)
        asked = [
            (int(each.query["startTime"]), int(each.query["limit"]))
            for each in server.count_requests("/klines")
        ]
        days = [(datetime.fromtimestamp(start / 1000, UTC).date(), limit) for start, limit in asked]
        assert days == [(date(2018, 5, 1), 92), (date(2018, 3, 20), 42), (date(2018, 8, 1), 31)]
        fetch_coins(server.url, BarStore(tmp_path), symbols=BTC, since=SINCE)
        assert len(server.count_requests("/klines")) == 3


def test_days_before_a_coin_was_listed_are_a_named_gap(rows, tmp_path):
    with BinanceServer(rows, noon_after(rows)) as server:
        fetch_coins(server.url, BarStore(tmp_path), symbols=BTC, since=date(2017, 8, 17))
    (gap,) = BarStore(tmp_path).read("ccxt:binance", "BTC/USDT").gaps
    assert (gap.first.date(), gap.last.date(), gap.candles) == (date(2017, 8, 17), date(2018, 3, 19), 215)


def test_the_store_says_who_said_it_when_and_that_prices_are_as_traded(rows, tmp_path):
    with BinanceServer(rows, noon_after(rows)) as server:
        fetch_coins(server.url, BarStore(tmp_path), symbols=BTC, since=SINCE)
    stored = BarStore(tmp_path).read("ccxt:binance", "BTC/USDT")
    assert stored.provenance.startswith("binance through ccxt 4.")
    assert (stored.fetched_at, stored.adjustment) == (clock(), "raw")


def test_fetched_bars_are_those_that_the_file_reader_makes_of_the_source(tmp_path):
    rows = coin_rows(date(2024, 1, 1))
    with BinanceServer(rows, noon_after(rows)) as server:
        fetch_coins(server.url, BarStore(tmp_path), symbols=BTC, since=date(2024, 1, 1))
    days = load_calendar("24/7", date(2024, 1, 1), date(2024, 12, 31))
    instrument = guess_instrument("BTCUSDT")
    file = DATA / "coins_binance_daily" / "BTCUSDT.csv"
    fetched = BarStore(tmp_path).read("ccxt:binance", "BTC/USDT").bars(instrument, days)
    assert fetched == read_bars(file, instrument, days, since=date(2024, 1, 1))


def test_no_key_of_the_environment_is_sent_or_written(rows, tmp_path, monkeypatch):
    secrets = {
        name: f"s3cret-{number}"
        for number, name in enumerate(
            (
                "BINANCE_API_KEY",
                "BINANCE_SECRET",
                "BINANCE_APIKEY",
                "API_KEY",
                "CCXT_API_KEY",
                "EXCHANGE_PASSWORD",
            )
        )
    }
    for name, secret in secrets.items():
        monkeypatch.setenv(name, secret)
    netrc = tmp_path / "netrc"
    netrc.write_text("default login user password s3cret-9\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    root = tmp_path / "store"
    with BinanceServer(rows, noon_after(rows)) as server:
        fetch_coins(server.url, BarStore(root), since=SINCE)
        requests = server.requests
    assert len(requests) >= 5
    for request in requests:
        assert "s3cret" not in request.line + str(request.headers)
        assert not {"authorization", "x-mbx-apikey", "cookie"} & set(request.headers)
        assert not {"signature", "apikey", "timestamp"} & {name.lower() for name in request.query}
        assert not request.path.startswith(("/sapi", "/papi"))
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) == len(COINS)
    assert all(b"s3cret" not in path.read_bytes() for path in files)


def test_a_symbol_that_the_exchange_has_not_is_refused_with_the_nearest(rows, tmp_path):
    with (
        BinanceServer(rows, noon_after(rows)) as server,
        pytest.raises(DataError, match="no spot market 'BTC/USDX'; did you mean BTC/USDT"),
    ):
        fetch_coins(server.url, BarStore(tmp_path), symbols=["BTC/USDX"], since=SINCE)


def test_an_exchange_that_refuses_is_not_asked_again(rows):
    with BinanceServer(rows, noon_after(rows)) as server:
        client = binance(server.url)
        client.require(BTC)
        server.rows.clear()
        with pytest.raises(SourceError, match=r"ccxt:binance: refuses the request \(HTTP 400, BadSymbol\)"):
            client.candles("BTC/USDT", datetime(2018, 4, 1, tzinfo=UTC), datetime(2018, 4, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        (
            "ccxt",
            {},
            "source 'ccxt' is unknown; give ccxt:EXCHANGE, yfinance, eastmoney or file",
        ),
        ("ccxt:binanse", {}, "did you mean binance"),
        ("ccxt:binance", {"timeframe": "2d"}, "timeframe '2d' is unknown; choose one of 1m, 5m"),
        (
            "ccxt:gemini",
            {"timeframe": "4h"},
            "an exchange such as ccxt:binance or ccxt:bybit or ccxt:kucoin",
        ),
        ("ccxt:binance", {"adjustment": Adjustment.SPLIT}, "coins have no split prices"),
        ("eastmoney", {"timeframe": "1h"}, "eastmoney gives daily candles only; leave --timeframe 1h out"),
    ],
)
def test_a_source_that_is_not_to_be_had_is_refused(source, more, message):
    with pytest.raises(UsageError, match=message):
        create_client(source, clock=clock, **more)


def test_a_source_is_found_by_its_name():
    client = create_client("ccxt:okx", timeframe="1h", clock=clock)
    assert (client.name, client.timeframe, client.adjustment) == ("ccxt:okx", "1h", Adjustment.RAW)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_okx_comes_back_row_by_row_too(tmp_path, seed):
    rows = {"BTC-USDT": coin_rows(date(2023, 1, 1), date(2024, 6, 30))["BTCUSDT"]}
    plan = None if seed is None else FaultPlan(seed=seed, stall_s=0.5)
    with OkxServer(rows, noon_after(rows), plan) as server:
        settings = {"enableRateLimit": False, "timeout": 400}
        client = ccxt_source.create_client("ccxt:okx", clock=clock, url=server.url, settings=settings)
        store = BarStore(tmp_path)
        fetch_bars(
            client,
            store,
            BTC,
            date(2023, 1, 1),
            None,
            clock=clock,
            sleep=lambda _: None,
            on_progress=ignore_progress,
        )
        assert {each.query["bar"] for each in server.count_requests("candles")} == {"1Dutc"}
    stored = store.read("ccxt:okx", "BTC/USDT")
    assert (cells(stored), stored.gaps) == (parse_rows(rows["BTC-USDT"]), ())


def test_the_fetching_modules_load_no_client_until_one_is_made():
    code = (
        "import sys, feeds.history.download, feeds.history.file_import, feeds.sources.registry\n"
        "heavy = {'ccxt', 'yfinance', 'akshare', 'pandas', 'pyarrow', 'requests', 'exchange_calendars'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = ran(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "[]"

import re
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from engine.calendars import load_calendar
from engine.errors import DataError, UsageError
from feeds.history.candles import Adjustment
from feeds.history.client import BarClient, SourceError
from feeds.history.download import fetch_bars
from feeds.history.store import BarStore
from feeds.history.stored_bars import StoredBars
from feeds.instruments import guess_instrument
from feeds.sources import eastmoney_source, yfinance_source
from feeds.sources.registry import create_client
from feeds.sources.yfinance_source import to_yahoo_symbol
from tests.stress.fetch_faults import cells, clock, ignore_progress, parse_rows
from tests.support.servers.bars_on_disk import DATA, SAMPLES, milliseconds, text_rows
from tests.support.servers.eastmoney import EastmoneyServer
from tests.support.servers.faults import FaultPlan
from tests.support.servers.yahoo import YahooServer

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared market data is not on this machine")
FIRST, LAST = date(2023, 1, 3), date(2023, 12, 29)
FIRST_A, LAST_A = date(2020, 1, 2), date(2020, 12, 31)


@pytest.fixture
def yfinance():
    return pytest.importorskip("yfinance", reason="the extra `stocks` is not installed")


@pytest.fixture
def akshare():
    return pytest.importorskip("akshare", reason="the extra `china` is not installed")


@pytest.fixture
def brk():
    return text_rows(DATA / "us_stocks_daily" / "BRK.B.csv", FIRST, LAST)


@pytest.fixture
def moutai():
    return text_rows(DATA / "cn_stocks_raw" / "600519.csv", FIRST_A, LAST_A)


def fetched(
    client: BarClient, root: Path, symbol: str, since: date = FIRST, until: date = LAST, **more
) -> StoredBars:
    store, sleep = BarStore(root), lambda _: None
    fetch_bars(
        client, store, [symbol], since, until, clock=clock, sleep=sleep, on_progress=ignore_progress, **more
    )
    return store.read(client.name, symbol)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_yahoos_days_come_back_row_by_row(yfinance, brk, tmp_path, seed):
    plan = None if seed is None else FaultPlan(seed=seed, stall_s=0.7)
    with YahooServer({"BRK-B": brk}, plan) as server:
        client = yfinance_source.create_client("yfinance", clock=clock, url=server.url, timeout_s=0.5)
        stored = fetched(client, tmp_path, "BRK.B")
    assert (cells(stored), stored.gaps) == (parse_rows(brk), ())
    assert stored.adjustment is Adjustment.SPLIT
    place = f"at {server.url} (not the official address)"
    assert stored.provenance == f"Yahoo through yfinance {yfinance.__version__} {place}"


def test_yfinances_own_memory_never_answers_when_yahoo_is_asked_again(yfinance, brk, tmp_path):
    with YahooServer({"BRK-B": brk}) as server:
        client = yfinance_source.create_client("yfinance", clock=clock, url=server.url)
        window = datetime(2023, 3, 1, tzinfo=UTC), datetime(2023, 4, 1, tzinfo=UTC)
        before = client.candles("BRK.B", *window)
        server.rows["BRK-B"] = brk[:-1]
        asked = len(server.count_requests("BRK-B"))
        assert client.candles("BRK.B", *window) == before
        assert len(server.count_requests("BRK-B")) > asked


@pytest.mark.slow
def test_dividends_are_worked_in_only_where_that_is_asked_for(yfinance, brk, tmp_path):
    with YahooServer({"BRK-B": brk}, factor=0.5) as server:
        client = yfinance_source.create_client(
            "yfinance", adjustment=Adjustment.SPLIT_DIVIDEND, clock=clock, url=server.url
        )
        stored = fetched(client, tmp_path, "BRK.B")
        assert stored.candles[0].close == pytest.approx(float(brk[0][4]) / 2)
        with pytest.raises(DataError, match=r"fetch with --adjustment split\+dividend, or replace"):
            fetched(yfinance_source.create_client("yfinance", clock=clock, url=server.url), tmp_path, "BRK.B")


@pytest.mark.slow
def test_a_split_that_came_after_the_last_fetch_is_noticed(yfinance, brk, tmp_path):
    halved = [(row[0], *(repr(float(cell) / 2) for cell in row[1:5]), row[5]) for row in brk]
    with YahooServer({"BRK-B": brk}) as server:
        client = yfinance_source.create_client("yfinance", clock=clock, url=server.url)
        fetched(client, tmp_path, "BRK.B", until=date(2023, 6, 30))
        server.rows["BRK-B"] = halved
        with pytest.raises(DataError, match="restated after a split or dividend; fetch again with --refresh"):
            fetched(client, tmp_path, "BRK.B")
        assert cells(fetched(client, tmp_path, "BRK.B", refresh=True)) == parse_rows(halved)


def test_a_stocks_running_day_is_not_stored_until_half_an_hour_after_the_close(yfinance, brk, tmp_path):
    closes_at = datetime(2023, 12, 29, 21, tzinfo=UTC)
    with YahooServer({"BRK-B": brk}) as server:
        for late, last in ((29, date(2023, 12, 28)), (30, date(2023, 12, 29))):
            now = closes_at + timedelta(minutes=late)
            client = yfinance_source.create_client("yfinance", clock=lambda now=now: now, url=server.url)
            stored = fetched(client, tmp_path, "BRK.B", since=date(2023, 12, 1))
            assert stored.candles[-1].starts_at.date() == last


@pytest.mark.parametrize(
    ("symbol", "market", "refusal"),
    [
        ("SAP.DE", ("EUR", "Europe/Berlin"), None),
        ("7203.T", ("JPY", "Asia/Tokyo"), None),
        ("VOD.L", ("GBp", "Europe/London"), None),
        ("000001.SZ", ("CNY", "Asia/Shanghai"), None),
        ("BTC-USD", ("USD", "UTC"), None),
        ("EQNR.XX", ("NOK", "Europe/Oslo"), 'set calendar = "XOSL" and currency = "NOK" under'),
        ("N225", ("JPY", "Asia/Tokyo"), 'calendar = "XTKS"'),
        ("SHEL.L", ("USD", "Europe/London"), 'currency = "USD" under'),
        ("ASML", ("USD", "Europe/Amsterdam"), "the zone Europe/Amsterdam, which are not those of XNYS"),
    ],
)
def test_the_market_that_yahoo_states_is_the_instruments_or_refused(
    yfinance, tmp_path, symbol, market, refusal
):
    instrument = guess_instrument(symbol)
    calendar = load_calendar(instrument.calendar, FIRST, date(2023, 2, 1))
    days = [day for day in (FIRST + timedelta(days=number) for number in range(20)) if calendar.session(day)]
    rows = [(milliseconds(day), "100.0", "102.0", "99.0", "101.0", "5000") for day in days]
    with YahooServer({symbol: rows}, market=market) as server:
        client = yfinance_source.create_client("yfinance", clock=clock, url=server.url)
        if refusal:
            with pytest.raises(SourceError, match=re.escape(refusal)):
                fetched(client, tmp_path, symbol, until=days[-1])
            return
        stored = fetched(client, tmp_path, symbol, until=days[-1])
    assert stored.gaps == ()
    assert [bar.opens_at for bar in stored.bars(instrument, calendar)] == [
        calendar.session(day)[0] for day in days
    ]


def test_a_symbol_that_yahoo_has_not_is_refused_after_asking_again(yfinance, brk, tmp_path):
    with YahooServer({"BRK-B": brk}) as server:
        client = yfinance_source.create_client("yfinance", clock=clock, url=server.url)
        with pytest.raises(SourceError):
            fetched(client, tmp_path, "NOSUCH", since=date(2023, 12, 1))
    assert BarStore(tmp_path).symbols("yfinance") == []


def test_yfinance_leaves_no_cookie_and_no_zone_on_the_disk(yfinance, brk, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with YahooServer({"BRK-B": brk}) as server:
        fetched(
            yfinance_source.create_client("yfinance", clock=clock, url=server.url),
            tmp_path / "store",
            "BRK.B",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_eastmoneys_days_come_back_row_by_row(akshare, moutai, tmp_path, seed):
    plan = None if seed is None else FaultPlan(seed=seed, stall_s=0.7)
    with EastmoneyServer({("600519", "0"): moutai}, plan) as server:
        client = eastmoney_source.create_client("eastmoney", clock=clock, timeout_s=0.5, url=server.url)
        stored = fetched(client, tmp_path, "600519", FIRST_A, LAST_A)
    lots = {
        start: (*row[:4], float(f"{row[4] / 100:.0f}") * 100) for start, row in parse_rows(moutai).items()
    }
    assert (cells(stored), stored.gaps) == (lots, ())
    assert (stored.adjustment, stored.provenance[:19]) == (Adjustment.RAW, "EastMoney through a")


def test_days_on_which_a_share_was_suspended_are_named_gaps(akshare, tmp_path):
    rows = text_rows(DATA / "cn_stocks_raw" / "600391.csv", date(2012, 4, 5), date(2016, 12, 30))
    with EastmoneyServer({("600391", "0"): rows}) as server:
        client = eastmoney_source.create_client("eastmoney", clock=clock, url=server.url)
        stored = fetched(client, tmp_path, "600391", date(2012, 4, 5), date(2016, 12, 30))
    assert len(stored.candles) == len(rows)
    assert stored.gaps
    assert all(gap.reason.startswith("the source has no candle") for gap in stored.gaps)


def test_adjusted_prices_are_asked_for_as_such(akshare, moutai, tmp_path):
    with EastmoneyServer({("600519", "1"): moutai}) as server:
        client = eastmoney_source.create_client(
            "eastmoney", adjustment=Adjustment.SPLIT_DIVIDEND, clock=clock, url=server.url
        )
        assert fetched(client, tmp_path, "600519", FIRST_A, LAST_A).adjustment is Adjustment.SPLIT_DIVIDEND


def test_the_recorded_answer_of_eastmoney_is_read(akshare):
    recorded = (SAMPLES / "eastmoney_kline_601872_daily.json").read_text(encoding="utf-8")
    with EastmoneyServer({}) as server:
        server.answer = lambda request: recorded
        client = eastmoney_source.create_client("eastmoney", clock=clock, url=server.url)
        rows = client.candles("601872", datetime(2024, 12, 18, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
    assert len(rows) == 10
    assert list(rows[0][1:]) == [6.11, 6.28, 6.10, 6.18, 84274300.0]


def test_a_word_that_is_no_a_share_is_refused(akshare, tmp_path):
    with pytest.raises(DataError, match="'AAPL' is no A-share; give six digits such as 600519"):
        fetched(eastmoney_source.create_client("eastmoney", clock=clock), tmp_path, "AAPL")


@pytest.mark.parametrize(
    ("source", "library", "extra"), [("yfinance", "yfinance", "stocks"), ("eastmoney", "akshare", "china")]
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(monkeypatch, source, library, extra):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=rf"needs {library}; run: pip install 'closecall\[{extra}\]'"):
        create_client(source, clock=clock)


def test_prices_that_a_source_does_not_have_are_refused():
    with pytest.raises(UsageError, match="yfinance has no raw prices"):
        yfinance_source.create_client("yfinance", adjustment=Adjustment.RAW, clock=clock)
    with pytest.raises(UsageError, match="eastmoney has no split-only prices"):
        eastmoney_source.create_client("eastmoney", adjustment=Adjustment.SPLIT, clock=clock)


@pytest.mark.parametrize(
    ("symbol", "spelt"), [("BRK.B", "BRK-B"), ("AAPL", "AAPL"), ("BP.L", "BP.L"), ("600519.SS", "600519.SS")]
)
def test_share_classes_are_spelt_yahoos_way(symbol, spelt):
    assert to_yahoo_symbol(symbol) == spelt

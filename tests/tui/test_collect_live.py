"""The collector on a real ccxt client that talks to an exchange on loopback."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from engine.errors import UsageError
from engine.journal.journal import Journal
from feeds.history.client import SourceError
from feeds.instruments import guess_instrument
from strategies.config_file import load_config
from strategies.live_data import collect_live
from strategies.source_routing import RetryContext, assign_symbols, split_sources
from tests.support.servers.bars_on_disk import DATA, DAY_MS, text_rows
from tests.support.servers.binance import BinanceServer

needs_real = pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not here")


@needs_real
def test_a_live_collection_journals_prices_and_the_exchange_s_clock_and_reads_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv("BINANCE_APIKEY", "very-secret")
    rows = text_rows(DATA / "coins_binance_daily" / "BTCUSDT.csv")[-40:]
    exchange_now = rows[-1][0] + DAY_MS + DAY_MS // 2
    started = datetime.fromtimestamp(exchange_now / 1000, UTC)
    begun = datetime.now(UTC)
    stop = threading.Event()
    threading.Timer(6, stop.set).start()
    with BinanceServer({"BTCUSDT": rows}, exchange_now) as server:
        collect_live(
            settings(["ccxt:binance"], ["BTC/USDT"], sources={"ccxt:binance": {"url": server.url}}),
            {},
            name="live",
            data_dir=tmp_path,
            clock=lambda: started + (datetime.now(UTC) - begun),
            waiting=RetryContext(sleep=lambda _seconds: None, stop=stop),
        )
    with Journal.open(tmp_path / "collections" / "live" / "journal.sqlite", "live") as journal:
        journal.verify()
        events = list(journal.read())
    kinds = {event.kind for event in events}
    assert "collecting" in kinds
    assert "slice" in kinds
    (opened,) = [e for e in events if e.kind == "slice"]
    assert (opened.payload["phase"], list(opened.payload["bars"])) == ("open", ["BTC/USDT"])
    assert opened.as_of == started.replace(hour=0, minute=0, second=0, microsecond=0)
    assert started - opened.as_of == timedelta(hours=12)
    assert b"very-secret" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*.sqlite*"))


@pytest.mark.parametrize(
    ("sources", "symbols", "name", "part"),
    [
        (["ccxt:binance"], ["AAPL"], "live", "--source yfinance=AAPL"),
        (["ccxt:binance"], ["BTC/USDT"], "../up", "letters"),
        (["ccxt:binance"], [], "live", "--symbols"),
        (["file"], ["AAPL"], "live", "files have no live prices"),
        (["binance"], ["BTC/USDT"], "live", "source 'binance' is unknown"),
        (["ccxt:binance", "eastmoney"], ["AAPL"], "live", "none of ccxt:binance, eastmoney takes AAPL"),
    ],
)
def test_what_cannot_be_collected_is_refused_before_anything_is_written(
    tmp_path, sources, symbols, name, part
):
    with pytest.raises(UsageError, match=part):
        collect_live(
            settings(sources, symbols),
            {},
            name=name,
            data_dir=tmp_path,
            clock=lambda: datetime.now(UTC),
            waiting=RetryContext(sleep=lambda _seconds: None),
        )
    assert list(tmp_path.iterdir()) == []


def test_an_exchange_that_is_not_there_is_given_up_with_each_pause_told(tmp_path):
    told, slept = [], []
    with pytest.raises(SourceError, match=r"ccxt:binance: no answer in 5 tries .*check the connection"):
        collect_live(
            settings(["ccxt:binance"], ["BTC/USDT"], sources={"ccxt:binance": {"url": "http://127.0.0.1:9"}}),
            {},
            name="live",
            data_dir=tmp_path,
            clock=lambda: datetime.now(UTC),
            waiting=RetryContext(sleep=slept.append, on_wait=told.append),
        )
    assert [wait.seconds for wait in told] == slept == [1, 2, 4, 8]
    assert [(wait.tried, wait.tries) for wait in told] == [(1, 5), (2, 5), (3, 5), (4, 5)]


KINDS = {"BTC/USDT": "ccxt:a", "600519": "eastmoney", "AAPL": "yfinance", "600519.SS": "eastmoney"}


def test_each_symbol_goes_to_the_source_of_its_kind_and_a_named_one_where_it_is_told():
    instruments = {symbol: guess_instrument(symbol) for symbol in KINDS}
    sources = ["yfinance", "ccxt:a", "eastmoney"]
    found = assign_symbols(sources, instruments, {}, asks_nobody)
    assert found == {"yfinance": ["AAPL"], "ccxt:a": ["BTC/USDT"], "eastmoney": ["600519", "600519.SS"]}
    told = assign_symbols(sources, instruments, {"600519.SS": "yfinance"}, asks_nobody)
    assert told["yfinance"] == ["AAPL", "600519.SS"]
    assert assign_symbols(["yfinance"], instruments, {}, asks_nobody) == {"yfinance": list(KINDS)}


def test_of_two_exchanges_the_first_that_lists_a_coin_gets_it():
    instruments = {symbol: guess_instrument(symbol) for symbol in ("BTC/USDT", "KCS/USDT")}
    listed = {("ccxt:a", "BTC/USDT"), ("ccxt:b", "BTC/USDT"), ("ccxt:b", "KCS/USDT")}
    found = assign_symbols(["ccxt:a", "ccxt:b"], instruments, {}, lambda *pair: pair in listed)
    assert found == {"ccxt:a": ["BTC/USDT"], "ccxt:b": ["KCS/USDT"]}


def test_symbols_that_are_named_with_their_source_are_read_and_contradictions_refused():
    words = ["ccxt:binance=BTC/USDT,ETH/USDT", "yfinance=AAPL", "eastmoney", "yfinance=MSFT"]
    sources, tied = split_sources(words)
    assert sources == ["ccxt:binance", "yfinance", "eastmoney"]
    assert tied == {
        "BTC/USDT": "ccxt:binance",
        "ETH/USDT": "ccxt:binance",
        "AAPL": "yfinance",
        "MSFT": "yfinance",
    }
    for words in (["yfinance=AAPL", "eastmoney=AAPL"], ["yfinance="], ["yfinance=AAPL,,MSFT"]):
        with pytest.raises(UsageError, match="--source"):
            split_sources(words)


def settings(store, symbols, **more):
    return load_config(None, {"store": tuple(store), "symbols": symbols, **more})


def asks_nobody(source, symbol):
    pytest.fail(f"{source} was asked for {symbol}")

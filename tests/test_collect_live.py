"""The collector on a real ccxt client that talks to an exchange on loopback."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from servers.bars_on_disk import DATA, DAY_MS, text_rows
from servers.binance import BinanceServer

from engine.errors import UsageError
from engine.journal import Journal
from strategies.collecting import collect_live

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
            "ccxt:binance",
            ["BTC/USDT"],
            [],
            name="live",
            data_dir=tmp_path,
            clock=lambda: started + (datetime.now(UTC) - begun),
            sleep=lambda _seconds: None,
            stop=stop,
            urls=server.urls,
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
    ("source", "symbol", "name", "part"),
    [
        ("yfinance", "AAPL", "live", "ccxt:EXCHANGE"),
        ("ccxt:binance", "AAPL", "live", "BTC/USDT"),
        ("ccxt:binance", "BTC/USDT", "../up", "letters"),
    ],
)
def test_what_cannot_be_collected_is_refused_before_anything_is_written(tmp_path, source, symbol, name, part):
    with pytest.raises(UsageError, match=part):
        collect_live(
            source,
            [symbol],
            [],
            name=name,
            data_dir=tmp_path / "data",
            clock=lambda: datetime.now(UTC),
            sleep=lambda _seconds: None,
        )
    assert not (tmp_path / "data").exists()

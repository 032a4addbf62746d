"""The wire form of the twenty most used exchanges: what a client of each makes of an answer on loopback."""

import json
from datetime import UTC, datetime, timedelta

import ccxt
import pytest

from engine.errors import DataError
from feeds.history.candles import DAY, EPOCH
from feeds.history.client import SourceError
from feeds.history.download import fetch_bars
from feeds.history.store import BarStore
from feeds.sources import ccxt_source
from tests.support.servers.faults import Loopback

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
NOW = FIRST + 5 * DAY
MILLISECOND, SECOND = timedelta(milliseconds=1), timedelta(seconds=1)

# By exchange: the symbol and its id there, the path of candles, the keys around them, the unit of time ("iso"
# for a text), whether the newest comes first, and the columns of a row: a list, or the names of a table.
WIRES = {
    "binance": ("BTC/USDT BTCUSDT", "/klines", "", MILLISECOND, False, "tohlcv"),
    "binanceus": ("BTC/USDT BTCUSDT", "/klines", "", MILLISECOND, False, "tohlcv"),
    "bingx": ("BTC/USDT BTC-USDT", "/market/kline", "data", MILLISECOND, True, "tohlcv"),
    "bitfinex": ("BTC/USD tBTCUSD", "/hist", "", MILLISECOND, False, "tochlv"),
    "bitget": ("BTC/USDT BTCUSDT", "/market/candles", "data", MILLISECOND, False, "tohlcv"),
    "bitstamp": (
        "BTC/USD btcusd", "/ohlc/btcusd/", "data.ohlc", SECOND, False, "timestamp open high low close volume"
    ),
    "bybit": ("BTC/USDT BTCUSDT", "/market/kline", "result.list", MILLISECOND, True, "tohlcv"),
    "coinbase": ("BTC/USD BTC-USD", "/candles", "candles", SECOND, True, "start open high low close volume"),
    "cryptocom": ("BTC/USD BTC_USD", "/get-candlestick", "result.data", MILLISECOND, False, "t o h l c v"),
    "gate": ("BTC/USDT BTC_USDT", "/candlesticks", "", SECOND, False, "t-chlov"),
    "gemini": ("BTC/USD btcusd", "/v2/candles/btcusd/1day", "", MILLISECOND, True, "tohlcv"),
    "htx": ("BTC/USDT btcusdt", "/history/candles", "data", SECOND, True, "id open high low close amount"),
    "kraken": ("BTC/USD XXBTZUSD", "/OHLC", "result.XXBTZUSD", SECOND, False, "tohlc-v"),
    "kucoin": ("BTC/USDT BTC-USDT", "/market/candles", "data", SECOND, True, "tochlv"),
    "mexc": ("BTC/USDT BTCUSDT", "/klines", "", MILLISECOND, False, "tohlcv"),
    "okx": ("BTC/USDT BTC-USDT", "/market/candles", "data", MILLISECOND, True, "tohlcv"),
    "poloniex": ("BTC/USDT BTC_USDT", "/candles", "", MILLISECOND, False, "lhoc-v------t-"),
    "upbit": (
        "BTC/KRW KRW-BTC", "/candles/days", "", "iso", True,
        "candle_date_time_utc opening_price high_price low_price trade_price candle_acc_trade_volume",
    ),
    "whitebit": ("BTC/USDT BTC_USDT", "/kline", "result", SECOND, False, "tochlv"),
    "lbank": ("BTC/USDT btc_usdt", "/kline.do", "data", SECOND, False, "tohlcv"),
}  # fmt: skip

# What some put beside the candles to say that all is well.
STATUS = {
    "bingx": {"code": 0},
    "bitget": {"code": "00000"},
    "bybit": {"retCode": 0},
    "cryptocom": {"code": 0},
    "htx": {"status": "ok"},
    "kraken": {"error": []},
    "kucoin": {"code": "200000"},
    "lbank": {"result": "true"},
    "okx": {"code": "0"},
    "whitebit": {"success": True},
}


def day_rows(first=FIRST, days=5, step=DAY):
    """Time, open, high, low, close and volume of an own walk."""
    return [(first + n * step, 100.5 + n, 103.25 + n, 99.75 + n, 101.5 + n, 7.125 + n) for n in range(days)]


def wire_form(exchange, rows):
    _, _, keys, unit, newest_first, columns = WIRES[exchange]
    encoded = []
    for at, *numbers in rows:
        stamp = at.strftime("%Y-%m-%dT%H:%M:%S") if unit == "iso" else (at - EPOCH) // unit
        values = dict(zip("tohlcv", [stamp, *map(str, numbers)], strict=True))
        if " " in columns:
            encoded.append(dict(zip(columns.split(), values.values(), strict=True)))
        else:
            encoded.append([values.get(column, "0") for column in columns])
    answer = encoded[::-1] if newest_first else encoded
    for key in reversed(keys.split(".") if keys else []):
        answer = {key: answer, **STATUS.get(exchange, {})}
    return json.dumps(answer)


class Exchange(Loopback):
    """Answers requests for candles in an exchange's form, and others by the end of their path."""

    def __init__(self, exchange, rows, others=None):
        super().__init__(self._answer, None)
        self.exchange, self.rows, self.others = exchange, rows, others or {}

    def _answer(self, request):
        if WIRES[self.exchange][1] in request.path:
            period = request.query.get("period", "")
            return wire_form(self.exchange, self.rows[period] if isinstance(self.rows, dict) else self.rows)
        found = next((body for end, body in self.others.items() if request.path.endswith(end)), None)
        return (404, "{}") if found is None else json.dumps(found)


def create_client(exchange, url, *, markets=True):
    symbol, market_id = WIRES[exchange][0].split()
    base, quote = symbol.split("/")
    kinds = {
        "spot": True,
        "margin": False,
        "swap": False,
        "future": False,
        "option": False,
        "contract": False,
    }
    market = {
        "id": market_id,
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "baseId": base,
        "quoteId": quote,
    }
    market |= {"type": "spot", "linear": None, "inverse": None, "settle": None, "active": True, **kinds}
    market |= {"precision": {"price": 0.01, "amount": 0.001}, "limits": {}, "info": {}, "stock": False}
    settings = {"enableRateLimit": False, "timeout": 5000} | (
        {"markets": {symbol: market}} if markets else {}
    )
    return ccxt_source.create_client(f"ccxt:{exchange}", clock=lambda: NOW, url=url, settings=settings)


@pytest.mark.parametrize("exchange", WIRES)
def test_days_of_an_exchange_are_read_from_its_wire_form(exchange):
    rows = day_rows()
    with Exchange(exchange, rows) as server:
        client = create_client(exchange, server.url)
        candles = client.candles(WIRES[exchange][0].split()[0], FIRST, NOW)
    stamps = [(at - EPOCH) // MILLISECOND for at, *_ in rows]
    assert [list(row) for row in candles] == [
        [stamp, *row[1:]] for stamp, row in zip(stamps, rows, strict=True)
    ]
    assert 100 <= client.page <= 10_000


def test_each_exchange_of_ccxt_loads_its_spot_markets_alone_in_its_own_form_of_the_setting():
    for name in ccxt.exchanges:
        before = getattr(ccxt, name)()
        if not (before.has["fetchOHLCV"] and "1d" in (before.timeframes or {})):
            continue
        after = ccxt_source.create_client(f"ccxt:{name}", clock=lambda: NOW)._exchange
        stated, types = (each.options.get("fetchMarkets") for each in (before, after))
        if not (isinstance(stated, dict) and "types" in stated):
            assert types == stated
        elif isinstance(stated["types"], list):
            assert types == stated | {"types": ["spot"]}
        else:
            assert types["types"].keys() == stated["types"].keys()
            assert "'spot': True" in str(types) and str(types["types"]).count("True") == 1


HTX_MARKETS = {
    "status": "ok",
    "data": [
        {
            "symbol": "btcusdt",
            "base-currency": "btc",
            "quote-currency": "usdt",
            "state": "online",
            "price-precision": 2,
            "amount-precision": 6,
            "value-precision": 8,
            "symbol-partition": "main",
        }
    ],
}
HTX = {"/v1/common/symbols": HTX_MARKETS, "/v1/common/timestamp": {"status": "ok", "data": 1704499200000 + 5}}


def fetch_htx(tmp_path, rows):
    with Exchange("htx", rows, HTX) as server:
        client = create_client("htx", server.url, markets=False)
        store, more = BarStore(tmp_path), {"sleep": lambda _: None, "on_progress": lambda *_: None}
        fetch_bars(client, store, ["BTC/USDT"], FIRST.date(), None, clock=lambda: NOW, **more)
    return store.read("ccxt:htx", "BTC/USDT")


def test_days_that_begin_in_the_afternoon_are_joined_from_candles_that_begin_at_midnight(tmp_path):
    hour = timedelta(hours=1)
    parts = day_rows(FIRST - DAY, days=6 * 7 + 3, step=4 * hour)
    del parts[6 * 3 + 2]  # an hour of the third day
    stored = fetch_htx(tmp_path, {"1day": day_rows(FIRST - 8 * hour), "4hour": parts})
    assert [candle.starts_at for candle in stored.candles] == [FIRST + n * DAY for n in (0, 1, 3, 4)]
    assert [(gap.first, gap.candles) for gap in stored.gaps] == [(FIRST + 2 * DAY, 1)]
    first = parts[6:12]
    assert stored.candles[0].prices == (first[0][1], first[-1][2], first[0][3], first[-1][4])
    assert stored.candles[0].volume == sum(row[5] for row in first)
    assert stored.provenance.endswith("days joined from 4h candles")


def test_days_that_begin_in_the_afternoon_and_cannot_be_joined_are_refused(tmp_path):
    days = day_rows(FIRST - timedelta(hours=8))
    with pytest.raises(SourceError, match="ccxt:htx: its days begin at 16:00 UTC, not at midnight"):
        fetch_htx(tmp_path, {"1day": days, "4hour": days})


def test_the_running_day_is_joined_as_far_as_it_has_come_for_a_live_source():
    parts = day_rows(FIRST + 4 * DAY, days=9, step=timedelta(hours=4))
    rows = {"1day": day_rows(FIRST + timedelta(hours=16)), "4hour": parts}
    with Exchange("htx", rows, HTX) as server:
        client = create_client("htx", server.url, markets=False)
        bars = ccxt_source.create_live_source(client, {}).closed_bars("BTC/USDT", FIRST + 4 * DAY)
    assert [(bar.opens_at, bar.close) for bar in bars] == [
        (FIRST + 4 * DAY, parts[5][4]),
        (FIRST + 5 * DAY, parts[8][4]),
    ]


TRADED = 1704499100000
TICKERS = {
    "kraken": {
        "/Ticker": {"error": [], "result": {"XXBTZUSD": {"c": ["41900.1", "1"]}}},
        "/Trades": {
            "error": [],
            "result": {"XXBTZUSD": [["41900.5", "1", TRADED / 1000, "b", "m", "", 7]], "last": "7"},
        },
    },
    "bitfinex": {
        "/ticker/tBTCUSD": [1, 1, 1, 1, 1, 1, 41900.1, 1, 1, 1],
        "/hist": [[7, TRADED, -1, 41900.5], [6, TRADED - 9000, 1, 41000.5]],
    },
    "gate": {
        "/tickers": [{"currency_pair": "BTC_USDT", "last": "41900.1"}],
        "/trades": [
            {"id": "7", "create_time_ms": f"{TRADED}.5", "side": "buy", "amount": "1", "price": "41900.5"}
        ],
    },
    "whitebit": {
        "/ticker": {"BTC_USDT": {"last_price": "41900.1"}},
        "/trades/BTC_USDT": [
            {
                "tradeID": 7,
                "price": "41900.5",
                "quote_volume": "1",
                "base_volume": "1",
                "trade_timestamp": TRADED // 1000,
                "type": "buy",
            }
        ],
    },
}


@pytest.mark.parametrize("exchange", TICKERS)
def test_the_last_trade_has_its_time_where_the_ticker_has_none(exchange):
    with Exchange(exchange, [], TICKERS[exchange]) as server:
        server.answer = lambda request: next(
            (json.dumps(body) for end, body in TICKERS[exchange].items() if request.path.endswith(end)),
            (404, "{}"),
        )
        traded = create_client(exchange, server.url).last_trade(WIRES[exchange][0].split()[0])
    assert traded == (41900.5, EPOCH + TRADED * MILLISECOND)


def test_a_contract_that_settles_in_a_coin_is_no_spot_market():
    with Exchange("htx", [], HTX) as server:
        client = create_client("htx", server.url, markets=False)
        with pytest.raises(DataError, match="no spot market 'BTC/USDT:USDT'; did you mean BTC/USDT"):
            client.require(["BTC/USDT:USDT"])

"""The forms in which exchanges, vendors and notebooks write daily bars."""

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

Line = list[str]
Bars = list[tuple[date, float, float, float, float, int]]
NEW_YORK = ZoneInfo("America/New_York")


def draw_bars(seed: int, count: int, *, weekends: bool) -> Bars:
    """Bars of consecutive days with two decimals, whose opens lie near the close before."""
    dice, day, close, bars = random.Random(seed), date(2024, 1, 1), 150 * 10 ** (seed % 3), Bars()
    while len(bars) < count:
        day += timedelta(days=1)
        if day.weekday() > 4 and not weekends:
            continue
        open_ = round(close * dice.gauss(1, 0.002), 2)
        close = round(open_ * dice.gauss(1, 0.02), 2)
        high = round(max(open_, close) * (1 + abs(dice.gauss(0, 0.01))), 2)
        low = round(min(open_, close) * (1 - abs(dice.gauss(0, 0.01))), 2)
        bars.append((day, open_, high, low, close, dice.randint(1_000_000, 9_000_000)))
    return bars


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One form: how a header and a bar are written; `wrap` makes the bytes of the file from its lines."""

    name: str
    header: Line
    row: Callable[[date, str, str, str, str, int], Line]
    file: str = "X.csv"
    delimiter: str = ","
    weekends: bool = False
    newest_first: bool = False
    before: tuple[str, ...] = ()
    quoted: bool = False
    wrap: Callable[[str], bytes] = str.encode

    def lines(self, bars: Bars) -> list[Line]:
        """The header, if there is one, and the rows in their order."""
        rows = [self.row(day, *(f"{price:.2f}" for price in prices), volume) for day, *prices, volume in bars]
        return [*([[*self.header]] if self.header else []), *(rows[::-1] if self.newest_first else rows)]

    def write(self, lines: Sequence[Line]) -> bytes:
        """The file of these lines."""
        quote = '"' if self.quoted else ""
        cells = [self.delimiter.join(f"{quote}{cell}{quote}" for cell in line) for line in lines]
        return self.wrap("\n".join([*self.before, *cells]) + "\n")


def epoch(day: date, unit: int = 1, hours: float = 0, zone: ZoneInfo | None = None) -> str:
    moment = datetime(day.year, day.month, day.day, tzinfo=zone or UTC) + timedelta(hours=hours)
    return str(int(moment.timestamp()) * unit)


def german(price: str) -> str:
    return f"{float(price):,.2f}".translate(str.maketrans(",.", ".,"))


def zipped(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("X.csv", text)
    return file.getvalue()


def in_table(kind: str, index: Callable[[date], object]) -> Callable[[str], bytes]:
    """A Parquet or Feather file of the lines, with typed columns."""

    def wrap(text: str) -> bytes:
        import pandas as pd

        frame = pd.read_csv(io.StringIO(text))
        first = frame.columns[0]
        frame[first] = [index(date.fromisoformat(day)) for day in frame[first]]
        file = io.BytesIO()
        (frame.to_parquet if kind == "parquet" else frame.to_feather)(file)
        return file.getvalue()

    return wrap


def as_json(shape: Callable[[list[list[object]]], object]) -> Callable[[str], bytes]:
    """A JSON file of the lines; cells of numbers become numbers."""

    def wrap(text: str) -> bytes:
        rows = [line.split(",") for line in text.strip().split("\n")]
        return json.dumps(shape([[_number(cell) for cell in row] for row in rows])).encode()

    return wrap


def _number(cell: str) -> object:
    try:
        return int(cell) if cell.isdigit() else float(cell)
    except ValueError:
        return cell


def _objects(rows: list[list[object]]) -> list[dict[object, object]]:
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


_OHLCV = ["Open", "High", "Low", "Close", "Volume"]
_SMALL = ["open", "high", "low", "close", "volume"]
_BINANCE = ["open_time", *_SMALL, "close_time", "quote_volume", "count", "taker_buy_volume"]
_BINANCE += ["taker_buy_quote_volume", "ignore"]
_CDD = ["Unix", "Date", "Symbol", "Open", "High", "Low", "Close", "Volume BTC", "Volume USDT", "tradecount"]
_TUSHARE = ["ts_code", "trade_date", "open", "high", "low", "close", "pre_close", "vol", "amount"]
_AKSHARE = ["日期", "股票代码", "开盘", "收盘", "最高", "最低", "成交量", "成交额", "振幅"]
_MT5 = ["<DATE>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>", "<VOL>", "<SPREAD>"]
_STOOQ = [
    "<TICKER>",
    "<PER>",
    "<DATE>",
    "<TIME>",
    "<OPEN>",
    "<HIGH>",
    "<LOW>",
    "<CLOSE>",
    "<VOL>",
    "<OPENINT>",
]
_YAHOO = ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]
_MARKETCAP = ["timeOpen", "timeClose", "name", *_SMALL, "marketCap", "timestamp"]


def _binance(unit: int) -> Callable[..., Line]:
    def row(d: date, o: str, h: str, lo: str, c: str, v: int) -> Line:
        end = str((int(epoch(d)) + 86_400) * unit - 1)
        return [epoch(d, unit), o, h, lo, c, str(v), end, f"{v * float(c):.1f}", "9", "1", "1", "0"]

    return row


def _plain(day: Callable[[date], str]) -> Callable[..., Line]:
    return lambda d, o, h, lo, c, v: [day(d), o, h, lo, c, str(v)]


def _form(name: str, day: Callable[[date], str], header: Line | None = None, **rest: object) -> Dialect:
    """One with the columns date, open, high, low, close, volume."""
    return Dialect(name=name, header=["date", *_SMALL] if header is None else header, row=_plain(day), **rest)


DIALECTS = (
    _form("own", str),
    _form("own, newest first", str, newest_first=True),
    _form("without a header", str, []),
    Dialect(name="Binance ms", header=[], row=_binance(1_000), file="BTCUSDT-1d-2024-01.csv", weekends=True),
    Dialect(name="Binance µs", header=[], row=_binance(1_000_000), weekends=True),
    Dialect(name="Binance with a header", header=_BINANCE, row=_binance(1_000), weekends=True),
    Dialect(
        name="CryptoDataDownload",
        header=_CDD,
        row=lambda d, o, h, lo, c, v: [
            *(epoch(d, 1_000), str(d), "BTCUSDT", o, h, lo, c, str(v), f"{v * float(c):.1f}", "10"),
        ],
        before=("https://www.CryptoDataDownload.com",),
        weekends=True,
        newest_first=True,
    ),
    Dialect(
        name="Bitstamp",
        header=["unix", "date", "symbol", "open", "high", "low", "close", "Volume BTC", "Volume USD"],
        row=lambda d, o, h, lo, c, v: [
            *(epoch(d), f"{d} 00:00:00", "BTC/USD", o, h, lo, c, str(v), f"{v * float(c):.1f}"),
        ],
        weekends=True,
    ),
    Dialect(
        name="Kraken",
        header=[],
        row=lambda d, o, h, lo, c, v: [epoch(d), o, h, lo, c, str(v), "10"],
        file="XBTUSD_1440.csv",
        weekends=True,
    ),
    Dialect(
        name="Kraken's API",
        header=[],
        row=lambda d, o, h, lo, c, v: [epoch(d), o, h, lo, c, o, str(v), "7"],
        file="X.json",
        weekends=True,
        wrap=as_json(lambda rows: {"error": [], "result": {"XXBTZUSD": rows, "last": 1}}),
    ),
    Dialect(
        name="Investing.com",
        header=["Date", "Price", "Open", "High", "Low", "Vol.", "Change %"],
        row=lambda d, o, h, lo, c, v: [
            f"{d:%m/%d/%Y}",
            *(f"{float(price):,.2f}" for price in (c, o, h, lo)),
            f"{v / 1000:.3f}K",
            "0.10%",
        ],
        weekends=True,
        newest_first=True,
        quoted=True,
        wrap=lambda text: text.encode("utf-8-sig"),
    ),
    Dialect(
        name="Investing.com in German",
        header=["Datum", "Zuletzt", "Eröffn.", "Hoch", "Tief", "Vol.", "+/- %"],
        row=lambda d, o, h, lo, c, v: [
            *(f"{d:%d.%m.%Y}", *map(german, (c, o, h, lo)), f"{v / 1000:.3f}K".replace(".", ","), "0,10%"),
        ],
        newest_first=True,
        quoted=True,
    ),
    Dialect(
        name="Nasdaq",
        header=["Date", "Close/Last", "Volume", "Open", "High", "Low"],
        row=lambda d, o, h, lo, c, v: [f"{d:%m/%d/%Y}", f"${c}", str(v), f"${o}", f"${h}", f"${lo}"],
        newest_first=True,
    ),
    Dialect(
        name="MetaTrader 5",
        header=_MT5,
        row=lambda d, o, h, lo, c, v: [f"{d:%Y.%m.%d}", o, h, lo, c, "11", str(v), "0"],
        delimiter="\t",
    ),
    Dialect(
        name="MetaTrader 4",
        header=[],
        row=lambda d, o, h, lo, c, v: [f"{d:%Y.%m.%d}", "00:00", o, h, lo, c, str(v)],
    ),
    _form("TradingView", epoch, ["time", *_SMALL[:4], "Volume"], weekends=True),
    _form(
        "TradingView, a stock", lambda d: epoch(d, hours=9.5, zone=NEW_YORK), ["time", *_SMALL[:4], "Volume"]
    ),
    _form("TradingView, ISO", lambda d: f"{d}T00:00:00Z", ["time", *_SMALL[:4], "Volume"], weekends=True),
    Dialect(
        name="Tushare",
        header=_TUSHARE,
        row=lambda d, o, h, lo, c, v: [
            *(
                "600519.SH",
                f"{d:%Y%m%d}",
                o,
                h,
                lo,
                c,
                f"{float(o) * 1.03:.2f}",
                f"{v / 100:.2f}",
                f"{v * float(c) / 1000:.3f}",
            ),
        ],
        newest_first=True,
    ),
    Dialect(
        name="akshare",
        header=_AKSHARE,
        row=lambda d, o, h, lo, c, v: [
            *(str(d), "600519", o, c, h, lo, f"{v / 100:.2f}", f"{v * float(c):.1f}", "1.2"),
        ],
        wrap=lambda text: text.encode("gb18030"),
    ),
    _form(
        "freqtrade", lambda d: epoch(d, 1_000), [], file="BTC_USDT-1d.json", weekends=True, wrap=as_json(list)
    ),
    _form(
        "freqtrade's Feather",
        str,
        file="BTC_USDT-1d.feather",
        weekends=True,
        wrap=in_table("feather", lambda d: datetime(d.year, d.month, d.day, tzinfo=UTC)),
    ),
    Dialect(
        name="yfinance",
        header=["Price", "Close", "High", "Low", "Open", "Volume"],
        row=lambda d, o, h, lo, c, v: [str(d), c, h, lo, o, str(v)],
        wrap=lambda text: text.replace("\n", "\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n", 1).encode(),
    ),
    _form("yfinance's history", lambda d: datetime(d.year, d.month, d.day, tzinfo=NEW_YORK).isoformat(" ")),
    Dialect(
        name="Yahoo",
        header=_YAHOO,
        row=lambda d, o, h, lo, c, v: [str(d), o, h, lo, c, str(float(c) / 2), str(v)],
    ),
    Dialect(
        name="semicolons and decimal commas",
        header=["date", *_SMALL],
        row=lambda d, o, h, lo, c, v: [str(d), *(price.replace(".", ",") for price in (o, h, lo, c)), str(v)],
        delimiter=";",
    ),
    _form("gzip", str, file="X.csv.gz", wrap=lambda text: gzip.compress(text.encode())),
    _form("zip", str, file="X.zip", wrap=zipped),
    *(
        _form(f"epoch of {unit}", lambda d, unit=unit: epoch(d, unit), ["timestamp", *_SMALL], weekends=True)
        for unit in (1, 10**3, 10**6, 10**9)
    ),
    _form(
        "Parquet in New York",
        str,
        file="X.parquet",
        wrap=in_table("parquet", lambda d: datetime(d.year, d.month, d.day, tzinfo=NEW_YORK)),
    ),
    _form(
        "Parquet, New York in UTC",
        str,
        file="X.parquet",
        wrap=in_table("parquet", lambda d: datetime(d.year, d.month, d.day, tzinfo=NEW_YORK).astimezone(UTC)),
    ),
    _form("Stooq", str, ["Date", *_OHLCV], file="aapl_us_d.csv"),
    _form("Stooq in Polish", str, ["Data", "Otwarcie", "Najwyzszy", "Najnizszy", "Zamkniecie", "Wolumen"]),
    Dialect(
        name="Stooq's archive",
        header=_STOOQ,
        row=lambda d, o, h, lo, c, v: ["AAPL.US", "D", f"{d:%Y%m%d}", "000000", o, h, lo, c, str(v), "0"],
        file="aapl.us.txt",
    ),
    _form("Alpha Vantage", str, ["timestamp", *_SMALL], newest_first=True),
    _form(
        "Alpha Vantage's JSON",
        str,
        ["date", "1. open", "2. high", "3. low", "4. close", "5. volume"],
        file="X.json",
        wrap=as_json(
            lambda rows: {
                "Meta Data": {"1. Information": "Daily", "2. Symbol": "AAPL"},
                "Time Series (Daily)": {
                    row[0]: {name: str(cell) for name, cell in zip(rows[0][1:], row[1:], strict=True)}
                    for row in rows[1:]
                },
            }
        ),
    ),
    Dialect(
        name="Polygon",
        header=["v", "vw", "o", "c", "h", "l", "t", "n"],
        row=lambda d, o, h, lo, c, v: [str(v), c, o, c, h, lo, epoch(d, 1_000, zone=NEW_YORK), "5"],
        file="X.json",
        wrap=as_json(lambda rows: {"ticker": "AAPL", "resultsCount": 1, "results": _objects(rows)}),
    ),
    Dialect(
        name="Coinbase",
        header=[],
        row=lambda d, o, h, lo, c, v: [epoch(d), lo, h, o, c, str(v)],
        file="X.json",
        weekends=True,
        newest_first=True,
        wrap=as_json(list),
    ),
    Dialect(
        name="KuCoin",
        header=[],
        row=lambda d, o, h, lo, c, v: [epoch(d), o, c, h, lo, str(v), f"{v * float(c):.1f}"],
        weekends=True,
    ),
    _form(
        "Bloomberg",
        lambda d: f"{d:%m/%d/%Y}",
        ["Dates", *(f"PX_{name}" for name in ("OPEN", "HIGH", "LOW", "LAST", "VOLUME"))],
    ),
    Dialect(
        name="Refinitiv",
        header=["Exchange Date", "Close", "Net", "%Chg", "Open", "Low", "High", "Volume"],
        row=lambda d, o, h, lo, c, v: [f"{d:%d-%b-%Y}", c, "0.1", "0.1", o, lo, h, f"{v:,}"],
        newest_first=True,
        quoted=True,
        before=("AAPL.O,History", ""),
    ),
    _form("Excel", str, ["Date", *_OHLCV], delimiter=";", wrap=lambda text: text.encode("utf-8-sig")),
    _form("UTF-16", str, ["Date", *_OHLCV], delimiter="\t", wrap=lambda text: text.encode("utf-16")),
    _form("tabs", lambda d: f"{d:%d/%m/%Y}", delimiter="\t", file="X.tsv"),
    _form("Dukascopy", lambda d: f"{d:%d.%m.%Y} 00:00:00.000", ["Gmt time", *_OHLCV], weekends=True),
    Dialect(
        name="NSE of India",
        header=["Date ", "series ", "OPEN ", "HIGH ", "LOW ", "PREV. CLOSE ", "close ", "vwap ", "VOLUME "],
        row=lambda d, o, h, lo, c, v: [
            *(f"{d:%d-%b-%Y}", "EQ", *(f"{float(price):,.2f}" for price in (o, h, lo, o, c)), c, f"{v:,}"),
        ],
        quoted=True,
        newest_first=True,
    ),
    Dialect(
        name="quantmod",
        header=["", *(f"AAPL.{name}" for name in (*_OHLCV, "Adjusted"))],
        row=lambda d, o, h, lo, c, v: [str(d), o, h, lo, c, str(v), c],
        quoted=True,
    ),
    Dialect(
        name="CoinMarketCap",
        header=_MARKETCAP,
        row=lambda d, o, h, lo, c, v: [
            *(
                f"{d}T00:00:00.000Z",
                f"{d}T23:59:59.999Z",
                "2781",
                o,
                h,
                lo,
                c,
                str(v),
                "1",
                f"{d}T23:59:59.999Z",
            ),
        ],
        delimiter=";",
        quoted=True,
        weekends=True,
        newest_first=True,
    ),
    _form(
        "Finnhub",
        epoch,
        ["t", "o", "h", "l", "c", "v"],
        file="X.json",
        weekends=True,
        wrap=as_json(
            lambda rows: (
                {"s": "ok"} | {name: [row[at] for row in rows[1:]] for at, name in enumerate(rows[0])}
            )
        ),
    ),
    _form(
        "Yahoo's charts",
        lambda d: epoch(d, hours=9.5, zone=NEW_YORK),
        ["timestamp", *_SMALL],
        file="X.json",
        wrap=as_json(
            lambda rows: {
                "chart": {
                    "result": [
                        {
                            "meta": {"symbol": "AAPL"},
                            "timestamp": [row[0] for row in rows[1:]],
                            "indicators": {
                                "quote": [
                                    {
                                        name: [row[at] for row in rows[1:]]
                                        for at, name in enumerate(rows[0])
                                        if at
                                    }
                                ]
                            },
                        }
                    ]
                }
            }
        ),
    ),
    _form(
        "Twelve Data",
        str,
        ["datetime", *_SMALL],
        file="X.json",
        newest_first=True,
        wrap=as_json(lambda rows: {"meta": {"symbol": "AAPL"}, "values": _objects(rows), "status": "ok"}),
    ),
    Dialect(
        name="CryptoCompare",
        header=["time", "high", "low", "open", "volumefrom", "volumeto", "close"],
        row=lambda d, o, h, lo, c, v: [epoch(d), h, lo, o, str(v), f"{v * float(c):.1f}", c],
        file="X.json",
        weekends=True,
        wrap=as_json(lambda rows: {"Response": "Success", "Data": {"TimeFrom": 1, "Data": _objects(rows)}}),
    ),
    Dialect(
        name="Tiingo",
        header=["", "close", "high", "low", "open", "volume", "adjClose", "date"],
        row=lambda d, o, h, lo, c, v: ["0", c, h, lo, o, str(v), c, f"{d} 00:00:00+00:00"],
    ),
    Dialect(
        name="S&P 500 of Kaggle",
        header=["date", *_SMALL, "Name"],
        row=lambda d, o, h, lo, c, v: [str(d), o, h, lo, c, str(v), "AAL"],
    ),
    Dialect(
        name="Metastock",
        header=[],
        row=lambda d, o, h, lo, c, v: ["AAPL", f"{d:%Y%m%d}", o, h, lo, c, str(v)],
        file="X.txt",
    ),
    Dialect(
        name="Alpaca",
        header=["t", "o", "h", "l", "c", "v", "n", "vw"],
        row=lambda d, o, h, lo, c, v: [f"{d}T05:00:00Z", o, h, lo, c, str(v), "5", c],
        file="X.json",
        wrap=as_json(lambda rows: {"bars": {"AAPL": _objects(rows)}, "next_page_token": None}),
    ),
    Dialect(
        name="Quandl",
        header=[
            "Date",
            *_OHLCV,
            "Ex-Dividend",
            "Adj. Open",
            "Adj. High",
            "Adj. Low",
            "Adj. Close",
            "Adj. Volume",
        ],
        row=lambda d, o, h, lo, c, v: [
            *(
                str(d),
                o,
                h,
                lo,
                c,
                str(v),
                "0.0",
                *(f"{float(x) / 2:.2f}" for x in (o, h, lo, c)),
                str(2 * v),
            ),
        ],
    ),
    Dialect(
        name="Tongdaxin",
        header=["      日期", "    开盘", "    最高", "    最低", "    收盘", "    成交量", "    成交额"],
        row=lambda d, o, h, lo, c, v: [f"{d:%Y/%m/%d}", o, h, lo, c, str(v), f"{v * float(c):.2f}"],
        file="SH#600519.txt",
        delimiter="\t",
        before=("600519 贵州茅台 日线 不复权",),
        wrap=lambda text: f"{text}#数据来源:通达信\n".encode("gb18030"),
    ),
    Dialect(
        name="Wind",
        header=[
            "代码",
            "日期",
            "开盘价(元)",
            "最高价(元)",
            "最低价(元)",
            "收盘价(元)",
            "成交额(百万)",
            "成交量(股)",
        ],
        row=lambda d, o, h, lo, c, v: [
            *("600519.SH", str(d), o, h, lo, c, f"{v * float(c) / 1e6:.4f}", str(v)),
        ],
        wrap=lambda text: f"{text}数据来源：Wind\n".encode("gb18030"),
    ),
    Dialect(
        name="BaoStock",
        header=["date", "code", *_SMALL[:4], "preclose", "volume", "amount", "adjustflag", "turn"],
        row=lambda d, o, h, lo, c, v: [
            *(str(d), "sh.600519", o, h, lo, c, o, str(v), f"{v * float(c):.2f}", "3", "0.1"),
        ],
    ),
    Dialect(
        name="Bybit",
        header=[],
        row=lambda d, o, h, lo, c, v: [epoch(d, 1_000), o, h, lo, c, str(v), f"{v * float(c):.1f}"],
        file="X.json",
        weekends=True,
        newest_first=True,
        wrap=as_json(lambda rows: {"retCode": 0, "result": {"symbol": "BTCUSDT", "list": rows}}),
    ),
    Dialect(
        name="Bitfinex",
        header=[],
        row=lambda d, o, h, lo, c, v: [epoch(d, 1_000), o, c, h, lo, str(v)],
        file="X.json",
        weekends=True,
        newest_first=True,
        wrap=as_json(list),
    ),
    Dialect(
        name="Barchart",
        header=["Time", "Open", "High", "Low", "Latest", "Change", "%Change", "Volume"],
        row=lambda d, o, h, lo, c, v: [str(d), o, h, lo, c, "0.1", "0.1%", str(v)],
        quoted=True,
        newest_first=True,
        wrap=lambda text: f'{text}"Downloaded from Barchart.com as of 01-02-2024 06:00am CST"\n'.encode(),
    ),
    Dialect(
        name="Yahoo's page",
        header=["Date", "Open", "High", "Low", "Close*", "Adj Close**", "Volume"],
        row=lambda d, o, h, lo, c, v: [f"{d:%b %d, %Y}", o, h, lo, c, f"{float(c) / 2:.2f}", f"{v:,}"],
        delimiter="\t",
        newest_first=True,
    ),
    Dialect(
        name="AmiBroker",
        header=["Ticker", "Date/Time", *_OHLCV],
        row=lambda d, o, h, lo, c, v: ["AAPL", f"{d:%m/%d/%Y}", o, h, lo, c, str(v)],
    ),
    Dialect(
        name="KRX",
        header=["일자", "종가", "대비", "등락률", "시가", "고가", "저가", "거래량"],
        row=lambda d, o, h, lo, c, v: [f"{d:%Y/%m/%d}", c, "1", "0.1", o, h, lo, str(v)],
        quoted=True,
        newest_first=True,
        wrap=lambda text: text.encode("cp949"),
    ),
    Dialect(
        name="Japan's calendar",
        header=["日付", "始値", "高値", "安値", "終値", "売買高"],
        row=lambda d, o, h, lo, c, v: [f"{d.year}年{d.month}月{d.day}日", o, h, lo, c, str(v)],
        wrap=lambda text: text.encode("cp932"),
    ),
    _form(
        "pandas, split",
        str,
        file="X.json",
        wrap=as_json(
            lambda rows: {
                "columns": rows[0][1:],
                "index": [row[0] for row in rows[1:]],
                "data": [row[1:] for row in rows[1:]],
            }
        ),
    ),
    _form("Google Finance", lambda d: f"{d.month}/{d.day}/{d.year} 16:00:00", ["Date", *_OHLCV]),
    _form("JSON lines", str, file="X.jsonl", wrap=as_json(_objects)),
    _form("month names", lambda d: f"{d:%b %d, %Y}", ["Date", *_OHLCV], quoted=True),
    _form("a pandas index", str, ["", *_SMALL]),
)
"""Each a form that must be read as the bars that it was written from."""

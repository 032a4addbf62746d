"""Infer from a symbol what instrument it is: a coin, an A-share, or a share of another exchange."""

import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from typing import Protocol

from engine.instruments import ROUND_THE_CLOCK, AssetClass, Instrument
from feeds.exchanges import split_suffix
from feeds.fx_pairs import guess_fx_pair
from feeds.known_names import ALSO_SHARES, COIN_TICKERS, KNOWN, normalize_word

_DOLLARS = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD")
_FIAT = ("EUR", "GBP", "JPY", "KRW", "TRY", "AUD", "CAD", "CHF", "BRL", "INR")
_QUOTES = (*_DOLLARS, *_FIAT, "BTC", "ETH", "BNB")
_PAIR = re.compile(rf"([A-Z0-9]{{1,15}})[-/_ ]({'|'.join(_QUOTES)})(?:[:_-][A-Z0-9]+)?")
_REVERSED_PAIR = re.compile(rf"({'|'.join((*_DOLLARS, *_FIAT))})[-_]([A-Z0-9]{{2,15}})")
_KRAKEN_PAIR = re.compile(r"X([A-Z]{3})Z(USD|EUR|GBP|JPY|CAD)")

# Yahoo puts CoinMarketCap's number behind a ticker that two coins share, as in UNI7083-USD.
_NUMBERED = re.compile(r"([A-Z]+)[0-9]+")

_EXCHANGES = (
    "BINANCE(?:US|USDM|COINM)?|BITFINEX|BITGET|BITHUMB|BITMEX|BITSTAMP|BITTREX|BYBIT|COINBASE(?:PRO)?|DERIBIT|"
    "GATE(?:IO)?|GDAX|GEMINI|HTX|HUOBI|KRAKEN|KUCOIN|MEXC|OKEX|OKX|POLONIEX|UPBIT"
)
_SHARE_EXCHANGES = "AMEX|ARCA|BATS|CBOE|NASDAQ|NYSE(?:ARCA|AMERICAN)?|OTC|XNAS|XNYS|ARCX"

# What exchanges and charting programs put before a symbol: BINANCE:BTCUSDT, NASDAQ_AAPL, PF_XBTUSD.
_PREFIX = re.compile(
    rf"(?:(?:{_EXCHANGES}|{_SHARE_EXCHANGES}|CRYPTO(?:CAP|COM)?|COIN|P[FIV]|F[FI])[:_ ]+|X:)(?=.)"
)

# What names of files have behind a symbol: BTCUSDT_1d, BTCUSDT-1d-2024-01, XBTUSD_1440, "BTCUSD, 1D_3f2c1".
_SUFFIX = re.compile(
    rf"(?:[-_ ,.]+(?:1D|D1|1DAY|DAILY|DAY|1440M?|24H|OHLCV?|KLINES?|CANDLES?|BARS|PRICES?|HISTORY|HISTORICAL|"
    rf"DATA|FUTURES|SPOT|STOCKS?|(?<=_)TO(?=_)|ALL|FULL|MAX|GRAPH|COINMARKETCAP|COINGECKO|{_EXCHANGES}|(?:19|20)[0-9]{{2}}(?:-?[0-9]{{2}}){{0,2}}"
    r"|[0-9]{6}|(?<=1D_)[0-9A-F]{5}))+$|_D$|(?<=[A-Z]{5})1440$"
)

# What browsers and file managers add: "AAPL (1)", "AAPL copy".
_COPY = re.compile(r"(?: ?\([0-9]{1,2}\)|[- ]+COPY)$")

# Contracts without an end and dated ones: BTC-PERP, BTC-USDT-SWAP, BTCUSDT.P, BTCUSD_PERP, BTC-USD-240628.
_CONTRACT = re.compile(r"(?:[-_.:]?PERP(?:ETUAL|-INTX)?|[-_.]SWAP|\.[PVX])$")

# Tickers as Futu (US.AAPL) and EastMoney (105.AAPL) write them, and Reuters (AAPL.O), Bloomberg (AAPL US
# Equity) and Stooq (AAPL.US).
_US_PREFIX = re.compile(r"(?:US|10[567])\.(?=[A-Z])")
_US_SUFFIX = re.compile(r"(?:\.(?:O|OQ|N|US)|[ :]US(?: EQUITY)?)$")

_A_SHARE = re.compile(
    r"(?:[01]\.|(?:S[HZ]|BJ|SSE|SZSE|SHSE|BSE)[.:_]?)?([0-9]{6})(?:[._](?:SH|SS|SZ|BJ|XSHG|XSHE|SHG|SHE|SHH|SHZ))?"
)

_MIN_WEEKEND_SHARE = 0.2
_MIN_DAYS = 10


class GetInstrument(Protocol):
    """Returns the instrument of a symbol, with the first days on which it has bars."""

    def __call__(self, symbol: str, days: Iterable[date] = ()) -> Instrument:
        """Return the instrument."""
        ...


def guess_instrument(symbol: str, days: Iterable[date] = ()) -> Instrument:
    """Return the likely instrument of a symbol that is not configured.

    Six digits (also sh600519, 600519.XSHG) are an A-share in lots of 100; a suffix such as .DE names another
    exchange with its currency; EURUSD is a pair of currencies unless it has bars on weekends; BTCUSDT, BTC-
    USD, BTC/USDT and BTC-PERP are coins in any fraction, and so are BTC, and the tickers that coins and
    shares have in common where there are bars on Saturdays and Sundays; the rest are US stocks in whole
    shares.

    Args:
        symbol: The symbol, or the name of a file without its suffix.
        days: The first days with bars, as far as they are known.
    """
    core = strip_decorations(symbol)
    weekends = trades_on_weekends(days)
    if not weekends and (pair_of_currencies := guess_fx_pair(symbol)):
        return pair_of_currencies
    if a_share_code(core) or (not core.isascii() and normalize_word(core) in KNOWN[AssetClass.A_SHARE]):
        return _make_stock(symbol, AssetClass.A_SHARE, calendar="XSHG", currency="CNY", lot=100.0)
    if pair := parse_pair(core):
        return _make_coin(symbol, currency=pair[1])
    if suffixed := split_suffix(core):
        exchange = suffixed[1]
        return _make_stock(
            symbol,
            AssetClass.STOCK,
            calendar=exchange.calendar,
            currency=exchange.currency,
            lot=exchange.lot,
        )
    if _is_coin(core) and (weekends or (weekends is None and _names_coin_only(core))):
        return _make_coin(symbol, currency="USD")
    return _make_stock(symbol, AssetClass.STOCK, calendar="XNYS", currency="USD", lot=1.0)


def _make_coin(symbol: str, *, currency: str) -> Instrument:
    return Instrument(
        symbol=symbol,
        names=known_names(symbol, AssetClass.COIN),
        asset_class=AssetClass.COIN,
        calendar=ROUND_THE_CLOCK,
        currency=currency,
        lot=0.0,
        shortable=True,
    )


def _make_stock(
    symbol: str, asset_class: AssetClass, *, calendar: str, currency: str, lot: float
) -> Instrument:
    return Instrument(
        symbol=symbol,
        names=known_names(symbol, asset_class),
        asset_class=asset_class,
        calendar=calendar,
        currency=currency,
        lot=lot,
        shortable=asset_class is AssetClass.STOCK,
    )


def trades_on_weekends(days: Iterable[date]) -> bool | None:
    """Return whether bars on these days are of a market that is open on Saturdays and Sundays.

    None where the days do not tell: too few, or a few on weekends only, which may be wrong rows.
    """
    weekdays = [day.weekday() for day in set(days)]
    weekend = sum(weekday >= 5 for weekday in weekdays)
    if {5, 6} <= set(weekdays) and weekend >= _MIN_WEEKEND_SHARE * len(weekdays):
        return True
    return False if len(weekdays) >= _MIN_DAYS and not weekend else None


def strip_decorations(symbol: str) -> str:
    """Return a symbol in capitals without what files, exchanges and contracts add to it.

    Binance_BTCUSDT_d is BTCUSDT, and BTC-PERP is BTC.
    """
    core = unicodedata.normalize("NFKC", symbol).strip()
    if re.fullmatch(r"t[A-Z0-9]{6,}", core):  # Bitfinex
        core = core[1:]
    core = _COPY.sub("", core.upper())
    if a_share_code(core):
        return core
    core = _US_PREFIX.sub("", _SUFFIX.sub("", core))
    core = _PREFIX.sub("", core, count=1) if _PREFIX.match(core) else core
    contract = _CONTRACT.search(core)
    base = core[: contract.start()] if contract else ""
    return base if base and (_split_pair(base) or _is_coin(base)) else core


def parse_pair(symbol: str) -> tuple[str, str] | None:
    """Split a coin's symbol, such as BTCUSDT or BTC/USDT, into base and quote; None for any other symbol.

    Without a separator the base is a known coin where there is one: DOTUSD is DOT/USD, and BTCTUSD BTC/TUSD.
    """
    return _split_pair(strip_decorations(symbol))


def _split_pair(core: str) -> tuple[str, str] | None:
    if (pair := _REVERSED_PAIR.fullmatch(core)) and _is_coin(pair[2]) and pair[2] not in _QUOTES[:6]:
        return pair[2], pair[1]
    if pair := _PAIR.fullmatch(core):
        numbered = _NUMBERED.fullmatch(pair[1])
        renamed = numbered and not _is_coin(pair[1]) and _is_coin(numbered[1])
        return (numbered[1] if numbered and renamed else pair[1]), pair[2]
    if pair := _KRAKEN_PAIR.fullmatch(core):
        return pair[1], pair[2]
    if not core.isalnum() or not core.isascii():
        return None
    splits = [(core.removesuffix(quote), quote) for quote in _QUOTES if core.endswith(quote)]
    splits = [split for split in splits if len(split[0]) >= 2]
    if known := [split for split in splits if _is_coin(split[0])]:
        return max(known, key=lambda split: len(split[0]))
    # More unknown coins end in T than were traded against TUSD.
    dollars = [split for split in splits if split[1] in _DOLLARS and split[1] != "TUSD"]
    return next((split for split in dollars if split[1] != "BUSD" or len(split[0]) > 2), None)


def _is_coin(word: str) -> bool:
    """Return whether a word is a coin's ticker or name, which a share's may be too."""
    return normalize_word(word) in COIN_TICKERS


def _names_coin_only(word: str) -> bool:
    """Return whether a word is a coin's ticker or name, and no share's."""
    name = normalize_word(word)
    return name in KNOWN[AssetClass.COIN] and name not in KNOWN[AssetClass.STOCK] and name not in ALSO_SHARES


def a_share_code(symbol: str) -> str | None:
    """Return the six digits of an A-share such as sh600519 or 600519.XSHG; None for any other symbol."""
    match = _A_SHARE.fullmatch(symbol.upper())
    return match[1] if match else None


def base_symbol(symbol: str, asset_class: AssetClass) -> str:
    """Return the ticker by which news names an instrument: BTC for BTCUSDT, 600519 for sh600519."""
    core = strip_decorations(symbol)
    match asset_class:
        case AssetClass.COIN:
            pair = _split_pair(core)
            return pair[0] if pair else core if _is_coin(core) else symbol
        case AssetClass.A_SHARE:
            return a_share_code(core) or symbol
        case AssetClass.FX:
            return core
        case AssetClass.STOCK:
            return _US_SUFFIX.sub("", core) or symbol


def known_names(symbol: str, asset_class: AssetClass) -> tuple[str, ...]:
    """Return the built-in names of an instrument, its own ticker first; the ticker alone if it is unknown."""
    base = base_symbol(symbol, asset_class)
    known = KNOWN[asset_class]
    others = known.get(normalize_word(base)) or known.get(normalize_word(re.sub("[-/_ ]", ".", base)), ())
    return (base, *(word for word in others if normalize_word(word) != normalize_word(base)))

"""Stocks' daily candles from Yahoo through yfinance and from EastMoney through akshare.

Knows the two libraries and their traps; it judges no candle. Neither source tells its own time, so the
clock is ours, and a candle counts as finished half an hour after its session's close.
"""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from importlib import import_module
from typing import Any

from engine.calendars import calendar_of
from engine.errors import DataError, UsageError
from engine.instruments import Instrument
from feeds.bars import guess_instrument
from feeds.history.bar_sources import Row, Unanswered, first_line
from feeds.history.candles import DAY, EPOCH, Adjustment, Grid, SessionGrid
from feeds.names import a_share_code

TIMEOUT_S = 20.0
_PAGE = 20_000
_LOT = 100
_CLASS_SHARE = re.compile(r"([A-Z]+)\.([A-C])")
_MILLISECOND = timedelta(milliseconds=1)
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)


class _StockClient:
    """What both have in common: days of an exchange's calendar, and our own clock."""

    timeframe = "1d"
    page = _PAGE

    def __init__(
        self, clock: Callable[[], datetime], instrument_of: Callable[[str], Instrument], timeout_s: float
    ) -> None:
        self._clock, self._instrument_of, self._timeout_s = clock, instrument_of, timeout_s

    def server_time(self) -> datetime:
        """Our own clock: the source does not say what time it is."""
        return self._clock()

    def grid(self, symbol: str, since: datetime, until: datetime) -> Grid:
        """One candle for each session of the symbol's exchange."""
        code = self._instrument_of(symbol).calendar
        return SessionGrid(calendar=calendar_of(code, since.date(), until.date()))


class YahooClient(_StockClient):
    """A `BarClient` over yfinance. Yahoo has no prices as traded: splits are always worked in."""

    name = "yfinance"
    # yfinance drops a day's second row before anyone sees it.
    repairs_silently = True

    def __init__(
        self,
        adjustment: Adjustment,
        clock: Callable[[], datetime],
        instrument_of: Callable[[str], Instrument],
        session: Any,
        timeout_s: float,
    ) -> None:
        super().__init__(clock, instrument_of, timeout_s)
        self.adjustment = adjustment
        self._library = _library("yfinance", "stocks")
        self._session = session
        self.said_by = f"Yahoo through yfinance {self._library.__version__}"
        cache = import_module("yfinance.cache")
        # yfinance would keep zones and Yahoo's cookie in files of its own.
        cache._TzCacheManager._tz_cache = cache._TzCacheDummy()
        cache._CookieCacheManager._Cookie_cache = cache._CookieCacheDummy()

    def require(self, symbols: Sequence[str]) -> None:
        """Nothing: Yahoo has no list of what it knows."""

    def candles(self, symbol: str, since: datetime, until: datetime) -> Sequence[Row]:
        """One request for the days; yfinance's own memory of answers is emptied before it."""
        errors = import_module("yfinance.exceptions")
        self._library.data.YfData.cache_get.cache_clear()
        try:
            with _outspoken(self._library):
                frame = self._library.Ticker(yahoo_symbol(symbol), session=self._session).history(
                    start=since.date().isoformat(),
                    end=_day_after(until).isoformat(),
                    interval="1d",
                    auto_adjust=self.adjustment is Adjustment.SPLIT_DIVIDEND,
                    actions=False,
                    keepna=True,
                    timeout=self._timeout_s,
                )
        except errors.YFPricesMissingError:
            return []
        except (errors.YFException, *_UNREADABLE) as error:
            raise Unanswered(first_line(error)) from None
        columns = [frame[name].tolist() for name in ("Open", "High", "Low", "Close", "Volume")]
        days = [_stamp(moment.date()) for moment in frame.index]
        return list(zip(days, *columns, strict=True))


class EastmoneyClient(_StockClient):
    """A `BarClient` over akshare's A-share history, which is EastMoney's. Volumes become shares."""

    name = "eastmoney"
    repairs_silently = False

    def __init__(
        self,
        adjustment: Adjustment,
        clock: Callable[[], datetime],
        instrument_of: Callable[[str], Instrument],
        timeout_s: float,
    ) -> None:
        super().__init__(clock, instrument_of, timeout_s)
        self.adjustment = adjustment
        self._library = _library("akshare", "china")
        self.said_by = f"EastMoney through akshare {self._library.__version__}"

    def require(self, symbols: Sequence[str]) -> None:
        """Raise DataError for a symbol that is no A-share's code."""
        for symbol in symbols:
            if not a_share_code(symbol):
                raise DataError(f"{self.name}: {symbol[:40]!r} is no A-share; give six digits such as 600519")

    def candles(self, symbol: str, since: datetime, until: datetime) -> Sequence[Row]:
        """One request for the days from `since` to the one before `until`."""
        code = a_share_code(symbol)
        try:
            frame = self._library.stock_zh_a_hist(
                symbol=code,
                period="daily",
                start_date=f"{since:%Y%m%d}",
                end_date=f"{_day_after(until) - DAY:%Y%m%d}",
                adjust="" if self.adjustment is Adjustment.RAW else "qfq",
                timeout=self._timeout_s,
            )
            if frame.empty:
                return []
            columns = [frame[name].tolist() for name in ("开盘", "最高", "最低", "收盘")]
            volumes = [float(lots) * _LOT for lots in frame["成交量"].tolist()]
            days = [_stamp(day) for day in frame["日期"].tolist()]
        except _UNREADABLE as error:
            raise Unanswered(type(error).__name__) from None
        return list(zip(days, *columns, volumes, strict=True))


def yahoo_client(
    adjustment: Adjustment = Adjustment.SPLIT,
    *,
    clock: Callable[[], datetime],
    instrument_of: Callable[[str], Instrument] = guess_instrument,
    session: Any = None,
    timeout_s: float = TIMEOUT_S,
) -> YahooClient:
    """A client of Yahoo. `session` is a session of curl_cffi that yfinance shall use instead of its own.

    Raises UsageError without yfinance, and for raw prices, which Yahoo does not have.
    """
    if adjustment is Adjustment.RAW:
        raise UsageError("yfinance has no raw prices; fetch with --adjustment split or split+dividend")
    return YahooClient(adjustment, clock, instrument_of, session, timeout_s)


def eastmoney_client(
    adjustment: Adjustment = Adjustment.RAW,
    *,
    clock: Callable[[], datetime],
    instrument_of: Callable[[str], Instrument] = guess_instrument,
    timeout_s: float = TIMEOUT_S,
) -> EastmoneyClient:
    """A client of EastMoney: raw prices, or those with splits and dividends worked in ("qfq").

    Raises UsageError without akshare, and for prices with splits alone, which EastMoney does not have.
    """
    if adjustment is Adjustment.SPLIT:
        raise UsageError("eastmoney has no split-only prices; fetch with --adjustment raw or split+dividend")
    return EastmoneyClient(adjustment, clock, instrument_of, timeout_s)


def yahoo_symbol(symbol: str) -> str:
    """Yahoo's spelling: a share class is set off by a hyphen (BRK.B is BRK-B), an exchange by a dot."""
    found = _CLASS_SHARE.fullmatch(symbol)
    return f"{found[1]}-{found[2]}" if found else symbol


def _library(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(f"this source needs {error.name}; run: pip install 'closecall[{extra}]'") from None


@contextmanager
def _outspoken(library: Any) -> Iterator[None]:
    """Let yfinance raise its errors instead of logging them and answering with nothing."""
    debug = library.config.debug
    before = debug.hide_exceptions
    debug.hide_exceptions = False
    try:
        with warnings.catch_warnings():
            # yfinance still calls parts of pandas that are to change in a later version.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        debug.hide_exceptions = before


def _stamp(day: object) -> object:
    """Milliseconds since 1970 of a date's midnight; what is no date stays what it is, to be refused."""
    if not isinstance(day, date) or day != day:
        return None
    return (datetime(day.year, day.month, day.day, tzinfo=EPOCH.tzinfo) - EPOCH) // _MILLISECOND


def _day_after(until: datetime) -> date:
    """The first day of which nothing lies before `until`."""
    return (until - _MILLISECOND).date() + DAY

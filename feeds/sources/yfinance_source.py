"""Stocks' daily candles and last prices from Yahoo through yfinance."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.corporate_actions import ActionKind
from feeds.exchanges import EXCHANGES
from feeds.history.candles import DAY, Adjustment
from feeds.history.client import Row, SourceError, TemporaryError, first_line
from feeds.sources.stocks import UNREADABLE, LiveStocks, StockClient, day_after, to_milliseconds

# Yahoo's spelling of hundredths of a pound and of a rand.
_CURRENCIES = {"GBp": "GBX", "ZAc": "ZAC"}
_CLASS_SHARE = re.compile(r"([A-Z]+)\.([A-C])")
_MONTHS = datetime(2024, 1, 15), datetime(2024, 7, 15)
_CLOCK = "https://query2.finance.yahoo.com/v8/finance/chart/SPY"


class YahooClient(StockClient):
    """A `BarClient` over yfinance. Yahoo has no raw prices: splits are always worked in."""

    name = library = "yfinance"
    service = "Yahoo"
    adjustments = (Adjustment.SPLIT, Adjustment.SPLIT_DIVIDEND)
    lacking = "raw"
    # yfinance drops the second row of a day.
    repairs_silently = True

    def __init__(self, source: str, **settings: Any) -> None:
        super().__init__(source, **settings)
        # yfinance's own kind of session, which presents itself to Yahoo as a browser.
        self._session = self._http.wrap_session(import_module("yfinance._http").new_session())
        self._tickers: dict[str, Any] = {}
        cache = import_module("yfinance.cache")
        # yfinance would keep zones and Yahoo's cookie in files of its own.
        cache._TzCacheManager._tz_cache = cache._TzCacheDummy()
        cache._CookieCacheManager._Cookie_cache = cache._CookieCacheDummy()

    def require(self, symbols: Sequence[str]) -> None:
        """Accept every symbol: Yahoo has no list of them."""

    def candles(self, symbol: str, since: datetime, until: datetime) -> Sequence[Row]:
        """Request the days of the window, past yfinance's cache of answers."""
        window = {"start": since.date().isoformat(), "end": day_after(until).isoformat()}
        try:
            frame = self._history(symbol, window)
        except import_module("yfinance.exceptions").YFPricesMissingError:
            return []
        self._require_stated_market(symbol)
        columns = [frame[name].tolist() for name in ("Open", "High", "Low", "Close", "Volume")]
        days = [to_milliseconds(moment.date()) for moment in frame.index]
        return list(zip(days, *columns, strict=True))

    def actions(self, symbol: str, since: date) -> Sequence[tuple[date, ActionKind, float]]:
        """Request splits and dividends, which Yahoo states from the morning of their ex-date on."""
        window = {"start": since.isoformat(), "end": day_after(self._clock() + DAY).isoformat()}
        try:
            frame = self._history(symbol, window, actions=True)
        except import_module("yfinance.exceptions").YFPricesMissingError:
            return []
        columns = ((ActionKind.SPLIT, "Stock Splits"), (ActionKind.DIVIDEND, "Dividends"))
        return [
            (moment.date(), kind, float(value))
            for kind, column in columns
            if column in frame
            for moment, value in frame[column].items()
            if value > 0
        ]

    def last_trade(self, symbol: str) -> tuple[float, datetime]:
        """Return the price and the time that Yahoo states beside its daily rows."""
        try:
            self._history(symbol, {"period": "1d"})
            metadata = self._ticker(symbol).get_history_metadata()
            price, at = metadata["regularMarketPrice"], metadata["regularMarketTime"]
            return float(price), at.to_pydatetime().astimezone(UTC)
        except (import_module("yfinance.exceptions").YFException, *UNREADABLE) as error:
            raise TemporaryError(_describe_error(error)) from None

    def answer_time(self) -> datetime:
        """Return the Date of a small answer."""
        backend = import_module("yfinance._http")
        try:
            answer = self._session.get(
                _CLOCK, params={"range": "1d", "interval": "1d"}, timeout=self._timeout_s
            )
        except (backend.requests.exceptions.RequestException, *UNREADABLE) as error:
            raise TemporaryError(_describe_error(error)) from None
        return self._answer_date(answer.status_code)

    def _require_stated_market(self, symbol: str) -> None:
        """Raise SourceError where the currency or the zone that Yahoo states is not the instrument's."""
        stated = self._ticker(symbol).get_history_metadata()
        currency, zone = stated.get("currency"), stated.get("exchangeTimezoneName")
        currency = _CURRENCIES.get(currency, currency)
        instrument = self._get_instrument(symbol)
        zones = {exchange.calendar: exchange.zone for exchange in EXCHANGES.values()}
        expected = zones.get(instrument.calendar)
        if currency in (None, instrument.currency) and (not (zone and expected) or _agree(zone, expected)):
            return
        calendars = {exchange.calendar for exchange in EXCHANGES.values() if exchange.zone == zone}
        calendar = calendars.pop() if len(calendars) == 1 else f"the calendar of an exchange in {zone}"
        raise SourceError(
            f"{self.name} {symbol}: Yahoo states prices in {currency} and the zone {zone}, which are not "
            f'those of {instrument.calendar} in {instrument.currency}; set calendar = "{calendar}" and '
            f'currency = "{currency}" under [instruments."{symbol}"]'
        )

    def _history(self, symbol: str, window: dict[str, str], *, actions: bool = False) -> Any:
        errors = import_module("yfinance.exceptions")
        self._library.data.YfData.cache_get.cache_clear()
        try:
            with _raise_errors(self._library):
                return self._ticker(symbol).history(
                    **window,
                    interval="1d",
                    auto_adjust=self.adjustment is Adjustment.SPLIT_DIVIDEND,
                    actions=actions,
                    keepna=True,
                    timeout=self._timeout_s,
                )
        except errors.YFPricesMissingError:
            raise
        except (errors.YFException, *UNREADABLE) as error:
            raise TemporaryError(_describe_error(error)) from None

    def _ticker(self, symbol: str) -> Any:
        """Return yfinance's object for a symbol, kept because a new one requests its time zone first."""
        self._library.data.YfData(session=self._session)  # a singleton: the last session set serves all
        if symbol not in self._tickers:
            self._tickers[symbol] = self._library.Ticker(to_yahoo_symbol(symbol), session=self._session)
        return self._tickers[symbol]


create_client = YahooClient
create_live_source = LiveStocks


def to_yahoo_symbol(symbol: str) -> str:
    """Return Yahoo's spelling: a hyphen before a share class (BRK.B is BRK-B), a dot before an exchange."""
    match = _CLASS_SHARE.fullmatch(symbol)
    return f"{match[1]}-{match[2]}" if match else symbol


def _agree(zone: str, other: str) -> bool:
    """Return whether two zones have the same time in winter and in summer."""
    try:
        clocks = [ZoneInfo(name) for name in (zone, other)]
    except (ValueError, ZoneInfoNotFoundError):
        return False
    return all(len({month.replace(tzinfo=clock).utcoffset() for clock in clocks}) == 1 for month in _MONTHS)


def _describe_error(error: BaseException) -> str:
    """Return an error's first line, without curl's advice on its error codes."""
    return first_line(error).partition(" See http")[0].rstrip(".")


@contextmanager
def _raise_errors(yfinance: Any) -> Iterator[None]:
    """Let yfinance raise its errors; by default it logs them and returns nothing."""
    debug = yfinance.config.debug
    before = debug.hide_exceptions
    debug.hide_exceptions = False
    try:
        with warnings.catch_warnings():
            # yfinance still calls parts of pandas that are to change in a later version.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        debug.hide_exceptions = before

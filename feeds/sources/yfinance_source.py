"""Stocks' daily candles and last prices from Yahoo through yfinance."""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from engine.errors import UsageError
from engine.instruments import Instrument
from feeds.history.candles import Adjustment
from feeds.history.client import Row, TemporaryError, first_line
from feeds.instruments import guess_instrument
from feeds.sources.stocks import (
    TIMEOUT_S,
    UNREADABLE,
    LiveStocks,
    StockClient,
    day_after,
    require_daily,
    to_milliseconds,
)

_CLASS_SHARE = re.compile(r"([A-Z]+)\.([A-C])")
_CLOCK = "https://query2.finance.yahoo.com/v8/finance/chart/SPY"


class YahooClient(StockClient):
    """A `BarClient` over yfinance. Yahoo has no raw prices: splits are always worked in."""

    name = "yfinance"
    # yfinance drops the second row of a day.
    repairs_silently = True

    def __init__(
        self,
        adjustment: Adjustment,
        clock: Callable[[], datetime],
        get_instrument: Callable[[str], Instrument],
        timeout_s: float,
        url: str | None,
    ) -> None:
        self._library = import_module("yfinance")
        provenance = f"Yahoo through yfinance {self._library.__version__}"
        super().__init__(clock, get_instrument, timeout_s, url, provenance)
        self.adjustment = adjustment
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
        columns = [frame[name].tolist() for name in ("Open", "High", "Low", "Close", "Volume")]
        days = [to_milliseconds(moment.date()) for moment in frame.index]
        return list(zip(days, *columns, strict=True))

    def last_trade(self, symbol: str) -> tuple[float, datetime]:
        """Return the last price of the regular session, and when it was traded. Raises TemporaryError."""
        try:
            self._history(symbol, {"period": "1d"})
            metadata = self._ticker(symbol).get_history_metadata()
            price, at = metadata["regularMarketPrice"], metadata["regularMarketTime"]
            return float(price), at.to_pydatetime().astimezone(UTC)
        except (import_module("yfinance.exceptions").YFException, *UNREADABLE) as error:
            raise TemporaryError(_describe_error(error)) from None

    def answer_time(self) -> datetime:
        """Return the time stated by Yahoo's answers. Raises TemporaryError."""
        backend = import_module("yfinance._http")
        try:
            answer = self._session.get(
                _CLOCK, params={"range": "1d", "interval": "1d"}, timeout=self._timeout_s
            )
        except (backend.requests.exceptions.RequestException, *UNREADABLE) as error:
            raise TemporaryError(_describe_error(error)) from None
        return self._answer_date(answer.status_code)

    def _history(self, symbol: str, window: dict[str, str]) -> Any:
        errors = import_module("yfinance.exceptions")
        self._library.data.YfData.cache_get.cache_clear()
        try:
            with _raise_errors(self._library):
                return self._ticker(symbol).history(
                    **window,
                    interval="1d",
                    auto_adjust=self.adjustment is Adjustment.SPLIT_DIVIDEND,
                    actions=False,
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


def create_client(
    source: str,
    *,
    timeframe: str = "1d",
    adjustment: Adjustment | None = None,
    clock: Callable[[], datetime],
    url: str | None = None,
    get_instrument: Callable[[str], Instrument] = guess_instrument,
    timeout_s: float = TIMEOUT_S,
) -> YahooClient:
    """Create a client of Yahoo (see `feeds.sources.registry.SourceModule`), which has no raw prices."""
    require_daily(source, timeframe)
    if adjustment is Adjustment.RAW:
        raise UsageError("yfinance has no raw prices; fetch with --adjustment split or split+dividend")
    return YahooClient(adjustment or Adjustment.SPLIT, clock, get_instrument, timeout_s, url)


create_live_source = LiveStocks


def to_yahoo_symbol(symbol: str) -> str:
    """Return Yahoo's spelling: a hyphen before a share class (BRK.B is BRK-B), a dot before an exchange."""
    match = _CLASS_SHARE.fullmatch(symbol)
    return f"{match[1]}-{match[2]}" if match else symbol


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

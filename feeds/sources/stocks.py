"""What Yahoo and EastMoney have in common as sources of stocks' daily candles.

Knows calendars, our own clock and how an optional library is asked for; it knows neither of the two.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from engine.calendars import Calendar, Session, load_calendar
from engine.errors import DataError, UsageError
from engine.instruments import Instrument
from engine.model import Bar
from feeds.history.candles import DAY, EPOCH, Grid, SessionGrid
from feeds.history.client import Row, TemporaryError
from feeds.history.endpoints import HttpSession, describe_source
from feeds.live.events import parse_bar, parse_start
from feeds.live.protocols import Opening, Quote

TIMEOUT_S = 20.0

UNREADABLE = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)

_PAGE = 20_000

_MILLISECOND = timedelta(milliseconds=1)


class StockClient:
    """Days of an exchange's calendar, and our own clock: a daily candle does not say what time it is.

    `url` leads every request to another address than the official one.
    """

    timeframe = "1d"
    page = _PAGE

    def __init__(
        self,
        clock: Callable[[], datetime],
        get_instrument: Callable[[str], Instrument],
        timeout_s: float,
        url: str | None,
        provenance: str,
    ) -> None:
        self._clock, self._get_instrument, self._timeout_s = clock, get_instrument, timeout_s
        self._wire = HttpSession(url)
        self.provenance = describe_source(provenance, url)

    def server_time(self) -> datetime:
        """Our own clock, by which a fetch of past days goes."""
        return self._clock()

    def grid(self, symbol: str, since: datetime, until: datetime) -> Grid:
        """One candle for each session of the symbol's exchange."""
        code = self._get_instrument(symbol).calendar
        return SessionGrid(calendar=load_calendar(code, since.date(), until.date()))

    def _answer_date(self, status: int) -> datetime:
        """What time the last answer said it is, in whole seconds, so up to one behind.

        Raises TemporaryError also where its HTTP status says that it is no answer.
        """
        if status >= 400:
            raise TemporaryError(f"HTTP {status}")
        if self._wire.dated is None:
            raise TemporaryError("the answer does not say what time it is")
        return self._wire.dated


def require_daily(source: str, timeframe: str) -> None:
    """Raise UsageError for candles of another length than a day."""
    if timeframe != "1d":
        raise UsageError(f"{source} gives daily candles only; leave --timeframe {timeframe} out")


def to_milliseconds(day: object) -> object:
    """Milliseconds since 1970 of a date's midnight; what is no date stays what it is, to be refused."""
    if not isinstance(day, date) or day != day:
        return None
    return (datetime(day.year, day.month, day.day, tzinfo=EPOCH.tzinfo) - EPOCH) // _MILLISECOND


def day_after(until: datetime) -> date:
    """The first day of which nothing lies before `until`."""
    return (until - _MILLISECOND).date() + DAY


FINAL_AFTER = timedelta(minutes=15)
"""How long after its close a day's row counts as final, if the service has seen the market until then."""

SURELY_FINAL_AFTER = timedelta(minutes=30)
"""The same where its last trade is from before the close: it may be delayed, or nobody traded."""

_DAY = timedelta(days=1)


class StockService(Protocol):
    """What is asked of a client of stocks' prices. Each method raises TemporaryError."""

    name: str

    def answer_time(self) -> datetime:
        """What time the service's answers say it is."""
        ...

    def candles(self, symbol: str, since: datetime, until: datetime) -> Sequence[Row]:
        """Daily rows, each named by midnight UTC of its trading day; the running day may be among them."""
        ...

    def last_trade(self, symbol: str) -> tuple[float, datetime]:
        """The last price of the regular session, and when it was traded."""
        ...


class LiveStocks:
    """A `BarSource` over one service; `calendars` are by symbol."""

    def __init__(self, service: StockService, calendars: Mapping[str, Calendar]) -> None:
        self._service, self._calendars = service, calendars
        self._now: datetime | None = None

    @property
    def name(self) -> str:
        """The service's name, such as "yfinance"."""
        return self._service.name

    def server_time(self) -> datetime:
        """The service's own clock."""
        self._now = self._service.answer_time()
        return self._now

    def closed_bars(self, symbol: str, since: datetime) -> Sequence[Bar]:
        """The final days from `since` on. Rows that are no bar are left out.

        A row on a day without a session becomes a bar of that day in UTC, which the collector refuses by
        name.
        """
        # The clock as the collector has just asked it: the rows come later, and so are no less final.
        now = self._now or self.server_time()
        rows = self._service.candles(symbol, since, now + _DAY)
        bars = []
        for row in rows:
            session = self._session(symbol, row)
            if session and session[0] >= since and self._is_final(symbol, session, now):
                bar = parse_bar(symbol, row, session)
                bars += [bar] if bar else []
        return bars

    def session_open(self, symbol: str, session_open: datetime) -> Opening:
        """The last trade and, once there was one in this session, the open of the running day's row."""
        quote = self.quote(symbol)
        official = None
        if quote.at >= session_open:
            rows = self._service.candles(symbol, session_open, session_open + _DAY)
            found = (row for row in rows if (at := self._session(symbol, row)) and at[0] == session_open)
            official = _parse_price(next(found, ()))
        return Opening(official=official, observed=quote)

    def quote(self, symbol: str) -> Quote:
        """The last traded price."""
        price, at = self._service.last_trade(symbol)
        return Quote(price=price, at=at)

    def _session(self, symbol: str, row: Row) -> Session | None:
        day = parse_start(row)
        if day is None:
            return None
        try:
            session = self._calendars[symbol].session(day.date())
        except DataError:
            return None  # a day that the calendar does not know is none that is waited for
        return session or (day, day + _DAY)

    def _is_final(self, symbol: str, session: Session, now: datetime) -> bool:
        since_close = now - session[1]
        if since_close < FINAL_AFTER:
            return False
        return since_close >= SURELY_FINAL_AFTER or self.quote(symbol).at >= session[1]


def _parse_price(row: Row) -> float | None:
    """The open of a row, where it is a price."""
    cell = row[1] if len(row) > 1 else None
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    return float(cell) if math.isfinite(cell) and cell > 0 else None

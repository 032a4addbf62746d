"""The shared part of the sources of stocks' daily candles: calendars, clocks and the check for final rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from engine.calendars import Calendar, Session, load_calendar
from engine.corporate_actions import ActionKind, Dividend, Split
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
    """Daily candles by an exchange's calendar, and the clock of this machine: a daily candle states no time.

    `url` redirects every request from the official address.
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
        self._http = HttpSession(url)
        self.provenance = describe_source(provenance, url)

    def server_time(self) -> datetime:
        """Return the time of this machine, which suffices for past days."""
        return self._clock()

    def grid(self, symbol: str, since: datetime, until: datetime) -> Grid:
        """Return one candle for each session of the symbol's exchange."""
        code = self._get_instrument(symbol).calendar
        return SessionGrid(calendar=load_calendar(code, since.date(), until.date()))

    def actions(self, symbol: str, since: date) -> Sequence[tuple[date, ActionKind, float]]:
        """Return no splits and dividends, unless the service states them."""
        del symbol, since
        return ()

    def _answer_date(self, status: int) -> datetime:
        """Return the time stated by the last answer, in whole seconds, so up to one behind.

        Raises TemporaryError, also for an HTTP status of 400 or more.
        """
        if status >= 400:
            raise TemporaryError(f"HTTP {status}")
        if self._http.dated is None:
            raise TemporaryError("the answer does not say what time it is")
        return self._http.dated


def require_daily(source: str, timeframe: str) -> None:
    """Raise UsageError for candles of another length than a day."""
    if timeframe != "1d":
        raise UsageError(f"{source} gives daily candles only; leave --timeframe {timeframe} out")


def to_milliseconds(day: object) -> object:
    """Return milliseconds since 1970 of a date's midnight; None for what is no date, to be refused."""
    if not isinstance(day, date) or day != day:
        return None
    return (datetime(day.year, day.month, day.day, tzinfo=EPOCH.tzinfo) - EPOCH) // _MILLISECOND


def day_after(until: datetime) -> date:
    """Return the first day that lies wholly at or after `until`."""
    return (until - _MILLISECOND).date() + DAY


FINAL_AFTER = timedelta(minutes=15)
"""How long after its close a day's row counts as final, if the last trade is not from before the close."""

SURELY_FINAL_AFTER = timedelta(minutes=30)
"""The same where its last trade is from before the close: it may be delayed, or nobody traded."""

_DAY = timedelta(days=1)


class StockService(Protocol):
    """The client of a stocks' source, as live bars need it. Each method raises TemporaryError."""

    name: str

    def answer_time(self) -> datetime:
        """Return the time stated by the service's answers."""
        ...

    def candles(self, symbol: str, since: datetime, until: datetime) -> Sequence[Row]:
        """Return daily rows, each by midnight UTC of its trading day; the running day may be among them."""
        ...

    def last_trade(self, symbol: str) -> tuple[float, datetime]:
        """Return the last price of the regular session, and when it was traded."""
        ...

    def actions(self, symbol: str, since: date) -> Sequence[tuple[date, ActionKind, float]]:
        """Return splits by ratio and dividends by amount, each with its ex-date, from a day on."""
        ...


class LiveStocks:
    """A `BarSource` and `ActionSource` over one service; `calendars` are by symbol."""

    def __init__(self, service: StockService, calendars: Mapping[str, Calendar]) -> None:
        self._service, self._calendars = service, calendars
        self._now: datetime | None = None

    @property
    def name(self) -> str:
        """The service's name, such as "yfinance"."""
        return self._service.name

    def server_time(self) -> datetime:
        """Return the time of the service's own clock."""
        self._now = self._service.answer_time()
        return self._now

    def closed_bars(self, symbol: str, since: datetime) -> Sequence[Bar]:
        """Return the final days from `since` on. Rows that are no bar are left out.

        A row on a day without a session becomes a bar of that day in UTC, which the collector refuses by
        name.
        """
        # The time that the collector has just asked for: rows that come later are no less final.
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
        """Return the last trade and, once there was one in this session, the open of the running day."""
        quote = self.quote(symbol)
        official = None
        if quote.at >= session_open:
            rows = self._service.candles(symbol, session_open, session_open + _DAY)
            today = (row for row in rows if (at := self._session(symbol, row)) and at[0] == session_open)
            official = _parse_price(next(today, ()))
        return Opening(official=official, observed=quote)

    def quote(self, symbol: str) -> Quote:
        """Return the last traded price."""
        price, at = self._service.last_trade(symbol)
        return Quote(price=price, at=at)

    def corporate_actions(self, symbol: str, since: datetime) -> Sequence[Split | Dividend]:
        """Return what the service states; what is no number above zero, or on no session day, is left out."""
        actions: list[Split | Dividend] = []
        for day, kind, value in self._service.actions(symbol, since.date()):
            try:
                session = self._calendars[symbol].session(day)
                if session is None or session[0] < since:
                    continue
                at = session[0]
                actions.append(
                    Split(at=at, symbol=symbol, ratio=value)
                    if kind is ActionKind.SPLIT
                    else Dividend(at=at, symbol=symbol, amount=value)
                )
            except (DataError, ValueError):
                continue  # as a bar that is no bar: a wrong value from outside changes no position
        return actions

    def _session(self, symbol: str, row: Row) -> Session | None:
        day = parse_start(row)
        if day is None:
            return None
        try:
            session = self._calendars[symbol].session(day.date())
        except DataError:
            return None  # no bar is due on a day outside the calendar
        return session or (day, day + _DAY)

    def _is_final(self, symbol: str, session: Session, now: datetime) -> bool:
        since_close = now - session[1]
        if since_close < FINAL_AFTER:
            return False
        return since_close >= SURELY_FINAL_AFTER or self.quote(symbol).at >= session[1]


def _parse_price(row: Row) -> float | None:
    """Return the open of a row, or None where it is no price."""
    cell = row[1] if len(row) > 1 else None
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    return float(cell) if math.isfinite(cell) and cell > 0 else None

"""The shared part of the sources of stocks' daily candles: calendars, clocks and the check for final rows."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from importlib import import_module

from engine.calendars import Calendar, Session, load_calendar
from engine.corporate_actions import ActionKind, Dividend, Split
from engine.errors import DataError, UsageError
from engine.instruments import Instrument
from engine.model import Bar
from feeds.history.candles import DAY, EPOCH, Adjustment, Grid, SessionGrid, parse_start
from feeds.history.client import Row, TemporaryError
from feeds.history.endpoints import HttpSession, describe_source
from feeds.instruments import guess_instrument
from feeds.live.events import parse_bar
from feeds.live.protocols import Opening, Quote

UNREADABLE = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
_PAGE = 20_000
_MILLISECOND = timedelta(milliseconds=1)


class StockClient(ABC):
    """Daily candles by an exchange's calendar, and the clock of this machine: a daily candle states no time.

    The constructor is the module's `create_client` (see `feeds.sources.registry.create_client`).

    Attributes:
        service: The service's own name.
        library: The module that asks it.
        adjustments: What the service offers, the least adjusted first; `lacking` is what it does not.
    """

    name: str
    service: str
    library: str
    adjustments: tuple[Adjustment, ...]
    lacking: str
    timeframe = "1d"
    page = _PAGE

    def __init__(
        self,
        source: str,
        *,
        timeframe: str = "1d",
        adjustment: Adjustment | None = None,
        clock: Callable[[], datetime],
        url: str | None = None,
        get_instrument: Callable[[str], Instrument] = guess_instrument,
        timeout_s: float = 20.0,
    ) -> None:
        if timeframe != "1d":
            raise UsageError(f"{source} gives daily candles only; leave --timeframe {timeframe} out")
        self.adjustment = adjustment or self.adjustments[0]
        if self.adjustment not in self.adjustments:
            choice = " or ".join(self.adjustments)
            raise UsageError(f"{source} has no {self.lacking} prices; fetch with --adjustment {choice}")
        self._library = import_module(self.library)
        self._clock, self._get_instrument, self._timeout_s = clock, get_instrument, timeout_s
        self._http = HttpSession(url)
        provenance = f"{self.service} through {self.library} {self._library.__version__}"
        self.provenance = describe_source(provenance, url)

    @abstractmethod
    def answer_time(self) -> datetime:
        """Return the time stated by the service's answers. Raises TemporaryError."""

    @abstractmethod
    def candles(self, symbol: str, since: datetime, until: datetime) -> Sequence[Row]:
        """Return daily rows, each by midnight UTC of its trading day; the running day may be among them."""

    @abstractmethod
    def last_trade(self, symbol: str) -> tuple[float, datetime]:
        """Return the last price of the regular session, and when it was traded. Raises TemporaryError."""

    def server_time(self) -> datetime:
        """Return the time of this machine, which suffices for past days."""
        return self._clock()

    def grid(self, symbol: str, since: datetime, until: datetime) -> Grid:
        """Return one candle for each session of the symbol's exchange."""
        code = self._get_instrument(symbol).calendar
        return SessionGrid(calendar=load_calendar(code, since.date(), until.date()))

    def actions(self, symbol: str, since: date) -> Sequence[tuple[date, ActionKind, float]]:
        """Return splits by ratio and dividends by amount from a day on; none unless overridden."""
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


class LiveStocks:
    """A `BarSource` and `ActionSource` over one service; `calendars` are by symbol."""

    def __init__(self, service: StockClient, calendars: Mapping[str, Calendar]) -> None:
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
        rows = self._service.candles(symbol, since, now + DAY)
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
            rows = self._service.candles(symbol, session_open, session_open + DAY)
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
        return session or (day, day + DAY)

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

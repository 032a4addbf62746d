"""What Yahoo and EastMoney have in common as sources of stocks' daily candles.

Knows calendars, our own clock and how an optional library is asked for; it knows neither of the two.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from importlib import import_module
from typing import Any

from engine.calendars import calendar_of
from engine.errors import UsageError
from engine.instruments import Instrument
from feeds.history.bar_sources import Unanswered
from feeds.history.candles import DAY, EPOCH, Grid, SessionGrid
from feeds.history.mirrors import Wire, told

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
        instrument_of: Callable[[str], Instrument],
        timeout_s: float,
        url: str | None,
        said_by: str,
    ) -> None:
        self._clock, self._instrument_of, self._timeout_s = clock, instrument_of, timeout_s
        self._wire = Wire(url)
        self.said_by = told(said_by, url)

    def server_time(self) -> datetime:
        """Our own clock, by which a fetch of past days goes."""
        return self._clock()

    def grid(self, symbol: str, since: datetime, until: datetime) -> Grid:
        """One candle for each session of the symbol's exchange."""
        code = self._instrument_of(symbol).calendar
        return SessionGrid(calendar=calendar_of(code, since.date(), until.date()))

    def _dated(self, status: int) -> datetime:
        """What time the last answer said it is, in whole seconds, so up to one behind.

        Raises Unanswered also where its HTTP status says that it is no answer.
        """
        if status >= 400:
            raise Unanswered(f"HTTP {status}")
        if self._wire.dated is None:
            raise Unanswered("the answer does not say what time it is")
        return self._wire.dated


def library(name: str, extra: str) -> Any:
    """An optional library. Raises UsageError, which names the extra to install, where it is not there."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(f"this source needs {error.name}; run: pip install 'closecall[{extra}]'") from None


def stamp(day: object) -> object:
    """Milliseconds since 1970 of a date's midnight; what is no date stays what it is, to be refused."""
    if not isinstance(day, date) or day != day:
        return None
    return (datetime(day.year, day.month, day.day, tzinfo=EPOCH.tzinfo) - EPOCH) // _MILLISECOND


def day_after(until: datetime) -> date:
    """The first day of which nothing lies before `until`."""
    return (until - _MILLISECOND).date() + DAY

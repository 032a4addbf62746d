"""Trading calendars: when each market opens and closes, in UTC.

Daylight saving, half days and holidays come from exchange_calendars. Nothing here reads the clock: the caller
states the days it needs and keeps the calendar for the whole run.
"""

import difflib
import re
import warnings
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from itertools import takewhile
from typing import Any, Protocol

from engine.errors import DataError
from engine.instruments import ROUND_THE_CLOCK
from engine.model import require_utc

_ROUND_THE_CLOCK = re.compile(
    re.escape(ROUND_THE_CLOCK) + r"(?:(?P<sign>[+-])(?P<hours>0[0-9]|1[0-4]):(?P<minutes>[0-5][0-9]))?"
)
_MARGIN = timedelta(days=31)
_EARLIEST, _LATEST = date(1900, 1, 1), date(2199, 12, 31)
Session = tuple[datetime, datetime]


class Calendar(Protocol):
    """The sessions of one market. All times are in UTC."""

    def session(self, day: date) -> Session | None:
        """Return when the market opens and closes on its trading day `day`, or None if it stays closed.

        Raises DataError for a day outside the calendar.
        """
        ...

    def next_open(self, after: datetime) -> datetime:
        """Return the first open at or after `after`. Raises DataError where the calendar ends before it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTheClock:
    """A market that never closes: each day is one session, from midnight to midnight.

    Attributes:
        offset: How far the clock of its days is ahead of UTC.
    """

    offset: timedelta = timedelta(0)

    def session(self, day: date) -> Session | None:
        """Return the midnight at which `day` begins and the one at which it ends."""
        if not _EARLIEST <= day <= _LATEST:
            raise _unknown_day(ROUND_THE_CLOCK, day, _EARLIEST, _LATEST)
        opens_at = datetime.combine(day, time(), UTC) - self.offset
        return opens_at, opens_at + timedelta(days=1)

    def next_open(self, after: datetime) -> datetime:
        """Return `after` itself where a day begins, otherwise the next begin of a day."""
        require_utc(after, "after")
        if not _EARLIEST <= after.date() <= _LATEST:
            raise _unknown_day(ROUND_THE_CLOCK, after.date(), _EARLIEST, _LATEST)
        opens_at = datetime.combine((after + self.offset).date(), time(), UTC) - self.offset
        return opens_at if opens_at == after else opens_at + timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSessions:
    """The recorded sessions of one exchange between `first` and `last`, both included."""

    code: str
    first: date
    last: date
    sessions: Mapping[date, Session]
    opens: tuple[datetime, ...]

    def session(self, day: date) -> Session | None:
        """Return when the exchange opens and closes on `day`, or None if it stays closed."""
        if not self.first <= day <= self.last:
            raise _unknown_day(self.code, day, self.first, self.last)
        return self.sessions.get(day)

    def next_open(self, after: datetime) -> datetime:
        """Return the first open at or after `after`."""
        require_utc(after, "after")
        at = bisect_left(self.opens, after)
        if at == len(self.opens) or after.date() < self.first:
            raise _unknown_day(self.code, after.date(), self.first, self.last)
        return self.opens[at]


def load_calendar(code: str, first: date, last: date) -> Calendar:
    """Load the calendar `code` for the days `first` to `last` and the month after them.

    Where the exchange's record begins later or ends earlier, the calendar does too.

    Args:
        code: "24/7", "24/7+08:00", or a code of exchange_calendars such as "XNYS".
        first: The first day, included.
        last: The last day, included.

    Raises:
        DataError: For an unknown code, or if no day is recorded.
        ValueError: If `first` is after `last`.
    """
    if first > last:
        raise ValueError(f"first {first} is after last {last}")
    if match := _ROUND_THE_CLOCK.fullmatch(code):
        sign = -1 if match["sign"] == "-" else 1
        hours, minutes = int(match["hours"] or 0), int(match["minutes"] or 0)
        return RoundTheClock(offset=sign * timedelta(hours=hours, minutes=minutes))
    with warnings.catch_warnings():
        # exchange_calendars still calls parts of pandas that are to change in a later version.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _load_exchange(code, max(first, _EARLIEST), min(last, _LATEST) + _MARGIN)


# exchange_calendars works out every session again at each call, which takes a fifth of a second.
@lru_cache(maxsize=64)
def _load_exchange(code: str, first: date, last: date) -> Calendar:
    recorded_from, recorded_to = _recorded_span(code)
    start, end = max(first, recorded_from), min(last, recorded_to)
    if start >= end:
        raise _unknown_day(code, first, recorded_from, recorded_to)
    from exchange_calendars import get_calendar

    schedule = get_calendar(code, start=start.isoformat(), end=end.isoformat()).schedule
    sessions = {
        day.date(): (_in_utc(opens_at), _in_utc(closes_at))
        for day, opens_at, closes_at in zip(schedule.index, schedule["open"], schedule["close"], strict=True)
    }
    opens = tuple(sorted(opens_at for opens_at, _ in sessions.values()))
    return ExchangeSessions(code=code, first=start, last=end, sessions=sessions, opens=opens)


@cache
def _recorded_span(code: str) -> tuple[date, date]:
    """Return the first and last day for which the exchange's holidays are recorded."""
    from exchange_calendars import get_calendar, get_calendar_names

    known = get_calendar_names()
    if code not in known:
        nearest = max(known, key=lambda name: _likeness(name, code.upper()))
        raise DataError(
            f"calendar {code[:40]!r} is unknown; did you mean {nearest}? "
            f"Give {ROUND_THE_CLOCK} for days in UTC, {ROUND_THE_CLOCK}+08:00 for those of another clock, "
            "or a code such as XNYS or XSHG"
        )
    exchange = type(get_calendar(code))
    earliest, latest = exchange.bound_min(), exchange.bound_max()
    return (earliest.date() if earliest else _EARLIEST, latest.date() if latest else _LATEST)


def _likeness(name: str, code: str) -> tuple[float, int]:
    """Return how similar two codes are, then the length of their common prefix, which decides ties."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(name, code, strict=False))
    return difflib.SequenceMatcher(a=name, b=code).ratio(), len(list(alike))


def _in_utc(stamp: Any) -> datetime:
    """Convert a pandas Timestamp to a datetime whose zone is `datetime.UTC` itself."""
    moment: datetime = stamp.to_pydatetime()
    return moment.astimezone(UTC)


def _unknown_day(code: str, day: date, first: date, last: date) -> DataError:
    return DataError(f"calendar {code} knows the days {first} to {last}, not {day}; choose dates within them")

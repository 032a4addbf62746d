"""Count the days of a year on which a portfolio is marked, to annualise its daily figures."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta

from engine.calendars import load_calendar
from engine.errors import DataError
from engine.instruments import WEEKDAYS
from engine.model import Bar

_DAYS_OF_A_YEAR = 365.25
_YEAR = timedelta(days=365)
_DAY = timedelta(days=1)


def count_days_per_year(
    bars: Mapping[str, Sequence[Bar]], calendars: Mapping[str, str], start: datetime
) -> int:
    """Return how many days of a year have a mark of equity, which is one on which any bar closes.

    Over a year and more they are counted: days with a mark after the first, over the calendar days between
    the first and the last, times 365.25. A shorter run does not show its holidays; there it is the sessions
    of the calendar year before its last day in the calendars of its symbols, each weighted with the days on
    which its symbols have bars. Either way a coin that is there for a month adds a month of weekends only.

    Args:
        bars: The bars of each symbol, oldest first.
        calendars: The calendar code of each symbol.
        start: Bars that close later count.
    """
    marked = {_day(at) for at in {bar.closes_at for series in bars.values() for bar in series} if at > start}
    if not marked:
        return round(_count_sessions(set(calendars.values()), start.year - 1))
    first, last = min(marked), max(marked)
    span = last - first
    if span >= _YEAR:
        return round((len(marked) - 1) / span.days * _DAYS_OF_A_YEAR)
    spans = {
        (calendars[symbol], max(first, _day(series[0].closes_at)), _day(series[-1].closes_at))
        for symbol, series in bars.items()
        if series and series[-1].closes_at > start
    }
    days = [first + number * _DAY for number in range(span.days + 1)]
    open_together = Counter(
        frozenset(code for code, since, until in spans if since <= day <= until) for day in days
    )
    open_together.pop(frozenset(), None)  # a day on which nothing is there to be marked
    total = sum(count * _count_sessions(codes, last.year - 1) for codes, count in open_together.items())
    return round(total / open_together.total())


def _count_sessions(codes: Collection[str], year: int) -> float:
    """Return the days of a year on which any of some calendars has a session."""
    first, last = date(year, 1, 1), date(year, 12, 31)
    days = [first + number * _DAY for number in range((last - first).days + 1)]
    calendars = []
    for code in codes:
        try:
            calendar = load_calendar(code, first, last)
            calendar.session(first)
        except DataError:
            # The exchange's record does not reach so far; weekdays without holidays are what is left.
            calendar = load_calendar(WEEKDAYS, first, last)
        calendars.append(calendar)
    sessions = sum(any(calendar.session(day) for calendar in calendars) for day in days)
    return sessions / len(days) * _DAYS_OF_A_YEAR


def _day(at: datetime) -> date:
    """Return the UTC date that an instant ends or lies in."""
    return (at - timedelta(microseconds=1)).date()

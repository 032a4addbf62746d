"""Holds the dates of a bar file against its market's calendar: missing, closed, shifted and unfinished days.

Knows sessions, not prices. Dates of a market that never closes cannot be seen to be shifted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise

from engine.calendars import Calendar, Session
from engine.errors import DataError
from engine.instruments import AssetClass, Instrument
from feeds.quality.findings import Finding, FindingFactory, Kind, pluralize
from feeds.quality.rows import BarRow

_DAY = timedelta(days=1)

# Fewer rows on closed days than this are single wrong dates, not a file whose dates are shifted.
_LEAST_SHIFTED = 3


def check_days(
    rows: Sequence[BarRow],
    instrument: Instrument,
    calendar: Calendar,
    find: FindingFactory,
    now: datetime | None,
) -> list[Finding]:
    """What the dates of `rows`, ascending, say against `calendar`; `now` (UTC) is when the file is read."""
    found: list[Finding] = []
    closed = [row for row in rows if _is_closed(calendar, row.day)]
    if len(closed) >= _LEAST_SHIFTED and (shift := _shift(rows, closed, calendar)):
        first, last = closed[0], closed[-1]
        fault = (
            f"the dates from {first.day} to {last.day} are a day {'late' if shift < _DAY else 'early'}, "
            f"{len(closed):,} of them on days on which {instrument.calendar} was closed; "
            "date each bar with the day of its session in the market's own zone"
        )
        found.append(find(Kind.SHIFTED, first.line, first.day, f"{-shift.days:+d} day", fault))
        rows = _shift_rows(rows, closed, shift)
    else:
        for row in closed:
            fault = (
                f"{row.day} ({row.day:%A}) is a day on which {instrument.calendar} was closed; "
                "correct the date, or remove the row"
            )
            found.append(find(Kind.CLOSED_DAY, row.line, row.day, str(row.day), fault))
    found += _gaps(rows, instrument, calendar, find)
    if now is not None:
        found += _unfinished(rows, calendar, find, now)
    return found


def _session(calendar: Calendar, day: date) -> Session | None:
    """The session of `day`; None if the market stayed closed, or if the calendar does not know the day."""
    try:
        return calendar.session(day)
    except DataError:
        return None


def _is_closed(calendar: Calendar, day: date) -> bool:
    """Whether the market is known to have been closed on `day`."""
    try:
        return calendar.session(day) is None
    except DataError:
        return False


def _shift(rows: Sequence[BarRow], closed: Sequence[BarRow], calendar: Calendar) -> timedelta | None:
    """By how much the dates around `closed` must be moved to fall on sessions; None if no day helps."""
    first, last = closed[0].day, closed[-1].day
    within = [row for row in rows if first <= row.day <= last]
    if len(closed) < len(within) / 20:
        return None
    for shift in (-_DAY, _DAY):
        if sum(_is_closed(calendar, row.day + shift) for row in within) <= len(closed) / 10:
            return shift
    return None


def _shift_rows(rows: Sequence[BarRow], closed: Sequence[BarRow], shift: timedelta) -> list[BarRow]:
    """The rows with the dates that they should have; those up to a week beside the closed days move too."""
    first, last = closed[0].day - 7 * _DAY, closed[-1].day + 7 * _DAY
    moved = (replace(row, day=row.day + shift) if first <= row.day <= last else row for row in rows)
    return sorted({row.day: row for row in moved}.values(), key=lambda row: row.day)


def _gaps(
    rows: Sequence[BarRow], instrument: Instrument, calendar: Calendar, find: FindingFactory
) -> Iterator[Finding]:
    suspended = instrument.asset_class is AssetClass.A_SHARE
    advice = (
        "the share may have been suspended; if it was not, add the bars"
        if suspended
        else "add the bars, or choose dates without them"
    )
    for earlier, later in pairwise(rows):
        between = (later.day - earlier.day).days
        days = (earlier.day + number * _DAY for number in range(1, between))
        if missing := [day for day in days if _session(calendar, day)]:
            what = pluralize(len(missing), "session")
            fault = f"{what} missing from {missing[0]} to {missing[-1]}; {advice}"
            yield find(Kind.GAP, later.line, missing[0], what, fault, blocking=not suspended)


def _unfinished(
    rows: Sequence[BarRow], calendar: Calendar, find: FindingFactory, now: datetime
) -> Iterator[Finding]:
    for row in rows:
        session = _session(calendar, row.day)
        if session and session[1] > now:
            fault = (
                f"the session of {row.day} closes at {session[1]:%Y-%m-%d %H:%M} UTC, later than now; "
                "remove the row until it has closed"
            )
            yield find(Kind.UNFINISHED, row.line, row.day, str(row.day), fault)

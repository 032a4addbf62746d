"""Check the dates of a bar file against its market's calendar: missing, closed, shifted, unfinished days.

In a market that never closes, shifted dates cannot be detected.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import median

from engine.calendars import Calendar, Session
from engine.errors import DataError, quote_key
from engine.instruments import AssetClass, Instrument
from feeds.instruments import trades_on_weekends
from feeds.quality.findings import Finding, FindingFactory, Kind, pluralize
from feeds.quality.rows import BarRow

_DAY = timedelta(days=1)
_LEAST_APART = 5

# Fewer rows on closed days are single wrong dates, not a file whose dates are shifted.
_MIN_SHIFTED = 3


def check_days(
    rows: Sequence[BarRow],
    instrument: Instrument,
    calendar: Calendar,
    new_finding: FindingFactory,
    now: datetime | None,
) -> list[Finding]:
    """Return the findings on the dates of one file.

    Args:
        rows: The rows, ascending by date.
        instrument: The instrument whose market they are of.
        calendar: That market's calendar.
        new_finding: Creates the findings of this file.
        now: When the file is read, in UTC; None to skip the check for unfinished sessions.
    """
    if (apart := _median_days_apart(rows)) >= _LEAST_APART:
        fault = f"the rows are {apart:g} days apart: weekly or monthly bars; give a row for each trading day"
        return [new_finding(Kind.INTERVAL, rows[0].line, rows[0].day, f"{apart:g} days", fault)]
    findings: list[Finding] = []
    closed = [row for row in rows if _is_closed(calendar, row.day)]
    if len(closed) >= _MIN_SHIFTED and (shift := _detect_shift(rows, closed, calendar)):
        first, last = closed[0], closed[-1]
        fault = (
            f"the dates from {first.day} to {last.day} are a day {'late' if shift < _DAY else 'early'}, "
            f"{len(closed):,} of them on days on which {instrument.calendar} was closed; "
            "date each bar with the day of its session in the market's own zone"
        )
        findings.append(new_finding(Kind.SHIFTED, first.line, first.day, f"{-shift.days:+d} day", fault))
        rows = _shift_rows(rows, closed, shift)
    elif closed and trades_on_weekends(row.day for row in rows):
        first = closed[0]
        fault = (
            f"{len(closed):,} rows are on days on which {instrument.calendar} was closed, Saturdays and "
            "Sundays among them; if it trades round the clock, set asset_class = "
            f'"coin" under [instruments.{quote_key(instrument.symbol)}], or else remove the rows'
        )
        findings.append(new_finding(Kind.CLOSED_DAY, first.line, first.day, str(first.day), fault))
    else:
        for row in closed:
            fault = (
                f"{row.day} ({row.day:%A}) is a day on which {instrument.calendar} was closed; "
                "correct the date, or remove the row"
            )
            findings.append(new_finding(Kind.CLOSED_DAY, row.line, row.day, str(row.day), fault))
    findings += _check_gaps(rows, instrument, calendar, new_finding)
    if now is not None:
        findings += _check_unfinished(rows, calendar, new_finding, now)
    return findings


def _median_days_apart(rows: Sequence[BarRow]) -> float:
    days = [(later.day - earlier.day).days for earlier, later in pairwise(rows)]
    return median(days) if len(days) >= _LEAST_APART else 1


def _session(calendar: Calendar, day: date) -> Session | None:
    """Return the session of `day`; None if the market was closed or the calendar does not cover the day."""
    try:
        return calendar.session(day)
    except DataError:
        return None


def _is_closed(calendar: Calendar, day: date) -> bool:
    """Return whether the market is known to have been closed on `day`."""
    try:
        return calendar.session(day) is None
    except DataError:
        return False


def _detect_shift(rows: Sequence[BarRow], closed: Sequence[BarRow], calendar: Calendar) -> timedelta | None:
    """Return by how much to move the dates around `closed` so that they fall on sessions, if a day helps."""
    first, last = closed[0].day, closed[-1].day
    within = [row for row in rows if first <= row.day <= last]
    if len(closed) < len(within) / 20:
        return None
    for shift in (-_DAY, _DAY):
        if sum(_is_closed(calendar, row.day + shift) for row in within) <= len(closed) / 10:
            return shift
    return None


def _shift_rows(rows: Sequence[BarRow], closed: Sequence[BarRow], shift: timedelta) -> list[BarRow]:
    """Return the rows with corrected dates; rows within a week of the closed days move too."""
    first, last = closed[0].day - 7 * _DAY, closed[-1].day + 7 * _DAY
    moved = (replace(row, day=row.day + shift) if first <= row.day <= last else row for row in rows)
    return sorted({row.day: row for row in moved}.values(), key=lambda row: row.day)


def _check_gaps(
    rows: Sequence[BarRow], instrument: Instrument, calendar: Calendar, new_finding: FindingFactory
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
            count = pluralize(len(missing), "session")
            fault = f"{count} missing from {missing[0]} to {missing[-1]}; {advice}"
            yield new_finding(Kind.GAP, later.line, missing[0], count, fault, blocking=not suspended)


def _check_unfinished(
    rows: Sequence[BarRow], calendar: Calendar, new_finding: FindingFactory, now: datetime
) -> Iterator[Finding]:
    for row in rows:
        session = _session(calendar, row.day)
        if session and session[1] > now:
            fault = (
                f"the session of {row.day} closes at {session[1]:%Y-%m-%d %H:%M} UTC, later than now; "
                "remove the row until it has closed"
            )
            yield new_finding(Kind.UNFINISHED, row.line, row.day, str(row.day), fault)

"""When a live session decides next: at the next close of one of its markets. Knows settings and calendars."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.calendars import Calendar, calendar_of
from engine.errors import DataError

_FAR = 15
"""Days within which each market has a session, through the longest holidays."""


def calendars_in(begun: Mapping[str, Any], at: datetime) -> dict[str, Calendar]:
    """The calendars of a session's instruments around `at`, by code. `begun` is its first event."""
    day = at.date()
    return {code: calendar_of(code, day - timedelta(days=3), day) for code in begun["calendars"]}


def next_close(calendars: Mapping[str, Calendar], at: datetime) -> datetime | None:
    """The first close after `at`, None where no calendar knows one."""
    return min((close for one in calendars.values() if (close := _close(one, at))), default=None)


def _close(calendar: Calendar, at: datetime) -> datetime | None:
    for ahead in range(-1, _FAR):
        try:
            session = calendar.session(at.date() + timedelta(days=ahead))
        except DataError:
            return None
        if session is not None and session[1] > at:
            return session[1]
    return None

"""When a collector's work is due: the next open or close of any symbol, and the jobs at intervals.

Calendars and APScheduler's triggers decide; instants are passed in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from apscheduler.triggers.base import BaseTrigger  # type: ignore[import-untyped]  # has none
from apscheduler.triggers.interval import IntervalTrigger  # type: ignore[import-untyped]  # has none

from engine.calendars import Calendar, Session
from engine.errors import DataError
from engine.instruments import Instrument
from engine.model import Phase

Key = tuple[datetime, int]
"""An instant and, within it, CLOSE (0) before OPEN (1): the order of slices."""

_RANK = {Phase.CLOSE: 0, Phase.OPEN: 1}
_MAX_HOLIDAY_DAYS = 21


def slice_key(at: datetime, phase: Phase) -> Key:
    """Return the position of a slice in the order of all slices."""
    return at, _RANK[phase]


@dataclass(frozen=True, slots=True, kw_only=True)
class DueSlice:
    """A slice of the schedule: its instant, and the sessions of the symbols that open or close then."""

    at: datetime
    phase: Phase
    sessions: Mapping[str, Session]

    @property
    def key(self) -> Key:
        """Return the position of the slice in the order of all slices."""
        return slice_key(self.at, self.phase)


class Schedule:
    """The opens and closes of instruments by their calendars, in the order of slices."""

    def __init__(self, instruments: Mapping[str, Instrument], calendars: Mapping[str, Calendar]) -> None:
        self._calendars = calendars
        self._calendar_codes = {symbol: instrument.calendar for symbol, instrument in instruments.items()}
        self._next_slices: dict[str, tuple[Key, Key, Session]] = {}
        self._ended: dict[str, tuple[Key, str]] = {}

    @property
    def ended(self) -> dict[str, str]:
        """Return the symbols whose calendar has no session after the last one asked for, and why."""
        return {
            symbol: self._ended[code][1]
            for symbol, code in self._calendar_codes.items()
            if code in self._ended
        }

    def next_after(self, key: Key) -> DueSlice | None:
        """Return the first slice after `key`, or None once every calendar has ended."""
        following = {
            code: entry
            for code in set(self._calendar_codes.values())
            if (entry := self._next_session_slice(code, key))
        }
        if not following:
            return None
        first = min(entry[0] for entry in following.values())
        sessions = {
            symbol: following[code][1]
            for symbol, code in sorted(self._calendar_codes.items())
            if code in following and following[code][0] == first
        }
        return DueSlice(at=first[0], phase=Phase.OPEN if first[1] else Phase.CLOSE, sessions=sessions)

    def in_session(self, at: datetime) -> dict[str, Session]:
        """Return the symbols that trade at `at`, with their sessions."""
        running = {code: self._current_session(code, at) for code in set(self._calendar_codes.values())}
        return {
            symbol: session for symbol, code in self._calendar_codes.items() if (session := running[code])
        }

    def is_session(self, symbol: str, opens_at: datetime, closes_at: datetime) -> bool:
        """Return whether the symbol's calendar has exactly this session."""
        # An exchange far enough east opens on the UTC day before its own date.
        code, day = self._calendar_codes[symbol], opens_at.date()
        return (opens_at, closes_at) in (
            self._session(code, day),
            self._session(code, day + timedelta(days=1)),
        )

    def _next_session_slice(self, code: str, key: Key) -> tuple[Key, Session] | None:
        if (cached := self._next_slices.get(code)) and cached[0] <= key < cached[1]:
            return cached[1], cached[2]
        if code in self._ended and key >= self._ended[code][0]:
            return None
        first = key[0].date() - timedelta(days=1)
        for day in (first + timedelta(days=n) for n in range(_MAX_HOLIDAY_DAYS)):
            session = self._session(code, day)
            for slice_at in _slice_keys(session):
                if session and slice_at > key:
                    self._next_slices[code] = key, slice_at, session
                    return slice_at, session
        reason = f"calendar {code} has no session after {key[0].date()}; a newer exchange_calendars may"
        self._ended[code] = key, reason
        return None

    def _session(self, code: str, day: date) -> Session | None:
        try:
            return self._calendars[code].session(day)
        except DataError:
            return None  # before the calendar's first day, or after its last, which `ended` reports

    def _current_session(self, code: str, at: datetime) -> Session | None:
        for days in (-1, 0, 1):
            session = self._session(code, at.date() + timedelta(days=days))
            if session and session[0] <= at < session[1]:
                return session
        return None


def _slice_keys(session: Session | None) -> tuple[Key, ...]:
    return (slice_key(session[0], Phase.OPEN), slice_key(session[1], Phase.CLOSE)) if session else ()


class SliceTrigger(BaseTrigger):  # type: ignore[misc]  # its base is untyped
    """Fire when a slice may be asked for: at each open, and `margin` after each close."""

    def __init__(self, schedule: Schedule, margin: timedelta) -> None:
        self._schedule = schedule
        self._margin = margin

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Return the first such instant after `now`, or after the previous one where that is later."""
        since = (max(previous_fire_time, now) if previous_fire_time else now).astimezone(UTC)
        key = since - self._margin, -1
        while due := self._schedule.next_after(key):
            fires_at = due.at if due.phase is Phase.OPEN else due.at + self._margin
            if fires_at > since:
                return fires_at
            key = due.key
        return None


def interval_trigger(interval: timedelta, start: datetime) -> IntervalTrigger:
    """Return a trigger that fires every `interval` from `start`."""
    return IntervalTrigger(seconds=interval.total_seconds(), start_date=start, timezone=UTC)


class JobSchedule:
    """Which jobs are due, by their triggers. A job that never ran is due at once."""

    def __init__(self, triggers: Mapping[str, BaseTrigger]) -> None:
        self._triggers = triggers
        self._next: dict[str, datetime] = {}

    def is_due(self, name: str, now: datetime) -> bool:
        """Return whether the job `name` is due at `now`."""
        return name not in self._next or now >= self._next[name]

    def mark_done(self, name: str, now: datetime) -> None:
        """Record that the job ran, or was tried, at `now`."""
        following = self._triggers[name].get_next_fire_time(now, now)
        self._next[name] = following.astimezone(UTC) if following else datetime.max.replace(tzinfo=UTC)

    def next_due(self, now: datetime) -> datetime:
        """Return the first instant after `now` at which any job is due."""
        return min((at for at in self._next.values() if at > now), default=datetime.max.replace(tzinfo=UTC))

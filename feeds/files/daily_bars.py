"""Turn bars with times into daily bars of our own form, and refuse those that cannot be daily bars.

Which columns and which notation a file has is known before: see `feeds.files.dialects`.
"""

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from statistics import median

from engine.errors import DataError
from feeds.files.cells import to_float
from feeds.files.tables import Row, quote_value

_DAY = timedelta(days=1)

# What daily prices can be: a high beside the close, and the usual high beside the low; and how many bars it
# takes to tell opens from closes.
_MAX_RISE, _MAX_RANGE, _MIN_BARS = 100, 3, 10


class UnclearDayError(DataError):
    """The times of a file do not show for which days its bars stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedRow:
    """One bar of any length: its place, its time as written, and its cells in plain notation."""

    number: int
    stamp: datetime
    cells: dict[str, str]
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BarTable:
    """The bars of a file in any form.

    Attributes:
        path: The file.
        rows: In the order of the file; those of several symbols may be mixed.
        notes: What was taken for what, in short phrases.
        place: Returns the place of a row by its number.
    """

    path: Path
    rows: list[StampedRow]
    notes: tuple[str, ...]
    place: Callable[[int], str]

    @property
    def symbols(self) -> list[str]:
        """The symbols named in the file; one empty text where it names none."""
        return list(dict.fromkeys(row.symbol for row in self.rows))


def to_daily_rows(table: BarTable, rows: Sequence[StampedRow]) -> list[Row]:
    """Return daily bars of one symbol as rows of our own, oldest first.

    Raises DataError for bars that are not daily, a time of day that shows no day, and columns that cannot be
    what their names say.
    """
    days = _write_days(table, rows)
    require_daily(table.path, [date.fromisoformat(day[:10]) for day in days])
    own = [
        Row(path=table.path, number=row.number, cells={"date": day, **row.cells})
        for row, day in zip(rows, days, strict=True)
    ]
    if is_newest_first(days):
        own.reverse()
    for earlier, later in pairwise(own):
        day, before = later.cells["date"], earlier.cells["date"]
        if day <= before:
            fault = "comes twice" if day == before else f"comes after {before}"
            raise DataError(f"{later.place}: date {day} {fault}; give one row a day, in order of time")
    _require_decimals(own)
    return own


def refuse_intraday(path: Path, stamps: Sequence[datetime]) -> None:
    """Raise DataError where the times of bars are more than one a day on most days."""
    times, days = len(set(stamps)), len({stamp.date() for stamp in stamps})
    if times > days * 1.5:
        ordered = sorted({stamp.replace(tzinfo=None) for stamp in stamps})
        steps = sorted(later - earlier for earlier, later in pairwise(ordered))
        step = describe_span(steps[len(steps) // 2])
        raise create_length_error(f"{path}: a bar every {step}", timedelta(hours=1), path)


def _write_days(table: BarTable, rows: Sequence[StampedRow]) -> list[str]:
    """Return the day of each bar as YYYY-MM-DD, or as the midnight of a stated zone."""
    stamps = [row.stamp for row in rows]
    refuse_intraday(table.path, stamps)
    if all(stamp.time() == time() for stamp in stamps):
        return [_write_midnight(stamp) for stamp in stamps]
    clocks = [stamp.hour * 60 + stamp.minute for stamp in stamps]
    if min(clocks) == 24 * 60 - 1:  # the last minute of the day for which the bar stands
        return [_write_midnight(stamp) for stamp in stamps]
    if max(clocks) - min(clocks) > 20 * 60:
        # Midnights of a zone with summer time lie on both sides of midnight in UTC.
        stamps = [stamp + timedelta(hours=4) for stamp in stamps]
        clocks = [stamp.hour * 60 + stamp.minute for stamp in stamps]
    weekdays = {stamp.weekday() for stamp in stamps}
    shifts = [shift for shift in (0, 1, -1) if all((day + shift) % 7 < 5 for day in weekdays)]
    if len(shifts) == 1 and max(clocks) - min(clocks) <= 240:
        return [(stamp.date() + shifts[0] * _DAY).isoformat() for stamp in stamps]
    begins = {stamp.astimezone(UTC).time() for stamp in stamps} if stamps[0].tzinfo else set()
    if (
        not shifts
        and len(begins) == 1
        and (begin := begins.pop()) == time(begin.hour, begin.minute // 30 * 30)
    ):
        ahead = timedelta(hours=begin.hour, minutes=begin.minute)
        zone = timezone(-ahead if ahead <= _DAY / 2 else _DAY - ahead)
        return [stamp.astimezone(zone).isoformat() for stamp in stamps]
    first = next(row for row in rows if row.stamp.time() != time())
    raise UnclearDayError(
        f"{table.place(first.number)}: a bar of {first.stamp:%Y-%m-%d %H:%M}, and nothing shows for which "
        "day it stands; write the day alone as YYYY-MM-DD"
    )


def _write_midnight(stamp: datetime) -> str:
    """Return the day of a time, with the offset of its zone unless that is UTC."""
    day = stamp.date().isoformat()
    return datetime.combine(stamp.date(), time(), stamp.tzinfo).isoformat() if stamp.utcoffset() else day


def require_daily(path: Path, days: Sequence[date]) -> None:
    """Raise DataError where the steps between days are those of longer bars."""
    steps = sorted(abs((later - earlier).days) for earlier, later in pairwise(days))
    if len(steps) >= 4 and steps[len(steps) // 4] >= 5:
        middle = steps[len(steps) // 2]
        raise create_length_error(f"{path}: a bar every {middle} days", timedelta(days=middle), path)


def create_length_error(what: str, length: timedelta, path: Path) -> DataError:
    """Return the error of bars of another length; `what` begins with their place."""
    if length < _DAY:
        return DataError(
            f"{what}; closecall reads daily bars only: run closecall data resample {shlex.quote(str(path))}"
        )
    lengths = (("weekly", 10), ("monthly", 45), ("quarterly", 120))
    name = next((name for name, days in lengths if length.days <= days), "yearly")
    return DataError(
        f"{what}: {name} bars, and closecall reads daily bars only; export the file with one bar a day"
    )


def _require_decimals(rows: Sequence[Row]) -> None:
    """Refuse a high that is written without the decimals of the others, and many times as high."""
    bare = [row for row in rows if row.cells["high"].isdigit()]
    for row in bare if len(bare) < len(rows) / 10 else []:
        close = to_float(row.cells["close"])
        if close and float(row.cells["high"]) > 8 * close:
            fault = f"high {quote_value(row.cells['high'])} has lost its decimal sign; correct the row"
            raise DataError(f"{row.place}: {fault}")


def describe_span(span: timedelta) -> str:
    """Return a length of time in minutes, hours or days."""
    if span >= _DAY * 2:
        return f"{span / _DAY:.0f} days"
    minutes = round(span.total_seconds() / 60)
    count, unit = (minutes, "minute") if minutes < 60 else (round(minutes / 60), "hour")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def require_plausible(path: Path, bars: Sequence[tuple[float, float, float, float]]) -> None:
    """Refuse prices that contradict their names: open and close exchanged, or columns that are no prices.

    Args:
        path: The file, for the message.
        bars: Open, high, low and close of daily bars that are possible by themselves, oldest first.

    Raises:
        DataError: Where that is so.
    """
    wild = next((bar for bar in bars if bar[1] > _MAX_RISE * max(bar[0], bar[3])), None)
    if wild is not None:
        raise DataError(
            f"{path}: high {wild[1]:g} where the close is {wild[3]:g}; correct the row, or name the columns"
        )
    if len(bars) < _MIN_BARS:
        return
    if median(high / low for _, high, low, _ in bars) > _MAX_RANGE:
        raise DataError(f"{path}: high is over three times low on most days; check the names of the columns")
    joined = crossed = 0.0
    for (open_, _, _, close), (later_open, _, _, later_close) in pairwise(bars):
        joined += abs(math.log(later_open / close))
        crossed += abs(math.log(later_close / open_))
    if crossed < joined / 2:
        raise DataError(
            f"{path}: the closes lie at the opens of the days before, so open and close are exchanged or the "
            "days run backwards; check the names of the columns"
        )


def is_newest_first(days: Sequence[str]) -> bool:
    """Return whether a file has its newest day first; the days are written YYYY-MM-DD."""
    return len(days) > 2 and all(later < earlier for earlier, later in pairwise(days))

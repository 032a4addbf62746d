"""Candles, the gaps between them, and the times at which they are due.

A candle is identified by its start: for a coin that instant in UTC; for a stock midnight UTC of its trading
day, because only the exchange's calendar has the hours.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Protocol

from engine.calendars import Calendar
from engine.errors import UsageError
from engine.model import require_utc, widen_range

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

TIMEFRAMES = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": DAY,
}


OHLCV = ("open", "high", "low", "close", "volume")


class Adjustment(StrEnum):
    """How prices before a corporate action are adjusted: not at all, or to the scale of today's prices."""

    RAW = "raw"
    SPLIT = "split"
    SPLIT_DIVIDEND = "split+dividend"


def find_price_fault(prices: Sequence[float], volume: float) -> str | None:
    """Return why open, high, low, close and volume are impossible, or None where they are possible.

    An open or close outside high and low by no more than rounding explains is possible.
    """
    open_, high, low, close = prices
    for name, price in zip(OHLCV, prices, strict=False):
        if not (math.isfinite(price) and price > 0):
            return f"{name} {price} is not a price above zero"
    if not (math.isfinite(volume) and volume >= 0):
        return f"volume {volume} is not a number of zero or more"
    high, low = widen_range(*prices)
    if high < max(open_, close, low) or low > min(open_, close):
        return f"open {open_} or close {close} is outside low {low} to high {high}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One closed candle: prices in the quote currency, volume in units of the instrument.

    Raises ValueError for a start that is not in UTC and for what `find_price_fault` finds.
    """

    starts_at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float

    def __post_init__(self) -> None:
        require_utc(self.starts_at, "starts_at")
        fault = find_price_fault(self.prices, self.volume)
        if fault is not None:
            raise ValueError(fault)

    @property
    def prices(self) -> tuple[float, float, float, float]:
        """Open, high, low and close."""
        return self.open, self.high, self.low, self.close


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Candles that were due and are missing: the starts of the first and the last, how many, and why."""

    symbol: str
    first: datetime
    last: datetime
    candles: int
    reason: str

    def __str__(self) -> str:
        where = f"{self.first:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
        if self.candles > 1:
            where += " to " + f"{self.last:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
        return f"{self.symbol} {where}: {self.candles} missing; {self.reason}"


class Grid(Protocol):
    """When the candles of one symbol are due."""

    def starts(self, since: datetime, until: datetime) -> list[datetime]:
        """Return the starts of all candles from `since` (included) to `until` (excluded), ascending."""
        ...

    def closed_at(self, start: datetime) -> datetime:
        """Return the instant from which the candle that starts at `start` counts as closed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EvenGrid:
    """Candles without a pause, at whole multiples of `step` since 1970 in UTC."""

    step: timedelta

    def starts(self, since: datetime, until: datetime) -> list[datetime]:
        """Return every multiple of the step within the window."""
        first = -((EPOCH - since) // self.step)
        end = -((EPOCH - until) // self.step)
        return [EPOCH + number * self.step for number in range(first, end)]

    def closed_at(self, start: datetime) -> datetime:
        """Return the instant one step after the start."""
        return start + self.step


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionGrid:
    """One candle for each session of `calendar`, identified by midnight UTC of its trading day.

    It counts as closed `delay` after the session, because stock sources lag behind their exchange.
    """

    calendar: Calendar
    delay: timedelta = timedelta(minutes=30)

    def starts(self, since: datetime, until: datetime) -> list[datetime]:
        """Return the trading days within the window."""
        days = EvenGrid(step=DAY).starts(since, until)
        return [day for day in days if self.calendar.session(day.date()) is not None]

    def closed_at(self, start: datetime) -> datetime:
        """Return the close of that day's session plus the delay.

        Raises KeyError for a day without a session.
        """
        session = self.calendar.session(start.date())
        if session is None:
            raise KeyError(start)
        return session[1] + self.delay


def timeframe_step(timeframe: str) -> timedelta:
    """Return the length of a timeframe such as "1d". Raises UsageError for an unknown one."""
    if timeframe not in TIMEFRAMES:
        raise UsageError(f"timeframe {timeframe[:20]!r} is unknown; choose one of {', '.join(TIMEFRAMES)}")
    return TIMEFRAMES[timeframe]


def ohlcv(source: object) -> dict[str, float]:
    """Return the prices and the volume of a bar, a candle or a row of a file, by name."""
    return {name: getattr(source, name) for name in OHLCV}


def parse_start(row: Sequence[object]) -> datetime | None:
    """Return a row's start, from milliseconds since 1970 in its first cell; None where that is no time."""
    stamp = row[0] if row else None
    if isinstance(stamp, bool) or not isinstance(stamp, int | float):
        return None
    try:
        return EPOCH + timedelta(milliseconds=stamp)
    except (OverflowError, ValueError):
        return None


def midnight(day: date) -> datetime:
    """Return the start of `day` in UTC."""
    return datetime.combine(day, time(), UTC)


def find_gaps(symbol: str, missing: dict[datetime, str], present: Iterable[datetime]) -> tuple[Gap, ...]:
    """Group missing candles into gaps.

    Args:
        symbol: The symbol of the gaps.
        missing: The starts of the missing candles, with the reason of each.
        present: The starts of the candles that are there.

    Returns:
        Runs of missing starts with one reason each, uninterrupted by a present start, ascending.
    """
    marks = sorted([*missing.items(), *((at, "") for at in present)])
    runs: list[list[tuple[datetime, str]]] = []
    for before, mark in pairwise([(EPOCH, ""), *marks]):
        if not mark[1]:
            continue
        if runs and before[1] == mark[1]:
            runs[-1].append(mark)
        else:
            runs.append([mark])
    return tuple(
        Gap(symbol=symbol, first=run[0][0], last=run[-1][0], candles=len(run), reason=run[0][1])
        for run in runs
    )

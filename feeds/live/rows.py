"""A source's row of numbers as a bar of a session, if it can be one. Knows prices and hours; asks nobody."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from engine.calendars import Session
from engine.values import Bar
from feeds.history.candles import EPOCH, price_fault


def starts_at(row: Sequence[object]) -> datetime | None:
    """The row's start, from milliseconds since 1970 in its first cell; None where that is no time."""
    stamp = row[0] if row else None
    if isinstance(stamp, bool) or not isinstance(stamp, int | float):
        return None
    try:
        return EPOCH + timedelta(milliseconds=stamp)
    except (OverflowError, ValueError):
        return None


def bar_of(symbol: str, row: Sequence[object], session: Session) -> Bar | None:
    """The row (start, open, high, low, close, volume) as the bar of `session`; None where it is no bar."""
    cells = row[1:6]
    if len(cells) < 5 or any(isinstance(cell, bool) or not isinstance(cell, int | float) for cell in cells):
        return None
    numbers = [float(cell) for cell in cells if isinstance(cell, int | float)]
    if price_fault(numbers[:4], numbers[4]) is not None:
        return None
    return Bar(
        symbol=symbol,
        opens_at=session[0],
        closes_at=session[1],
        open=numbers[0],
        high=numbers[1],
        low=numbers[2],
        close=numbers[3],
        volume=numbers[4],
    )

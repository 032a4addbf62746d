"""Splits, dividends and delistings, and how they change a position.

Splits and dividends take effect at the open of the ex-date, before that session's OPEN slice. One that
becomes known after that open concerns the position before it, and not what was filled since.
"""

import math
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from engine.lots import target_position
from engine.model import Bar, require_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """From `at` (the open of the ex-date, UTC) on, one share of `symbol` becomes `ratio` shares.

    A reverse split has a ratio below 1. Raises ValueError for a ratio that is not finite and above zero.
    """

    at: datetime
    symbol: str
    ratio: float

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
        if not (math.isfinite(self.ratio) and self.ratio > 0):
            raise ValueError(f"{self.symbol}: split ratio {self.ratio} is not a number above zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dividend:
    """At `at` (the open of the ex-date, UTC) each share of `symbol` pays `amount` in its quote currency.

    A short position owes it. It is booked on the ex-date, before any tax. Raises ValueError for an amount
    that is not finite and above zero.
    """

    at: datetime
    symbol: str
    amount: float

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
        if not (math.isfinite(self.amount) and self.amount > 0):
            raise ValueError(f"{self.symbol}: dividend {self.amount} is not an amount above zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delisting:
    """A symbol has no bar from `at` on (UTC): its position is closed at `value` of its last price.

    Raises ValueError for a value that is not a fraction from 0 to 1.
    """

    at: datetime
    value: float

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
        if not 0 <= self.value <= 1:
            raise ValueError(f"delisting value {self.value} is not a fraction from 0 to 1")


class ActionKind(StrEnum):
    """The kinds of corporate actions."""

    SPLIT = "split"
    DIVIDEND = "dividend"


class RecentFills:
    """The last twenty fills of each symbol, by which the position before a late corporate action is known."""

    def __init__(self) -> None:
        self._fills: dict[str, deque[tuple[datetime, float]]] = defaultdict(lambda: deque(maxlen=20))

    def add(self, symbol: str, at: datetime, size: float) -> None:
        """Add a fill of `size` signed units at `at`."""
        self._fills[symbol].append((at, size))

    def since(self, symbol: str, at: datetime) -> float:
        """Return the units of `symbol` that were filled at `at` or later."""
        return math.fsum(size for filled_at, size in self._fills[symbol] if filled_at >= at)


def apply_split(position: float, ratio: float, lot: float, later: float = 0.0) -> tuple[float, float]:
    """Return the position after a split, and the remainder that is paid out in cash.

    What is less than one unit of an instrument in whole units is paid out, as brokers do; a lot of more than
    one unit may be broken by a split and is kept.

    Args:
        position: The position before the split, in signed units.
        ratio: The number of new units for each old one.
        lot: The instrument's lot; 0 for any fraction.
        later: What of the position was filled at the open of the ex-date or later, in new units already.

    Returns:
        Position and remainder, in signed units.
    """
    restated = (position - later) * ratio
    if lot == 0:
        return restated + later, 0.0
    kept = target_position(restated, 1.0, 1.0, min(lot, 1.0))
    return kept + later, restated - kept


def split_bar(bar: Bar, ratio: float) -> Bar:
    """Return the bar in units after the split: prices divided by the ratio, the volume multiplied."""
    return replace(
        bar,
        open=bar.open / ratio,
        high=bar.high / ratio,
        low=bar.low / ratio,
        close=bar.close / ratio,
        volume=bar.volume * ratio,
    )

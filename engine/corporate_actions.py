"""Splits and dividends, and how they change a position.

Both take effect at the open of the ex-date, before that session's OPEN slice.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime

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


def apply_split(position: float, ratio: float, lot: float) -> tuple[float, float]:
    """Return the position after a split, and the remainder that is paid out in cash.

    What is less than one unit of an instrument in whole units is paid out, as brokers do; a lot of more than
    one unit may be broken by a split and is kept.

    Args:
        position: The position before the split, in signed units.
        ratio: The number of new units for each old one.
        lot: The instrument's lot; 0 for any fraction.

    Returns:
        Position and remainder, in signed units.
    """
    restated = position * ratio
    if lot == 0:
        return restated, 0.0
    kept = target_position(restated, 1.0, 1.0, min(lot, 1.0))
    return kept, restated - kept


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

"""Exchange rates to the base currency, as far as they are known at an instant.

A rate is known at its own close and never earlier, and it expires: one that has not been renewed for
`MAX_AGE` is refused, because a value at last month's rate looks right and is wrong.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from engine.errors import DataError
from engine.model import require_utc

# The longest closure of a currency market: a week of holidays between two weekends.
MAX_AGE = timedelta(days=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class FxRateSeries:
    """The value of one unit of a currency, in the base currency, from each `known_at` (UTC) on.

    Raises ValueError unless both are of one length and not empty, the times ascend, and every value is finite
    and above zero.
    """

    known_at: tuple[datetime, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.known_at or len(self.known_at) != len(self.values):
            raise ValueError(f"{len(self.known_at)} times and {len(self.values)} rates do not go together")
        for moment in self.known_at:
            require_utc(moment, "known_at")
        if any(later <= earlier for earlier, later in pairwise(self.known_at)):
            raise ValueError("the times of a rate must ascend")
        for value in self.values:
            _require_rate(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class FxRates:
    """The rates of a run: `constants` that the user states, and `series` that change, by currency.

    `base` is the currency of cash, equity, costs and PnL; its rate is 1. Raises ValueError for a currency
    that is the base or is in both, and for a rate that is not above zero.
    """

    base: str
    constants: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, FxRateSeries] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for currency in (*self.constants, *self.series):
            if currency == self.base:
                raise ValueError(f"{currency} is the base currency, which is worth 1")
            if currency in self.constants and currency in self.series:
                raise ValueError(f"{currency} has a constant rate and a series; give one of the two")
        for value in self.constants.values():
            _require_rate(value)

    def rate(self, currency: str, at: datetime) -> float:
        """Return the value of one unit of `currency` in the base currency, as known at `at` (UTC).

        Raises DataError where no rate is known then, or only one that is older than `MAX_AGE`.
        """
        if currency == self.base:
            return 1.0
        if currency in self.constants:
            return self.constants[currency]
        series = self.series.get(currency)
        if series is None:
            raise DataError(f"no rate of {currency} in {self.base}; {self._remedy(currency)}")
        place = bisect_right(series.known_at, at) - 1
        if place < 0:
            raise DataError(
                f"no rate of {currency} in {self.base} is known at {at:%Y-%m-%d %H:%M}: the first is of "
                f"{series.known_at[0]:%Y-%m-%d}; add earlier rates or choose a later start"
            )
        if at - series.known_at[place] > MAX_AGE:
            raise DataError(
                f"the rate of {currency} in {self.base} at {at:%Y-%m-%d %H:%M} is of "
                f"{series.known_at[place]:%Y-%m-%d}, more than {MAX_AGE.days} days before; add those between"
            )
        return series.values[place]

    def require_coverage(self, currencies: Iterable[str], first: datetime, last: datetime) -> None:
        """Raise DataError unless every one of `currencies` has a rate at all times from `first` to `last`."""
        for currency in sorted(set(currencies)):
            self.rate(currency, first)
            series = self.series.get(currency)
            for earlier, later in pairwise(series.known_at if series else ()):
                if later - earlier > MAX_AGE and earlier < last and first < later:
                    self.rate(currency, min(later - timedelta(microseconds=1), last))
            self.rate(currency, last)

    def _remedy(self, currency: str) -> str:
        return (
            f"give a file {currency}{self.base}.csv with --rates, or state it as `{currency}` under [rates]"
        )


def _require_rate(value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"rate {value} is not a number above zero")

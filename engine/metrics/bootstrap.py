"""Confidence intervals by the stationary bootstrap, which keeps the dependence of neighbouring days."""

import importlib
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
MIN_DAYS = 20
"""With fewer days there is nothing to resample."""
_LEVEL = 0.95
_SEED = 0
_CHUNK = 1_000_000  # drawn days at a time, eight bytes each and some more for what is computed of them

Interval = tuple[float, float] | None
Statistic = Callable[["NDArray[Any]"], "NDArray[Any]"]
"""Maps an array of drawn days, a row a resample, to one value a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapIntervals:
    """95% intervals, lower and upper bound each; None where they cannot be had (see `resample_days`)."""

    accuracy: Interval = None
    sharpe: Interval = None
    annual_return: Interval = None


def bootstrap_intervals(
    clusters: Sequence[tuple[int, int]], returns: Sequence[float], days_per_year: float
) -> BootstrapIntervals:
    """Return the intervals of the accuracy, of the annual Sharpe ratio and of the annual return.

    Args:
        clusters: Hits and forecasts of each day, oldest first.
        returns: Daily returns, oldest first.
        days_per_year: How many of them make a year.
    """
    import numpy as np

    hits, counts = np.array(clusters, dtype=float).reshape(-1, 2).T
    earned = np.array(returns, dtype=float)
    accuracy = sharpe = annual = None
    if len(hits) >= MIN_DAYS:
        (accuracy,) = resample_days(
            hits - counts * (hits.sum() / counts.sum()),
            [lambda drawn: hits[drawn].sum(axis=1) / counts[drawn].sum(axis=1)],
        )
    if len(earned) >= MIN_DAYS and (earned > -1).all():
        growth = np.log1p(earned)

        def compute_sharpe(drawn: "NDArray[Any]") -> "NDArray[Any]":
            rows = earned[drawn]
            ratios: NDArray[Any] = rows.mean(axis=1) / rows.std(axis=1, ddof=1) * math.sqrt(days_per_year)
            return ratios

        sharpe, annual = resample_days(
            earned, [compute_sharpe, lambda drawn: np.expm1(growth[drawn].mean(axis=1) * days_per_year)]
        )
    return BootstrapIntervals(accuracy=accuracy, sharpe=sharpe, annual_return=annual)


def resample_days(series: "NDArray[Any]", statistics: Sequence[Statistic]) -> tuple[Interval, ...]:
    """Return the percentile intervals of statistics of days.

    The stationary bootstrap of Politis and Romano 1994, with the mean block length of Politis and White 2004
    (corrected by Patton, Politis and White 2009), both from arch; 1,000 resamples from a fixed seed, so that
    equal days have equal intervals.

    Args:
        series: A value a day, whose dependence decides the block length.
        statistics: What is computed of the drawn days.

    Returns:
        An interval for each statistic; None for fewer than `MIN_DAYS` days, for a series that does not vary,
            and where a resample has no value.
    """
    import numpy as np

    days = len(series)
    if days < MIN_DAYS or np.ptp(series) <= 1e-12:
        return (None,) * len(statistics)
    arch = _import_arch()
    sampler = arch.StationaryBootstrap(block_length(series), series, seed=np.random.default_rng(_SEED))
    values: list[list[NDArray[Any]]] = [[] for _ in statistics]
    rows = max(1, _CHUNK // days)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for start in range(0, RESAMPLES, rows):
            drawn = np.stack([sampler.update_indices() for _ in range(min(rows, RESAMPLES - start))])
            for collected, statistic in zip(values, statistics, strict=True):
                collected.append(statistic(drawn))
    return tuple(_percentile_interval(np.concatenate(collected)) for collected in values)


def block_length(series: "NDArray[Any]") -> int:
    """Return the mean block length for a series in days; the cube root of its length as a last resort."""
    import numpy as np

    arch = _import_arch()
    # Autocorrelations of a series that is nearly always the same are 0/0.
    with np.errstate(divide="ignore", invalid="ignore"):
        length = float(arch.optimal_block_length(series)["stationary"].iloc[0])
    return max(1, round(length if math.isfinite(length) else len(series) ** (1 / 3)))


def _import_arch() -> ModuleType:
    """Import arch's bootstrap without matplotlib, which would write a list of fonts to the user's home."""
    hidden = "matplotlib" not in sys.modules
    if hidden:
        sys.modules["matplotlib"] = None  # type: ignore[assignment]  # an import of it fails, and arch goes on
    try:
        return importlib.import_module("arch.bootstrap")
    finally:
        if hidden:
            del sys.modules["matplotlib"]


def _percentile_interval(values: "NDArray[Any]") -> Interval:
    import numpy as np

    if not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)

"""What the charts of a report show: equity by day, drawdown, rolling accuracy, reliability, thinned lines."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from engine.metrics.accuracy import collect_columns, is_hit
from engine.metrics.breakdown import describe_reliability
from engine.metrics.calibration import score_calibration
from engine.model import Forecast
from engine.outcomes import Scored
from strategies.equity_file import EquityCurve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DAY = timedelta(days=1)


def trading_day(at: datetime) -> date:
    """Return the day that a close belongs to; one at midnight to the day that ends then."""
    return (at.astimezone(UTC) - timedelta(microseconds=1)).date()


def daily_values(curve: EquityCurve) -> dict[date, float]:
    """Return the last value of each day."""
    return {trading_day(at): value for at, value in zip(curve.at, curve.value, strict=True)}


def measure_drawdown(values: Iterable[float], cash: float) -> list[float]:
    """Return the fall from the highest value so far at each point, a fraction of it, zero or negative."""
    peak, falls = cash, []
    for value in values:
        peak = max(peak, value)
        falls.append(value / peak - 1.0)
    return falls


def thin(x: Sequence[float], y: Sequence[float], buckets: int) -> tuple[list[float], list[float]]:
    """Return the first, lowest, highest and last point of each bucket, so that a drawn line looks the same.

    Args:
        x: In order.
        y: As many.
        buckets: How many pieces of equal count the line is cut into.
    """
    n = len(x)
    if n <= 4 * buckets:
        return list(x), list(y)
    keep: set[int] = set()
    for number in range(buckets):
        places = range(number * n // buckets, (number + 1) * n // buckets)
        keep |= {places[0], places[-1], min(places, key=y.__getitem__), max(places, key=y.__getitem__)}
    chosen = sorted(keep)
    return [x[place] for place in chosen], [y[place] for place in chosen]


def monthly_returns(curve: EquityCurve, cash: float) -> dict[tuple[int, int], float]:
    """Return the return of each calendar month that has a close, by year and month, as a fraction."""
    ends: dict[tuple[int, int], float] = {}
    for day, value in daily_values(curve).items():
        ends[day.year, day.month] = value
    before, returns = cash, {}
    for month, value in ends.items():
        returns[month] = value / before - 1.0 if before > 0 else 0.0
        before = value
    return returns


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """A rolling accuracy: for each day its value and the bounds of its 95% band, fractions."""

    window: int
    days: tuple[date, ...]
    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def rolling_accuracy(scored: Iterable[Scored]) -> Rolling | None:
    """Return the accuracy of the last days at each day; None where there are too few days for a window.

    The window is an eighth of all days, from 20 to 250. The band takes days as clusters: 1.96 standard errors
    of the ratio of hits to forecasts (Cochran 1977, section 6.4).
    """
    import numpy as np

    by_day: dict[date, list[int]] = {}
    for call, outcome in scored:
        if (hit := is_hit(call, outcome)) is not None:
            row = by_day.setdefault(trading_day(call.as_of), [0, 0])
            row[0] += hit
            row[1] += 1
    days = sorted(by_day)
    window = max(20, min(250, len(days) // 8))
    if len(days) < window + 5:
        return None
    hits, counts = (np.array([by_day[day][part] for day in days], dtype=float) for part in (0, 1))

    def total(values: "Floats") -> "Floats":
        whole = np.concatenate(([0.0], np.cumsum(values)))
        return np.asarray(whole[window:] - whole[:-window])

    n = total(counts)
    share = total(hits) / n
    squares = total(hits * hits) - 2 * share * total(hits * counts) + share * share * total(counts * counts)
    error = np.sqrt(np.maximum(squares, 0.0) * window / (window - 1)) / n
    return Rolling(
        window=window,
        days=tuple(days[window - 1 :]),
        value=tuple(map(float, share)),
        low=tuple(map(float, np.maximum(0.0, share - 1.96 * error))),
        high=tuple(map(float, np.minimum(1.0, share + 1.96 * error))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What was forecast and what came: returns from the last close, fractions."""

    forecast: float
    outcome: float


def pair_returns(scored: Iterable[Scored]) -> list[Pair]:
    """Return the forecast and the actual return of every forecast with an outcome."""
    return [
        Pair(forecast=call.close / call.last_close - 1.0, outcome=outcome.close_return)
        for call, outcome in scored
        if isinstance(call, Forecast) and outcome is not None
    ]


Bin = Mapping[str, float]
"""A bin of a reliability curve: `low` and `high` of the probability of a rise, `n`, `mean` and `rises`."""


def reliability(result: Mapping[str, Any], scored: Sequence[Scored]) -> dict[str, list[Bin]]:
    """Return the reliability curves of the stated and, if known, of the token probability of a rise.

    Those of the result if it has them, else computed from the forecasts.
    """
    if kept := {name: bins for name, bins in (result.get("reliability") or {}).items() if bins}:
        return kept
    columns = collect_columns(scored)
    moved = columns.take(columns.moved)
    rose = moved.move > 0
    known = moved.token_probability == moved.token_probability  # false for NaN
    stated = score_calibration(moved.probability, rose)
    token = score_calibration(moved.token_probability[known], rose[known])
    return {name: [*bins] for name, bins in describe_reliability(stated, token).items() if bins}


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return the 95% interval of a share of `n` by Wilson 1927."""
    z = 1.959963984540054
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)

"""Score predictions against outcomes: accuracy, Brier score, error of the close, confidence intervals."""

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from engine.model import Direction, Forecast, Prediction
from engine.outcomes import Outcome, Scored

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The scores of a set of predictions; fractions are in [0, 1], and None where nothing could be scored.

    Attributes:
        n: Forecasts that were a hit or a miss close to close.
        n_open: Forecasts that were a hit or a miss open to open.
        days: The UTC dates of the first.
        ties: Forecasts after which the close did not change.
        abstentions: Predictions without a forecast.
        pending: Forecasts whose next bar is not known.
        accuracy: The fraction of hits close to close.
        accuracy_low: The lower bound of its 95% interval with days as clusters; None below two days.
        accuracy_high: The upper bound.
        accuracy_open: The fraction of hits from the next open to the one after it.
        brier: The mean squared error of probability_up (0 is perfect, 0.25 is a coin toss).
        brier_token: The same of the token probability of up, over the forecasts where it is known.
        close_mae_bps: The mean of |close - next close| / last_close in basis points, ties included.
    """

    n: int
    n_open: int
    days: int
    ties: int
    abstentions: int
    pending: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    accuracy_open: float | None
    brier: float | None
    brier_token: float | None
    close_mae_bps: float | None


def is_hit(prediction: Prediction, outcome: Outcome | None) -> bool | None:
    """Return whether a forecast's direction was right close to close.

    None for an abstention, a tie and an unknown outcome: neither hit nor miss.
    """
    if outcome is None or outcome.tie or not isinstance(prediction, Forecast):
        return None
    return (outcome.next_close > outcome.last_close) == (prediction.direction is Direction.UP)


def is_open_hit(prediction: Prediction, outcome: Outcome | None) -> bool | None:
    """Return whether a forecast's direction was right open to open; None as in `is_hit`."""
    if not isinstance(prediction, Forecast):
        return None
    if outcome is None or outcome.exit_open is None or outcome.tie_open:
        return None
    return (outcome.exit_open > outcome.fill_open) == (prediction.direction is Direction.UP)


def decision_day(prediction: Prediction) -> date:
    """Return the UTC date that contains a decision or ends at it: its cluster, as one day moves all symbols.

    A coin's day ends at midnight and a stock's some hours before; both belong to the same date.
    """
    return day_ending(prediction.as_of)


@lru_cache(maxsize=64)  # all symbols of a market close at one instant
def day_ending(at: datetime) -> date:
    """Return the UTC date that contains an instant or ends at it."""
    return (at.astimezone(UTC) - timedelta(microseconds=1)).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastColumns:
    """The forecasts of a set of predictions whose outcome is known, as arrays of one length, in their order.

    Attributes:
        symbols: The names that `symbol` counts from zero.
        symbol: The place of each forecast's symbol in `symbols`.
        day: Its decision day as a proleptic ordinal (`date.toordinal`).
        up: Whether it says up.
        move: The sign of the move to the next close; 0 for a tie.
        probability: The stated probability of up.
        token_probability: That of the tokens; NaN where it is not known.
        error_bps: |close - next close| / last close in basis points.
        walk_error_bps: The same of the random walk, which expects the last close again.
        opens: Open to open: 1 for a hit, 0 for a miss, -1 for neither.
        abstentions: How many predictions are no forecast.
        pending: How many forecasts have no outcome.
    """

    symbols: tuple[str, ...]
    symbol: "NDArray[Any]"
    day: "NDArray[Any]"
    up: "NDArray[Any]"
    move: "NDArray[Any]"
    probability: "NDArray[Any]"
    token_probability: "NDArray[Any]"
    error_bps: "NDArray[Any]"
    walk_error_bps: "NDArray[Any]"
    opens: "NDArray[Any]"
    abstentions: int
    pending: int

    @property
    def moved(self) -> "NDArray[Any]":
        """Which forecasts are a hit or a miss, as the close moved."""
        moved: NDArray[Any] = self.move != 0
        return moved

    @property
    def hit(self) -> "NDArray[Any]":
        """Which forecasts named the direction that the close took; meaningless for ties."""
        hit: NDArray[Any] = self.up == (self.move > 0)
        return hit

    def take(self, chosen: "NDArray[Any]") -> "ForecastColumns":
        """Return the chosen forecasts (a boolean for each, or their places), and only those."""
        arrays = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        return ForecastColumns(symbols=self.symbols, abstentions=0, pending=0, **arrays)


_ARRAYS = {
    "symbol": "i", "day": "i", "up": "b", "move": "b", "probability": "d", "token_probability": "d",
    "error_bps": "d", "walk_error_bps": "d", "opens": "b",
}  # fmt: skip


def collect_columns(scored: Iterable[Scored]) -> ForecastColumns:
    """Collect predictions paired with their outcomes into arrays, in one pass: a run may have a million."""
    import numpy as np

    columns = {name: array(kind) for name, kind in _ARRAYS.items()}
    rows: list[Callable[[Any], None]] = [columns[name].append for name in _ARRAYS]
    symbols: dict[str, int] = {}
    abstentions = pending = 0
    for item, outcome in scored:
        if not isinstance(item, Forecast):
            abstentions += 1
            continue
        if outcome is None:
            pending += 1
            continue
        last, following = outcome.last_close, outcome.next_close
        token, right = item.token_probability_up, is_open_hit(item, outcome)
        values = (
            symbols.setdefault(item.symbol, len(symbols)),
            decision_day(item).toordinal(),
            item.direction is Direction.UP,
            (following > last) - (following < last),
            item.probability_up,
            math.nan if token is None else token,
            abs(item.close - following) / last * 1e4,
            abs(last - following) / last * 1e4,
            -1 if right is None else right,
        )
        for append, value in zip(rows, values, strict=True):
            append(value)
    arrays = {name: np.array(column) for name, column in columns.items()}
    arrays["up"] = arrays["up"].astype(bool)
    return ForecastColumns(symbols=tuple(symbols), abstentions=abstentions, pending=pending, **arrays)


def compute_accuracy(scored: Iterable[Scored]) -> Accuracy:
    """Score predictions paired with their outcomes (see `engine.outcomes.match_outcomes`), in any order."""
    return summarize_accuracy(collect_columns(scored))


def summarize_accuracy(columns: ForecastColumns) -> Accuracy:
    """Score the forecasts of some columns."""
    moved = columns.take(columns.moved)
    hits, opened = moved.hit, columns.opens[columns.opens >= 0]
    rose = (moved.move > 0).astype(float)
    token = moved.token_probability == moved.token_probability  # false for NaN
    clusters = daily_clusters(moved)
    bounds = proportion_ci(clusters)
    return Accuracy(
        n=len(hits),
        n_open=len(opened),
        days=len(clusters),
        ties=len(columns.move) - len(hits),
        abstentions=columns.abstentions,
        pending=columns.pending,
        accuracy=int(hits.sum()) / len(hits) if len(hits) else None,
        accuracy_low=None if bounds is None else bounds[0],
        accuracy_high=None if bounds is None else bounds[1],
        accuracy_open=int(opened.sum()) / len(opened) if len(opened) else None,
        brier=_mean((moved.probability - rose) ** 2),
        brier_token=_mean((moved.token_probability - rose)[token] ** 2),
        close_mae_bps=_mean(columns.error_bps),
    )


def daily_clusters(moved: ForecastColumns) -> list[tuple[int, int]]:
    """Return hits and forecasts of each day, oldest first, of forecasts without ties."""
    import numpy as np

    _, places = np.unique(moved.day, return_inverse=True)
    counts = np.bincount(places)
    hits = np.bincount(places[moved.hit], minlength=len(counts))
    return list(zip(hits.tolist(), counts.tolist(), strict=True))


def _mean(values: "NDArray[Any]") -> float | None:
    return math.fsum(values) / len(values) if len(values) else None


LEVEL = 0.95


def standard_error(clusters: Sequence[tuple[int, int]]) -> float:
    """Return the cluster-robust standard error of sum(total) / sum(count) over (total, count) pairs.

    The ratio estimator linearised at its value, with clusters as the sampling units and the factor G/(G-1)
    for G clusters (Cochran 1977, "Sampling Techniques", chapters 6 and 9A; for a mean it is the sandwich of
    Liang and Zeger 1986). It is exactly zero when every cluster has the same proportion. Raises ValueError
    for fewer than two clusters or no decisions.
    """
    groups = len(clusters)
    total, count = _sums(clusters)
    if groups < 2 or count <= 0:
        raise ValueError("a standard error needs at least two clusters and one decision")
    # Whole numbers throughout, so that residuals that should be zero are zero.
    squares = sum((part * count - total * size) ** 2 for part, size in clusters)
    return math.sqrt(squares * groups / (groups - 1)) / count**2


def proportion_ci(
    clusters: Sequence[tuple[int, int]], *, low: float = 0.0, high: float = 1.0
) -> tuple[float, float] | None:
    """Return the 95% confidence interval of sum(total) / sum(count); None below two clusters.

    The half-width is the standard error times Student's t with G-1 degrees of freedom. Where every cluster
    has the same proportion (all hits, say) nothing can be estimated from their spread; then the interval is
    that of Clopper and Pearson 1934 with each cluster counted as one decision.

    Args:
        clusters: The (total, count) pair of each cluster; a total lies between low and high times its count.
        low: The lowest value of one decision: 0 for a hit or miss, -1 for a difference of hits.
        high: The highest value of one decision.

    Returns:
        Lower and upper bound, clipped to `low` and `high`.
    """
    groups = len(clusters)
    if groups < 2:
        return None
    from scipy.special import stdtrit

    total, count = _sums(clusters)
    error = standard_error(clusters)
    if error == 0.0:
        proportion = (total / count - low) / (high - low)
        exact = _clopper_pearson(proportion * groups, groups)
        return low + (high - low) * exact[0], low + (high - low) * exact[1]
    half_width = float(stdtrit(groups - 1, (1.0 + LEVEL) / 2.0)) * error
    return max(low, total / count - half_width), min(high, total / count + half_width)


def _sums(clusters: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(part for part, _ in clusters), sum(size for _, size in clusters)


def _clopper_pearson(hits: float, tries: int) -> tuple[float, float]:
    from scipy.special import betaincinv

    tail = (1.0 - LEVEL) / 2.0
    misses = tries - hits
    lower = float(betaincinv(hits, misses + 1.0, tail)) if hits > 0 else 0.0
    upper = float(betaincinv(hits + 1.0, misses, 1.0 - tail)) if misses > 0 else 1.0
    return lower, upper

"""Score predictions against outcomes: accuracy, Brier score, error of the close, confidence intervals."""

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from engine.model import Direction, Forecast, Prediction
from engine.outcomes import Outcome, Scored


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


def compute_accuracy(scored: Iterable[Scored]) -> Accuracy:
    """Score predictions paired with their outcomes (see `engine.outcomes.match_outcomes`), in any order."""
    # One pass, and eight bytes for each figure: a run may have a million predictions.
    counts = dict.fromkeys(("abstentions", "pending", "hits", "opens", "open_hits"), 0)
    days: dict[date, tuple[int, int]] = {}
    squares, token_squares, errors = array("d"), array("d"), array("d")
    for item, outcome in scored:
        if not isinstance(item, Forecast):
            counts["abstentions"] += 1
            continue
        if outcome is None:
            counts["pending"] += 1
            continue
        errors.append(abs(item.close - outcome.next_close) / outcome.last_close * 1e4)
        if (right := is_hit(item, outcome)) is not None:
            counts["hits"] += right
            total, count = days.get(day := decision_day(item), (0, 0))
            days[day] = (total + right, count + 1)
            squares.append(_squared_error(item.probability_up, outcome))
            if item.token_probability_up is not None:
                token_squares.append(_squared_error(item.token_probability_up, outcome))
        if (right := is_open_hit(item, outcome)) is not None:
            counts["opens"] += 1
            counts["open_hits"] += right
    clusters = list(days.values())
    bounds = proportion_ci(clusters)
    return Accuracy(
        n=len(squares),
        n_open=counts["opens"],
        days=len(clusters),
        ties=len(errors) - len(squares),
        abstentions=counts["abstentions"],
        pending=counts["pending"],
        accuracy=counts["hits"] / len(squares) if squares else None,
        accuracy_low=None if bounds is None else bounds[0],
        accuracy_high=None if bounds is None else bounds[1],
        accuracy_open=counts["open_hits"] / counts["opens"] if counts["opens"] else None,
        brier=_mean(squares),
        brier_token=_mean(token_squares),
        close_mae_bps=_mean(errors),
    )


def _squared_error(probability_up: float, outcome: Outcome) -> float:
    return (probability_up - float(outcome.next_close > outcome.last_close)) ** 2


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


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

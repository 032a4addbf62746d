"""How often forecasts were right and how well they knew it.

It knows calls and their outcomes. It knows no money: what the forecasts earned is
`engine.metrics.performance`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta

from engine.model import Direction, Forecast, Prediction
from engine.outcomes import Outcome, Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The scores of some calls; a share is in [0, 1], and None where nothing could be scored.

    `n` forecasts were a hit or a miss close to close, on `days` UTC dates; `ties`, `abstentions` and
    `pending` forecasts (next bar not known) are counted apart. `accuracy_low` and `accuracy_high` bound
    the accuracy at 95% with days as clusters; None below two days. `accuracy_open` holds the direction
    against the return from open to open, over `n_open`. `brier` is the mean square of probability_up
    minus what happened (0 is perfect, 0.25 is a coin's). `close_mae_bps` is the mean of
    |close - next close| / last_close in basis points, ties included.
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
    close_mae_bps: float | None


def is_hit(call: Prediction, outcome: Outcome | None) -> bool | None:
    """Whether a forecast's direction was right close to close.

    None for an abstention, a tie and an outcome not known: neither hit nor miss.
    """
    if outcome is None or outcome.tie or not isinstance(call, Forecast):
        return None
    return (outcome.next_close > outcome.last_close) == (call.direction is Direction.UP)


def is_open_hit(call: Prediction, outcome: Outcome | None) -> bool | None:
    """Whether a forecast's direction was right from the next open to the one after; None as in `is_hit`."""
    if outcome is None or outcome.exit_open is None or outcome.tie_open or not isinstance(call, Forecast):
        return None
    return (outcome.exit_open > outcome.fill_open) == (call.direction is Direction.UP)


def decision_day(call: Prediction) -> date:
    """The UTC date that ends at or holds a decision: one cluster, for what moves all symbols on one day.

    A coin's day ends at midnight and a stock's some hours before; both belong to the same date.
    """
    return (call.as_of.astimezone(UTC) - timedelta(microseconds=1)).date()


def compute_accuracy(scored: Iterable[Scored]) -> Accuracy:
    """Score calls paired with their outcomes (see `engine.outcomes.match_outcomes`), in any order."""
    pairs = list(scored)
    known = [(call, out) for call, out in pairs if isinstance(call, Forecast) and out is not None]
    hits = [(call, right) for call, out in known if (right := is_hit(call, out)) is not None]
    opens = [right for call, out in known if (right := is_open_hit(call, out)) is not None]
    clusters = _by_day(hits)
    bounds = proportion_ci(clusters)
    forecasts = sum(isinstance(call, Forecast) for call, _ in pairs)
    return Accuracy(
        n=len(hits),
        n_open=len(opens),
        days=len(clusters),
        ties=len(known) - len(hits),
        abstentions=len(pairs) - forecasts,
        pending=forecasts - len(known),
        accuracy=_mean([float(right) for _, right in hits]),
        accuracy_low=None if bounds is None else bounds[0],
        accuracy_high=None if bounds is None else bounds[1],
        accuracy_open=_mean([float(right) for right in opens]),
        brier=_mean([_square(call, out) for call, out in known if not out.tie]),
        close_mae_bps=_mean([abs(call.close - out.next_close) / out.last_close * 1e4 for call, out in known]),
    )


def _by_day(hits: Iterable[tuple[Forecast, bool]]) -> list[tuple[int, int]]:
    days: dict[date, tuple[int, int]] = {}
    for call, right in hits:
        total, count = days.get(decision_day(call), (0, 0))
        days[decision_day(call)] = (total + right, count + 1)
    return list(days.values())


def _square(forecast: Forecast, outcome: Outcome) -> float:
    return (forecast.probability_up - float(outcome.next_close > outcome.last_close)) ** 2


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


LEVEL = 0.95


def standard_error(clusters: Sequence[tuple[int, int]]) -> float:
    """The cluster-robust standard error of sum(total) / sum(count) over (total, count) pairs.

    The ratio estimator linearised at its value, with clusters as the sampling units and the factor
    G/(G-1) for G clusters (Cochran 1977, "Sampling Techniques", chapters 6 and 9A; for a mean it is the
    sandwich of Liang and Zeger 1986). Raises ValueError for fewer than two clusters or no
    decisions. It is exactly zero when every cluster shows the same share.
    """
    groups = len(clusters)
    total, count = _sums(clusters)
    if groups < 2 or count <= 0:
        raise ValueError("a standard error needs two clusters and a decision")
    # Whole numbers throughout, so that residuals that should be zero are zero.
    squares = sum((part * count - total * size) ** 2 for part, size in clusters)
    return math.sqrt(squares * groups / (groups - 1)) / count**2


def proportion_ci(
    clusters: Sequence[tuple[int, int]], *, low: float = 0.0, high: float = 1.0
) -> tuple[float, float] | None:
    """The 95% interval of sum(total) / sum(count), clipped to `low` and `high`; None below two clusters.

    A total lies between low and high times its count: hits from 0 to 1 each, differences of hits from -1
    to 1. The half-width is the standard error times Student's t with G-1 degrees of freedom. Where every
    cluster shows the same share (all hits, say) nothing can be estimated from their spread; then the
    interval is that of Clopper and Pearson 1934 with each cluster counted as one decision.
    """
    groups = len(clusters)
    if groups < 2:
        return None
    from scipy.special import stdtrit

    total, count = _sums(clusters)
    error = standard_error(clusters)
    if error == 0.0:
        share = (total / count - low) / (high - low)
        exact = _exact(share * groups, groups)
        return low + (high - low) * exact[0], low + (high - low) * exact[1]
    reach = float(stdtrit(groups - 1, (1.0 + LEVEL) / 2.0)) * error
    return max(low, total / count - reach), min(high, total / count + reach)


def _sums(clusters: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(part for part, _ in clusters), sum(size for _, size in clusters)


def _exact(hits: float, tries: int) -> tuple[float, float]:
    from scipy.special import betaincinv

    tail = (1.0 - LEVEL) / 2.0
    misses = tries - hits
    lower = float(betaincinv(hits, misses + 1.0, tail)) if hits > 0 else 0.0
    upper = float(betaincinv(hits + 1.0, misses, 1.0 - tail)) if misses > 0 else 1.0
    return lower, upper

"""Detect drift: whether a student's Brier score has become worse than in its own past."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from engine.metrics.accuracy import decision_day
from engine.model import Forecast
from engine.outcomes import Scored

_MIN_DAYS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftResult:
    """The result of the test on the daily mean Brier scores.

    Attributes:
        found: Whether the score has become worse.
        days: How many days were scored.
        p_value: Of a constant mean; None below 20 days.
        since: First day of the part that differs most.
        before: Mean score before that day, and `after` from it on.
    """

    found: bool
    days: int
    p_value: float | None
    since: date | None
    before: float | None
    after: float | None


def detect_drift(scored: Iterable[Scored], *, level: float = 0.01) -> DriftResult:
    """Test the daily Brier scores for a change of their mean, by the CUSUM of its residuals.

    Ploberger and Kraemer 1992, "The CUSUM test with OLS residuals", in the implementation of statsmodels. The
    level is that of a single test: repeated every day, about one in a hundred starts a training without need,
    whose challenger the gate then judges.
    """
    days, scores = _daily_means(scored)
    if len(days) < _MIN_DAYS or len(set(scores)) < 2:
        return DriftResult(found=False, days=len(days), p_value=None, since=None, before=None, after=None)
    import numpy as np
    from statsmodels.stats.diagnostic import breaks_cusumolsresid

    residuals = np.array(scores) - _mean(scores)
    p_value = float(breaks_cusumolsresid(residuals, ddof=1)[1])
    split = 1 + int(np.argmax(np.abs(np.cumsum(residuals)[:-1])))
    before, after = _mean(scores[:split]), _mean(scores[split:])
    return DriftResult(
        found=p_value < level and after > before,
        days=len(days),
        p_value=p_value,
        since=days[split],
        before=before,
        after=after,
    )


def _daily_means(scored: Iterable[Scored]) -> tuple[list[date], list[float]]:
    errors: dict[date, list[float]] = {}
    for call, outcome in scored:
        if outcome is None or outcome.tie or not isinstance(call, Forecast):
            continue
        error = call.probability_up - float(outcome.next_close > outcome.last_close)
        errors.setdefault(decision_day(call), []).append(error**2)
    days = sorted(errors)
    return days, [_mean(errors[day]) for day in days]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)

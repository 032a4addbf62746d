"""Whether a student's Brier score has turned worse against its own past. Knows no student and no session."""

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
    """What the test says of the mean Brier score of each day.

    `p_value` is that of a constant mean (None below 20 days), `since` the first day of the part that
    differs most, `before` and `after` the means of the two parts. `found` tells that it turned worse.
    """

    found: bool
    days: int
    p_value: float | None
    since: date | None
    before: float | None
    after: float | None


def detect_drift(scored: Iterable[Scored], *, level: float = 0.01) -> DriftResult:
    """Test the daily Brier scores for a change of their mean, by the CUSUM of its residuals.

    Ploberger and Kraemer 1992, "The CUSUM test with OLS residuals", as statsmodels has it. It is a test for
    one look; of many looks at a level of 1% one in a hundred calls for a training that the gate then
    judges, which is all that a false alarm costs.
    """
    days, scores = _daily_means(scored)
    if len(days) < _MIN_DAYS or len(set(scores)) < 2:
        return DriftResult(found=False, days=len(days), p_value=None, since=None, before=None, after=None)
    import numpy as np
    from statsmodels.stats.diagnostic import breaks_cusumolsresid

    residuals = np.array(scores) - _mean(scores)
    p_value = float(breaks_cusumolsresid(residuals, ddof=1)[1])
    place = 1 + int(np.argmax(np.abs(np.cumsum(residuals)[:-1])))
    before, after = _mean(scores[:place]), _mean(scores[place:])
    return DriftResult(
        found=p_value < level and after > before,
        days=len(days),
        p_value=p_value,
        since=days[place],
        before=before,
        after=after,
    )


def _daily_means(scored: Iterable[Scored]) -> tuple[list[date], list[float]]:
    errors: dict[date, list[float]] = {}
    for call, outcome in scored:
        if outcome is None or outcome.tie or not isinstance(call, Forecast):
            continue
        miss = call.probability_up - float(outcome.next_close > outcome.last_close)
        errors.setdefault(decision_day(call), []).append(miss**2)
    days = sorted(errors)
    return days, [_mean(errors[day]) for day in days]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)

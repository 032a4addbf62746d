"""Compare the arms of a walk-forward on the same days, with a test of each difference."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from engine.metrics.accuracy import decision_day, is_hit
from engine.model import Forecast
from engine.outcomes import Scored

LEVEL = 0.02
"""The probability of any false claim in one report, shared among its claims (Bonferroni)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDifference:
    """One forecaster's mean score minus another's, over the decisions that both have scored.

    Attributes:
        caller: The first forecaster.
        against: The other one.
        measure: "accuracy" (higher is better) or "brier" (lower is better).
        decisions: How many decisions were compared, on `days` days.
        difference: Mean over days; `low` and `high` bound it at 95%.
        p_better: One-sided p-value that `caller` is no better; None below two days, and where every day shows
            the same difference.
    """

    caller: str
    against: str
    measure: str
    decisions: int
    days: int
    difference: float | None
    low: float | None
    high: float | None
    p_better: float | None

    @property
    def p_worse(self) -> float | None:
        """Return the one-sided p-value that `caller` is no worse."""
        return None if self.p_better is None else 1.0 - self.p_better


def compare_scores(
    caller: str, ours: Iterable[Scored], against: str, theirs: Iterable[Scored]
) -> list[ScoreDifference]:
    """Compare accuracy and Brier score of two forecasters, paired by symbol and instant.

    An abstention counts as a probability of one half and as half a hit, so that not answering gains nothing.
    The test is Student's t on the means of the days, each day one observation (Ibragimov and Mueller 2010):
    what moves all symbols of a day is in its mean.

    Args:
        caller: The name of the first forecaster.
        ours: Its calls with their outcomes.
        against: The name of the other one.
        theirs: Its calls with their outcomes.
    """
    first, second = _index_by_decision(ours), _index_by_decision(theirs)
    shared = [key for key in first if key in second]
    differences = []
    for index, measure in enumerate(("accuracy", "brier")):
        days: dict[date, list[float]] = {}
        for key in shared:
            days.setdefault(first[key][0], []).append(first[key][1][index] - second[key][1][index])
        differences.append(_difference(caller, against, measure, list(days.values())))
    return differences


def decide_winner(difference: ScoreDifference, level: float = 0.05) -> str:
    """Return the forecaster that is better at a two-sided level, or "inconclusive"."""
    better, worse = difference.p_better, difference.p_worse
    if better is not None and better < level / 2:
        return difference.caller
    if worse is not None and worse < level / 2:
        return difference.against
    return "inconclusive"


def adjust_claims(differences: Sequence[ScoreDifference]) -> list[dict[str, Any]]:
    """Return each difference with whether it is claimed to be better, all claims together at `LEVEL`."""
    level = LEVEL / max(1, len(differences))
    return [
        {
            **asdict(difference),
            "level": level,
            "claimed": difference.p_better is not None and difference.p_better < level,
        }
        for difference in differences
    ]


def compare_arms(arms: Mapping[str, Sequence[Scored]]) -> list[dict[str, Any]]:
    """Compare every pair of arms, the later-named with the earlier, and name the winner of each measure."""
    names = list(arms)
    return [
        {**asdict(difference), "winner": decide_winner(difference)}
        for later, name in enumerate(names)
        for before in names[:later]
        for difference in compare_scores(name, arms[name], before, arms[before])
    ]


_Decision = tuple[str, datetime]


def _index_by_decision(scored: Iterable[Scored]) -> dict[_Decision, tuple[date, tuple[float, float]]]:
    """Return the day, and the hit and squared error, of every call whose outcome is known and no tie."""
    by_decision = {}
    for call, outcome in scored:
        if outcome is None or outcome.tie:
            continue
        probability = call.probability_up if isinstance(call, Forecast) else 0.5
        right = is_hit(call, outcome)
        score = 0.5 if right is None else float(right)
        error = (probability - float(outcome.next_close > outcome.last_close)) ** 2
        by_decision[call.symbol, call.as_of] = (decision_day(call), (score, error))
    return by_decision


def _difference(caller: str, against: str, measure: str, days: Sequence[Sequence[float]]) -> ScoreDifference:
    from scipy.special import stdtr, stdtrit

    means = [math.fsum(day) / len(day) for day in days]
    count = len(means)
    mean = math.fsum(means) / count if count else None
    low = high = p_better = None
    if mean is not None and count > 1:
        error = math.sqrt(math.fsum((day_mean - mean) ** 2 for day_mean in means) / (count - 1) / count)
        half_width = float(stdtrit(count - 1, 0.975)) * error
        low, high = mean - half_width, mean + half_width
        gain = mean if measure == "accuracy" else -mean
        p_better = float(stdtr(count - 1, -gain / error)) if error > 0 else None
    return ScoreDifference(
        caller=caller,
        against=against,
        measure=measure,
        decisions=sum(map(len, days)),
        days=count,
        difference=mean,
        low=low,
        high=high,
        p_better=p_better,
    )

"""The arms of a walk-forward side by side on the same days: what differs, and by what test.

Knows calls with their outcomes. It knows no adapter, no fold and no money.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from engine.metrics.accuracy import decision_day, is_hit
from engine.model import Forecast
from engine.outcomes import Scored

LEVEL = 0.02
"""The chance of any false claim in one report; it is shared among its claims (Bonferroni)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDifference:
    """One caller's mean score less another's, over the decisions that both have scored.

    `measure` is "accuracy" (higher is better) or "brier" (lower is better). `low` and `high` bound the
    difference at 95%; `p_better` is the one-sided p-value that `caller` is no better. None below two days,
    and where every day shows the same difference.
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
        """The one-sided p-value that `caller` is no worse."""
        return None if self.p_better is None else 1.0 - self.p_better


def compare_scores(
    caller: str, ours: Iterable[Scored], against: str, theirs: Iterable[Scored]
) -> list[ScoreDifference]:
    """Accuracy and Brier score of two callers, paired by symbol and instant.

    An abstention counts as a probability of one half and as half a hit, so that silence wins nothing. The
    test is Student's t on the means of the days, each day one observation (Ibragimov and Mueller 2010): what
    moves all symbols of a day is in its mean.
    """
    mine, other = _index_by_decision(ours), _index_by_decision(theirs)
    shared = [key for key in mine if key in other]
    made = []
    for place, measure in enumerate(("accuracy", "brier")):
        days: dict[date, list[float]] = {}
        for key in shared:
            days.setdefault(mine[key][0], []).append(mine[key][1][place] - other[key][1][place])
        made.append(_difference(caller, against, measure, list(days.values())))
    return made


def decide_winner(difference: ScoreDifference, level: float = 0.05) -> str:
    """The caller or its rival, whichever is better at a two-sided level, or "inconclusive"."""
    better, worse = difference.p_better, difference.p_worse
    if better is not None and better < level / 2:
        return difference.caller
    if worse is not None and worse < level / 2:
        return difference.against
    return "inconclusive"


def adjust_claims(differences: Sequence[ScoreDifference]) -> list[dict[str, Any]]:
    """Each difference with whether it is claimed to be better, all claims together at `LEVEL`."""
    level = LEVEL / max(1, len(differences))
    return [
        {**asdict(one), "level": level, "claimed": one.p_better is not None and one.p_better < level}
        for one in differences
    ]


def compare_arms(arms: Mapping[str, Sequence[Scored]]) -> list[dict[str, Any]]:
    """Every pair of arms, the later-named against the earlier, with the winner of each measure."""
    names = list(arms)
    return [
        {**asdict(one), "winner": decide_winner(one)}
        for later, name in enumerate(names)
        for before in names[:later]
        for one in compare_scores(name, arms[name], before, arms[before])
    ]


_Decision = tuple[str, datetime]


def _index_by_decision(scored: Iterable[Scored]) -> dict[_Decision, tuple[date, tuple[float, float]]]:
    """The day, and the hit and squared error, of every call whose outcome is known and no tie."""
    found = {}
    for call, outcome in scored:
        if outcome is None or outcome.tie:
            continue
        probability = call.probability_up if isinstance(call, Forecast) else 0.5
        right = is_hit(call, outcome)
        score = 0.5 if right is None else float(right)
        error = (probability - float(outcome.next_close > outcome.last_close)) ** 2
        found[call.symbol, call.as_of] = (decision_day(call), (score, error))
    return found


def _difference(caller: str, against: str, measure: str, days: Sequence[Sequence[float]]) -> ScoreDifference:
    from scipy.special import stdtr, stdtrit

    means = [math.fsum(day) / len(day) for day in days]
    count = len(means)
    mean = math.fsum(means) / count if count else None
    low = high = p_better = None
    if mean is not None and count > 1:
        error = math.sqrt(math.fsum((one - mean) ** 2 for one in means) / (count - 1) / count)
        reach = float(stdtrit(count - 1, 0.975)) * error
        low, high = mean - reach, mean + reach
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

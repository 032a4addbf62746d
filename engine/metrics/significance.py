"""Test whether the student beats the best baseline, or whether the sample is too small to conclude."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from statistics import NormalDist

from engine.metrics.accuracy import decision_day, is_hit, proportion_ci, standard_error
from engine.outcomes import Scored

MIN_DAYS = 30
"""With fewer shared days the verdict is always inconclusive."""


class Conclusion(StrEnum):
    """The conclusion about the student against the best baseline."""

    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The student's accuracy minus the baseline's, close to close, over the decisions both have scored.

    `days_needed` is how many days in all, those seen included, would distinguish a true difference as large
    as the one observed from zero at 95% with 80% power: ((z(0.975) + z(0.80)) * s / |difference|)**2, rounded
    up, where s is the difference's standard error times the square root of `days`. While the verdict is
    inconclusive it is at least `MIN_DAYS` and above `days`; otherwise it is `days`. None where the difference
    is 0 or there are fewer than two days.

    Attributes:
        result: Better, worse or inconclusive.
        baseline: The best baseline; None where no decision is shared.
        decisions: How many decisions are shared.
        days: Their UTC dates, which are the clusters.
        difference: A fraction in [-1, 1]; None where no decision is shared.
        low: Its lower 95% bound; None below two days.
        high: Its upper 95% bound.
        days_needed: See above.
    """

    result: Conclusion
    baseline: str | None = None
    decisions: int = 0
    days: int = 0
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    days_needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _PairedScores:
    """The decisions that one baseline shares with the student, by day: (sum of differences, decisions)."""

    name: str
    decisions: int
    hits: int
    clusters: tuple[tuple[int, int], ...]

    @property
    def rank(self) -> tuple[bool, float, int]:
        # A baseline with forecasts on a few lucky days must not hide those with forecasts every day.
        return len(self.clusters) >= MIN_DAYS, self.hits / self.decisions, self.decisions


def compute_verdict(student: Iterable[Scored], baselines: Mapping[str, Iterable[Scored]]) -> Verdict:
    """Compare the student with the baseline of the highest accuracy on the decisions they share.

    A decision is shared where both have a forecast that is a hit or a miss; where either abstains, or the
    close did not move, it counts for neither. Baselines that share at least `MIN_DAYS` days come first; of
    equals, the one with more decisions, then the first given. Since the best baseline is chosen by this
    sample, a student without any edge is called `better` in less than 2.5% of samples and `worse` in more: up
    to 2.5% for each independent baseline (7% of 500 simulated markets with three).
    """
    ours: dict[datetime, dict[str, bool]] = {}
    for prediction, outcome in student:
        if (right := is_hit(prediction, outcome)) is not None:
            ours.setdefault(prediction.as_of, {})[prediction.symbol] = right
    pairs = [_pair_scores(name, ours, theirs) for name, theirs in baselines.items()]
    shared = [pair for pair in pairs if pair.decisions]
    if not shared:
        return Verdict(result=Conclusion.INCONCLUSIVE)
    return _evaluate(max(shared, key=lambda pair: pair.rank))


def _pair_scores(
    name: str, ours: Mapping[datetime, Mapping[str, bool]], theirs: Iterable[Scored]
) -> _PairedScores:
    days: dict[date, tuple[int, int]] = {}
    hits = 0
    for prediction, outcome in theirs:
        right = ours.get(prediction.as_of, {}).get(prediction.symbol)
        hit = None if right is None else is_hit(prediction, outcome)
        if right is not None and hit is not None:
            day = decision_day(prediction)
            total, count = days.get(day, (0, 0))
            days[day] = (total + right - hit, count + 1)
            hits += hit
    decisions = sum(count for _, count in days.values())
    return _PairedScores(name=name, decisions=decisions, hits=hits, clusters=tuple(days.values()))


def _evaluate(pair: _PairedScores) -> Verdict:
    difference = sum(total for total, _ in pair.clusters) / pair.decisions
    bounds = proportion_ci(pair.clusters, low=-1.0, high=1.0)
    days = len(pair.clusters)
    result = Conclusion.INCONCLUSIVE
    if bounds is not None and days >= MIN_DAYS:
        result = Conclusion.BETTER if bounds[0] > 0 else Conclusion.WORSE if bounds[1] < 0 else result
    return Verdict(
        result=result,
        baseline=pair.name,
        decisions=pair.decisions,
        days=days,
        difference=difference,
        low=None if bounds is None else bounds[0],
        high=None if bounds is None else bounds[1],
        days_needed=days if result is not Conclusion.INCONCLUSIVE else _days_needed(pair, difference),
    )


def _days_needed(pair: _PairedScores, difference: float) -> int | None:
    days = len(pair.clusters)
    if days < 2 or difference == 0:
        return None
    spread = standard_error(pair.clusters) * math.sqrt(days)
    quantile = NormalDist().inv_cdf
    needed = ((quantile(0.975) + quantile(0.80)) * spread / abs(difference)) ** 2
    return max(MIN_DAYS, days + 1, math.ceil(needed))

"""What a student says to held-out prompts, held against what happened: the vitals that guards look at.

Knows answers and experiences, no model and no trainer.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date

from engine.metrics.accuracy import decision_day, hit
from engine.model import Direction, Forecast
from llm.answers import parse_answer
from training.dataset.experience import Experience
from training.monitoring.guards import EvalMetrics
from training.rewards import Reward, Weights, close_score, compute_call_reward

ParsedAnswers = Mapping[int, Reward]
"""What the valid answers were worth, by the place of their item."""


def parse_answers(answers: Sequence[str], items: Sequence[Experience]) -> ParsedAnswers:
    """The valid answers among those to `items`, scored."""
    scored = [
        compute_call_reward(parse_answer(text, item.observation), item, Weights())
        for text, item in zip(answers, items, strict=True)
    ]
    return {place: one for place, one in enumerate(scored) if one.valid}


def compute_metrics(
    now: ParsedAnswers,
    start: ParsedAnswers,
    items: Sequence[Experience],
    *,
    step: int,
    sampled: Mapping[str, float] | None = None,
) -> EvalMetrics:
    """The state that some answers show; `sampled` has the figures of the sampled ones by their names."""
    calls = {place: one.call for place, one in now.items() if isinstance(one.call, Forecast)}
    ups = sum(call.direction is Direction.UP for call in calls.values())
    days = {place: decision_day(call) for place, call in calls.items()}
    moved = [(call.close / call.last_close - 1) / _volatility(items[place]) for place, call in calls.items()]
    still = {place: one.close - _unchanged_close_error(items[place]) for place, one in now.items()}
    return EvalMetrics(
        step=step,
        **(sampled or {}),
        abstentions=1 - len(now) / len(items),
        one_class=max(ups, len(calls) - ups) / len(calls) if calls else math.nan,
        confidence_spread=_deviation([call.probability_up for call in calls.values()]),
        brier=_mean([1 - one.brier for one in now.values()]),
        brier_over_base=_difference({place: -one.brier_gain for place, one in now.items()}, days),
        brier_over_start=_difference(
            {place: start[place].brier - one.brier for place, one in now.items() if place in start}, days
        ),
        close_spread=_deviation(moved),
        close_error=math.sqrt(_mean([-one.close for one in now.values()])),
        close_over_still=_difference({place: -gain for place, gain in still.items()}, days),
    )


def accuracy(now: ParsedAnswers, items: Sequence[Experience]) -> float | None:
    """The share of directions that were right; None where nothing could be right or wrong."""
    hits = [hit(one.call, items[place].outcome) for place, one in now.items()]
    known = [float(right) for right in hits if right is not None]
    return _mean(known) if known else None


def _volatility(item: Experience) -> float:
    return max(item.trade_context.volatility, 0.001)


def _unchanged_close_error(item: Experience) -> float:
    return close_score(0.0, item.outcome.close_return, item.trade_context.volatility)


def _difference(values: Mapping[int, float], days: Mapping[int, date]) -> tuple[float, float]:
    """The mean and its standard error, days as clusters: what moves all symbols on one day is one fact."""
    mean = _mean(list(values.values()))
    clusters: dict[date, float] = {}
    for place, value in values.items():
        clusters[days[place]] = clusters.get(days[place], 0.0) + value - mean
    count = len(clusters)
    if count < 2:
        return mean, math.inf
    spread = math.fsum(total**2 for total in clusters.values()) * count / (count - 1)
    return mean, math.sqrt(spread) / len(values)


def _deviation(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(_mean([(value - mean) ** 2 for value in values]))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan

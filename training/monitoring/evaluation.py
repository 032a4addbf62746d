"""Metrics of a student's answers to held-out prompts, for the guards. Depends on no model and no trainer."""

import math
from collections.abc import Mapping, Sequence
from datetime import date

from engine.metrics.accuracy import decision_day, is_hit
from engine.model import Direction, Forecast
from llm.answers import parse_answer
from training.dataset.experience import Experience
from training.monitoring.guards import EvalMetrics
from training.rewards import Reward, Weights, close_score, compute_call_reward

ParsedAnswers = Mapping[int, Reward]
"""The rewards of the valid answers, by the place of their item."""


def parse_answers(answers: Sequence[str], items: Sequence[Experience]) -> ParsedAnswers:
    """Return the rewards of the valid answers among those to `items`, by the place of the item."""
    scored = [
        compute_call_reward(parse_answer(text, item.observation), item, Weights())
        for text, item in zip(answers, items, strict=True)
    ]
    return {place: reward for place, reward in enumerate(scored) if reward.valid}


def compute_metrics(
    now: ParsedAnswers,
    start: ParsedAnswers,
    items: Sequence[Experience],
    *,
    step: int,
    sampled: Mapping[str, float] | None = None,
) -> EvalMetrics:
    """Return the metrics of some answers.

    Args:
        now: The rewards of the valid answers.
        start: Those of the answers before the training.
        items: All items that were asked for.
        step: How many training steps were made.
        sampled: Figures of the sampled answers by their names.
    """
    calls = {place: reward.call for place, reward in now.items() if isinstance(reward.call, Forecast)}
    ups = sum(call.direction is Direction.UP for call in calls.values())
    days = {place: decision_day(call) for place, call in calls.items()}
    moved = [(call.close / call.last_close - 1) / _volatility(items[place]) for place, call in calls.items()]
    still = {place: reward.close - _unchanged_close_error(items[place]) for place, reward in now.items()}
    return EvalMetrics(
        step=step,
        **(sampled or {}),
        abstentions=1 - len(now) / len(items),
        one_class=max(ups, len(calls) - ups) / len(calls) if calls else math.nan,
        confidence_spread=_deviation([call.probability_up for call in calls.values()]),
        brier=_mean([1 - reward.brier for reward in now.values()]),
        brier_over_base=_difference({place: -reward.brier_gain for place, reward in now.items()}, days),
        brier_over_start=_difference(
            {place: start[place].brier - reward.brier for place, reward in now.items() if place in start},
            days,
        ),
        close_spread=_deviation(moved),
        close_error=math.sqrt(_mean([-reward.close for reward in now.values()])),
        close_over_still=_difference({place: -gain for place, gain in still.items()}, days),
    )


def accuracy(now: ParsedAnswers, items: Sequence[Experience]) -> float | None:
    """Return the share of directions that were right; None where nothing could be right or wrong."""
    hits = [is_hit(reward.call, items[place].outcome) for place, reward in now.items()]
    known = [float(right) for right in hits if right is not None]
    return _mean(known) if known else None


def _volatility(item: Experience) -> float:
    return max(item.trade_context.volatility, 0.001)


def _unchanged_close_error(item: Experience) -> float:
    return close_score(0.0, item.outcome.close_return, item.trade_context.volatility)


def _difference(values: Mapping[int, float], days: Mapping[int, date]) -> tuple[float, float]:
    """Return the mean and its standard error, with days as clusters."""
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

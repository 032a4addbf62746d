"""Compute the metrics of a student's answers to held-out prompts, for the guards."""

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
"""The rewards of the valid answers, by the index of their item."""


def parse_answers(answers: Sequence[str], items: Sequence[Experience]) -> ParsedAnswers:
    """Return the rewards of the valid answers among those to `items`, by the index of the item."""
    scored = [
        compute_call_reward(parse_answer(text, item.observation), item, Weights())
        for text, item in zip(answers, items, strict=True)
    ]
    return {index: reward for index, reward in enumerate(scored) if reward.valid}


def compute_metrics(
    now: ParsedAnswers,
    start: ParsedAnswers,
    items: Sequence[Experience],
    *,
    step: int,
    sampled: Mapping[str, float] | None = None,
) -> EvalMetrics:
    """Compute the metrics of a student's answers.

    Args:
        now: The rewards of the valid answers.
        start: The rewards of the valid answers before the training.
        items: All items that the student was asked for.
        step: How many training steps were made.
        sampled: Figures of the sampled answers, by name.
    """
    calls = {index: reward.call for index, reward in now.items() if isinstance(reward.call, Forecast)}
    ups = sum(call.direction is Direction.UP for call in calls.values())
    days = {index: decision_day(call) for index, call in calls.items()}
    moves = [
        (call.close / call.last_close - 1) / items[index].trade_context.sigma for index, call in calls.items()
    ]
    still = {index: reward.close - _unchanged_close_error(items[index]) for index, reward in now.items()}
    return EvalMetrics(
        step=step,
        **(sampled or {}),
        abstentions=1 - len(now) / len(items),
        one_class=max(ups, len(calls) - ups) / len(calls) if calls else math.nan,
        confidence_spread=_deviation([call.probability_up for call in calls.values()]),
        brier=_mean([1 - reward.brier for reward in now.values()]),
        brier_over_base=_difference({index: -reward.brier_gain for index, reward in now.items()}, days),
        brier_over_start=_difference(
            {index: start[index].brier - reward.brier for index, reward in now.items() if index in start},
            days,
        ),
        close_spread=_deviation(moves),
        close_error=math.sqrt(_mean([-reward.close for reward in now.values()])),
        close_over_still=_difference({index: -gain for index, gain in still.items()}, days),
    )


def compute_answer_accuracy(now: ParsedAnswers, items: Sequence[Experience]) -> float | None:
    """Return the share of directions that were right; None where every outcome is a tie."""
    hits = [is_hit(reward.call, items[index].outcome) for index, reward in now.items()]
    known = [float(right) for right in hits if right is not None]
    return _mean(known) if known else None


def _unchanged_close_error(item: Experience) -> float:
    return close_score(0.0, item.outcome.close_return, item.trade_context.volatility)


def _difference(values: Mapping[int, float], days: Mapping[int, date]) -> tuple[float, float]:
    """Return the mean and its standard error, with days as clusters."""
    mean = _mean(list(values.values()))
    clusters: dict[date, float] = {}
    for index, value in values.items():
        clusters[days[index]] = clusters.get(days[index], 0.0) + value - mean
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

"""What supervised training on outcomes teaches: prompts, and answers that state a recalibrated probability.

Knows no trainer. See `training.sft.recalibrate` for how the probabilities are made.
"""

import math
from collections.abc import Sequence

from engine.accuracy import day_of
from engine.values import Call, Direction, Forecast
from llm.answers import write
from llm.prompts import BASE, rebase
from training.outcomes.experience import Experience
from training.sft.recalibrate import Statement, drifted, momentum_of, quantile, reach_of


def taught_answer(item: Experience, probability_up: float, reach: float) -> str:
    """The answer that states a probability of up and the median close that it implies."""
    seen = item.observation
    direction = Direction.UP if probability_up >= 0.5 else Direction.DOWN
    close = rebase(drifted(seen.last_close, probability_up, _sigma(item), reach), seen.last_close)
    close = max(BASE, close) if direction is Direction.UP else min(BASE, close)
    return write(direction, max(probability_up, 1 - probability_up), min(max(close, 10.0), 999.99))


def fitted_reach(
    items: Sequence[Experience], probabilities: Sequence[float], weights: Sequence[float]
) -> float:
    """How far the closes of these items went for each unit that their labels imply."""
    came = [math.log1p(one.outcome.close_return) / _sigma(one) for one in items]
    return reach_of([quantile(p) for p in probabilities], came, weights)


def statements(
    items: Sequence[Experience], stated: Sequence[Call], weights: Sequence[float]
) -> list[Statement]:
    """What the student stated for each item and what came of it, as rows of the recalibration."""
    return [
        Statement(
            day=day_of(call),
            probability_up=call.probability_up if isinstance(call, Forecast) else 0.5,
            momentum=momentum_of(one.observation),
            went_up=None if one.outcome.tie else one.outcome.next_close > one.outcome.last_close,
            weight=weight,
        )
        for one, call, weight in zip(items, stated, weights, strict=True)
    ]


def lessons(
    items: Sequence[Experience],
    prompts: Sequence[str],
    probabilities: Sequence[float],
    weights: Sequence[float],
    *,
    reach: float,
    wanted: int,
    seed: int,
) -> list[dict[str, str]]:
    """So many rows of prompt and completion: by weight, or each item once before any comes again."""
    import numpy as np

    rng = np.random.default_rng(seed)
    taught = [
        {"prompt": prompt, "completion": taught_answer(one, probability, reach)}
        for one, prompt, probability in zip(items, prompts, probabilities, strict=True)
    ]
    if len(set(weights)) > 1:
        share = np.array(weights) / sum(weights)
        return [taught[place] for place in rng.choice(len(taught), size=wanted, p=share)]
    places = [place for _ in range(-(-wanted // len(taught))) for place in rng.permutation(len(taught))]
    return [taught[place] for place in places[:wanted]]


def _sigma(item: Experience) -> float:
    """The standard deviation of a day's return, above zero."""
    return max(item.situation.volatility, 0.001)

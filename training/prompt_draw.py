"""Which experiences each step of a training looks at: drawn by recency, seeded. Knows no model."""

from collections.abc import Sequence

from training.experience import TrainingSet


def recency(training: TrainingSet, half_life_days: float | None) -> list[float]:
    """A weight for each item, halved with every half-life that its outcome lies before the cut-off."""
    if half_life_days is None:
        return [1.0] * len(training.items)
    days = ((training.cutoff - item.known_at).total_seconds() / 86_400 for item in training.items)
    return [0.5 ** (age / half_life_days) for age in days]


def draw(weights: Sequence[float], *, steps: int, prompts: int, seed: int) -> list[list[int]]:
    """For each step `prompts` places, drawn without replacement in proportion to the weights.

    The largest of the logarithms plus Gumbel noise are such a draw (Vieira 2014). Where there are fewer
    items than `prompts`, each comes round again.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    logs = np.log(np.maximum(np.asarray(weights), np.finfo(float).tiny))
    drawn = []
    for _ in range(steps):
        places = np.argsort(-(logs + rng.gumbel(size=len(logs))), kind="stable")[:prompts]
        drawn.append([int(place) for place in np.resize(places, prompts)])
    return drawn


def by_length(places: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """The places in the order of their prompts' lengths, so that those of one part need little padding."""
    return sorted(places, key=lambda place: (lengths[place], place))


def part_size(*, prompts: int, tokens: int, budget: int) -> int:
    """How many of a step's prompts go through the model at once: a divisor of `prompts`.

    The largest whose tokens (`tokens` for each prompt and its answers) stay within `budget`, or else 1.
    """
    fitting = (n for n in range(prompts, 0, -1) if prompts % n == 0 and n * tokens <= budget)
    return next(fitting, 1)

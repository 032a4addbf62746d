"""Which experiences each step of a training looks at: drawn by recency, seeded. Knows no model."""

from collections.abc import Sequence

from training.dataset.experience import TrainingSet


def recency_weights(training: TrainingSet, half_life_days: float | None) -> list[float]:
    """A weight for each item, halved with every half-life that its outcome lies before the cut-off."""
    if half_life_days is None:
        return [1.0] * len(training.items)
    days = ((training.cutoff - item.known_at).total_seconds() / 86_400 for item in training.items)
    return [0.5 ** (age / half_life_days) for age in days]


def draw_prompts(
    weights: Sequence[float], kinds: Sequence[int], *, steps: int, prompts: int, seed: int
) -> list[list[int]]:
    """For each step `prompts` places, drawn without replacement in proportion to the weights.

    Each kind of item gets its share of the weights in every step, to the nearest whole number, and over the
    steps exactly: what a step learns about all items alike then does not hang on how many of its prompts
    happened to be of one kind (stratified sampling, Cochran 1977, chapter 5). The largest of the logarithms
    plus Gumbel noise are a draw in proportion (Vieira 2014). Where there are fewer items of a kind than are
    due, each comes round again.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    logs = np.log(np.maximum(np.asarray(weights, dtype=float), np.finfo(float).tiny))
    members = [np.flatnonzero(np.asarray(kinds) == kind) for kind in sorted(set(kinds))]
    shares = np.array([np.exp(logs[places]).sum() for places in members])
    shares /= shares.sum()
    drawn: list[list[int]] = []
    given = np.zeros(len(members))
    for step in range(1, steps + 1):
        keys = logs + rng.gumbel(size=len(logs))
        due = np.maximum(shares * prompts * step - given, 0.0)
        counts = np.floor(due)
        short = int(prompts - counts.sum())
        counts[np.argsort(counts - due, kind="stable")[:short]] += 1
        given += counts
        picked = [
            np.resize(places[np.argsort(-keys[places], kind="stable")], int(count))
            for places, count in zip(members, counts, strict=True)
        ]
        drawn.append([int(place) for place in np.concatenate(picked)])
    return drawn


def sort_by_length(places: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """The places in the order of their prompts' lengths, so that those of one part need little padding."""
    return sorted(places, key=lambda place: (lengths[place], place))


def batch_part_size(*, prompts: int, tokens: int, budget: int) -> int:
    """How many of a step's prompts go through the model at once: a divisor of `prompts`.

    The largest whose tokens (`tokens` for each prompt and its answers) stay within `budget`, or else 1.
    """
    fitting = (n for n in range(prompts, 0, -1) if prompts % n == 0 and n * tokens <= budget)
    return next(fitting, 1)

"""Sample the prompts of each training step: by recency, stratified and seeded."""

from collections.abc import Sequence

from training.dataset.experience import TrainingSet


def compute_recency_weights(training: TrainingSet, half_life_days: float | None) -> list[float]:
    """Return a weight for each item, halved for each half-life between its outcome and the cut-off."""
    if half_life_days is None:
        return [1.0] * len(training.items)
    days = ((training.cutoff - item.known_at).total_seconds() / 86_400 for item in training.items)
    return [0.5 ** (age / half_life_days) for age in days]


def draw_prompts(
    weights: Sequence[float], kinds: Sequence[int], *, steps: int, prompts: int, seed: int
) -> list[list[int]]:
    """Draw the items of each step without replacement, in proportion to their weights.

    Each kind of item gets its share of the weights in every step, to the nearest whole number, and over the
    steps exactly, so that a step does not depend on how many of its prompts are of one kind (stratified
    sampling, Cochran 1977, chapter 5). The largest logarithms plus Gumbel noise are a draw in proportion
    (Vieira 2014). Where a kind has fewer items than are due, they are repeated.

    Args:
        weights: The weight of each item.
        kinds: The stratum of each item.
        steps: How many steps to draw for.
        prompts: How many items a step gets.
        seed: Of the random draw.

    Returns:
        The indices of the items of each step, (steps, prompts).
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    log_weights = np.log(np.maximum(np.asarray(weights, dtype=float), np.finfo(float).tiny))
    members = [np.flatnonzero(np.asarray(kinds) == kind) for kind in sorted(set(kinds))]
    stratum_shares = np.array([np.exp(log_weights[indices]).sum() for indices in members])
    stratum_shares /= stratum_shares.sum()
    by_step: list[list[int]] = []
    drawn_counts = np.zeros(len(members))
    for step in range(1, steps + 1):
        keys = log_weights + rng.gumbel(size=len(log_weights))
        quota = np.maximum(stratum_shares * prompts * step - drawn_counts, 0.0)
        counts = np.floor(quota)
        missing = int(prompts - counts.sum())
        counts[np.argsort(counts - quota, kind="stable")[:missing]] += 1
        drawn_counts += counts
        chosen = [
            np.resize(indices[np.argsort(-keys[indices], kind="stable")], int(count))
            for indices, count in zip(members, counts, strict=True)
        ]
        by_step.append([int(index) for index in np.concatenate(chosen)])
    return by_step


def sort_by_length(indices: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Sort item indices by the lengths of their prompts, so that one batch needs little padding."""
    return sorted(indices, key=lambda index: (lengths[index], index))


def choose_batch_size(*, prompts: int, tokens: int, budget: int) -> int:
    """Return how many of a step's prompts go through the model at once.

    Args:
        prompts: The prompts of a step, of which the result is a divisor.
        tokens: The tokens of one prompt with its answers.
        budget: The most tokens in one pass; the result is at least 1 all the same.
    """
    fitting = (n for n in range(prompts, 0, -1) if prompts % n == 0 and n * tokens <= budget)
    return next(fitting, 1)

"""How surprising a challenger's lead would be if it had none: two one-sided tests that both must pass.

It knows pairs of probabilities and outcomes. It knows no rule, no margin and no student.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from training.gate.pairs import Pair

_CHUNK = 2_000
_DRAWS_AT_LEVEL = 20
_MOST_DRAWS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The mean of the days' Brier differences, and how likely one as large is without any lead.

    `difference` is above zero where the challenger is better. `p_days` is that of Student's t over `days`,
    `p_break_even` that of the break-even test, None where it was not needed; `p_value` is the larger.
    """

    difference: float
    days: int
    p_days: float
    p_break_even: float | None

    @property
    def p_value(self) -> float:
        """The larger of the two: each test sees what the other one misses."""
        return max(self.p_days, self.p_break_even or 0.0)


def evidence(pairs: Sequence[Pair], level: float, *, seed: int) -> Evidence:
    """Test that the challenger's expected Brier score is no better, at `level`; needs two days (ValueError).

    A day's mean difference is one observation, so that symbols may move together. *Over days* it is
    Student's t test, one-sided. That test alone takes a lucky run of a skewed difference for proof: with
    one symbol a day, an overconfident student whose expected lead is zero passed it at 0.001 in 0.8% of
    windows of 20 days. *Break-even* is exact where that one fails: a difference of squared errors is
    2 (q - p) (up - (p + q) / 2) for the stated p and q, so its expectation is zero where the close rises
    with probability (p + q) / 2, whatever the two state. Outcomes are drawn with those probabilities, all
    symbols of a day by one draw as often as the symbols were seen to move together and else each by its
    own, and p is (1 + draws with a mean as large) / (1 + draws) (Phipson and Smyth 2010), with 20 / level
    draws, a million at most. It is skipped where the first test has failed already.
    """
    days = _days(pairs)
    if len(days) < 2:
        raise ValueError("evidence needs two days")
    means = [math.fsum(pair.difference for pair in day) / len(day) for day in days.values()]
    difference = math.fsum(means) / len(means)
    p_days = _p_days(means, difference)
    needed = p_days <= level
    draws = min(_MOST_DRAWS, math.ceil(_DRAWS_AT_LEVEL / level))
    return Evidence(
        difference=difference,
        days=len(days),
        p_days=p_days,
        p_break_even=_p_break_even(list(days.values()), difference, draws, seed) if needed else None,
    )


def _days(pairs: Sequence[Pair]) -> dict[date, list[Pair]]:
    days: dict[date, list[Pair]] = {}
    for pair in pairs:
        days.setdefault(pair.day, []).append(pair)
    return days


def _p_days(means: Sequence[float], mean: float) -> float:
    from scipy.special import stdtr

    n = len(means)
    error = math.sqrt(math.fsum((one - mean) ** 2 for one in means) / (n - 1) / n)
    if error <= 1e-12 * abs(mean):  # all days alike: their spread says nothing, the other test decides
        return 0.0 if mean > 0 else 1.0
    return float(stdtr(n - 1, -mean / error))


def _p_break_even(days: Sequence[Sequence[Pair]], observed: float, draws: int, seed: int) -> float:
    import numpy as np

    pairs = [(pair, len(day)) for day in days for pair in day]
    weight = np.array([2.0 * (p.challenger - p.champion) / size / len(days) for p, size in pairs])
    middle = np.array([(p.champion + p.challenger) / 2.0 for p, _ in pairs])
    sizes = [len(day) for day in days]
    together = _together(days)
    least = observed + float(middle @ weight) - 1e-12
    random = np.random.default_rng(seed)
    as_large = 0
    for first in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - first)
        luck = random.random((size, len(pairs)), dtype=np.float32)
        if together:
            # A shared day has one draw for all its symbols; the others keep those of their own.
            common = random.random((size, len(days)), dtype=np.float32)
            shared = random.random((size, len(days)), dtype=np.float32) < together
            luck = np.where(np.repeat(shared, sizes, axis=1), np.repeat(common, sizes, axis=1), luck)
        as_large += int(((luck < middle) @ weight >= least).sum())
    return (1 + as_large) / (1 + draws)


def _together(days: Sequence[Sequence[Pair]]) -> float:
    """How far symbols rose and fell together, 0 to 1: the mean product of the signs of two on one day.

    It is taken about even chances, so that a market that only rose counts as moving together.
    """
    products = counted = 0.0
    for day in days:
        signs = math.fsum(2.0 * pair.up - 1.0 for pair in day)
        products += signs**2 - len(day)
        counted += len(day) * (len(day) - 1)
    return min(1.0, max(0.0, products / counted)) if counted else 0.0

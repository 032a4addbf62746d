"""Estimate how likely the best of several trials is overfitted: combinatorially symmetric cross-validation.

Bailey, Borwein, López de Prado and Zhu 2017, "The Probability of Backtest Overfitting", Journal of
Computational Finance 20(4).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCKS = 16
"""S of the paper; 16 blocks have 12,870 halves."""

_FLAT = 1e-12  # below this a standard deviation of returns is rounding, not movement
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OverfittingEstimate:
    """What came of choosing the best trial on one half of the days, over all halves.

    Attributes:
        probability: How often the trial that was best on one half was at or below the median on the other;
            one half is what choosing among trials without skill gives.
        loss_probability: How often it lost money on the other half (its mean return was below zero).
        trials: The number of trials compared.
        days: The number of days that all of them have.
    """

    probability: float
    loss_probability: float
    trials: int
    days: int


def estimate_overfitting(
    returns: Sequence[Mapping[date, float]], blocks: int = BLOCKS
) -> OverfittingEstimate | None:
    """Return the probability of backtest overfitting of a choice by Sharpe ratio.

    The days that all trials have are cut into blocks of equal length (to a day); every half of the blocks is
    once the one to choose on, and the rest the one to look at. Of equal ratios the first is chosen, and takes
    the mean of their ranks.

    Args:
        returns: The simple daily returns of each trial.
        blocks: How many blocks, an even number.

    Returns:
        The estimate; None for fewer than two trials whose returns vary, and for fewer than two days a block.

    Raises:
        ValueError: For an odd number of blocks.
    """
    import numpy as np

    if blocks < 2 or blocks % 2:
        raise ValueError(f"{blocks} blocks have no halves; take an even number")
    common = sorted(set.intersection(*map(set, returns))) if returns else []
    matrix = np.array([[trial[day] for day in common] for trial in returns]).T
    if len(common) < 2 * blocks:
        return None
    # A Sharpe ratio does not depend on the unit; with this one small returns are not taken for flat.
    spread = matrix.std(axis=0)
    matrix = matrix[:, spread > _FLAT] / spread[spread > _FLAT]
    if matrix.shape[1] < 2:
        return None
    parts = np.array_split(matrix, blocks)
    counts = np.array([len(part) for part in parts], dtype=float)
    sums = np.array([part.sum(axis=0) for part in parts])
    squares = np.array([(part**2).sum(axis=0) for part in parts])
    low = losses = total = 0
    for chosen in _list_halves(blocks):
        inside = _sharpe(chosen @ counts, chosen @ sums, chosen @ squares)
        rest = 1.0 - chosen
        outside = _sharpe(rest @ counts, rest @ sums, rest @ squares)
        best = inside.argmax(axis=1)
        held = outside[np.arange(len(best)), best][:, None]
        # The rank from 1 for the worst; logit(rank / (N + 1)) <= 0 is rank <= (N + 1) / 2.
        ranks = (outside < held).sum(axis=1) + ((outside == held).sum(axis=1) + 1) / 2
        low += int((2 * ranks <= matrix.shape[1] + 1).sum())
        losses += int((held < 0).sum())
        total += len(best)
    return OverfittingEstimate(
        probability=low / total,
        loss_probability=losses / total,
        trials=matrix.shape[1],
        days=len(common),
    )


def _list_halves(blocks: int) -> Iterator["NDArray[np.float64]"]:
    """Yield all choices of half of the blocks as rows of ones and zeros, some at a time."""
    import numpy as np

    halves = combinations(range(blocks), blocks // 2)
    while some := list(islice(halves, _AT_ONCE)):
        chosen = np.zeros((len(some), blocks))
        chosen[np.arange(len(some))[:, None], some] = 1.0
        yield chosen


def _sharpe(
    counts: "NDArray[np.float64]", sums: "NDArray[np.float64]", squares: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """Return the daily Sharpe ratios (divisor n-1) of each half and trial; 0 where nothing moved."""
    import numpy as np

    means = sums / counts[:, None]
    variances = (squares / counts[:, None] - means**2) * (counts / (counts - 1))[:, None]
    deviations = np.sqrt(np.maximum(variances, 0.0))
    # In units of the whole deviation: what is left of a half without a trade is the rounding of the sums.
    flat = deviations < 1e-7
    return np.where(flat, 0.0, means / np.where(flat, 1.0, deviations))

"""How many days a verdict will take, if the edge that is seen so far is there.

The future of several e-processes is drawn from what is known now: the wealth of each bet, and the mean and
covariance of the daily differences. The edge is not known, only seen with an error, so that each path has an
edge of its own, drawn from the normal distribution around the one seen, above zero (the posterior of a
uniform prior over positive edges). A plan that took the edge seen for the true one would be kept in about
half of the cases, as edges are seen when luck has made them large.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, cast

from engine.metrics.evalues import log_mean, log_sum_exp

if TYPE_CHECKING:
    import numpy as np

    from engine.metrics.evalues import Array

MOST_DAYS = 36_500
"""A verdict that would take longer than a hundred years of days is not foretold."""

KEPT = 0.8
"""The share of such promises that is kept."""

_PATHS, _STEPS = 256, 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the days so far say of the days to come, for several hypotheses of one run.

    Differences are in units of their usual size; a day on which a hypothesis has none counts as zero.

    Attributes:
        log_wealths: The logarithm of the wealth of each bet, (hypotheses, bets).
        sizes: The size of each bet, (hypotheses, bets).
        means: The mean of the daily differences, (hypotheses,).
        covariance: Their covariance, (hypotheses, hypotheses).
        days: How many days these are from.
        threshold: The logarithm of the e-value that is enough.
    """

    log_wealths: "Array"
    sizes: "Array"
    means: "Array"
    covariance: "Array"
    days: int
    threshold: float


def forecast_days(outlook: Outlook, hypothesis: int, waiting: Sequence[tuple[int, ...]]) -> int | None:
    """Return in how many more days all waiting intersections of a hypothesis are rejected, in 80% of cases.

    Args:
        outlook: What the days so far say.
        hypothesis: The one in question.
        waiting: The intersections that it is part of and that are not rejected yet.

    Returns:
        At least 1; None where no edge is seen, and where it would take more than `MOST_DAYS`.
    """
    import numpy as np

    if outlook.means[hypothesis] <= 0 or outlook.days < 2:
        return None
    random = np.random.default_rng(0)  # the same days have the same outlook
    times = np.unique(np.geomspace(1, MOST_DAYS, _STEPS).astype(int))
    drifts = _draw_drifts(outlook, hypothesis, random)
    paths = _draw_paths(outlook.covariance, times, random) + drifts[:, :, None] * times
    squares = np.diag(outlook.covariance) + outlook.means**2
    # The logarithm of 1 + x is x - x²/2 for the small gains and losses of a day.
    wealth = (
        outlook.log_wealths[:, :, None, None]
        + outlook.sizes[:, :, None, None] * paths[:, None]
        - (outlook.sizes**2 * squares[:, None])[:, :, None, None] * times / 2.0
    )
    evidence = log_sum_exp(wealth, axis=1)
    ends = np.zeros(_PATHS, dtype=int)
    for members in waiting:
        enough = log_mean(evidence, members) >= outlook.threshold
        ends = np.maximum(ends, np.where(enough.any(axis=1), enough.argmax(axis=1), len(times)))
    place = int(np.sort(ends)[math.ceil(KEPT * _PATHS) - 1])
    return int(times[place]) if place < len(times) else None


def _draw_drifts(outlook: Outlook, hypothesis: int, random: "np.random.Generator") -> "Array":
    """Draw the true means, (hypotheses, paths): that of the hypothesis above zero, the others by it."""
    import numpy as np

    covariance = outlook.covariance / outlook.days
    column = covariance[:, hypothesis]
    spread = math.sqrt(column[hypothesis])
    mean = float(outlook.means[hypothesis])
    if spread <= 0.0:
        return np.repeat(outlook.means[:, None], _PATHS, axis=1)
    normal = NormalDist()
    below = normal.cdf(-mean / spread)
    parts = random.permutation((np.arange(_PATHS) + 0.5) / _PATHS)
    deviations = np.array([normal.inv_cdf(min(1 - 1e-12, below + (1 - below) * part)) for part in parts])
    rest = _draw_normal(covariance - np.outer(column, column) / column[hypothesis], (_PATHS,), random)
    return np.asarray(outlook.means[:, None] + column[:, None] / spread * deviations + rest)


def _draw_paths(covariance: "Array", times: "np.ndarray", random: "np.random.Generator") -> "Array":
    """Draw Brownian motions with a covariance of one day, (hypotheses, paths, times)."""
    import numpy as np

    steps = np.sqrt(np.diff(times, prepend=0))
    return np.cumsum(_draw_normal(covariance, (_PATHS, len(times)), random) * steps, axis=-1)


def _draw_normal(covariance: "Array", shape: tuple[int, ...], random: "np.random.Generator") -> "Array":
    import numpy as np

    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    drawn = random.standard_normal((len(covariance), *shape))
    return cast("Array", np.tensordot(root, drawn, axes=1))

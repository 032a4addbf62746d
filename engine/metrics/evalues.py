"""Anytime-valid statistics of bounded differences: e-processes, closed testing, confidence sequences.

An e-process is a non-negative process whose expectation is at most 1 under the null hypothesis at every
stopping time, so that by Ville's inequality it reaches 1 / level with a probability of at most `level`,
however often one looks (Ramdas, Grünwald, Vovk and Shafer 2023, "Game-Theoretic Statistics and Safe
Anytime-Valid Inference", Statistical Science 38(4)). Here it is the wealth of a bettor who starts with 1 and
bets that the differences are above zero; the wealth is an average over bets of different sizes (Waudby-Smith
and Ramdas 2024, "Estimating Means of Bounded Random Variables by Betting", JRSS B 86(1); for scores of
forecasters, Choe and Ramdas 2024, "Comparing Sequential Forecasters", Operations Research 72(4)).

All functions take arrays whose last axis is time, so that many paths are computed at once.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    Array = np.ndarray[Any, np.dtype[np.float64]]

MAX_LOSS = 0.75
"""The largest part of the wealth that a bet can lose; the truncation of Waudby-Smith and Ramdas 2024."""

_PRIOR_COUNT = 10.0  # how many differences the first guess of their size is worth
_MIDDLE, _SPREAD = 0.12, 0.5
_BISECTIONS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Bets:
    """Sizes of bets, and the part of the first wealth that is put on each.

    A size is the fraction of the wealth that is staked on a difference as large as the differences usually
    are. The best size is the mean of the differences over their standard deviation.
    """

    sizes: "Array"
    weights: "Array"


@lru_cache(maxsize=1)
def default_bets() -> Bets:
    """Return fifteen sizes from 0.02 to 1, weighted log-normally around 0.12 with a log-deviation of 0.5.

    A forecaster of one symbol that is right in 56% of cases has a mean difference of 0.12 deviations; 68% of
    the weight is on what 54% to 60% have.
    """
    import numpy as np

    sizes = np.geomspace(0.02, 1.0, 15)
    weights = np.exp(-((np.log(sizes / _MIDDLE) / _SPREAD) ** 2) / 2.0)
    return Bets(sizes=sizes, weights=weights / weights.sum())


def usual_size(differences: "ArrayLike", low: "ArrayLike", guess: "ArrayLike | None" = None) -> "Array":
    """Return the root mean square of the differences before each, counting only those that can be a loss.

    The guess counts as ten differences; without one it is the mean possible loss so far.

    Args:
        differences: (…, time).
        low: The lowest value of each, at most 0, which broadcasts.
        guess: The expected size.
    """
    import numpy as np

    values = np.asarray(differences, dtype=np.float64)
    losses = -np.broadcast_to(np.asarray(low, dtype=np.float64), values.shape)
    counts = np.cumsum(losses > 0, axis=-1)
    if guess is None:
        means = np.cumsum(losses, axis=-1) / np.maximum(counts, 1)
    else:
        means = np.broadcast_to(np.asarray(guess, dtype=np.float64), values.shape)
    squares = np.cumsum(values**2, axis=-1) - values**2
    before = np.maximum(counts - (losses > 0), 0)
    return cast("Array", np.sqrt((_PRIOR_COUNT * means**2 + squares) / (_PRIOR_COUNT + before)))


def log_wealth(
    differences: "ArrayLike",
    low: "ArrayLike",
    *,
    guess: "ArrayLike | None" = None,
    null: float = 0.0,
    bets: Bets | None = None,
) -> "Array":
    """Return the logarithm of the wealth of each bet after each difference, its weight included.

    A bet of size s stakes s times the wealth over the usual size of the differences, and no more than could
    lose `MAX_LOSS` of the wealth, so that each wealth is a supermartingale where no difference has a mean
    above `null` given what was known before it. A difference below `low` by so much that the wealth would be
    negative ends that bet with nothing.

    Args:
        differences: (…, time); each must be above or equal to its `low`.
        low: The lowest value of each difference, known before it, at most 0; it broadcasts. 0 stands for a
            difference that is certainly 0, on which nothing is bet.
        guess: The expected size of the differences; see `usual_size`.
        null: The mean that is tested.
        bets: The sizes; the default is `default_bets`.

    Returns:
        (…, bets, time).
    """
    import numpy as np

    bets = bets or default_bets()
    values = np.asarray(differences, dtype=np.float64) - null
    least = np.broadcast_to(np.asarray(low, dtype=np.float64), values.shape)
    usual = usual_size(differences, least, guess)
    room = null - least
    # Nothing can be lost on a difference that is certainly above `null`.
    most = np.where(room < 0, np.inf, 0.0)
    most = np.divide(MAX_LOSS, room, out=most, where=room > 0)
    wealth = np.empty((*values.shape[:-1], len(bets.sizes), values.shape[-1]))
    with np.errstate(divide="ignore"):
        for place, (size, weight) in enumerate(zip(bets.sizes, bets.weights, strict=True)):
            stake = np.minimum(np.divide(size, usual, out=np.zeros_like(usual), where=usual > 0), most)
            gains = np.log1p(np.maximum(stake * values, -1.0))
            wealth[..., place, :] = np.cumsum(gains, axis=-1) + np.log(weight)
    return wealth


def log_e_process(
    differences: "ArrayLike",
    low: "ArrayLike",
    *,
    guess: "ArrayLike | None" = None,
    null: float = 0.0,
    bets: Bets | None = None,
) -> "Array":
    """Return the logarithm of the e-process against "no difference has a mean above `null`", (…, time).

    Args:
        differences: (…, time).
        low: The lowest value of each difference; see `log_wealth`.
        guess: The expected size of the differences; see `usual_size`.
        null: The mean that is tested.
        bets: The sizes; the default is `default_bets`.

    Example:
        >>> import numpy as np
        >>> wins = log_e_process(np.full(200, 0.5), -0.5)
        >>> bool(np.exp(wins[-1]) > 20)
        True
    """
    return log_sum_exp(log_wealth(differences, low, guess=guess, null=null, bets=bets), axis=-2)


def log_sum_exp(values: "Array", axis: int) -> "Array":
    """Return the logarithm of the sum of exponentials along an axis, without overflow."""
    import numpy as np

    most = np.max(values, axis=axis, keepdims=True)
    most = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):
        total = np.log(np.sum(np.exp(values - most), axis=axis, keepdims=True)) + most
    return cast("Array", np.squeeze(total, axis=axis))


def log_mean(log_values: "Array", members: tuple[int, ...]) -> "Array":
    """Return the logarithm of the mean of e-values, (hypotheses, …) to (…), over some hypotheses.

    The mean of e-processes is an e-process under any dependence (Vovk and Wang 2021, "E-values: Calibration,
    Combination and Applications", Annals of Statistics 49(3)).
    """
    import numpy as np

    return cast("Array", log_sum_exp(log_values[list(members)], axis=0) - np.log(len(members)))


def intersections(count: int) -> list[tuple[int, ...]]:
    """Return all non-empty sets of the hypotheses 0 to count - 1."""
    return [members for size in range(1, count + 1) for members in combinations(range(count), size)]


def close_tests(log_values: "ArrayLike") -> "Array":
    """Return the e-processes of several hypotheses adjusted for one another, as running maxima.

    The closure of Marcus, Peritz and Gabriel 1976: a hypothesis is rejected where every intersection that it
    is part of is, each tested by the mean of its e-processes (Vovk and Wang 2021). A rejection lasts. Where
    an adjusted value reaches 1 / level, the probability that any true hypothesis is rejected, on any day, is
    at most `level`.

    Args:
        log_values: The logarithms of the e-processes, (hypotheses, …, time).

    Returns:
        The logarithms of the adjusted e-values, of the same shape.
    """
    import numpy as np

    values = np.asarray(log_values, dtype=np.float64)
    adjusted = np.full_like(values, np.inf)
    for members in intersections(len(values)):
        highest = np.maximum.accumulate(log_mean(values, members), axis=-1)
        for member in members:
            adjusted[member] = np.minimum(adjusted[member], highest)
    return adjusted


def confidence_bound(
    differences: "ArrayLike",
    low: "ArrayLike",
    *,
    level: float = 0.05,
    guess: "ArrayLike | None" = None,
    bets: Bets | None = None,
) -> float:
    """Return the lower bound of a confidence sequence for the mean of one path of differences.

    It is the least mean that the e-process does not reject at its present value, found by bisection, and not
    above the mean of the differences: with a probability of at least 1 - level, no such bound on any day is
    above the expected mean. What was rejected on an earlier day may be right again where the mean moves. The
    upper bound is minus the lower bound of the negated differences.

    Args:
        differences: (time,).
        low: The lowest value of each; see `log_wealth`.
        level: The probability of a bound that is too high.
        guess: The expected size of the differences; see `usual_size`.
        bets: The sizes; the default is `default_bets`.
    """
    import numpy as np

    values = np.asarray(differences, dtype=np.float64)
    floor = float(np.min(low, initial=0.0))
    lowest, highest = floor, float(np.max(values, initial=floor))
    for _ in range(_BISECTIONS):
        middle = (lowest + highest) / 2.0
        evidence = log_e_process(values, np.minimum(low, 0.0), guess=guess, null=middle, bets=bets)
        rejected = bool(evidence.size and evidence[-1] >= -np.log(level))
        lowest, highest = (middle, highest) if rejected else (lowest, middle)
    return min(lowest, float(values.mean())) if len(values) else lowest


def effective_sample_size(values: "ArrayLike") -> float:
    """Return to how many independent values of equal variance the mean of these is equivalent.

    Values that are zero carry nothing and are not counted. The others are divided by 1 + 2 × the sum of the
    autocorrelations (Bayley and Hammersley 1946, "The Effective Number of Independent Observations in an
    Autocorrelated Time Series", JRSS Supplement 8(2)), taken as long as their sums over pairs of lags are
    positive (the initial positive sequence of Geyer 1992, "Practical Markov Chain Monte Carlo", Statistical
    Science 7(4)); never more than there are.
    """
    import numpy as np

    series = np.asarray(values, dtype=np.float64)
    series = series[series != 0]
    count = len(series)
    centred = series - series.mean() if count else series
    variance = float(centred @ centred)
    if count < 4 or variance <= 1e-24 * float(series @ series):
        return float(count)
    length = 1 << (2 * count - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(centred, length)) ** 2
    correlations = np.fft.irfft(spectrum, length)[:count] / variance
    pairs = correlations[: count // 2 * 2].reshape(-1, 2).sum(axis=1)
    end = int(np.argmax(pairs <= 0)) if bool(np.any(pairs <= 0)) else len(pairs)
    inflation = 2.0 * float(pairs[:end].sum()) - 1.0
    return float(count / max(1.0, inflation))

"""Measure whether probabilities come true as often as they say: decomposition, skill, reliability curve."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 10
"""How many bins of equal width the probabilities are sorted into; the lower edge belongs to a bin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """The forecasts whose probability of up is from `low` to below `high` (the last includes 1).

    Attributes:
        low: The lower edge.
        high: The upper edge.
        n: How many forecasts.
        mean: Their mean probability of up.
        rises: The share of them after which the close rose.
    """

    low: float
    high: float
    n: int
    mean: float
    rises: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The scores of probabilities of up; ties are left out. All are None where there are none.

    The Brier score is reliability - resolution + uncertainty + within_bins.

    Attributes:
        reliability: The mean squared distance of each bin's mean probability to its share of rises, 0 is
            best.
        resolution: The mean squared distance of each bin's share of rises to the overall one, 0 is worst.
        uncertainty: The Brier score of the overall share of rises, which nobody knew beforehand.
        within_bins: What the probabilities within a bin add, 0 where each bin has one probability; below zero
            where they tell rises from falls.
        skill: 1 - Brier score / uncertainty; None where all outcomes are on one side.
        log_score: The mean of -ln of the probability of what happened, in nats; 0 is best, 0.693 a coin toss.
        calibration_error: The expected calibration error: the mean over forecasts of the distance between
            their bin's mean probability and its share of rises.
        curve: The bins that have forecasts, by probability.
    """

    reliability: float | None = None
    resolution: float | None = None
    uncertainty: float | None = None
    within_bins: float | None = None
    skill: float | None = None
    log_score: float | None = None
    calibration_error: float | None = None
    curve: tuple[ReliabilityBin, ...] = ()


def score_calibration(probability: "NDArray[Any]", rose: "NDArray[Any]") -> Calibration:
    """Score probabilities of up against whether the close rose.

    Murphy 1973, "A New Vector Partition of the Probability Score", over bins, with the variance less twice
    the covariance within bins as a fourth term (Stephenson, Coelho and Jolliffe 2008): the sum is exact.
    The expected calibration error is that of Naeini, Cooper and Hauskrecht 2015. The log score is
    scikit-learn's `log_loss`, which keeps probabilities 2.2e-16 from 0 and 1.

    Args:
        probability: In [0, 1], without NaN.
        rose: A boolean for each.
    """
    n = len(probability)
    if not n:
        return Calibration()
    import numpy as np
    from sklearn.metrics import log_loss

    # Rounded, since 1 - 0.7 belongs to the bin that begins at 0.3.
    places = np.minimum(np.floor(np.round(probability * BINS, 9)), BINS - 1).astype(int)
    counts = np.bincount(places, minlength=BINS)
    filled = np.flatnonzero(counts)
    sizes = counts[filled]
    means = np.bincount(places, weights=probability, minlength=BINS)[filled] / sizes
    rises = np.bincount(places, weights=rose, minlength=BINS)[filled] / sizes
    base = float(rose.mean())
    brier = float(np.square(probability - rose).mean())
    uncertainty = base * (1 - base)
    reliability = float((sizes * np.square(means - rises)).sum() / n)
    resolution = float((sizes * np.square(rises - base)).sum() / n)
    return Calibration(
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within_bins=brier - (reliability - resolution + uncertainty),
        skill=1 - brier / uncertainty if uncertainty > 0 else None,
        log_score=float(log_loss(rose, probability, labels=[False, True])),
        calibration_error=float((sizes * np.abs(means - rises)).sum() / n),
        curve=tuple(
            ReliabilityBin(
                low=int(place) / BINS, high=(int(place) + 1) / BINS, n=int(size), mean=float(mean),
                rises=float(share),
            )
            for place, size, mean, share in zip(filled, sizes, means, rises, strict=True)
        ),
    )  # fmt: skip

"""Compare forecasts of the close with the random walk, which expects the last close again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.metrics.accuracy import ForecastColumns

_ZERO = 1e-12  # relative to the size of the errors: below this their difference is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseErrors:
    """The errors of the close, |close - next close| / last close; ties are included.

    Attributes:
        close_rmse_bps: The root of the mean squared error, in basis points.
        close_mase: The mean error over the random walk's on the same decisions (below 1 is better; the mean
            absolute scaled error of Hyndman and Koehler 2006, scaled by the days that are scored); None where
            no close moved.
        close_dm: The statistic of `diebold_mariano` of the daily means of the error less the random walk's:
            below zero the forecasts are closer.
        close_dm_p: Its two-sided p value.
    """

    close_rmse_bps: float | None = None
    close_mase: float | None = None
    close_dm: float | None = None
    close_dm_p: float | None = None


def score_close_errors(columns: ForecastColumns) -> CloseErrors:
    """Score the forecast closes."""
    errors, walk = columns.error_bps, columns.walk_error_bps
    if not len(errors):
        return CloseErrors()
    import numpy as np

    _, places = np.unique(columns.day, return_inverse=True)
    daily = np.bincount(places, weights=errors - walk) / np.bincount(places)
    mean, walk_mean = float(errors.mean()), float(walk.mean())
    # Differences as small as the rounding of the errors themselves are no differences.
    daily[np.abs(daily) <= _ZERO * max(mean, walk_mean)] = 0.0
    tested = diebold_mariano(daily.tolist())
    return CloseErrors(
        close_rmse_bps=float(np.sqrt(np.square(errors).mean())),
        close_mase=mean / walk_mean if walk_mean > 0 else None,
        close_dm=None if tested is None else tested[0],
        close_dm_p=None if tested is None else tested[1],
    )


def diebold_mariano(differences: Sequence[float]) -> tuple[float, float] | None:
    """Test whether the losses of two one-step forecasts have the same mean.

    Diebold and Mariano 1995, "Comparing Predictive Accuracy", with the small-sample correction of Harvey,
    Leybourne and Newbold 1997. One-step forecasts have no lags in the variance of the mean: it is the
    variance with divisor n over n, the correction is the root of (n-1)/n, and Student's t has n-1 degrees of
    freedom.

    Args:
        differences: One loss less the other, a period each.

    Returns:
        The statistic and its two-sided p value; None for fewer than two periods and for differences that do
        not vary.
    """
    n = len(differences)
    if n < 2:
        return None
    from scipy.special import stdtr

    mean = math.fsum(differences) / n
    variance = math.fsum((each - mean) ** 2 for each in differences) / n
    if math.sqrt(variance) <= _ZERO * max(map(abs, differences)):
        return None
    statistic = mean / math.sqrt(variance / n) * math.sqrt((n - 1) / n)
    return statistic, 2 * float(stdtr(n - 1, -abs(statistic)))

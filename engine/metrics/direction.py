"""Test whether forecasts of the direction know more than how often the market rises."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.metrics.accuracy import ForecastColumns

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ZERO = 1e-12  # below this a standard error is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionScores:
    """How forecasts of up and down go together with what followed; ties are left out.

    All are None where the forecasts or the outcomes are all on one side, but for the balanced accuracy, which
    needs both outcomes only.

    Attributes:
        balanced_accuracy: The mean of the shares of rises and of falls that were forecast, in [0, 1].
        matthews: The Matthews correlation, in [-1, 1].
        pesaran_timmermann: The test statistic of Pesaran and Timmermann 1992, standard normal where
            forecasts and outcomes are independent.
        pesaran_timmermann_p: Its upper tail.
        pesaran_timmermann_days: The same difference over its standard error with days as clusters; None below
            two days.
        pesaran_timmermann_days_p: Its upper tail by Student's t with G-1 degrees of freedom for G days.
    """

    balanced_accuracy: float | None = None
    matthews: float | None = None
    pesaran_timmermann: float | None = None
    pesaran_timmermann_p: float | None = None
    pesaran_timmermann_days: float | None = None
    pesaran_timmermann_days_p: float | None = None


def score_direction(moved: ForecastColumns) -> DirectionScores:
    """Score the directions of forecasts without ties."""
    rose = moved.move > 0
    if not rose.any() or rose.all():
        return DirectionScores()
    from sklearn.metrics import balanced_accuracy_score, matthews_corrcoef

    balanced = float(balanced_accuracy_score(rose, moved.up))
    if not moved.up.any() or moved.up.all():
        return DirectionScores(balanced_accuracy=balanced)
    from scipy.special import ndtr, stdtr

    statistic = pesaran_timmermann(moved.up, rose)
    clustered, days = _pesaran_timmermann_days(moved.up, rose, moved.day)
    return DirectionScores(
        balanced_accuracy=balanced,
        matthews=float(matthews_corrcoef(rose, moved.up)),
        pesaran_timmermann=statistic,
        pesaran_timmermann_p=float(ndtr(-statistic)),
        pesaran_timmermann_days=clustered,
        pesaran_timmermann_days_p=None if clustered is None else float(stdtr(days - 1, -clustered)),
    )


def pesaran_timmermann(forecast: "NDArray[Any]", outcome: "NDArray[Any]") -> float:
    """Return the statistic S_n of Pesaran and Timmermann 1992, equation 6, for two boolean arrays.

    "A Simple Nonparametric Test of Predictive Performance", Journal of Business & Economic Statistics 10(4).
    Neither array may be constant.
    """
    n = len(outcome)
    x, y = float(forecast.mean()), float(outcome.mean())
    agreed = float((forecast == outcome).mean())
    expected = x * y + (1 - x) * (1 - y)
    of_agreed = expected * (1 - expected) / n
    of_expected = (
        (2 * y - 1) ** 2 * x * (1 - x) / n
        + (2 * x - 1) ** 2 * y * (1 - y) / n
        + 4 * x * y * (1 - x) * (1 - y) / n**2
    )
    return float((agreed - expected) / (of_agreed - of_expected) ** 0.5)


def _pesaran_timmermann_days(
    forecast: "NDArray[Any]", outcome: "NDArray[Any]", day: "NDArray[Any]"
) -> tuple[float | None, int]:
    """Return the same difference over its cluster-robust standard error, and the number of days.

    The difference is linearised at its value, as in `engine.metrics.accuracy.standard_error`.
    """
    import numpy as np

    x, y = float(forecast.mean()), float(outcome.mean())
    agreed = forecast == outcome
    expected = x * y + (1 - x) * (1 - y)
    influence = (
        agreed - agreed.mean() - (2 * y - 1) * (forecast - x) - (2 * x - 1) * (outcome - y)
    )  # its mean is zero
    _, places = np.unique(day, return_inverse=True)
    totals = np.bincount(places, weights=influence)
    days, n = len(totals), len(outcome)
    if days < 2:
        return None, days
    error = float(np.sqrt(days / (days - 1) * np.square(totals).sum())) / n
    return None if error <= _ZERO else (float(agreed.mean()) - expected) / error, days

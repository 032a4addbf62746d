"""Break the scores of forecasts down by symbol and by year."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

from engine.metrics.accuracy import ForecastColumns, summarize_accuracy
from engine.metrics.calibration import Calibration
from engine.metrics.close_errors import score_close_errors
from engine.metrics.direction import score_direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

Breakdown = dict[str, dict[str, dict[str, float | int | None]]]


def compute_breakdown(columns: ForecastColumns) -> Breakdown:
    """Return the scores of each symbol's forecasts and of each year's, days being clusters in both.

    A forecast belongs to the year of its decision day. The keys are those of the registry's metrics.
    """
    import numpy as np

    years = {ordinal: date.fromordinal(ordinal).year for ordinal in np.unique(columns.day).tolist()}
    year = np.array([years[ordinal] for ordinal in columns.day.tolist()], dtype=int)
    names = np.array(columns.symbols, dtype=object)[columns.symbol]
    return {
        "symbol": {name: _score_group(columns, names == name) for name in sorted(columns.symbols)},
        "year": {str(each): _score_group(columns, year == each) for each in sorted(set(years.values()))},
    }


def describe_reliability(stated: Calibration, token: Calibration) -> dict[str, list[dict[str, Any]]]:
    """Return the reliability curves of the stated and of the token probability, a mapping for each bin."""
    return {
        name: [asdict(each) for each in scores.curve]
        for name, scores in (("stated", stated), ("token", token))
    }


def _score_group(columns: ForecastColumns, chosen: "NDArray[Any]") -> dict[str, float | int | None]:
    group = columns.take(chosen)
    accuracy = summarize_accuracy(group)
    direction = score_direction(group.take(group.moved))
    errors = score_close_errors(group)
    return {
        **_fields(accuracy, ("n", "days", "ties", "accuracy", "accuracy_low", "accuracy_high")),
        **_fields(accuracy, ("brier", "brier_token", "close_mae_bps")),
        **asdict(errors),
        **asdict(direction),
    }


def _fields(values: object, names: Iterable[str]) -> dict[str, float | int | None]:
    return {name: getattr(values, name) for name in names}

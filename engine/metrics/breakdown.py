"""Break the scores of forecasts down by symbol and by year."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

from engine.metrics.accuracy import ForecastColumns, summarize_accuracy
from engine.metrics.calibration import Calibration
from engine.metrics.close_errors import score_close_errors
from engine.metrics.direction import score_direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scores = dict[str, float | int | None]
Breakdown = dict[str, dict[str, Scores]]


def compute_breakdown(columns: ForecastColumns) -> Breakdown:
    """Return the scores of each symbol's forecasts and of each year's, days being clusters in both.

    A forecast belongs to the year of its decision day. The keys are those of the registry's metrics.
    """
    import numpy as np

    year = np.array([date.fromordinal(ordinal).year for ordinal in columns.day.tolist()], dtype=int)
    symbols = {columns.symbols[number]: scores for number, scores in _score_groups(columns, columns.symbol)}
    return {
        "symbol": {name: symbols[name] for name in sorted(symbols)},
        "year": {str(each): scores for each, scores in _score_groups(columns, year)},
    }


def describe_reliability(stated: Calibration, token: Calibration) -> dict[str, list[dict[str, Any]]]:
    """Return the reliability curves of the stated and of the token probability, a mapping for each bin."""
    return {
        name: [asdict(each) for each in scores.curve]
        for name, scores in (("stated", stated), ("token", token))
    }


def _score_groups(columns: ForecastColumns, labels: "NDArray[Any]") -> Iterator[tuple[int, Scores]]:
    """Yield each label, in order, with the scores of its forecasts."""
    import numpy as np

    if not len(labels):
        return
    order = np.argsort(labels, kind="stable")
    values, starts = np.unique(labels[order], return_index=True)
    for value, places in zip(values.tolist(), np.split(order, starts[1:]), strict=True):
        yield value, _score_group(columns.take(places))


def _score_group(group: ForecastColumns) -> Scores:
    accuracy = summarize_accuracy(group)
    direction = score_direction(group.take(group.moved))
    errors = score_close_errors(group)
    return {
        **_fields(accuracy, ("n", "days", "ties", "accuracy", "accuracy_low", "accuracy_high")),
        **_fields(accuracy, ("brier", "brier_token", "close_mae_bps")),
        **asdict(errors),
        **asdict(direction),
    }


def _fields(values: object, names: Iterable[str]) -> Scores:
    return {name: getattr(values, name) for name in names}

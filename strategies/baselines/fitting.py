"""Fit a model again and again on the past: the only place where a baseline or a calibration learns.

The caller states for each decision when its outcome was known. A fit receives the rows of the outcomes known
at that instant and no others, neither their features nor their labels, so that no scaler, vocabulary or model
can see a later day.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

REFIT = timedelta(days=20)
MIN_OUTCOMES = 50
"""The fewest known outcomes for a fit; until then nothing is predicted."""

MAX_OUTCOMES = 20_000
"""The most outcomes of a fit, the newest ones; a bound on its time."""

Label = tuple[datetime, bool]
"""When an outcome was known, and what it was."""

Predict = Callable[[Any], Sequence[float]]
"""Returns the probability that the label is True, for each of some rows of features."""

Fit = Callable[[Any, Sequence[bool]], Predict]
"""Fits a model on rows of features and their labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardFit:
    """The probabilities of the rows, None before the first fit, and how often the model was fitted."""

    probabilities: Sequence[float | None]
    refits: int


def predict_walk_forward(
    features: Any,
    as_of: Sequence[datetime],
    labels: Sequence[Label | None],
    fit: Fit,
    *,
    wanted: Sequence[bool] | None = None,
    max_outcomes: int | None = MAX_OUTCOMES,
) -> WalkForwardFit:
    """Predict each row by a model fitted, at most every 20 days, on the outcomes known at that instant.

    A model needs `MIN_OUTCOMES` outcomes of both kinds. The rows of one instant are predicted together and
    apart from all others, so that a prediction depends on no later row.

    Args:
        features: One row for each decision: an array or sparse matrix, of shape (decisions, ...).
        as_of: When each was made.
        labels: Its outcome; None where there is none yet, or it counts for neither side.
        fit: Fits the model.
        wanted: Which rows are to be predicted; the others are learned from only. None: all.
        max_outcomes: The most outcomes of a fit, the newest ones; None for all.
    """
    known = sorted((label[0], place) for place, label in enumerate(labels) if label is not None)
    times = [known_at for known_at, _ in known]
    probabilities: list[float | None] = [None] * len(as_of)
    chosen = [place for place in range(len(as_of)) if wanted is None or wanted[place]]
    predict: Predict | None = None
    fitted_at: datetime | None = None
    refits = 0
    for instant, group in groupby(sorted(chosen, key=as_of.__getitem__), key=as_of.__getitem__):
        if fitted_at is None or instant - fitted_at >= REFIT:
            end = bisect_right(times, instant)
            past = [place for _, place in known[max(0, end - (max_outcomes or end)) : end]]
            outcomes = [label[1] for place in past if (label := labels[place]) is not None]
            if len(past) >= MIN_OUTCOMES and len(set(outcomes)) == 2:
                predict, fitted_at, refits = fit(features[past], outcomes), instant, refits + 1
        if predict is not None:
            places = list(group)
            for place, probability in zip(places, predict(features[places]), strict=True):
                probabilities[place] = float(probability)
    return WalkForwardFit(probabilities=probabilities, refits=refits)

"""Baselines that learn from past returns: logistic regression and gradient-boosted trees.

One model serves all symbols. Its features are the last five log returns and those over 10 and 20 bars, each
in units of the standard deviation of the last 20, and the logarithm of that deviation.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from engine.model import Bar, Forecast, Observation
from strategies.baselines.counting import call_probability, share_of_rises, tabulate
from strategies.baselines.fitting import Fit, Label, Predict, predict_walk_forward

if TYPE_CHECKING:
    from numpy import ndarray

_LAGS = 5
_BARS = 20
_LEAST_DEVIATION = 1e-4


def logistic(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> Sequence[Forecast]:
    """Forecast by logistic regression on past returns; before its first fit by the share of rises."""
    return _forecast(observed, bars, _fit_logistic)


def boosted(
    observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]], seed: int
) -> Sequence[Forecast]:
    """Forecast by gradient-boosted trees on past returns; before the first fit by the share of rises.

    Args:
        observed: What is forecast.
        bars: The bars of each symbol, oldest first.
        seed: The seed of the trees.
    """
    return _forecast(observed, bars, lambda rows, rises: _fit_boosted(rows, rises, seed))


def _forecast(
    observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]], fit: Fit
) -> Sequence[Forecast]:
    import numpy as np

    wanted = {(seen.symbol, seen.as_of) for seen in observed}
    keys: list[tuple[str, datetime]] = []
    labels: list[Label | None] = []
    blocks = [np.empty((0, _LAGS + 3))]
    for symbol, series in bars.items():
        if len(series) > _BARS:
            keys += [(symbol, bar.closes_at) for bar in series[_BARS:]]
            labels += _label_moves(series[_BARS:])
            blocks.append(_measure_returns(series))
    fitted = predict_walk_forward(
        np.concatenate(blocks),
        [as_of for _, as_of in keys],
        labels,
        fit,
        wanted=[key in wanted for key in keys],
    )
    probabilities = dict(zip(keys, fitted.probabilities, strict=True))
    rises = share_of_rises(observed, bars)
    found = (probabilities.get((seen.symbol, seen.as_of)) for seen in observed)
    return tabulate(
        observed,
        (call_probability(share if p is None else p) for p, share in zip(found, rises, strict=True)),
    )


def _label_moves(series: Sequence[Bar]) -> list[Label | None]:
    moves = pairwise(series)
    return [*((b.closes_at, b.close > a.close) if b.close != a.close else None for a, b in moves), None]


def _measure_returns(series: Sequence[Bar]) -> "ndarray[Any, Any]":
    """Return the features at each close from that of bar `_BARS` on, shape (bars - _BARS, _LAGS + 3)."""
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    returns = np.diff(np.log([bar.close for bar in series]))
    windows = sliding_window_view(returns, _BARS)
    deviation = np.maximum(windows.std(axis=1, ddof=1), _LEAST_DEVIATION)
    scaled = windows / deviation[:, None]
    return np.column_stack(
        [
            scaled[:, -_LAGS:],
            scaled[:, -10:].sum(axis=1) / np.sqrt(10),
            scaled.sum(axis=1) / np.sqrt(_BARS),
            np.log(deviation),
        ]
    )


def _fit_logistic(rows: Any, rises: Sequence[bool]) -> Predict:
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit(rows)
    regression = LogisticRegression(C=0.01, max_iter=1000).fit(scale.transform(rows), rises)

    def predict(found: Any) -> Sequence[float]:
        # A product of matrices would round otherwise with another number of rows; a sum of each row does not.
        scores = (scale.transform(found) * regression.coef_[0]).sum(axis=1) + regression.intercept_[0]
        probabilities: Sequence[float] = 1 / (1 + np.exp(-scores))
        return probabilities

    return predict


def _fit_boosted(rows: Any, rises: Sequence[bool], seed: int) -> Predict:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    model = HistGradientBoostingClassifier(
        max_iter=50,
        learning_rate=0.02,
        max_leaf_nodes=8,
        l2_regularization=20.0,
        min_samples_leaf=20,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(1):
        model.fit(rows, rises)

    def predict(found: Any) -> Sequence[float]:
        with threadpool_limits(1):
            probabilities: Sequence[float] = model.predict_proba(found)[:, 1]
        return probabilities

    return predict

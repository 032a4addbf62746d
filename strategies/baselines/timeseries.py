"""A baseline that is a time-series foundation model: Fracast-0, from the extra `timeseries`.

Its 85,001 weights come with its package, as safetensors; nothing is fetched, and nothing is fitted.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from engine.model import Bar, Direction, Forecast, Observation
from strategies.baselines.counting import call_probability, tabulate

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

_CONTEXT = 512
"""Most closes that are shown, of the 2,048 that it can read."""

_MIN_CLOSES = 8
_BATCH = 64
REMEDY = "it needs the package fracast; run pip install 'closecall[timeseries]', or leave it out"


def is_installed() -> bool:
    """Return whether the model's package is there."""
    return find_spec("fracast") is not None


def timeseries(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> Sequence[Forecast]:
    """Forecast the median of the next close and, between its nine quantiles, the probability of a rise.

    A close with fewer than eight before it is forecast as up with a confidence of one half.
    """
    calls: list[tuple[Direction, float]] = []
    closes = array("d")
    for seen, quantiles in zip(observed, _predict(_list_contexts(observed, bars)), strict=True):
        direction, confidence, close = _read(quantiles, seen.last_close)
        calls.append((direction, confidence))
        closes.append(close)
    return tabulate(observed, calls, closes)


def _list_contexts(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> "Array":
    """Return the closes up to each observation, shape (observations, `_CONTEXT`), NaN before the first."""
    import numpy as np

    contexts = np.full((len(observed), _CONTEXT), np.nan, dtype=np.float32)
    places = {symbol: {bar.closes_at: n for n, bar in enumerate(series)} for symbol, series in bars.items()}
    for row, seen in zip(contexts, observed, strict=True):
        place = places[seen.symbol][seen.as_of]
        closes = [bar.close for bar in bars[seen.symbol][max(0, place + 1 - _CONTEXT) : place + 1]]
        if len(closes) >= _MIN_CLOSES:
            # In units of the last close, since prices of every size become 32-bit floats.
            row[-len(closes) :] = np.array(closes) / closes[-1]
    return contexts


def _predict(contexts: "Array") -> "Iterator[Array]":
    """Yield nine quantiles of the next close over the last, from 10% to 90%; NaN without a context."""
    import numpy as np
    from fracast import FracastModel

    model = FracastModel.from_pretrained(weights="fp32")
    for start in range(0, len(contexts), _BATCH):
        batch = contexts[start : start + _BATCH]
        known = ~np.isnan(batch[:, -1])
        quantiles = np.full((len(batch), len(model.quantiles)), np.nan)
        if known.any():
            quantiles[known] = np.sort(model.forecast_batch(batch[known], horizon=1)[:, 0], axis=1)
        yield from quantiles


def _read(quantiles: "Array", last_close: float) -> tuple[Direction, float, float]:
    """Return direction, its probability and the close, which is never on the other side of the last one."""
    import numpy as np

    if np.isnan(quantiles[0]):
        return Direction.UP, 0.5, last_close
    levels = np.linspace(0.1, 0.9, len(quantiles))
    direction, confidence = call_probability(1.0 - float(np.interp(1.0, quantiles, levels)))
    median = float(quantiles[len(quantiles) // 2])
    limit = max if direction is Direction.UP else min
    return direction, confidence, last_close * limit(1.0, median)

"""Where a student stands among callers that know nothing and hold as much as it does.

Each random caller holds the student's positions of days drawn at random: on every day all the weights that
the student held on another day, each day once. It thus has the student's exposure, share of calls and number
of symbols at a time, and earns what the market paid for them. It is charged the student's own costs, so that
only the choice of days differs. In a rising market all of them have a Sharpe ratio above zero; the student's
place among them says whether its choice of days was more than luck (a permutation test of market timing;
Fisher 1935, Aronson 2006).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from engine.fx import FxRates
from engine.instruments import Instrument
from engine.model import Bar, Forecast, Prediction
from engine.outcomes import OutcomeFinder
from engine.trading.records import EngineResult

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

_CALLERS = 1000
_MIN_CALLERS = 100
_CELLS = 2e9
"""Days times symbols times callers, above which there are fewer callers: a few seconds."""

_MIN_DAYS = 10
_SEED = 0
"""The same callers in every run, so that no result depends on which are drawn."""

_PERCENTILES = (5, 25, 50, 75, 95)


def compare_with_random_callers(
    calls: Sequence[Prediction],
    engine: EngineResult,
    bars: Mapping[str, Sequence[Bar]],
    instruments: Mapping[str, Instrument],
    rates: FxRates | None = None,
) -> dict[str, Any] | None:
    """Return the distribution of 1,000 random callers and the student's place in it.

    Returns are the sums over symbols from open to open, compounded by day, fractions. A percentile is the
    share of random callers that did worse, those that did equally well by half.

    Args:
        calls: The student's predictions.
        engine: What they came to, with its holding periods.
        bars: The bars of each symbol, oldest first.
        instruments: The instruments by symbol.
        rates: The exchange rates; None where there is one currency.

    Returns:
        `n`, the student's `total_return` by the same sum, the `returns` and `accuracies` of the callers by
        percentile, and its `return_percentile`, `sharpe_percentile` and `accuracy_percentile`; accuracy is
        None without forecasts. None for fewer than ten days or a student that never held anything.
    """
    import numpy as np

    if not calls or not engine.steps:
        return None
    first = min(call.as_of for call in calls)
    traded = {symbol: [bar for bar in series if bar.opens_at >= first] for symbol, series in bars.items()}
    days = sorted({bar.opens_at.date() for series in traded.values() for bar in series})
    if len(days) < _MIN_DAYS:
        return None
    places = {day: place for place, day in enumerate(days)}
    columns = {symbol: column for column, symbol in enumerate(sorted(bars))}
    shape = len(days), len(columns)
    weights, returns = np.full(shape, np.nan), np.zeros(shape)
    for symbol, series in traded.items():
        currency = instruments[symbol].currency
        for bar, earned in zip(series, _measure_returns(series, currency, rates), strict=True):
            row = places[bar.opens_at.date()]
            weights[row, columns[symbol]], returns[row, columns[symbol]] = 0.0, earned
    costs = np.zeros(len(days))
    for step in engine.steps:
        place = places.get(step.started_at.date())
        if place is not None and step.equity > 0:
            weights[place, columns[step.symbol]] = step.position * step.start_price / step.equity
            costs[place] += step.cost / step.equity
    sides, moves = _list_sides(calls, bars, places, columns)
    return _rank(_fill(weights), returns, costs, None if sides is None else _fill(sides), moves)


def _measure_returns(series: Sequence[Bar], currency: str, rates: FxRates | None) -> list[float]:
    """Return what a bar's open earned until the next open, the last until its close, in the base currency."""
    prices = [(bar.opens_at, bar.open) for bar in series]
    if series:
        prices.append((series[-1].closes_at, series[-1].close))
    values = [price * (rates.rate(currency, at) if rates else 1.0) for at, price in prices]
    return [after / before - 1.0 for before, after in pairwise(values)]


def _list_sides(
    calls: Sequence[Prediction],
    bars: Mapping[str, Sequence[Bar]],
    places: Mapping[date, int],
    columns: Mapping[str, int],
) -> tuple["Array | None", "Array"]:
    """Return the sides of the forecasts, NaN without one and None without any, and those of the moves."""
    import numpy as np

    finder = OutcomeFinder(bars)
    shape = len(places), len(columns)
    sides, moves = np.full(shape, np.nan), np.zeros(shape)
    for call in calls:
        row = places.get(call.as_of.date())
        if isinstance(call, Forecast) and row is not None:
            sides[row, columns[call.symbol]] = call.direction.sign
            outcome = finder.find(call)
            if outcome is not None:
                moves[row, columns[call.symbol]] = np.sign(outcome.close_return)
    return None if np.isnan(sides).all() else sides, moves


def _fill(values: "Array") -> "Array":
    """Return the values with those of days without one: the last before, outside a symbol's span those of it.

    A caller that is given such a day holds what was held then: on a Saturday the stocks of Friday.
    """
    import numpy as np

    filled = values.copy()
    for column in filled.T:
        known = np.flatnonzero(~np.isnan(column))
        if not len(known):
            column[:] = 0.0
            continue
        start, span = known[0], known[-1] - known[0] + 1
        wrapped = start + (np.arange(len(column)) - start) % span
        column[:] = column[known[np.searchsorted(known, wrapped, side="right") - 1]]
    return filled


def _rank(
    weights: "Array", returns: "Array", costs: "Array", sides: "Array | None", moves: "Array"
) -> dict[str, Any] | None:
    import numpy as np

    if not weights.any():
        return None
    random = np.random.default_rng(_SEED)
    count = int(min(_CALLERS, max(_MIN_CALLERS, _CELLS // weights.size)))
    orders = [np.arange(len(weights)), *(random.permutation(len(weights)) for _ in range(count))]
    daily = np.array([np.einsum("ds,ds->d", weights[order], returns) - costs for order in orders])
    earned = np.maximum(1.0 + daily, 0.0).prod(axis=1) - 1.0
    spread = daily.std(axis=1)
    sharpe = np.divide(daily.mean(axis=1), spread, out=np.zeros(len(daily)), where=spread > 0)
    figures = {
        "n": count,
        "total_return": float(earned[0]),
        "returns": _list_percentiles(earned[1:]),
        "return_percentile": _place_among(earned),
        "sharpe_percentile": _place_among(sharpe),
        "accuracies": None,
        "accuracy_percentile": None,
    }
    if sides is not None and moves.any():
        right = np.array([(sides[order] * moves).sum() for order in orders])
        scored = np.array([np.abs(sides[order] * moves).sum() for order in orders])
        accuracy = 0.5 + 0.5 * np.divide(right, scored, out=np.zeros(len(right)), where=scored > 0)
        figures |= {
            "accuracies": _list_percentiles(accuracy[1:]),
            "accuracy_percentile": _place_among(accuracy),
        }
    return figures


def _list_percentiles(values: "Array") -> dict[str, float]:
    import numpy as np

    return {f"p{rank}": float(np.percentile(values, rank)) for rank in _PERCENTILES}


def _place_among(values: "Array") -> float:
    """Return the share of the values that the first is above, of equal ones half."""
    import numpy as np

    first, others = values[0], values[1:]
    equal = np.isclose(others, first, rtol=1e-9, atol=1e-12)
    return float(((others < first) & ~equal).mean() + 0.5 * equal.mean())

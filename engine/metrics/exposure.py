"""Measure what a portfolio had at stake and what it traded: exposure, day's lows, turnover, cost."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from engine.model import Bar
from engine.trading.records import EngineResult, EquityPoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AGREES = 1e-6  # relative to equity: how exactly positions at prices must give value less cash


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingScores:
    """What was at stake and what it cost; ratios are None where nothing was marked or traded.

    Attributes:
        exposure: The mean over marks of gross exposure, the absolute values of all positions over equity.
        max_drawdown_lows: The maximum drawdown where each day falls as far as the lows of all that was held
            long and the highs of all that was held short on it, as if they came at one instant: a bound from
            above on the drawdown within days. None where positions cannot be followed (see `PriceHistory`).
        turnover: The value bought and sold a year, over mean equity.
        break_even_cost_bps: The PnL before costs over the value bought and sold, in basis points: the cost of
            a trade at which the run would have ended where it started, had it traded the same.
    """

    exposure: float | None
    max_drawdown_lows: float | None
    turnover: float | None
    break_even_cost_bps: float | None


class PriceHistory:
    """The prices of all symbols as arrays, made once for all whose positions are valued by them.

    Positions are the sums of fills, so those of a live session with a split in it do not agree with its
    equity; then only what is certain is returned.

    Args:
        bars: The bars of each symbol, oldest first.
        rate: Returns the value of one unit of a symbol's quote currency in the base currency, at an instant.
    """

    def __init__(
        self, bars: Mapping[str, Sequence[Bar]], rate: Callable[[str, datetime], float] | None = None
    ) -> None:
        self._bars = bars
        self._rate = rate
        self._columns: dict[str, dict[str, NDArray[Any]]] = {}

    def gross_exposures(self, engine: EngineResult) -> "NDArray[Any]":
        """Return the gross exposure at each mark as a fraction of equity; NaN where it is not known."""
        import numpy as np

        value, cash = _marks(engine.marks)
        positions = self._positions(engine)
        with np.errstate(divide="ignore", invalid="ignore"):
            if not any((units < 0).any() for _, units in positions.values()):
                gross = np.abs(value - cash)
            elif self._agrees(engine, positions):
                gross = sum(np.abs(self._values(engine, *item)) for item in positions.items())
            else:
                gross = np.full(len(value), np.nan)
            return np.where(value > 0, gross / value, np.nan)

    def max_drawdown_lows(self, engine: EngineResult, floor: float) -> float | None:
        """Return `TradingScores.max_drawdown_lows`; it is never below `floor`, the one at closes."""
        import numpy as np

        positions = self._positions(engine)
        if not self._agrees(engine, positions):
            return None
        ends = [_ordinal(mark.at) for mark in engine.marks]
        if not ends:
            return floor
        first, last = ends[0], ends[-1]
        adverse = np.zeros(last - first + 1)
        for symbol, (times, units) in positions.items():
            prices = self._symbol(symbol)
            held = _at(times, units, prices["closes_at"], side="left")
            fall = np.maximum(held, 0) * (prices["close"] - prices["low"])
            rise = np.maximum(-held, 0) * (prices["high"] - prices["close"])
            inside = (prices["day"] >= first) & (prices["day"] <= last)
            loss = (fall + rise)[inside] * self._rates(symbol, inside)
            np.add.at(adverse, prices["day"][inside] - first, loss)
        peak, deepest = engine.starting_cash, floor
        for place, mark in enumerate(engine.marks):
            if place + 1 == len(ends) or ends[place + 1] != ends[place]:  # the last mark of its day
                deepest = max(deepest, (peak - (mark.value - float(adverse[ends[place] - first]))) / peak)
            peak = max(peak, mark.value)
        return deepest

    def _symbol(self, symbol: str) -> "dict[str, NDArray[Any]]":
        import numpy as np

        if symbol not in self._columns:
            bars = self._bars.get(symbol, ())
            columns = {
                name: np.array([getattr(bar, name) for bar in bars], dtype=float)
                for name in ("open", "high", "low", "close")
            }
            columns["opens_at"] = np.array([bar.opens_at.timestamp() for bar in bars])
            columns["closes_at"] = np.array([bar.closes_at.timestamp() for bar in bars])
            columns["day"] = np.array([_ordinal(bar.closes_at) for bar in bars], dtype=int)
            self._columns[symbol] = columns
        return self._columns[symbol]

    def _rates(self, symbol: str, wanted: "NDArray[Any]") -> "NDArray[Any] | float":
        """Return the rate at each wanted close of a symbol; before the run none needs to be known."""
        import numpy as np

        if self._rate is None:
            return 1.0
        rates = self._symbol(symbol).setdefault("rate", np.full(len(wanted), np.nan))
        for place in np.flatnonzero(wanted & np.isnan(rates)).tolist():
            rates[place] = self._rate(symbol, self._bars[symbol][place].closes_at)
        return np.asarray(rates[wanted])

    def _positions(self, engine: EngineResult) -> "dict[str, tuple[NDArray[Any], NDArray[Any]]]":
        """Return the instants of the fills of each symbol, and the units held after each."""
        import numpy as np

        fills: dict[str, tuple[list[float], list[float]]] = {}
        for fill in engine.fills:
            times, sizes = fills.setdefault(fill.symbol, ([], []))
            times.append(fill.at.timestamp())
            sizes.append(fill.size)
        return {
            symbol: (np.array(times), _settle(np.cumsum(sizes), sizes))
            for symbol, (times, sizes) in fills.items()
        }

    def _values(
        self, engine: EngineResult, symbol: str, held: "tuple[NDArray[Any], NDArray[Any]]"
    ) -> "NDArray[Any]":
        """Return the value of the position in a symbol at each mark, in the base currency."""
        import numpy as np

        prices = self._symbol(symbol)
        at = np.array([mark.at.timestamp() for mark in engine.marks])
        # At a mark a close of that instant is known, and an open is not: CLOSE comes before OPEN.
        closed = np.searchsorted(prices["closes_at"], at, side="right") - 1
        opened = np.searchsorted(prices["opens_at"], at, side="left") - 1
        known = np.where(opened > closed, prices["open"][opened], prices["close"][closed])
        rate = 1.0 if self._rate is None else np.array([self._rate(symbol, m.at) for m in engine.marks])
        return _at(*held, at, side="left") * known * rate

    def _agrees(
        self, engine: EngineResult, positions: "Mapping[str, tuple[NDArray[Any], NDArray[Any]]]"
    ) -> bool:
        """Return whether the fills' positions at the bars' prices give the equity that was marked."""
        import numpy as np

        if any(not len(self._bars.get(symbol, ())) for symbol in positions):
            return False
        value, cash = _marks(engine.marks)
        total = sum((self._values(engine, *item) for item in positions.items()), np.zeros(len(value)))
        return bool(np.all(np.abs(total - (value - cash)) <= _AGREES * np.maximum(np.abs(value), 1e-9)))


def score_trading(
    engine: EngineResult, prices: PriceHistory, days: int, days_per_year: float, floor: float
) -> TradingScores:
    """Score what a run had at stake and traded.

    Args:
        engine: What the engine did.
        prices: The prices of the symbols.
        days: How many days have a mark.
        days_per_year: How many of them make a year.
        floor: The maximum drawdown at closes.
    """
    import numpy as np

    exposures = prices.gross_exposures(engine)
    traded = math.fsum(abs(fill.size) * fill.price * fill.rate for fill in engine.fills)
    costs = math.fsum(fill.cost for fill in engine.fills) + engine.borrow_paid
    value, _ = _marks(engine.marks)
    equity = float(value.mean()) if len(value) else 0.0
    end = engine.marks[-1].value if engine.marks else engine.starting_cash
    return TradingScores(
        exposure=float(exposures.mean()) if len(exposures) and not np.isnan(exposures).any() else None,
        max_drawdown_lows=prices.max_drawdown_lows(engine, floor),
        turnover=traded / equity * days_per_year / days if days and equity > 0 else None,
        break_even_cost_bps=(end - engine.starting_cash + costs) / traded * 1e4 if traded > 0 else None,
    )


def _marks(marks: Sequence[EquityPoint]) -> "tuple[NDArray[Any], NDArray[Any]]":
    import numpy as np

    return (
        np.array([mark.value for mark in marks], dtype=float),
        np.array([mark.cash for mark in marks], dtype=float),
    )


def _at(times: "NDArray[Any]", units: "NDArray[Any]", at: "NDArray[Any]", side: Any) -> "NDArray[Any]":
    """Return the units held at some instants; with `side` left a fill of that instant comes after it."""
    import numpy as np

    return np.concatenate(([0.0], units))[np.searchsorted(times, at, side=side)]


def _settle(units: "NDArray[Any]", sizes: Sequence[float]) -> "NDArray[Any]":
    """Return running positions in which what rounding leaves of a closed position is zero."""
    import numpy as np

    largest = np.maximum.accumulate(np.abs(sizes))
    return np.where(np.abs(units) <= 1e-12 * largest, 0.0, units)


def _ordinal(at: datetime) -> int:
    """Return the UTC date that an instant ends or lies in, as an ordinal."""
    return (at - timedelta(microseconds=1)).toordinal()

"""Strategies that turn forecasts into target weights inside backtrader, without any model or file."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from engine.model import Forecast, Prediction, Slice
from engine.trading.record_table import RecordTable
from engine.trading.strategy import SliceStrategy
from strategies.sizing import PositionSizing

Key = tuple[str, datetime]


class PredictionIndex(Mapping[Key, Prediction]):
    """Predictions by (symbol, as_of), of which only those of the last close are held by key."""

    def __init__(self, calls: Sequence[Prediction]) -> None:
        self._calls = calls
        self._places: dict[datetime, array[int]] = {}
        times = calls.column("as_of") if isinstance(calls, RecordTable) else [call.as_of for call in calls]
        for place, as_of in enumerate(times):
            self._places.setdefault(as_of, array("I")).append(place)
        self._close: datetime | None = None
        self._found: dict[str, Prediction] = {}

    def __getitem__(self, key: Key) -> Prediction:
        symbol, as_of = key
        if as_of != self._close:
            calls = map(self._calls.__getitem__, self._places.get(as_of, ()))
            self._close, self._found = as_of, {call.symbol: call for call in calls}
        return self._found[symbol]

    def __iter__(self) -> Iterator[Key]:
        return ((call.symbol, call.as_of) for call in self._calls)

    def __len__(self) -> int:
        return len(self._calls)


class BetSizing(StrEnum):
    """How much a forecaster bets: by its stated confidence, or the full weight of a symbol."""

    CONFIDENCE = "confidence"
    FULL = "full"


class LLMStrategy(SliceStrategy):
    """Trades each forecast at the close it was made on; an abstention leaves the position as it is.

    `calls` and `volatilities` (standard deviation of a day's return) are by (symbol, as_of).
    """

    def __init__(
        self,
        *,
        calls: Mapping[Key, Prediction],
        volatilities: Mapping[Key, float],
        sizing: PositionSizing,
        bet_sizing: BetSizing,
    ) -> None:
        super().__init__()
        self._calls = calls
        self._volatilities = volatilities
        self._sizing = sizing
        self._bet_sizing = bet_sizing

    def on_close(self, slice_: Slice) -> None:
        """Order the weight of each symbol's forecast."""
        for symbol in slice_.bars:
            key = (symbol, slice_.as_of)
            call = self._calls.get(key)
            if isinstance(call, Forecast):
                self.order_target_percent(symbol, self._weight(call, key))

    def _weight(self, call: Forecast, key: Key) -> float:
        if self._bet_sizing is BetSizing.FULL:
            return self._sizing.full(call)
        return self._sizing.weight(call, self._volatilities[key])


class BuyAndHold(SliceStrategy):
    """Buys each symbol once, from its first close with a forecast on, and never trades again.

    Each gets the full weight of the starting cash, so that a symbol that is listed late finds its share.
    """

    def __init__(self, *, calls: Mapping[Key, Prediction], sizing: PositionSizing) -> None:
        super().__init__()
        self._calls = calls
        self._sizing = sizing

    def on_close(self, slice_: Slice) -> None:
        """Order what is not held yet."""
        for symbol in slice_.bars:
            if (symbol, slice_.as_of) in self._calls and not self.position(symbol):
                share = self.broker.startingcash / self.equity if self.equity > 0 else 0.0
                self.order_target_percent(symbol, self._sizing.cap * share)


class VolatilityTarget(SliceStrategy):
    """Holds each symbol at its full weight times a share that falls as its volatility rises.

    `shares` are by (symbol, as_of), 1 where there is none. A position is changed once its share has moved by
    a tenth, so that rounding is not traded.
    """

    _LEAST_CHANGE = 0.1

    def __init__(
        self, *, calls: Mapping[Key, Prediction], sizing: PositionSizing, shares: Mapping[Key, float]
    ) -> None:
        super().__init__()
        self._calls = calls
        self._sizing = sizing
        self._shares = shares
        self._ordered: dict[str, float] = {}

    def on_close(self, slice_: Slice) -> None:
        """Order the weight of each symbol whose share has moved, or that is not held."""
        for symbol in slice_.bars:
            key = (symbol, slice_.as_of)
            if key not in self._calls:
                continue
            share = self._shares.get(key, 1.0)
            before = self._ordered.get(symbol, 0.0)
            if not self.position(symbol) or abs(share - before) >= self._LEAST_CHANGE * before:
                self._ordered[symbol] = share
                self.order_target_percent(symbol, self._sizing.cap * share)

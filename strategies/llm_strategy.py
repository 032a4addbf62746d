"""Strategies that turn forecasts into target weights inside backtrader, without any model or file."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from engine.model import Forecast, Prediction, Slice
from engine.trading.strategy import SliceStrategy
from strategies.sizing import PositionSizing

Key = tuple[str, datetime]


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

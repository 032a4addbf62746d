"""Strategies that a user writes: the base class, and the bridge that runs one inside backtrader."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import backtrader as bt

from engine.errors import UsageError
from engine.model import Bar, Forecast, Prediction, Slice
from engine.trading.bar_feed import DailyIndicator
from engine.trading.strategy import SliceStrategy
from engine.user_code import Recreatable, load_object, report_errors
from strategies.llm_strategy import Key


class Strategy(Recreatable, ABC):
    """A trading rule of your own: subclass it and write `on_close`.

    `on_close` is called after every slice in which a bar closed, and sees the portfolio after the fills of
    that slice. Orders are filled at the next open of their symbol. Each run works on a copy of the object,
    so that it always starts from the same state. Indicators look at closed daily bars, those from before the
    first traded day included, and are None until there are enough of them.

    Example:
        >>> import closecall as cc
        >>> class Trend(cc.Strategy):
        ...     def on_close(self, slice):
        ...         for symbol, bar in slice.bars.items():
        ...             mean = self.sma(symbol, 20)
        ...             if mean is not None:
        ...                 self.order_target_percent(symbol, 0.15 if bar.close > mean else 0.0)
        >>> result = cc.backtest(cc.MarketData.simulated(seed=8, days=90), strategy=Trend())
        >>> len(result.fills) > 0
        True
    """

    _run: "StrategyBridge | None" = None

    @abstractmethod
    def on_close(self, slice: Slice) -> None:  # noqa: A002  # the name in the field
        """Look at the bars that have just closed, by symbol, and order what is wanted."""

    def order_target_percent(self, symbol: str, weight: float, reason: str = "") -> None:
        """Order that the position of a symbol becomes `weight` of equity at its next open.

        Args:
            symbol: The symbol.
            weight: A fraction of equity; a negative one is short.
            reason: A note for the table of orders.

        Raises:
            ValueError: For a symbol that the run does not have and a weight that is not finite.
        """
        self._bridge.order_target_percent(symbol, weight, reason)

    def position(self, symbol: str) -> float:
        """Return the position of a symbol in signed units."""
        return self._bridge.position(symbol)

    @property
    def equity(self) -> float:
        """The portfolio's value at the last known prices, in the base currency."""
        return self._bridge.equity

    def forecast(self, symbol: str) -> Forecast | None:
        """Return the student's forecast at this close; None without a student and where it abstained."""
        return self._bridge.get_forecast(symbol)

    def bars(self, symbol: str, count: int | None = None) -> Sequence[Bar]:
        """Return the last `count` closed daily bars of a symbol, or all, oldest first."""
        bars = self._bridge.history.get(symbol, [])
        return bars if count is None else bars[-count:] if count > 0 else []

    def indicator(self, symbol: str, kind: type[Any], **params: Any) -> Any:
        """Return an indicator of backtrader on the closed daily bars of a symbol; None until it has enough.

        It is created at the first call and then kept up to date, so call it with the same arguments.

        Args:
            symbol: The symbol.
            kind: The class of the indicator, such as `backtrader.indicators.MACD`.
            params: Its parameters.

        Returns:
            The indicator: `[0]` is its value at the newest close and `[-1]` at the one before; other lines
            are attributes, such as `.signal[0]`.
        """
        return self._bridge.get_indicator(symbol, kind, params)

    def sma(self, symbol: str, period: int) -> float | None:
        """Return the simple moving average of the last `period` closes."""
        return self._value(symbol, bt.indicators.SMA, period)

    def ema(self, symbol: str, period: int) -> float | None:
        """Return the exponential moving average of closes, with the weight 2 / (period + 1) on the newest."""
        return self._value(symbol, bt.indicators.EMA, period)

    def rsi(self, symbol: str, period: int = 14) -> float | None:
        """Return the relative strength index, 0 to 100, with Wilder's smoothing (Wilder 1978)."""
        return self._value(symbol, bt.indicators.RSI_Safe, period)

    def atr(self, symbol: str, period: int = 14) -> float | None:
        """Return the average true range in the quote currency, with Wilder's smoothing (Wilder 1978)."""
        return self._value(symbol, bt.indicators.ATR, period)

    def _value(self, symbol: str, kind: type[Any], period: int) -> float | None:
        indicator = self.indicator(symbol, kind, period=period)
        return None if indicator is None else float(indicator[0])

    @property
    def _bridge(self) -> "StrategyBridge":
        if self._run is None:
            raise UsageError(f"{type(self).__name__} is not in a run; use this in on_close")
        return self._run


class StrategyBridge(SliceStrategy):
    """Runs a copy of a user's strategy as backtrader's own.

    `predictions` are by (symbol, as_of); `history` has the bars closed before the run, by symbol.
    """

    def __init__(
        self,
        *,
        rule: Strategy,
        predictions: Mapping[Key, Prediction],
        history: Mapping[str, Sequence[Bar]],
    ) -> None:
        super().__init__()
        self.history = {symbol: list(bars) for symbol, bars in history.items()}
        self._predictions = predictions
        self._rule = copy.deepcopy(rule)
        self._rule._run = self
        self._indicators: dict[tuple[Any, ...], DailyIndicator] = {}

    def on_close(self, slice_: Slice) -> None:
        """Add the bars to the history and let the user's strategy decide."""
        for symbol, bar in slice_.bars.items():
            self.history.setdefault(symbol, []).append(bar)
        with report_errors(f"{type(self._rule).__name__}.on_close at {slice_.as_of:%Y-%m-%d %H:%M}"):
            self._rule.on_close(slice_)

    def get_indicator(self, symbol: str, kind: type[Any], params: Mapping[str, Any]) -> Any:
        """Return an indicator on the closed bars of a symbol; None until it has enough of them."""
        key = (symbol, kind, *sorted(params.items()))
        if key not in self._indicators:
            self._indicators[key] = DailyIndicator(kind, params)
        return self._indicators[key].update(self.history.get(symbol, []))

    def get_forecast(self, symbol: str) -> Forecast | None:
        """Return the forecast of a symbol that was made on this slice."""
        prediction = self._predictions.get((symbol, self.cerebro.order_manager.now.as_of))
        return prediction if isinstance(prediction, Forecast) else None


def require_strategy(strategy: object) -> Strategy:
    """Return a strategy that was checked. Raises UsageError for anything else."""
    if isinstance(strategy, type) and issubclass(strategy, Strategy):
        raise UsageError(f"strategy: {strategy.__name__} is a class; pass an object, {strategy.__name__}()")
    if not isinstance(strategy, Strategy):
        raise UsageError(f"strategy: {type(strategy).__name__} is not a subclass of closecall.Strategy")
    return strategy


def load_strategy(place: str) -> Strategy:
    """Return the strategy in the file that a user names as FILE.py:CLASS.

    Raises:
        UsageError: For a missing file or class, an error in the file, and a class of another kind.
    """
    return require_strategy(load_object(place))

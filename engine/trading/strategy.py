"""The base class of strategies, which see one slice at a time and order target weights."""

from typing import Any

import backtrader as bt

from engine.model import Phase, Slice
from engine.trading.inputs import NonSliceInput


class SliceStrategy(bt.Strategy):
    """A backtrader strategy whose subclass writes `on_close`.

    `on_slice` is called after every slice, then `on_close` after a CLOSE slice. Both see the portfolio after
    this slice's fills. Their orders are filled at the next OPEN of each symbol. backtrader's own `buy` and
    `sell` are refused.
    """

    def on_close(self, slice_: Slice) -> None:
        """Handle a CLOSE slice: call `order_target_percent` for each symbol whose position is to change."""

    def on_slice(self, slice_: Slice) -> None:
        """Handle any slice, whatever its phase; for risk limits and commands."""

    def on_event(self, item: NonSliceInput) -> None:
        """Handle an input between slices, such as a command, after the engine has applied it."""

    def order_target_percent(self, symbol: str, weight: float, reason: str = "") -> None:
        """Order the position of `symbol` to be `weight` of equity.

        The order is filled at the next OPEN of the symbol, and replaces one that waits.

        Args:
            symbol: The symbol.
            weight: A fraction of equity; negative is short.
            reason: Recorded with the order.

        Raises:
            ValueError: For a symbol that the run does not have, and a weight that is not finite.
        """
        self.cerebro.order_manager.order_target_percent(symbol, weight, reason)

    def cancel_order(self, symbol: str, reason: str) -> None:
        """Cancel the waiting order of `symbol`, if there is one that is not of the margin limit."""
        self.cerebro.order_manager.cancel_order(symbol, reason)

    @property
    def equity(self) -> float:
        """The portfolio's value at the last known prices, in the base currency."""
        return float(self.broker.getvalue())

    def position(self, symbol: str) -> float:
        """Return the position of `symbol` in signed units."""
        size: float = self.cerebro.order_manager.position(symbol)
        return size

    def next(self) -> None:
        """Handle one slice; called by backtrader."""
        slice_ = self.cerebro.order_manager.now
        self.on_slice(slice_)
        if slice_.phase is Phase.CLOSE:
            self.on_close(slice_)

    def _clk_update(self) -> int:
        # backtrader would ask every feed for its length and time; the slice has the time.
        self.forward()
        self.lines.datetime[0] = self.cerebro.moment
        return len(self)

    def _getminperstatus(self) -> int:
        # A symbol that is not listed yet must not block the others, so do not wait for all of them.
        return -1

    def clear(self) -> None:
        """Forget this slice's orders and past trades, which backtrader would keep; the records have them."""
        for trade in self._tradespending:
            del self._trades[trade.data][trade.tradeid][:-1]
        self._orderspending: list[Any] = []
        self._tradespending: list[Any] = []

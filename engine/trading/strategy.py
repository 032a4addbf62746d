"""The base class of strategies: sees one slice at a time and says which weights it wants.

Knows no size, no order and no fill price; those are the desk's and the broker's.
"""

from typing import Any

import backtrader as bt

from engine.model import Phase, Slice
from engine.trading.inputs import NonSliceInput


class SliceStrategy(bt.Strategy):
    """A backtrader strategy whose subclass writes `decide`.

    `decide` is called after every CLOSE slice, `watch` after every slice and before `decide`. Both see the
    portfolio after this slice's fills. What they want is filled at the next OPEN of each symbol.
    backtrader's own `buy` and `sell` are refused.
    """

    def on_close(self, slice_: Slice) -> None:
        """Look at a CLOSE slice and call `target` for each symbol whose position is to change."""

    def on_slice(self, slice_: Slice) -> None:
        """Look at any slice, whatever its phase; for risk limits and commands."""

    def on_event(self, item: NonSliceInput) -> None:
        """Look at what came between slices, such as a command; the engine has acted on it."""

    def order_target_percent(self, symbol: str, weight: float, reason: str = "") -> None:
        """Want the position of `symbol` to be `weight` of equity, a fraction; negative is short.

        The order is filled at the next OPEN of the symbol, and replaces one that waits. Raises ValueError
        for a symbol that the run does not have and for a weight that is not finite.
        """
        self.cerebro.order_manager.order_target_percent(symbol, weight, reason)

    def cancel_order(self, symbol: str, reason: str) -> None:
        """Take back the waiting order of `symbol`, if there is one that the margin limit did not give."""
        self.cerebro.order_manager.cancel_order(symbol, reason)

    @property
    def equity(self) -> float:
        """The portfolio's value at the last known prices, in the base currency."""
        return float(self.broker.getvalue())

    def position(self, symbol: str) -> float:
        """The position of `symbol` in signed units."""
        held: float = self.cerebro.order_manager.position(symbol)
        return held

    def next(self) -> None:
        """Called by backtrader once for each slice."""
        slice_ = self.cerebro.order_manager.now
        self.on_slice(slice_)
        if slice_.phase is Phase.CLOSE:
            self.on_close(slice_)

    def _clk_update(self) -> int:
        # backtrader asks every feed for its length and time; the slice knows its time already.
        self.forward()
        self.lines.datetime[0] = self.cerebro.moment
        return len(self)

    def _getminperstatus(self) -> int:
        # A symbol that is not listed yet must not silence the others, so there is no waiting for all.
        return -1

    def clear(self) -> None:
        """Forget the orders of this slice, which backtrader would keep for good; the records have them."""
        self._orderspending: list[Any] = []
        self._tradespending: list[Any] = []

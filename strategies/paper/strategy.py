"""Trades a session: predictions within risk limits, commands, and the value of positions.

The backtrader side of a session; its outputs are passed to a function.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import fsum
from typing import Any

from engine.calendars import Calendar
from engine.corporate_actions import Split
from engine.errors import DataError
from engine.instruments import Instrument
from engine.journal.events.outputs import SessionOutput
from engine.model import Abstention, Phase, Prediction, Slice
from engine.trading.inputs import LastPrices, NonSliceInput
from engine.trading.records import SessionSnapshot, Valuation
from engine.trading.risk import Command, RiskChange, RiskEngine, RiskState
from strategies.llm_strategy import BetSizing, Key, LLMStrategy
from strategies.sizing import PositionSizing

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class SessionContext:
    """What a session and its strategy share: predictions on the coming slice, risk limits, and `emit`."""

    risk: RiskEngine
    instruments: Mapping[str, Instrument]
    calendars: Mapping[str, Calendar]
    emit: Callable[[SessionOutput], None]
    predictions: dict[Key, Prediction] = field(default_factory=dict)
    volatilities: dict[Key, float] = field(default_factory=dict)


class PaperStrategy(LLMStrategy):
    """Trades the predictions of a context as a backtest would, within its risk limits."""

    def __init__(self, *, context: SessionContext, sizing: PositionSizing) -> None:
        super().__init__(
            calls=context.predictions,
            volatilities=context.volatilities,
            sizing=sizing,
            bet_sizing=BetSizing.CONFIDENCE,
        )
        self._context = context
        self._expected: dict[str, datetime] = {}
        self._quoted: dict[str, float] = {}

    def on_slice(self, slice_: Slice) -> None:
        """Check the limits after a slice, before anything is decided."""
        for symbol, bar in slice_.bars.items():
            self._quoted.pop(symbol, None)
            closed = slice_.phase is Phase.CLOSE
            self._expected[symbol] = self._next_open(symbol, bar.closes_at) if closed else bar.closes_at
        calls = self._context.predictions.values()
        if calls and slice_.phase is Phase.CLOSE:
            abstained = [isinstance(call, Abstention) for call in calls]
            self._act_on(self._context.risk.on_predictions(slice_.as_of, abstained))
        self._check_limits(slice_.as_of, self.equity)

    def next(self) -> None:
        """Handle one slice; called by backtrader."""
        super().next()
        slice_ = self.cerebro.order_manager.now
        if slice_.phase is Phase.CLOSE and slice_.bars:
            self._report(slice_.as_of)

    def on_event(self, item: NonSliceInput) -> None:
        """Apply a command, value positions at last prices, and check for overdue prices."""
        at, value = self.cerebro.order_manager.now.as_of, self.equity
        if isinstance(item, Command):
            self._act_on(self._context.risk.on_command(item))
        if isinstance(item, LastPrices):
            self._quoted.update(item.prices)
        if isinstance(item, Split):
            self._quoted.pop(item.symbol, None)
        positions = self._positions()
        if isinstance(item, LastPrices) and positions:
            value = self._at_last_prices(positions)
            self._context.emit(Valuation(at=at, value=value))
        self._check_limits(at, value)
        if isinstance(item, Command):
            self._report(at)

    def _check_limits(self, at: datetime, value: float) -> None:
        risk = self._context.risk
        self._act_on(risk.on_equity(at, value))
        stale_after = risk.limits.stale_after
        overdue = (
            symbol for symbol, due in self._expected.items() if due < _NEVER and at > due + stale_after
        )
        self._act_on(risk.on_stale_prices(at, [symbol for symbol in overdue if self.position(symbol)]))
        if risk.flattening:
            self._flatten()

    def _act_on(self, changes: list[RiskChange]) -> None:
        for change in changes:
            self._context.emit(change)
            if change.now is not RiskState.ACTIVE:
                every = change.now is RiskState.HALTED
                self.cerebro.order_manager.cancel_risk_increasing_orders(
                    f"{change.now}: {change.cause}", every=every
                )

    def _flatten(self) -> None:
        """Order every position closed; repeated until none is open."""
        positions = self._positions()
        for symbol in sorted(positions):
            self.cerebro.order_manager.close_position(symbol, "flatten")
        if not positions:
            self._context.risk.on_flat()

    def _report(self, at: datetime) -> None:
        risk = self._context.risk
        waiting = self.broker.waiting
        self._context.emit(
            SessionSnapshot(
                at=at,
                state=risk.state,
                cause=risk.cause,
                value=self.equity,
                cash=float(self.broker.getcash()),
                positions=self._positions(),
                waiting={symbol: waiting[symbol].size for symbol in sorted(waiting)},
            )
        )

    def _positions(self) -> dict[str, float]:
        return {symbol: size for symbol in self._expected if (size := self.position(symbol))}

    def _at_last_prices(self, positions: Mapping[str, float]) -> float:
        feeds = self.cerebro.order_manager.feeds
        worth = [float(self.broker.getcash())]
        for symbol, size in positions.items():
            feed, quoted = feeds[symbol], self._quoted.get(symbol)
            worth.append(size * (feed.price if quoted is None else quoted * feed.rate))
        return fsum(worth)

    def _next_open(self, symbol: str, after: datetime) -> datetime:
        try:
            return self._context.calendars[self._context.instruments[symbol].calendar].next_open(after)
        except DataError:
            return _NEVER

    def _addnotification(self, _order: Any, quicknotify: bool = False) -> None:  # noqa: FBT001, FBT002  # backtrader's
        # backtrader would keep every trade for its analyzers; a session has none, and years of trades.
        del quicknotify

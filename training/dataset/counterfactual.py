"""The step that a call would have made: weight, order, fill, cost and return by the engine's own functions.

Knows one decision at a time. Whether cash or margin would have refused the order depends on what the other
symbols did at that open; here it is filled, unless the symbol's own market forbids it.
"""

from dataclasses import dataclass
from datetime import timedelta

from engine.instruments import limit_lock_reason
from engine.lots import order_size, target_position
from engine.model import Forecast, Prediction
from engine.outcomes import Outcome
from engine.trading.pnl import borrow_cost, net_return, period_pnl, trade_cost
from training.dataset.experience import TradeContext

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """A step: `position` held after `change` (signed units), its worth at the open as a fraction of equity
    (`weight`), `cost` and `pnl` in the base currency, and `net_return`, pnl over equity at the fill.
    """

    position: float
    change: float
    weight: float
    cost: float
    pnl: float
    net_return: float


def order_size_for(call: Prediction, context: TradeContext) -> float:
    """The signed size that the strategy would order on `call`; 0 for none, and always for an abstention."""
    s = context
    if not isinstance(call, Forecast):
        return 0.0
    weight = s.sizing.weight(call, s.volatility)
    if s.equity <= 0 and weight != 0:
        return 0.0
    wanted = target_position(weight, s.equity, s.price, s.instrument.lot)
    if wanted < 0 and not s.instrument.shortable:
        return 0.0
    return order_size(wanted, s.position, s.instrument.lot)


def simulate_step(call: Prediction, outcome: Outcome, context: TradeContext) -> StepResult:
    """The step from the fill of `call` to the next decision's fill. Raises ValueError if it has not ended."""
    if outcome.exit_open is None or outcome.open_known_at is None:
        raise ValueError(f"{outcome.symbol} at {outcome.as_of}: the step has not ended yet")
    s = context
    change = order_size_for(call, s)
    if limit_lock_reason(s.instrument, change, outcome.fill_open, outcome.last_close, s.fill_at.date()):
        change = 0.0
    position = s.position + change
    opened, ended = outcome.fill_open * s.fill_rate, outcome.exit_open * s.exit_rate
    days = (outcome.open_known_at - s.fill_at) / _DAY
    cost = trade_cost(change, opened, s.costs) + borrow_cost(position, opened, days, s.costs)
    pnl = period_pnl(position, ended - opened, cost)
    return StepResult(
        position=position,
        change=change,
        weight=net_return(position * opened, s.fill_equity),
        cost=cost,
        pnl=pnl,
        net_return=net_return(pnl, s.fill_equity),
    )

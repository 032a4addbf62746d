"""Simulate the step of a call by the engine's own functions: weight, order, fill, cost and return.

One decision at a time: whether cash or margin would have refused the order depends on the other symbols at
that open. Here it is filled, unless the symbol's own market forbids it.
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
    """A step from one fill to the next.

    Attributes:
        position: Signed units held after the fill.
        change: Signed units bought or sold at the fill.
        weight: Value of the position at the open, as a fraction of equity.
        cost: Trading and borrowing cost, in the base currency.
        pnl: Profit or loss after cost, in the base currency.
        net_return: `pnl` over the equity at the fill.
    """

    position: float
    change: float
    weight: float
    cost: float
    pnl: float
    net_return: float


def compute_order_size(call: Prediction, context: TradeContext) -> float:
    """Return the signed size (units) that the strategy would order on `call`; 0 for an abstention."""
    if not isinstance(call, Forecast):
        return 0.0
    instrument = context.instrument
    weight = context.sizing.weight(call, context.volatility)
    if context.equity <= 0 and weight != 0:
        return 0.0
    target = target_position(weight, context.equity, context.price, instrument.lot)
    if target < 0 and not instrument.shortable:
        return 0.0
    return order_size(target, context.position, instrument.lot)


def simulate_step(call: Prediction, outcome: Outcome, context: TradeContext) -> StepResult:
    """Simulate the step from the fill of `call` to the next decision's fill.

    Args:
        call: The prediction to trade; an abstention keeps the position.
        outcome: The closes and opens that followed, up to the end of the step.
        context: The position, equity, prices and rules that the step starts from.

    Raises:
        ValueError: If the step has not ended.
    """
    if outcome.exit_open is None or outcome.open_known_at is None:
        raise ValueError(f"{outcome.symbol} at {outcome.as_of}: the step has not ended yet")
    change, fill_day = compute_order_size(call, context), context.fill_at.date()
    if limit_lock_reason(context.instrument, change, outcome.fill_open, outcome.last_close, fill_day):
        change = 0.0
    position, costs = context.position + change, context.costs
    fill_price, exit_price = outcome.fill_open * context.fill_rate, outcome.exit_open * context.exit_rate
    days = (outcome.open_known_at - context.fill_at) / _DAY
    traded = trade_cost(
        change, fill_price, costs, rate=context.fill_rate, traded=context.traded, delay=context.delay
    )
    cost = traded + borrow_cost(position, fill_price, days, costs)
    pnl = period_pnl(position, exit_price - fill_price, cost)
    return StepResult(
        position=position,
        change=change,
        weight=net_return(position * fill_price, context.fill_equity),
        cost=cost,
        pnl=pnl,
        net_return=net_return(pnl, context.fill_equity),
    )

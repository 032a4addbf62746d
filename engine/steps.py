"""The arithmetic of one step: what a fill costs, what a position earns, what that is as a return.

The engine, the strategies and the training reward all call these functions, so that one forecast is worth
the same everywhere. Prices are in the base currency of a run, sizes and positions are signed units (negative:
sold, or short), costs and PnL are amounts in it. Knows no order and no time.
"""

from engine.instruments import Costs

BORROW_DAYS_PER_YEAR = 365


def fill_price(size: float, open_price: float, costs: Costs) -> float:
    """The price at which `size` is filled: the official open moved by slippage and latency against it."""
    return open_price * (1 + costs.slip) if size > 0 else open_price * (1 - costs.slip)


def slippage_cost(size: float, open_price: float, price: float) -> float:
    """What `size` lost by being filled at `price` and not at the open; negative for a better price."""
    return size * (price - open_price)


def commission(size: float, price: float, costs: Costs) -> float:
    """The fee on the filled value."""
    return abs(size) * costs.fee * price


def trade_cost(size: float, open_price: float, costs: Costs) -> float:
    """What a change of position by `size` at an official open costs: slippage, latency and commission."""
    price = fill_price(size, open_price, costs)
    return slippage_cost(size, open_price, price) + commission(size, price, costs)


def borrow_cost(position: float, open_price: float, days: float, costs: Costs) -> float:
    """What holding `position` for `days` costs: nothing when long, the yearly rate of its value when short.

    The value is taken at the step's opening price; a year has 365 days, and `days` may be a fraction.
    """
    return max(-position, 0.0) * open_price * costs.borrow_rate * days / BORROW_DAYS_PER_YEAR


def step_pnl(position: float, price_change: float, cost: float) -> float:
    """Position times the price change over the step, less the cost of getting and holding it."""
    return position * price_change - cost


def net_return(pnl: float, equity: float) -> float:
    """`pnl` as a fraction of the equity at the step's first fill; 0 where no equity was left to earn on."""
    return pnl / equity if equity > 0 else 0.0

"""Keeps the running step of each symbol, so that the PnL of all steps is the change of equity.

Knows when symbols open, what was filled and what borrowing cost; not why anything was traded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.instruments import Costs
from engine.trading.records import Fill, HoldingPeriod

BORROW_DAYS_PER_YEAR = 365


def fill_price(size: float, open_price: float, costs: Costs) -> float:
    """The price at which `size` is filled: the official open moved by slippage and latency against it."""
    return (
        open_price * (1 + costs.slippage_fraction) if size > 0 else open_price * (1 - costs.slippage_fraction)
    )


def slippage_cost(size: float, open_price: float, price: float) -> float:
    """What `size` lost by being filled at `price` and not at the open; negative for a better price."""
    return size * (price - open_price)


def commission(size: float, price: float, costs: Costs) -> float:
    """The fee on the filled value."""
    return abs(size) * costs.fee_fraction * price


def trade_cost(size: float, open_price: float, costs: Costs) -> float:
    """What a change of position by `size` at an official open costs: slippage, latency and commission."""
    price = fill_price(size, open_price, costs)
    return slippage_cost(size, open_price, price) + commission(size, price, costs)


def borrow_cost(position: float, open_price: float, days: float, costs: Costs) -> float:
    """What holding `position` for `days` costs: nothing when long, the yearly rate of its value when short.

    The value is taken at the step's opening price; a year has 365 days, and `days` may be a fraction.
    """
    return max(-position, 0.0) * open_price * costs.borrow_rate * days / BORROW_DAYS_PER_YEAR


def period_pnl(position: float, price_change: float, cost: float) -> float:
    """Position times the price change over the step, less the cost of getting and holding it."""
    return position * price_change - cost


def net_return(pnl: float, equity: float) -> float:
    """`pnl` as a fraction of the equity at the step's first fill; 0 where no equity was left to earn on."""
    return pnl / equity if equity > 0 else 0.0


_DAY = timedelta(days=1)


@dataclass(slots=True, kw_only=True)
class _OpenPeriod:
    started_at: datetime
    start_price: float
    equity: float
    position: float
    charged_until: datetime
    change: float = 0.0
    commission: float = 0.0
    slippage: float = 0.0
    borrow: float = 0.0
    income: float = 0.0


class PnLTracker:
    """The steps of one run. `sink` receives each step when it has ended, `costs` are by symbol."""

    def __init__(self, costs: Mapping[str, Costs], sink: Callable[[HoldingPeriod], None]) -> None:
        self._costs = costs
        self._sink = sink
        self._running: dict[str, _OpenPeriod] = {}

    def charge_borrow(self, symbol: str, at: datetime) -> float:
        """Add to the running step what borrowing `symbol` cost since the last charge; return the amount."""
        running = self._running.get(symbol)
        if running is None or running.position >= 0:
            return 0.0
        days = (at - running.charged_until) / _DAY
        amount = borrow_cost(running.position, running.start_price, days, self._costs[symbol])
        running.borrow += amount
        running.charged_until = at
        return amount

    def open(self, symbol: str, price: float, at: datetime, equity: float) -> None:
        """End the step of `symbol` at its official open `price` and begin the next one there.

        `equity` is the portfolio's value at this instant, before any fill of it.
        """
        ended = self._running.get(symbol)
        if ended is not None:
            self._end(symbol, ended, price, at, is_open=False)
        self._running[symbol] = _OpenPeriod(
            started_at=at,
            start_price=price,
            equity=equity,
            position=ended.position if ended else 0.0,
            charged_until=at,
        )

    def fill(self, fill: Fill, position: float) -> None:
        """Put a fill at its symbol's running step; `position` is what is held after it."""
        running = self._running[fill.symbol]
        running.position = position
        running.change += fill.size
        running.commission += fill.commission
        running.slippage += fill.slippage

    def apply_dividend(self, symbol: str, amount: float) -> None:
        """Add income to the running step: a dividend, or what a split paid out; negative if it was paid."""
        self._running[symbol].income += amount

    def split(self, symbol: str, ratio: float, position: float, price: float) -> None:
        """Restate the running step in units of after a split; `price` is the last one, after the split.

        `position` is what is left of what was held. The rest was paid out at `price`, so that its share of
        the step's PnL so far is income.
        """
        running = self._running.get(symbol)
        if running is None:
            return
        rest = running.position * ratio - position
        running.start_price /= ratio
        running.change *= ratio
        running.position = position
        running.income += rest * (price - running.start_price)

    def finish(self, last: Mapping[str, tuple[float, datetime]]) -> None:
        """End every running step at its symbol's `last` known price and the instant of that price."""
        for symbol, running in sorted(self._running.items()):
            price, at = last[symbol]
            self._end(symbol, running, price, at, is_open=True)
        self._running.clear()

    def _end(self, symbol: str, running: _OpenPeriod, price: float, at: datetime, *, is_open: bool) -> None:
        if running.position == 0 and running.change == 0 and running.income == 0:
            return
        cost = running.commission + running.slippage + running.borrow
        price_change = price - running.start_price
        pnl = period_pnl(running.position, price_change, cost) + running.income
        self._sink(
            HoldingPeriod(
                symbol=symbol,
                started_at=running.started_at,
                ended_at=at,
                position=running.position,
                change=running.change,
                start_price=running.start_price,
                end_price=price,
                price_change=price_change,
                commission=running.commission,
                slippage=running.slippage,
                borrow=running.borrow,
                cost=cost,
                pnl=pnl,
                equity=running.equity,
                net_return=net_return(pnl, running.equity),
                is_open=is_open,
                income=running.income,
            )
        )

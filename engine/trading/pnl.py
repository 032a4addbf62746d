"""Compute costs and PnL, and track the running holding period of each symbol.

The PnL summed over all holding periods is the change of equity.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.corporate_actions import Split
from engine.instruments import Costs
from engine.trading.records import Fill, HoldingPeriod

BORROW_DAYS_PER_YEAR = 365


def fill_price(size: float, open_price: float, costs: Costs, delay: float = 0.0) -> float:
    """Return the price at which `size` is filled: the official open moved against it.

    Args:
        size: Signed units.
        open_price: The official open.
        costs: The costs of the symbol, with slippage and latency.
        delay: The cost of delay as a fraction of the open, `Costs.delay_fraction`.
    """
    moved = costs.slippage_fraction + delay
    return open_price * (1 + moved) if size > 0 else open_price * (1 - moved)


def slippage_cost(size: float, open_price: float, price: float) -> float:
    """Return what `size` lost by being filled at `price` and not at the open.

    Args:
        size: Signed units.
        open_price: The official open.
        price: The price of the fill.

    Returns:
        An amount in the currency of the prices; negative for a better price.
    """
    return size * (price - open_price)


def commission(size: float, price: float, costs: Costs, *, rate: float = 1.0, traded: float = 0.0) -> float:
    """Return the fee on the filled value and, of a sale, the tax; nothing where nothing is traded.

    Args:
        size: Signed units.
        price: The price of the fill, in the base currency.
        costs: The costs of the symbol.
        rate: The value of the quote currency in the base currency.
        traded: The value traded in the 30 days before, in the base currency, for the fee tier.
    """
    if size == 0:
        return 0.0
    fee = max(abs(size) * costs.tier_fraction(traded) * price, costs.least_fee * rate)
    tax = abs(size) * price * costs.sale_tax_bps / 10_000 if size < 0 else 0.0
    return fee + tax


def trade_cost(
    size: float,
    open_price: float,
    costs: Costs,
    *,
    rate: float = 1.0,
    traded: float = 0.0,
    delay: float = 0.0,
) -> float:
    """Return the cost of trading `size` at an official open: slippage, latency and commission.

    Args:
        size: Signed units.
        open_price: The official open, in the base currency.
        costs: The costs of the symbol.
        rate: The value of the quote currency in the base currency.
        traded: As in `commission`.
        delay: As in `fill_price`.
    """
    price = fill_price(size, open_price, costs, delay)
    return slippage_cost(size, open_price, price) + commission(size, price, costs, rate=rate, traded=traded)


def borrow_cost(position: float, open_price: float, days: float, costs: Costs) -> float:
    """Return the cost of borrowing a short position; nothing for a long one.

    Args:
        position: Signed units.
        open_price: The opening price of the holding period, at which the position is valued.
        days: Its length, which may be a fraction; a year has 365 days.
        costs: The costs of the symbol, with the yearly rate.
    """
    return max(-position, 0.0) * open_price * costs.borrow_rate * days / BORROW_DAYS_PER_YEAR


def period_pnl(position: float, price_change: float, cost: float) -> float:
    """Return the PnL of a holding period: position times price change, less cost.

    Args:
        position: Signed units.
        price_change: The change of the price over the period.
        cost: The cost of trading and holding the position.
    """
    return position * price_change - cost


def net_return(pnl: float, equity: float) -> float:
    """Return `pnl` as a fraction of the equity at the first fill; 0 where no equity was left to earn on."""
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
    """The holding periods of one run. `sink`, if any, receives each when it has ended; `costs` are by symbol.

    Attributes:
        borrow_paid: The borrowing costs of the periods that have ended, in the base currency.
    """

    def __init__(self, costs: Mapping[str, Costs], sink: Callable[[HoldingPeriod], None] | None) -> None:
        self.borrow_paid: float = 0
        self._costs = costs
        self._sink = sink
        self._running: dict[str, _OpenPeriod] = {}

    def charge_borrow(self, symbol: str, at: datetime) -> float:
        """Add the borrowing cost of `symbol` since the last charge to its period, and return it."""
        running = self._running.get(symbol)
        if running is None or running.position >= 0:
            return 0.0
        days = (at - running.charged_until) / _DAY
        amount = borrow_cost(running.position, running.start_price, days, self._costs[symbol])
        running.borrow += amount
        running.charged_until = at
        return amount

    def open(self, symbol: str, price: float, at: datetime, equity: float) -> None:
        """End the holding period of `symbol` at its official open, and begin the next one there.

        Args:
            symbol: The symbol.
            price: The official open, in the base currency.
            at: Its instant, in UTC.
            equity: The portfolio's value at this instant, before any fill of it.
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
        """Add a fill to its symbol's holding period; `position` is the position after it, in signed units."""
        running = self._running[fill.symbol]
        running.position = position
        running.change += fill.size
        running.commission += fill.commission
        running.slippage += fill.slippage

    def apply_dividend(self, symbol: str, amount: float) -> None:
        """Add income to the holding period: a dividend, or a split's payout; negative if it was paid."""
        self._running[symbol].income += amount

    def split(self, split: Split, position: float, remainder: float, price: float) -> None:
        """Restate the holding period in units after a split.

        What exceeds `position` was paid out at `price`, so that its share of the period's PnL so far is
        income. Where the period began after the split, its prices are in the new units already, and the units
        that it lacked are income.

        Args:
            split: The split.
            position: The position after it, in signed units.
            remainder: The units that were paid out.
            price: The last price, after the split, in the base currency.
        """
        running, ratio = self._running.get(split.symbol), split.ratio
        if running is None:
            return
        if running.started_at >= split.at:
            running.income += (position - running.position) * running.start_price + remainder * price
            running.position = position
            return
        remainder = running.position * ratio - position
        running.start_price /= ratio
        running.change *= ratio
        running.position = position
        running.income += remainder * (price - running.start_price)

    def finish(self, last: Mapping[str, tuple[float, datetime]]) -> None:
        """End every holding period at its symbol's `last` known price and the instant of that price."""
        for symbol, running in sorted(self._running.items()):
            price, at = last[symbol]
            self._end(symbol, running, price, at, is_open=True)
        self._running.clear()

    def _end(self, symbol: str, running: _OpenPeriod, price: float, at: datetime, *, is_open: bool) -> None:
        if running.position == 0 and running.change == 0 and running.income == 0:
            return
        self.borrow_paid += running.borrow
        if self._sink is None:
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

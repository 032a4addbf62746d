"""Fills orders at the open of their own symbol and nowhere else, and keeps cash and value.

Knows no strategy, no weight and no calendar: it is given one waiting order for each symbol, with the open
at which it is due.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from math import fsum
from typing import Any

import backtrader as bt

from engine.corporate_actions import apply_split
from engine.instruments import Costs, Instrument, limit_lock_reason
from engine.model import Bar, Phase, Slice
from engine.trading.bar_feed import SymbolFeed
from engine.trading.pnl import PnLTracker, commission, fill_price, slippage_cost
from engine.trading.records import EquityPoint, Fill, OrderRecord, OrderStatus, Record

# What is left of cash after spending all of it, as a fraction of the order, is rounding and not a debt.
_ROUNDING = 1e-12


class SliceBroker(bt.brokers.BackBroker):
    """backtrader's broker with costs by symbol, fills at opens, borrowing costs and a margin limit.

    `now` is the slice being worked on. `margin` is the least equity, as a fraction of the gross exposure,
    with which a short may be held. `gross` is that exposure, the sum of the positions' absolute values.
    Cash, values and costs are in the base currency; bars and the prices of a fill in the quote currency.
    """

    params = (("checksubmit", False), ("int2pnl", False))

    def __init__(
        self,
        *,
        feeds: Mapping[str, SymbolFeed],
        instruments: Mapping[str, Instrument],
        costs: Mapping[str, Costs],
        margin: float,
        sink: Callable[[Record], None],
    ) -> None:
        super().__init__()
        self.margin = margin
        self.now: Slice | None = None
        self.waiting: dict[str, OrderRecord] = {}
        self.pnl = PnLTracker(costs, sink)
        self.gross = 0.0
        self._feeds = feeds
        self._instruments = instruments
        self._costs = costs
        self._sink = sink
        self._orders: dict[str, Any] = {}
        for symbol, cost in costs.items():
            self.setcommission(
                cost.fee_fraction, commtype=bt.CommInfoBase.COMM_PERC, stocklike=True, name=symbol
            )

    def place(self, feed: SymbolFeed, record: OrderRecord) -> None:
        """Keep an order until the next open of its symbol."""
        give = super().buy if record.size > 0 else super().sell
        self._orders[record.symbol] = give(None, feed, abs(record.size))
        self.waiting[record.symbol] = record
        self._sink(record)

    def buy(self, *_args: Any, **_kwargs: Any) -> None:
        """Refuse: an order that was not sized and dated by `SliceStrategy.target` is never filled."""
        raise TypeError("orders are given with target(symbol, weight), not with buy or sell")

    sell = buy

    def cancel_order(self, symbol: str, status: OrderStatus, at: datetime, reason: str) -> None:
        """Take back the waiting order of `symbol`, if there is one, and record `status`."""
        if symbol in self.waiting:
            self.cancel(self._orders[symbol])
            self._settle(symbol, status, at, reason)

    def split(self, feed: SymbolFeed, symbol: str, ratio: float) -> None:
        """Restate the position of `symbol` in units of after a split; what is no whole unit is paid out."""
        position = self.positions[feed]
        left, rest = apply_split(position.size, ratio, self._instruments[symbol].lot)
        feed.split(ratio)
        self.pnl.split(symbol, ratio, left, feed.price)
        self.cash += rest * feed.price
        position.size, position.price = left, position.price / ratio
        self._get_value()

    def apply_dividend(self, feed: SymbolFeed, symbol: str, amount: float) -> None:
        """Pay a dividend of `amount` a unit, in the quote currency, on what is held; a short pays it."""
        size = self.positions[feed].size
        if size:
            paid = size * amount * feed.rate
            self.cash += paid
            self.pnl.apply_dividend(symbol, paid)
            self._get_value()

    def next(self) -> None:
        """Work one slice: charge borrowing, fill at opens, value the portfolio, mark it at closes."""
        now = self.now
        if now is None:
            return
        for symbol in now.bars:
            self.cash -= self.pnl.charge_borrow(symbol, now.as_of)
        value = self._get_value()
        if now.phase is Phase.OPEN:
            for symbol, bar in now.bars.items():
                self.pnl.open(symbol, bar.open * self._feeds[symbol].rate, now.as_of, value)
            self._fill_waiting(now)
            self._get_value()
        elif now.bars:
            self._sink(EquityPoint(at=now.as_of, value=value, cash=self.cash))

    def _fill_waiting(self, now: Slice) -> None:
        ready = [self.waiting[symbol] for symbol in now.bars if symbol in self.waiting]
        for record in sorted(ready, key=lambda record: (record.size > 0, record.number)):
            bar = now.bars[record.symbol]
            if bar.opens_at < record.decided_at:
                continue  # a command came between this open and its slice: never at a price from before it
            if record.due_at is not None and bar.opens_at > record.due_at:
                reason = f"no open at {record.due_at.isoformat()}; the next was {bar.opens_at.isoformat()}"
                self.cancel_order(record.symbol, OrderStatus.EXPIRED, now.as_of, reason)
            elif refusal := self._refusal(record, bar):
                self.cancel_order(record.symbol, OrderStatus.REJECTED, now.as_of, refusal)
            else:
                self._fill(record, bar, now.as_of)

    def _refusal(self, record: OrderRecord, bar: Bar) -> str:
        """Why the market or the account forbids an order; empty if both allow it."""
        feed, instrument = self._feeds[record.symbol], self._instruments[record.symbol]
        day = bar.opens_at.date()
        if reason := limit_lock_reason(instrument, record.size, bar.open, feed.previous_close, day):
            return f"{record.symbol} {reason}"
        return self._shortfall(record, bar.open * feed.rate)

    def _shortfall(self, record: OrderRecord, open_price: float) -> str:
        """Why an order cannot be afforded; empty if it can, or if it only makes a position smaller."""
        size = record.size
        held = self.positions[self._orders[record.symbol].data].size
        after = held + size
        if 0 <= after <= held or held <= after <= 0:
            return ""
        costs = self._costs[record.symbol]
        price = fill_price(size, open_price, costs)
        paid = cash_flow(size, price, costs)
        if size > 0 and self.cash - paid < -_ROUNDING * paid:
            return f"costs {paid:.2f} but cash is {self.cash:.2f}"
        return self._margin_refusal(record.symbol, after, open_price, self.cash - paid)

    def _margin_refusal(self, symbol: str, after: float, price: float, cash: float) -> str:
        others = (item for item in self.positions.items() if item[1].size and item[0].bar.symbol != symbol)
        worth = [position.size * feed.price for feed, position in others]
        worth.append(after * price)
        equity, gross = cash + fsum(worth), fsum(map(abs, worth))
        if min(worth) < 0 and equity <= self.margin * gross:
            return f"equity {equity:.2f} would be within the margin {self.margin:.0%} of exposure {gross:.2f}"
        return ""

    def _fill(self, record: OrderRecord, bar: Bar, at: datetime) -> None:
        order = self._orders[record.symbol]
        self.pending.remove(order)
        self._try_exec(order)
        self._bracketize(order)
        done = order.executed
        # `done.price` is an average that backtrader makes, which rounds; the one execution has the price.
        price, rate = done.exbits[-1].price, order.data.rate
        slippage = slippage_cost(record.size, bar.open * rate, price)
        fill = Fill(
            number=record.number,
            at=at,
            decided_at=record.decided_at,
            symbol=record.symbol,
            # All or nothing is filled; the size that backtrader adds up from two parts of a flip rounds.
            size=record.size,
            price=fill_price(record.size, bar.open, self._costs[record.symbol]),
            open=bar.open,
            commission=done.comm,
            slippage=slippage,
            cost=done.comm + slippage,
            rate=rate,
        )
        self.pnl.fill(fill, self.positions[order.data].size)
        self._settle(record.symbol, OrderStatus.FILLED, at, record.reason)
        self._sink(fill)

    def _try_exec_market(self, order: Any, popen: float, _phigh: float, _plow: float) -> None:
        # backtrader has one slippage for all symbols, and refuses what opens a position and leaves cash
        # below zero, be it by rounding. What can be afforded was decided before; the rest is lent.
        costs = self._costs[order.data.bar.symbol]
        price = fill_price(order.size, popen, costs)
        paid = cash_flow(order.size, price, costs)
        left = self.cash - paid
        lent = abs(paid) - left if left < abs(paid) * 1e-9 else 0.0
        self.cash += lent
        self._execute(order, ago=0, price=price)
        self.cash -= lent

    def _settle(self, symbol: str, status: OrderStatus, at: datetime, reason: str) -> None:
        del self._orders[symbol]
        self._sink(replace(self.waiting.pop(symbol), status=status, at=at, reason=reason))

    def _get_value(self, datas: Any = None, lever: bool = False) -> float:  # noqa: ARG002, FBT001, FBT002  # backtrader's
        # The sum that backtrader makes, without its look-ups for every position: it is made every slice.
        if datas:
            return fsum(self.positions[feed].size * feed.price for feed in datas)
        worth = [pos.size * feed.price for feed, pos in self.positions.items() if pos.size]
        self.gross = fsum(map(abs, worth))
        self._valuemkt = self._valuemktlever = fsum(worth)
        self._value = self._valuelever = self.cash + self._valuemkt
        self._fundval = self._value / self._fundshares
        return float(self._value)


def cash_flow(size: float, price: float, costs: Costs) -> float:
    """The cash that a fill takes, commission included; negative: the cash that a sale brings."""
    return size * price + commission(size, price, costs)

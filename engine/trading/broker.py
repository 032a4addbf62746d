"""Fill orders at the open of their own symbol and nowhere else.

There is one waiting order for each symbol, with the open at which it is due. backtrader gets an order when it
is filled, not before: it would look for it among all that wait.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from math import fsum
from typing import Any

import backtrader as bt

from engine.instruments import Costs, Instrument, limit_lock_reason
from engine.model import Bar, Phase, Slice
from engine.trading.account import Account
from engine.trading.bar_feed import SymbolFeed
from engine.trading.fees import AccountFees
from engine.trading.pnl import fill_price, slippage_cost
from engine.trading.records import EquityPoint, Fill, OrderRecord, OrderStatus, Record

# A smaller debt, as a fraction of the order, is rounding.
_ROUNDING = 1e-12


class SliceBroker(Account):
    """An account with costs by symbol, fills at opens, borrowing costs and a margin limit.

    Cash, values and costs are in the base currency; bars and the prices of a fill in the quote currency.

    Attributes:
        now: The current slice.
        waiting: The waiting order of each symbol.
        margin: The least equity, as a fraction of the gross exposure, with which a short may be held.
    """

    def __init__(
        self,
        *,
        feeds: Mapping[str, SymbolFeed],
        instruments: Mapping[str, Instrument],
        costs: Mapping[str, Costs],
        margin: float,
        resize_orders: bool,
        notifies: bool,
        keep_steps: bool,
        sink: Callable[[Record], None],
    ) -> None:
        super().__init__(feeds=feeds, instruments=instruments, costs=costs, keep_steps=keep_steps, sink=sink)
        self._notifies = notifies
        self._resize_orders = resize_orders
        self.margin = margin
        self.now: Slice | None = None
        self.waiting: dict[str, OrderRecord] = {}
        self._costs = costs
        self._fees = AccountFees(costs)
        self._short: set[str] = set()
        for symbol, cost in costs.items():
            self.setcommission(
                cost.fee_fraction, commtype=bt.CommInfoBase.COMM_PERC, stocklike=True, name=symbol
            )

    def place(self, record: OrderRecord) -> None:
        """Keep an order until the next open of its symbol."""
        self.waiting[record.symbol] = record
        self._sink(record)

    def buy(self, *_args: Any, **_kwargs: Any) -> None:
        """Refuse an order that was not sized and dated by `SliceStrategy.order_target_percent`."""
        raise TypeError("buy and sell are not available; call order_target_percent(symbol, weight)")

    sell = buy

    def cancel_order(self, symbol: str, status: OrderStatus, at: datetime, reason: str) -> None:
        """Cancel the waiting order of `symbol`, if there is one.

        Args:
            symbol: The symbol.
            status: The status that is recorded: expired, rejected or cancelled.
            at: When, in UTC.
            reason: Why.
        """
        if symbol in self.waiting:
            self._settle(symbol, status, at, reason)

    def _ococheck(self, order: Any) -> None:
        """Do nothing: no order is of a group of which one cancels the others."""

    def notify(self, order: Any) -> None:
        """Pass a copy of an order to backtrader's strategy and analyzers, where there are analyzers."""
        if self._notifies:
            super().notify(order)

    def next(self) -> None:
        """Process one slice: charge borrowing, fill at opens, value the portfolio, mark it at closes."""
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
                continue  # decided by a command between this open and its slice: never fill at an older price
            if record.due_at is not None and bar.opens_at > record.due_at:
                reason = f"no open at {record.due_at.isoformat()}; the next was {bar.opens_at.isoformat()}"
                self.cancel_order(record.symbol, OrderStatus.EXPIRED, now.as_of, reason)
            elif not (refusal := self._refusal(record, bar, now.as_of)):
                self._fill(record, bar, now.as_of)
            elif smaller := self._resize(record, bar, now.as_of, refusal):
                self._fill(smaller, bar, now.as_of)
            else:
                self.cancel_order(record.symbol, OrderStatus.REJECTED, now.as_of, refusal)

    def _resize(self, record: OrderRecord, bar: Bar, at: datetime, refusal: str) -> OrderRecord | None:
        """Replace a purchase by the part that cash covers; None where there is none, or it is refused too."""
        symbol, feed = record.symbol, self._feeds[record.symbol]
        price = fill_price(record.size, bar.open * feed.rate, self._costs[symbol], self._delay(symbol))
        lot = self._instruments[symbol].lot
        size = self._fees.affordable_size(symbol, self.cash, price, feed.rate, at, lot)
        if not (self._resize_orders and 0 < size < record.size):
            return None
        reason = f"{record.reason}; {refusal}" if record.reason else refusal
        smaller = replace(record, size=size, requested=record.size, reason=reason)
        if self._refusal(smaller, bar, at):
            return None
        self.waiting[symbol] = smaller
        return smaller

    def _refusal(self, record: OrderRecord, bar: Bar, at: datetime) -> str:
        """Return why the market or the account forbids an order; empty if both allow it."""
        feed, instrument = self._feeds[record.symbol], self._instruments[record.symbol]
        day = bar.opens_at.date()
        if reason := limit_lock_reason(instrument, record.size, bar.open, feed.previous_close, day):
            return f"{record.symbol} {reason}"
        return self._shortfall(record, bar.open * feed.rate, at)

    def _shortfall(self, record: OrderRecord, open_price: float, at: datetime) -> str:
        """Return why an order is not affordable; empty if it is, or if it only reduces a position."""
        size = record.size
        position = self.positions[self._feeds[record.symbol]].size
        after = position + size
        if 0 <= after <= position or position <= after <= 0:
            return ""
        price = fill_price(size, open_price, self._costs[record.symbol], self._delay(record.symbol))
        paid = size * price + self._commission(record.symbol, size, price, at)
        if size > 0 and self.cash - paid < -_ROUNDING * paid:
            return f"costs {paid:.2f} but cash is {self.cash:.2f}"
        return self._margin_refusal(record.symbol, after, open_price, self.cash - paid)

    def _delay(self, symbol: str) -> float:
        return self._costs[symbol].delay_fraction(self._feeds[symbol].previous_bar)

    def _commission(self, symbol: str, size: float, price: float, at: datetime) -> float:
        return self._fees.commission(symbol, size, price, self._feeds[symbol].rate, at)

    def _margin_refusal(self, symbol: str, after: float, price: float, cash: float) -> str:
        if after >= 0 and self._short <= {symbol}:
            return ""
        others = (item for item in self.positions.items() if item[1].size and item[0].bar.symbol != symbol)
        worth = [position.size * feed.price for feed, position in others]
        worth.append(after * price)
        equity, gross = cash + fsum(worth), fsum(map(abs, worth))
        if min(worth) < 0 and equity <= self.margin * gross:
            return f"equity {equity:.2f} would be within the margin {self.margin:.0%} of exposure {gross:.2f}"
        return ""

    def _fill(self, record: OrderRecord, bar: Bar, at: datetime) -> None:
        feed = self._feeds[record.symbol]
        costs, open_price = self._costs[record.symbol], bar.open * feed.rate
        delay = self._delay(record.symbol)
        price = fill_price(record.size, open_price, costs, delay)
        paid = self._execute_whole(record, price, self._commission(record.symbol, record.size, price, at))
        slippage = slippage_cost(record.size, open_price, price)
        fill = Fill(
            number=record.number,
            at=at,
            decided_at=record.decided_at,
            symbol=record.symbol,
            # Orders are filled whole; backtrader's size, summed from two parts of a flip, rounds.
            size=record.size,
            price=fill_price(record.size, bar.open, costs, delay),
            open=bar.open,
            commission=paid,
            slippage=slippage,
            cost=paid + slippage,
            rate=feed.rate,
        )
        self._fees.add(fill)
        self._recent_fills.add(record.symbol, at, record.size)
        position = self.positions[feed].size
        self.pnl.fill(fill, position)
        (self._short.add if position < 0 else self._short.discard)(record.symbol)
        self._settle(record.symbol, OrderStatus.FILLED, at, record.reason)
        self._sink(fill)

    def _execute_whole(self, record: OrderRecord, price: float, fee: float) -> float:
        """Execute an order in backtrader and return the commission paid."""
        kind = bt.BuyOrder if record.size > 0 else bt.SellOrder
        # What backtrader calls a simulated order takes half the time, and is not passed to analyzers.
        order = kind(data=self._feeds[record.symbol], size=abs(record.size), simulated=not self._notifies)
        proportional = self._costs[record.symbol].is_proportional
        if not proportional:
            self.comminfo[record.symbol].p.commission = fee / (abs(record.size) * price)
        paid = record.size * price + fee
        # backtrader refuses to open a position where that leaves cash below zero, even by rounding.
        # Affordability was checked before, so the difference is lent.
        left = self.cash - paid
        lent = abs(paid) - left if left < abs(paid) * 1e-9 else 0.0
        self.cash += lent
        self._execute(order, ago=0, price=price)
        self.cash -= lent
        if proportional:
            return float(order.executed.comm)
        self.cash += order.executed.comm - fee  # backtrader computes it from a fraction, which rounds
        return fee

    def _settle(self, symbol: str, status: OrderStatus, at: datetime, reason: str) -> None:
        self._sink(replace(self.waiting.pop(symbol), status=status, at=at, reason=reason))

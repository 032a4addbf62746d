"""What must hold for every market: random calendars, gaps, missing days, lots, costs and weights."""

import queue
import random
import threading
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime

import backtrader as bt
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from engine.corporate_actions import Delisting
from engine.instruments import Costs
from engine.model import Phase
from engine.timeline import build_slices
from engine.trading.records import EquityPoint, Fill, OrderRecord, OrderStatus
from tests.support.markets import CALENDARS, DAY, MONDAY, bar, instrument, run_plan

SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
CASH = 10_000.0
MARGIN = 0.25


@dataclass(frozen=True)
class Market:
    slices: tuple
    instruments: tuple
    costs: dict
    seed: int

    def plan(self, strategy, slice_):
        """Want random weights for random symbols, whether or not they closed just now."""
        for each in self.instruments:
            dice = random.Random(f"{self.seed} {slice_.as_of} {each.symbol}")
            if dice.random() < 0.6:
                least = -0.7 if each.shortable else 0.0
                strategy.order_target_percent(
                    each.symbol, dice.choice([0.0, dice.uniform(least, 0.9), least])
                )

    def run(self, slices=None, **rest):
        slices = self.slices if slices is None else slices
        return run_plan(
            slices, self.plan, self.instruments, costs=self.costs, cash=CASH, margin=MARGIN, **rest
        )


@st.composite
def markets(draw):
    names = SYMBOLS[: draw(st.integers(1, 4))]
    bps = st.floats(0, 100)
    bars, instruments, costs = [], [], {}
    for name in names:
        calendar = draw(st.sampled_from(sorted(CALENDARS)))
        lot = draw(st.sampled_from([0.0, 0.0, 1.0, 0.1]))
        instruments.append(instrument(name, calendar=calendar, lot=lot, shortable=draw(st.booleans())))
        costs[name] = Costs(
            fee_bps=draw(bps),
            slippage_bps=draw(bps),
            latency_bps=draw(bps),
            borrow_rate=draw(st.floats(0, 1)),
            least_fee=draw(st.sampled_from([0.0, 0.0, 5.0])),
            sale_tax_bps=draw(st.sampled_from([0.0, 0.0, 10.0])),
            fee_tiers=draw(st.sampled_from([(), (), ((CASH, 1.0),)])),
        )
        price = draw(st.floats(0.5, 500))
        moves = st.tuples(st.floats(0.7, 1.4), st.floats(0.7, 1.4), st.integers(0, 9))
        for number, (gap, move, luck) in enumerate(draw(st.lists(moves, min_size=3, max_size=12))):
            session = CALENDARS[calendar].session((MONDAY + number * DAY).date())
            opening, price = price * gap, price * gap * move
            if session is not None and luck > 0:
                bars.append(bar(name, *session, opening, price))
    return Market(tuple(build_slices(bars, [])), tuple(instruments), costs, draw(st.integers(0, 10_000)))


def over_markets(count):
    def decorate(test):
        quick = settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        return quick(given(market=markets())(test))

    return decorate


def timeline(market):
    """The slices and the records of a run in the order in which the engine met and made them."""
    happened = []

    def source():
        for slice_ in market.slices:
            happened.append(slice_)
            yield slice_
        happened.append(None)

    result = market.run(source(), on_record=happened.append)
    return result, happened


@over_markets(80)
def test_an_order_is_filled_at_the_first_open_of_its_symbol_after_its_decision_and_at_no_other(market):
    result, happened = timeline(market)
    decided, opens, now = {}, defaultdict(int), None
    for thing in happened:
        if isinstance(thing, OrderRecord) and thing.status is OrderStatus.PENDING:
            assert thing.decided_at == now.as_of
            decided[thing.number] = opens[thing.symbol]
        elif isinstance(thing, Fill):
            assert (thing.at, Phase.OPEN) == (now.as_of, now.phase)
            assert thing.decided_at <= thing.at
            assert thing.open == now.bars[thing.symbol].open
            assert opens[thing.symbol] == decided[thing.number] + 1
        elif thing is not None and hasattr(thing, "phase"):
            now = thing
            if now.phase is Phase.OPEN:
                for symbol in now.bars:
                    opens[symbol] += 1
    due = {order.number: order.due_at for order in result.orders}
    assert all(fill.at <= due[fill.number] for fill in result.fills)


@over_markets(60)
def test_a_fill_has_the_size_ordered_and_the_price_and_cost_configured(market):
    result = market.run()
    sizes = {order.number: order.size for order in result.orders if order.status is OrderStatus.FILLED}
    lots = {each.symbol: each.lot for each in market.instruments}
    assert sorted(sizes) == sorted(fill.number for fill in result.fills)
    for fill in result.fills:
        costs = market.costs[fill.symbol]
        assert fill.size == sizes[fill.number]
        assert fill.price == fill.open * (
            1 + costs.slippage_fraction if fill.size > 0 else 1 - costs.slippage_fraction
        )
        value = abs(fill.size) * fill.price
        fees = [max(value * bps / 10_000, costs.least_fee) for bps in possible_fees(costs)]
        tax = value * costs.sale_tax_bps / 10_000 if fill.size < 0 else 0
        fee = min((each + tax for each in fees), key=lambda each: abs(each - fill.commission))
        slippage = abs(fill.size) * fill.open * (costs.slippage_bps + costs.latency_bps) / 10_000
        assert fill.commission == pytest.approx(fee, rel=1e-12)
        assert fill.cost == pytest.approx(fee + slippage, rel=1e-9, abs=1e-9)
        if lots[fill.symbol]:
            assert fill.size / lots[fill.symbol] == pytest.approx(round(fill.size / lots[fill.symbol]))


@over_markets(60)
def test_fractions_are_ordered_and_filled_as_they_were_wanted(market):
    market = replace(market, instruments=tuple(replace(each, lot=0.0) for each in market.instruments))
    wanted, prices = {}, {}

    def plan(strategy, slice_):
        prices.update({symbol: each.close for symbol, each in slice_.bars.items()})
        for symbol, price in prices.items():
            if strategy.position(symbol) == 0:
                wanted[symbol, slice_.as_of] = 0.1 * strategy.equity / price
                strategy.order_target_percent(symbol, 0.1)

    result = run_plan(market.slices, plan, market.instruments, costs=market.costs, cash=CASH)
    for fill in result.fills:
        assert fill.size == pytest.approx(wanted[fill.symbol, fill.decided_at], rel=1e-12)


@over_markets(80)
def test_the_pnl_of_all_steps_is_the_change_of_equity(market):
    result = market.run()
    event(f"fills: {min(len(result.fills), 10)}")
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - CASH, abs=1e-9 * CASH)
    for step in result.steps:
        assert step.cost == step.commission + step.slippage + step.borrow
        assert step.pnl == step.position * (step.end_price - step.start_price) - step.cost
        assert step.net_return == (step.pnl / step.equity if step.equity > 0 else 0)
    assert sum(step.commission + step.slippage for step in result.steps) == pytest.approx(
        sum(fill.cost for fill in result.fills), abs=1e-9 * CASH
    )


@over_markets(40)
def test_the_pnl_is_the_change_of_equity_too_where_symbols_are_delisted_and_none_of_them_is_held(market):
    last = {symbol: each for slice_ in market.slices for symbol, each in slice_.bars.items()}
    calendars = {each.symbol: CALENDARS[each.calendar] for each in market.instruments}
    delistings = {
        symbol: Delisting(at=calendars[symbol].next_open(each.closes_at), value=0.5)
        for symbol, each in last.items()
    }
    result = market.run(delistings=delistings)
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - CASH, abs=1e-9 * CASH)
    end = market.slices[-1].as_of if market.slices else MONDAY
    for symbol, delisting in delistings.items():
        if delisting.at < end:
            held = sum(fill.size for fill in result.fills if fill.symbol == symbol)
            assert held == pytest.approx(0, abs=1e-9)
            assert not [fill for fill in result.fills if fill.symbol == symbol and fill.at > delisting.at]


def possible_fees(costs):
    return [costs.fee_bps, *(bps for _, bps in costs.fee_tiers)]


class Shadow:
    """The same account, kept from slices and records alone."""

    def __init__(self, market):
        self.costs = market.costs
        self.cash = CASH
        self.held = defaultdict(float)
        self.price = {}
        self.charged = {}
        self.start = {}
        self.traded = []
        self.now = None

    def tier(self, symbol):
        """The fee in basis points after the fills before this slice; no market is as long as 30 days."""
        tiers = self.costs[symbol].fee_tiers
        before = sum(
            value for at, name, value in self.traded if at < self.now and self.costs[name].fee_tiers == tiers
        )
        return next((bps for least, bps in reversed(tiers) if least <= before), self.costs[symbol].fee_bps)

    def see(self, slice_):
        self.now = slice_.as_of
        for symbol, each in slice_.bars.items():
            if self.held[symbol] < 0:
                days = (slice_.as_of - self.charged[symbol]).total_seconds() / 86_400
                value = -self.held[symbol] * self.start[symbol]
                self.cash -= value * self.costs[symbol].borrow_rate / 365 * days
            self.charged[symbol] = slice_.as_of
            self.price[symbol] = each.close
            if slice_.phase is Phase.OPEN:
                self.start[symbol] = each.open

    def take(self, fill):
        self.cash -= fill.size * fill.price + fill.commission
        self.held[fill.symbol] += fill.size
        self.traded.append((fill.at, fill.symbol, abs(fill.size) * fill.price))

    def worth(self):
        return [size * self.price[symbol] for symbol, size in self.held.items() if size]

    def value(self):
        return self.cash + sum(self.worth())

    def shortfall(self, order):
        """By how much the cash, or else the equity, is too little for `order`; below zero: affordable."""
        costs = self.costs[order.symbol]
        price = self.price[order.symbol] * (
            1 + costs.slippage_fraction if order.size > 0 else 1 - costs.slippage_fraction
        )
        value = abs(order.size) * price
        fee = max(value * self.tier(order.symbol) / 10_000, costs.least_fee)
        cash = self.cash - order.size * price - fee - (order.size < 0) * value * costs.sale_tax_bps / 10_000
        held = self.held | {order.symbol: self.held[order.symbol] + order.size}
        worth = [size * self.price[symbol] for symbol, size in held.items() if size]
        lacking = -cash if order.size > 0 else float("-inf")
        if min(worth, default=0) < 0:
            lacking = max(lacking, MARGIN * sum(map(abs, worth)) - cash - sum(worth))
        return lacking


@over_markets(100)
def test_no_order_is_rejected_that_could_be_afforded_and_none_filled_that_could_not(market):
    _, happened = timeline(market)
    shadow = Shadow(market)
    for thing in happened:
        if isinstance(thing, Fill):
            before = shadow.held[thing.symbol]
            smaller = abs(before + thing.size) <= abs(before) and before * (before + thing.size) >= 0
            assert smaller or shadow.shortfall(thing) <= 1e-6
            shadow.take(thing)
        elif isinstance(thing, OrderRecord) and thing.status is OrderStatus.REJECTED:
            event("rejected at the open" if thing.due_at else "rejected at the order manager")
            assert thing.due_at is None or shadow.shortfall(thing) > -1e-6
        elif thing is not None and hasattr(thing, "phase"):
            shadow.see(thing)


@over_markets(60)
def test_cash_and_value_are_those_of_an_account_kept_from_the_fills_and_those_of_backtrader(market):
    theirs = []

    def ask(strategy):
        broker = strategy.broker
        # backtrader asks every feed that a position was looked up for, also one that never had a bar.
        broker.positions = {feed: held for feed, held in broker.positions.items() if len(feed)}
        theirs.append(bt.brokers.BackBroker._get_value(strategy.broker))

    shadow, happened = Shadow(market), []

    def source():
        for slice_ in market.slices:
            happened.append(slice_)
            yield slice_

    result = market.run(source(), on_record=happened.append, settings={"at_end": ask})
    near = 1e-9 * CASH
    for thing in happened:
        if isinstance(thing, Fill):
            shadow.take(thing)
        elif isinstance(thing, EquityPoint):
            assert (thing.value, thing.cash) == pytest.approx((shadow.value(), shadow.cash), abs=near)
        elif hasattr(thing, "phase"):
            shadow.see(thing)
    assert (result.value, result.cash) == pytest.approx((shadow.value(), shadow.cash), abs=near)
    assert theirs == pytest.approx([result.value], abs=near)


@settings(max_examples=60, deadline=None)
@given(market=markets(), share=st.floats(0, 1))
def test_cutting_the_slices_changes_nothing_that_was_recorded_before_the_cut(market, share):
    _, whole = timeline(market)
    cut = replace(market, slices=market.slices[: int(share * len(market.slices))])
    _, part = timeline(cut)
    before = part[: part.index(None)]
    assert before == whole[: len(before)]


@over_markets(30)
def test_slices_from_a_thread_give_the_records_that_a_list_gives(market):
    arriving, seen, again = queue.Queue(), [], []
    thread = threading.Thread(target=lambda: [arriving.put(slice_) for slice_ in (*market.slices, None)])
    thread.start()
    live = market.run(iter(arriving.get, None), on_record=seen.append)
    thread.join()
    assert live == market.run(on_record=again.append)
    assert seen == again


@over_markets(40)
def test_every_order_given_gets_exactly_one_end(market):
    result, happened = timeline(market)
    given_ = [r.number for r in happened if isinstance(r, OrderRecord) and r.status is OrderStatus.PENDING]
    ended = [order.number for order in result.orders if order.due_at is not None]
    assert sorted(given_) == sorted(ended)
    numbers = [order.number for order in result.orders]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert all(isinstance(order.at, datetime) and order.at >= order.decided_at for order in result.orders)

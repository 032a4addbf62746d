import queue
import re
import threading
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from itertools import pairwise

import backtrader as bt
import pytest

from engine.calendars import load_calendar
from engine.corporate_actions import Delisting
from engine.errors import DataError, UsageError
from engine.instruments import Costs
from engine.model import Phase
from engine.timeline import build_slices
from engine.trading.records import HoldingPeriod, OrderStatus
from engine.trading.runner import run
from engine.trading.strategy import SliceStrategy
from tests.support.markets import (
    CALENDARS,
    DAY,
    DEAR,
    FREE,
    MONDAY,
    bar,
    coin,
    instrument,
    no_events,
    run_plan,
    stock,
)

BTC = instrument("BTC")
SHORTABLE = instrument("BTC", shortable=True)
AAPL = instrument("AAPL", calendar="NEW YORK", lot=1)


def want(weights):
    """A plan that asks for `weights[(symbol, day)]` at the closes of that day, counted from MONDAY."""

    def plan(strategy, slice_):
        for (symbol, day), weight in weights.items():
            if slice_.as_of - MONDAY == timedelta(days=day):
                strategy.order_target_percent(symbol, weight)

    return plan


def test_a_weight_wanted_at_a_close_is_filled_at_the_next_open():
    slices = build_slices(coin("BTC", (10, 20), (25, 30), (40, 50)), [])
    result = run_plan(slices, want({("BTC", 1): 0.5}), [BTC])
    (fill,) = result.fills
    assert (fill.at, fill.decided_at, fill.symbol) == (MONDAY + DAY, MONDAY + DAY, "BTC")
    assert (fill.size, fill.price, fill.open) == (250.0, 25, 25)
    assert result.value == 10_000 + 250 * (50 - 25)
    assert [mark.value for mark in result.marks] == [10_000, 10_000 + 250 * 5, result.value]


def test_a_fill_pays_the_configured_costs_and_no_other():
    slices = build_slices(coin("BTC", (10, 20), (25, 30), (40, 50)), [])
    result = run_plan(slices, want({("BTC", 1): 0.5, ("BTC", 2): 0}), [BTC], costs=DEAR)
    bought, sold = result.fills
    assert bought.price == pytest.approx(25 * 1.0025)
    assert sold.price == pytest.approx(40 * 0.9975)
    assert bought.cost == pytest.approx(250 * 25 * 0.0025 + 250 * 25 * 1.0025 * 0.001)
    assert result.value == pytest.approx(10_000 + 250 * 15 - bought.cost - sold.cost)
    assert result.cash == result.value


def test_an_order_given_at_another_symbols_close_waits_for_an_open_of_its_own():
    bars = [*coin("BTC", (10, 20), (25, 30)), *stock("AAPL", (100, 110), (120, 130))]

    def at_apples_close(strategy, slice_):
        if "AAPL" in slice_.bars and slice_.as_of < MONDAY + DAY:
            strategy.order_target_percent("BTC", 0.2)

    (fill,) = run_plan(build_slices(bars, []), at_apples_close, [BTC, AAPL]).fills
    assert fill.decided_at == MONDAY + timedelta(hours=21)
    assert (fill.at, fill.price) == (MONDAY + DAY, 25)


def test_an_order_without_its_next_open_expires_and_is_never_filled_late():
    first, _missing, third = coin("BTC", (10, 10), (10, 10), (30, 30))
    result = run_plan(build_slices([first, third], []), want({("BTC", 1): 1.0}), [BTC])
    assert result.fills == ()
    (order,) = result.orders
    assert (order.status, order.due_at, order.at) == (OrderStatus.EXPIRED, MONDAY + DAY, MONDAY + 2 * DAY)
    assert "no open at 2024-01-02" in order.reason


def test_an_order_that_waits_when_the_slices_end_expires():
    result = run_plan(build_slices(coin("BTC", (10, 10)), []), want({("BTC", 1): 1.0}), [BTC])
    assert [(order.status, order.reason) for order in result.orders] == [
        (OrderStatus.EXPIRED, "the slices ended before an open")
    ]


def test_an_order_over_the_weekend_is_due_on_monday_by_the_real_calendar():
    friday = MONDAY + 18 * DAY
    new_york = load_calendar("XNYS", date(2024, 1, 1), date(2024, 2, 1))
    sessions = [new_york.session((friday + days * DAY).date()) for days in (0, 3)]
    bars = [bar("AAPL", *session, price, price) for session, price in zip(sessions, (100, 90), strict=True)]
    result = run(
        build_slices(bars, []),
        strategy=lambda *feeds: Once(*feeds),
        instruments={"AAPL": instrument("AAPL", calendar="XNYS")},
        costs={"AAPL": FREE},
        calendars={"XNYS": new_york},
        cash=900,
    )
    assert [(fill.at, fill.price) for fill in result.fills] == [(sessions[1][0], 90)]


class Once(SliceStrategy):
    def on_close(self, slice_):
        for symbol in slice_.bars:
            self.order_target_percent(symbol, 0.5)


def test_sales_are_filled_before_purchases_so_that_their_cash_can_be_spent():
    bars = [*coin("ZEC", *[(10, 10)] * 3), *coin("ADA", *[(10, 10)] * 3)]
    weights = {("ZEC", 1): 1.0, ("ADA", 2): 1.0, ("ZEC", 2): 0.0}
    result = run_plan(build_slices(bars, []), want(weights), [instrument("ADA"), instrument("ZEC")])
    assert [(fill.symbol, fill.size) for fill in result.fills] == [
        ("ZEC", 1000),
        ("ZEC", -1000),
        ("ADA", 1000),
    ]


def after_a_gap(*bars, weights=None, lot=0, **rest):
    slices = build_slices(bars or coin("BTC", (10, 10), (11, 11)), [])
    instruments = [instrument("BTC", lot=lot), instrument("ETH", lot=lot)]
    return run_plan(slices, want(weights or {("BTC", 1): 1.0}), instruments, **rest)


@pytest.mark.parametrize(
    ("lot", "costs", "size"),
    [
        (0, FREE, 10_000 / 11),
        (100, FREE, 900),
        (0, DEAR, 10_000 / (11 * 1.0025 * 1.001)),
        (1, replace(FREE, fee_bps=1, least_fee=150), 895),
        (0, replace(FREE, fee_tiers=((0, 1_000),)), 10_000 / 12.1),
    ],
)
def test_an_order_that_cash_does_not_cover_after_a_gap_is_filled_in_part_and_says_so(lot, costs, size):
    result = after_a_gap(lot=lot, costs=costs)
    (order,) = result.orders
    assert (order.status, order.size, order.requested) == (OrderStatus.FILLED, pytest.approx(size), 1000)
    assert re.fullmatch(r"costs \d+\.\d\d but cash is 10000\.00", order.reason)
    assert [fill.size for fill in result.fills] == [order.size]
    assert -1e-6 < result.cash < (lot or 1e-6) * 11.1
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - 10_000)


@pytest.mark.parametrize("rest", [{"resize_orders": False}, {"lot": 1000}, {"cash": 11.0, "lot": 1}])
def test_an_order_is_rejected_by_the_first_rules_or_where_cash_covers_no_lot(rest):
    bars = coin("BTC", (10, 10), (11.5, 11.5))
    (order,) = after_a_gap(*bars, **rest).orders
    assert (order.status, order.requested) == (OrderStatus.REJECTED, None)
    assert "but cash is" in order.reason


def test_of_two_purchases_at_one_open_the_second_takes_what_the_first_left():
    bars = [*coin("BTC", (10, 10), (15, 15)), *coin("ETH", (10, 10), (15, 15))]
    result = after_a_gap(*bars, weights={("BTC", 1): 0.5, ("ETH", 1): 0.5})
    assert [(order.symbol, order.requested) for order in result.orders] == [("BTC", None), ("ETH", 500)]
    assert [fill.size for fill in result.fills] == [500, pytest.approx(2500 / 15)]
    assert result.cash == pytest.approx(0, abs=1e-9)


GONE = Delisting(at=MONDAY + 3 * DAY, value=0.4)


def after_a_delisting(weights, delisting=GONE, **rest):
    bars = [*coin("GONE", (10, 10), (10, 10), (9, 8)), *coin("BTC", *[(5, 5)] * 6)]
    instruments = [instrument("GONE", shortable=True), BTC]
    return run_plan(
        build_slices(bars, []), want(weights), instruments, delistings={"GONE": delisting}, **rest
    )


@pytest.mark.parametrize(("value", "weight"), [(1.0, 0.5), (0.4, 0.5), (0.0, 0.5), (0.4, -0.5)])
def test_what_is_held_of_a_delisted_symbol_is_closed_at_the_stated_part_of_its_last_price(value, weight):
    delisting = Delisting(at=MONDAY + 3 * DAY, value=value)
    result = after_a_delisting({("GONE", 1): weight}, delisting, costs=replace(FREE, fee_bps=50))
    bought, closed = result.fills
    assert (closed.at, closed.size, closed.price, closed.cost) == (delisting.at, -bought.size, 8 * value, 0)
    order = result.orders[1]
    assert (order.status, order.forced, order.due_at) == (OrderStatus.FILLED, True, None)
    assert order.reason == f"delisted: the last bar is of 2024-01-03; closed at {value:.0%} of its close"
    assert result.value == pytest.approx(10_000 + bought.size * (8 * value - 10) - bought.commission)
    assert result.cash == result.value
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - 10_000)
    at_delisting = [mark.value for mark in result.marks if mark.at >= delisting.at]
    assert at_delisting[1:] == pytest.approx([result.value] * 3)


def test_nothing_is_ordered_of_a_delisted_symbol_and_what_waits_expires():
    result = after_a_delisting({("GONE", 3): 0.5, ("GONE", 4): 0.5, ("BTC", 4): 0.1})
    assert [(order.symbol, order.status, order.reason) for order in result.orders] == [
        ("GONE", OrderStatus.EXPIRED, "delisted: the last bar is of 2024-01-03"),
        ("GONE", OrderStatus.REJECTED, "GONE is delisted"),
        ("BTC", OrderStatus.FILLED, ""),
    ]
    assert result.value == 10_000


def test_a_delisting_changes_nothing_before_it_and_nothing_where_nothing_is_held():
    with pytest.raises(ValueError, match="delisting value 2 is not a fraction"):
        Delisting(at=MONDAY, value=2)
    never = after_a_delisting({("BTC", 1): 0.5}, Delisting(at=MONDAY + 9 * DAY, value=0))
    assert after_a_delisting({("BTC", 1): 0.5}) == never


def test_all_of_the_cash_can_be_spent_to_the_last_cent():
    prices = [(price, price) for price in (0.1, 0.1, 0.7, 0.3)]
    result = run_plan(build_slices(coin("BTC", *prices), []), want({("BTC", 1): 1.0}), [BTC], cash=1234.56)
    assert [order.status for order in result.orders] == [OrderStatus.FILLED]
    assert result.cash == pytest.approx(0, abs=1e-9)


def test_stocks_trade_in_whole_lots_and_less_than_one_is_rejected():
    slices = list(build_slices(stock("AAPL", (100, 101), (100, 100)), []))
    at_close = timedelta(hours=21) / DAY
    result = run_plan(slices, want({("AAPL", at_close): 0.5}), [AAPL])
    assert [fill.size for fill in result.fills] == [49]
    result = run_plan(slices, want({("AAPL", at_close): 0.01}), [AAPL])
    assert [(order.status, order.reason) for order in result.orders] == [
        (OrderStatus.REJECTED, "weight 0.0100 is less than one lot of 1")
    ]


def test_a_later_target_replaces_the_one_that_waits():
    bars = [*coin("BTC", (10, 10), (10, 10)), *stock("AAPL", (100, 100))]
    early = timedelta(hours=21) / DAY
    result = run_plan(build_slices(bars, []), want({("BTC", early): 0.9, ("BTC", 1): 0.2}), [BTC, AAPL])
    assert [(order.size, order.status) for order in result.orders] == [
        (900, OrderStatus.CANCELLED),
        (200, OrderStatus.FILLED),
    ]


def test_a_short_is_refused_unless_the_instrument_allows_it():
    slices = list(build_slices(coin("BTC", (10, 10), (10, 8)), []))
    refused = run_plan(slices, want({("BTC", 1): -0.5}), [BTC])
    assert [(order.status, order.reason) for order in refused.orders] == [
        (OrderStatus.REJECTED, "BTC cannot be sold short")
    ]
    allowed = run_plan(slices, want({("BTC", 1): -0.5}), [SHORTABLE])
    assert allowed.value == 10_000 + 500 * 2


def test_backtrader_s_lines_show_each_bar_and_count_them():
    seen = []

    def look(strategy, _slice):
        feed = strategy.datas[0]
        seen.append((len(feed), feed.open[0], feed.high[0], feed.low[0], feed.close[0], feed.volume[0]))

    bars = coin("BTC", (10, 12), (11, 9), (9, 9))
    run_plan(build_slices(bars, []), look, [BTC])
    assert seen == [
        (2 * number, bar.open, bar.high, bar.low, bar.close, bar.volume)
        for number, bar in enumerate(bars, start=1)
    ]


def test_a_short_pays_for_borrowing_each_day_and_the_steps_say_so():
    costs = Costs(fee_bps=0, slippage_bps=0, latency_bps=0, borrow_rate=0.365)
    slices = list(build_slices(coin("BTC", (10, 10), (10, 10), (10, 10), (10, 10)), []))
    plan = want({("BTC", 1): -0.5, ("BTC", 3): 0})
    result = run_plan(slices, plan, [SHORTABLE], costs=costs)
    assert [step.borrow for step in result.steps] == pytest.approx([5.0, 5.0, 0.0])
    assert result.value == pytest.approx(9_990)
    assert [mark.value for mark in result.marks] == pytest.approx([10_000, 9_995, 9_990, 9_990])
    assert result.borrow_paid == pytest.approx(10.0)
    without_steps = run_plan(slices, plan, [SHORTABLE], costs=costs, keep_steps=False)
    assert without_steps == replace(result, steps=())


def test_a_short_is_closed_at_the_next_open_once_equity_is_within_the_margin():
    slices = build_slices(coin("BTC", (10, 10), (10, 17), (18, 18), (1, 1)), [])

    def insist(strategy, slice_):
        if slice_.as_of <= MONDAY + 2 * DAY:
            strategy.order_target_percent("BTC", -1.0)

    result = run_plan(slices, insist, [SHORTABLE])
    forced = [order for order in result.orders if order.forced]
    assert [(order.status, order.size, order.decided_at) for order in forced] == [
        (OrderStatus.FILLED, 1000, MONDAY + 2 * DAY)
    ]
    assert forced[0].reason == "margin limit: equity 3000.00, least 4250.00"
    assert [order.reason for order in result.orders if order.status is OrderStatus.REJECTED] == [
        "order 2 closes the short at the margin limit"
    ]
    assert (result.fills[-1].price, result.value) == (18, 2_000)


def test_a_short_that_would_start_within_the_margin_is_rejected():
    result = run_plan(
        build_slices(coin("BTC", (10, 10), (10, 10)), []), want({("BTC", 1): -4.0}), [SHORTABLE]
    )
    (order,) = result.orders
    assert order.status is OrderStatus.REJECTED
    assert order.reason == "equity 10000.00 would be within the margin 25% of exposure 40000.00"


def test_steps_run_from_open_to_open_and_add_up_to_the_change_of_equity():
    slices = build_slices(coin("BTC", (10, 10), (12, 13), (15, 11), (9, 9)), [])
    result = run_plan(slices, want({("BTC", 1): 0.5, ("BTC", 3): 0.0}), [BTC], costs=DEAR)
    assert [(step.started_at - MONDAY).days for step in result.steps] == [1, 2, 3]
    assert [(step.position, step.price_change) for step in result.steps] == [(500, 3), (500, -6), (0, 0)]
    assert [step.is_open for step in result.steps] == [False, False, True]
    first, _, last = result.steps
    assert (first.equity, first.net_return) == (10_000, first.pnl / 10_000)
    assert (last.change, last.pnl) == (-500, -last.cost)
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - 10_000, abs=1e-6)


def test_a_symbol_not_listed_yet_does_not_silence_the_others():
    bars = [*coin("BTC", (10, 10), (10, 12)), *coin("NEW", (1, 1), start=MONDAY + DAY)]
    weights = {("BTC", 1): 0.5, ("NEW", 1): 0.5}
    result = run_plan(build_slices(bars, []), want(weights), [BTC, instrument("NEW")])
    assert [fill.symbol for fill in result.fills] == ["BTC"]
    assert [(order.symbol, order.reason) for order in result.orders if not order.due_at] == [
        ("NEW", "no price is known yet")
    ]


def test_watch_sees_every_slice_and_may_give_and_withdraw_orders():
    seen = []

    def always(strategy, slice_):
        seen.append((slice_.as_of, slice_.phase))
        if slice_.as_of == MONDAY:
            strategy.order_target_percent("BTC", 0.5, reason="a command")
        if slice_.as_of == MONDAY + DAY and slice_.phase is Phase.OPEN:
            strategy.order_target_percent("BTC", 0.0)
            strategy.cancel_order("BTC", "halt")

    slices = list(build_slices(coin("BTC", (10, 10), (10, 10), (10, 10)), []))
    result = run_plan(slices, no_events, [BTC], settings={"always": always})
    assert seen == [(slice_.as_of, slice_.phase) for slice_ in slices]
    assert [(order.status, order.reason) for order in result.orders] == [
        (OrderStatus.FILLED, "a command"),
        (OrderStatus.CANCELLED, "halt"),
    ]


def test_each_record_is_passed_on_at_once_and_an_order_is_pending_first():
    seen = []
    slices = build_slices(coin("BTC", (10, 10), (10, 10)), [])
    result = run_plan(slices, want({("BTC", 1): 0.5}), [BTC], on_record=seen.append)
    kinds = [getattr(record, "status", type(record).__name__.lower()) for record in seen]
    assert kinds == ["equitypoint", "pending", "filled", "fill", "equitypoint", "holdingperiod"]
    assert isinstance(seen[-1], HoldingPeriod)
    assert result.steps == (seen[-1],)


def test_a_source_that_waits_gives_what_a_list_gives():
    bars = [
        *coin("BTC", *[(10 + n, 11 + n) for n in range(20)]),
        *stock("AAPL", *[(100 + n, 99) for n in range(5)]),
    ]
    slices = list(build_slices(bars, []))
    arriving = queue.Queue()

    def feed():
        for slice_ in slices:
            arriving.put(slice_)
        arriving.put(None)

    def plan(strategy, slice_):
        for symbol in slice_.bars:
            strategy.order_target_percent(symbol, 0.1 + 0.03 * slice_.as_of.day)

    threading.Thread(target=feed).start()
    live = run_plan(iter(arriving.get, None), plan, [BTC, AAPL], costs=DEAR)
    assert live == run_plan(slices, plan, [BTC, AAPL], costs=DEAR)
    assert len(live.fills) > 10


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, ZeroDivisionError])
def test_what_a_strategy_a_source_or_a_listener_raises_comes_through(error):
    def fail(*_):
        raise error("stop")

    def source():
        yield from slices[:1]
        fail()

    slices = list(build_slices(coin("BTC", (10, 10)), []))
    with pytest.raises(error):
        run_plan(slices, fail, [BTC])
    with pytest.raises(error):
        run_plan(source(), no_events, [BTC])
    with pytest.raises(error):
        run_plan(slices, no_events, [BTC], on_record=fail)


def test_an_order_past_the_desk_is_refused():
    with pytest.raises(TypeError, match="target"):
        run_plan(build_slices(coin("BTC", (10, 10)), []), lambda strategy, _: strategy.buy(size=1), [BTC])


@pytest.mark.parametrize(("symbol", "weight"), [("ETH", 0.5), ("BTC", float("nan"))])
def test_a_target_that_makes_no_sense_raises(symbol, weight):
    with pytest.raises(ValueError, match=symbol):
        run_plan(build_slices(coin("BTC", (10, 10)), []), want({(symbol, 1): weight}), [BTC])


def test_slices_out_of_order_or_of_an_unknown_symbol_are_refused():
    slices = list(build_slices(coin("BTC", (10, 10)), []))
    with pytest.raises(DataError, match="sort them by time"):
        run_plan(slices[::-1], no_events, [BTC])
    with pytest.raises(DataError, match="BTC, which this run does not have"):
        run_plan(slices, no_events, [instrument("ETH")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instruments": {}}, "at least one instrument"),
        ({"cash": 0}, "cash 0 is not above zero"),
        ({"costs": {}}, "BTC has no costs"),
        ({"calendars": {}}, "24/7, which is not given"),
        ({"instruments": {"BTC": BTC, "SAP": instrument("SAP", currency="EUR")}}, "EUR, USD"),
    ],
)
def test_a_run_that_cannot_be_made_says_what_is_missing(changes, message):
    parts = {
        "instruments": {"BTC": BTC},
        "costs": {"BTC": FREE, "SAP": FREE},
        "calendars": CALENDARS,
        "cash": 1,
    }
    with pytest.raises(UsageError, match=message):
        run([], strategy=Once, **parts | changes)


def test_no_slices_at_all_give_an_empty_result():
    result = run_plan([], no_events, [BTC])
    assert (result.value, result.orders, result.marks, result.steps) == (10_000, (), (), ())


def test_backtraders_analyzers_see_the_run():
    slices = build_slices(coin("BTC", (10, 10), (10, 20), (30, 30)), [])
    analyzers = {
        "trades": bt.analyzers.TradeAnalyzer,
        "returns": partial(bt.analyzers.TimeReturn, timeframe=bt.TimeFrame.NoTimeFrame),
    }
    weights = {("BTC", 1): 0.5, ("BTC", 2): 0.0}
    result = run_plan(slices, want(weights), [BTC], analyzers=analyzers)
    assert result.analyses["trades"]["total"]["closed"] == 1
    assert list(result.analyses["returns"].values()) == pytest.approx([1.0])


def test_a_close_and_an_open_of_one_instant_stay_apart_for_backtrader():
    moments = []

    def always(strategy, _slice):
        moments.append(strategy.datetime[0])

    slices = list(build_slices(coin("BTC", *[(10, 10)] * 50), []))
    run_plan(slices, no_events, [BTC], settings={"always": always})
    millisecond = timedelta(milliseconds=1) / DAY
    assert min(b - a for a, b in pairwise(moments)) >= millisecond * 0.9
    lag = [m - bt.date2num(slice_.as_of) for m, slice_ in zip(moments, slices, strict=True)]
    assert max(lag) <= millisecond * 1.1
    assert Counter(len(slice_.bars) for slice_ in slices) == {1: 100}

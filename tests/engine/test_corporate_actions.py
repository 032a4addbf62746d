from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.corporate_actions import Dividend, RecentFills, Split, apply_split, split_bar
from engine.errors import DataError, JournalError
from engine.instruments import Costs
from engine.journal.events import decode, encode
from engine.journal.journal import Event
from engine.timeline import build_slices
from engine.trading.records import OrderStatus
from tests.support.markets import CALENDARS, DAY, DEAR, FREE, MONDAY, coin, instrument, run_plan

SHARE = instrument("AAPL", lot=1)
FRACTION = instrument("AAPL")


assert CALENDARS

PRICES = [(100, 101), (102, 99), (98, 103), (104, 108), (107, 110), (109, 104)]


def half(strategy, slice_):
    """Wants half of equity on even days and a fifth on odd ones."""
    for symbol in slice_.bars:
        strategy.order_target_percent(symbol, 0.5 if slice_.as_of.day % 2 else 0.2)


def once(strategy, slice_):
    if slice_.as_of == MONDAY + DAY:
        strategy.order_target_percent("AAPL", 0.5)


def make_slices(prices=PRICES, ratio=1.0, day=99, action=None):
    """Slices of bars whose prices are divided by `ratio` from `day` on, with `action` before its open."""
    bars = [split_bar(bar, ratio) if n >= day else bar for n, bar in enumerate(coin("AAPL", *prices))]
    made = []
    for slice_ in build_slices(bars, []):
        if action is not None and slice_.phase == "open" and slice_.as_of == action.at:
            made.append(action)
        made.append(slice_)
    return made


@pytest.mark.parametrize("ratio", [2.0, 4.0, 0.5, 1.5])
@pytest.mark.parametrize("day", [1, 2, 3, 4])
def test_a_split_changes_no_value_no_cost_and_no_pnl(ratio, day):
    plain = run_plan(make_slices(), half, [FRACTION], costs=DEAR)
    split = Split(at=MONDAY + day * DAY, symbol="AAPL", ratio=ratio)
    result = run_plan(make_slices(ratio=ratio, day=day, action=split), half, [FRACTION], costs=DEAR)
    assert [m.value for m in result.marks] == pytest.approx([m.value for m in plain.marks], rel=1e-12)
    assert [m.cash for m in result.marks] == pytest.approx([m.cash for m in plain.marks], rel=1e-9)
    assert [f.cost for f in result.fills] == pytest.approx([f.cost for f in plain.fills], rel=1e-9)
    assert [s.pnl for s in result.steps] == pytest.approx([s.pnl for s in plain.steps], abs=1e-6)


def test_less_than_a_share_is_paid_out_in_cash():
    split = Split(at=MONDAY + 3 * DAY, symbol="AAPL", ratio=1.5)
    result = run_plan(make_slices(ratio=1.5, day=3, action=split), once, [SHARE])
    assert result.fills[0].size == 49
    held = result.steps[-1].position
    assert held == 73
    paid = result.cash - (10_000 - 49 * 102)
    assert paid == pytest.approx(0.5 * 103 / 1.5)
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - 10_000, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(5, 500), min_size=4, max_size=8),
    st.sampled_from([0.1, 0.5, 1.5, 2.0, 3.0, 7.0]),
    st.integers(1, 3),
    st.floats(0.01, 3),
    st.sampled_from([0.0, 1.0]),
)
def test_the_pnl_of_all_steps_is_the_change_of_equity_with_splits_and_dividends(
    closes, ratio, day, amount, lot
):
    prices = [(close * 1.01, close) for close in closes]
    split = Split(at=MONDAY + day * DAY, symbol="AAPL", ratio=ratio)
    items = make_slices(prices, ratio, day, split)
    place = next(n for n, item in enumerate(items) if item is split)
    items.insert(place + 1, Dividend(at=split.at, symbol="AAPL", amount=amount))
    result = run_plan(items, half, [replace(SHARE, lot=lot)], costs=DEAR)
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - 10_000, abs=1e-6)


def known_late(ratio, day, slices, prices=PRICES):
    """Slices with a split and a dividend that are known so many slices after the open of their day."""
    split = Split(at=MONDAY + day * DAY, symbol="AAPL", ratio=ratio)
    items = make_slices(prices, ratio, day)
    opened = next(n for n, slice_ in enumerate(items) if slice_.phase == "open" and slice_.as_of == split.at)
    items[opened + slices : opened + slices] = [split, Dividend(at=split.at, symbol="AAPL", amount=0.5)]
    return items


@pytest.mark.parametrize("slices", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("share", [SHARE, FRACTION])
def test_a_split_and_a_dividend_known_late_come_to_what_they_would_have_in_time(slices, share):
    result = run_plan(known_late(1.5, 2, slices), once, [share], costs=DEAR)
    intime = run_plan(known_late(1.5, 2, 0), once, [share], costs=DEAR)
    assert result.steps[-1].position == intime.steps[-1].position
    # A fraction of a share is paid out at the price at which the split becomes known.
    assert result.value == pytest.approx(intime.value, abs=0.0 if share is FRACTION else 3.0)
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - 10_000, abs=1e-9)


def test_an_order_decided_before_a_split_was_known_is_cancelled():
    result = run_plan(known_late(10.0, 2, 2), half, [FRACTION])
    ex_date = MONDAY + 2 * DAY
    (late,) = [order for order in result.orders if order.reason == "decided before the split was known"]
    assert (late.decided_at, late.status) == (ex_date + DAY, OrderStatus.CANCELLED)
    assert [fill.at for fill in result.fills[:3]] == [MONDAY + DAY, ex_date, ex_date + 2 * DAY]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(5, 500), min_size=5, max_size=8),
    st.sampled_from([0.1, 0.5, 1.5, 2.0, 10.0]),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([0.0, 1.0]),
)
def test_the_pnl_of_all_steps_is_the_change_of_equity_where_a_split_is_known_late(
    closes, ratio, day, slices, lot
):
    items = known_late(ratio, day, slices, [(close * 1.01, close) for close in closes])
    result = run_plan(items, half, [replace(SHARE, lot=lot)], costs=DEAR)
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - 10_000, abs=1e-6)
    filled = RecentFills()
    for fill in result.fills:
        filled.add("AAPL", fill.at, fill.size)
    later = filled.since("AAPL", items[0].as_of + day * DAY)
    before = sum(fill.size for fill in result.fills) - later
    held = result.steps[-1].position if result.steps else 0.0
    assert held == pytest.approx(apply_split(before + later, ratio, lot, later)[0])


def test_a_waiting_order_is_given_anew_and_filled_at_the_same_open():
    split = Split(at=MONDAY + DAY, symbol="AAPL", ratio=2.0)
    result = run_plan(make_slices(ratio=2.0, day=1, action=split), once, [FRACTION])
    first, second = result.orders
    assert (first.status, first.reason) == (OrderStatus.CANCELLED, "given anew after a split")
    assert second.size == first.size * 2
    (fill,) = result.fills
    assert (fill.at, fill.price) == (MONDAY + DAY, 51)


def test_an_order_to_close_stays_one():
    def plan(strategy, slice_):
        strategy.order_target_percent("AAPL", 0.5 if slice_.as_of == MONDAY + DAY else 0.0)

    split = Split(at=MONDAY + 2 * DAY, symbol="AAPL", ratio=1.5)
    result = run_plan(make_slices(ratio=1.5, day=2, action=split), plan, [SHARE])
    assert result.fills[1].size == -73
    assert result.steps[-1].position == 0
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - 10_000, abs=1e-9)


def test_a_dividend_is_earned_by_who_holds_and_paid_by_who_is_short():
    for weight, sign in ((0.5, 1), (-0.5, -1)):
        dividend = Dividend(at=MONDAY + 2 * DAY, symbol="AAPL", amount=2.0)

        def plan(strategy, slice_, weight=weight):
            if slice_.as_of == MONDAY + DAY:
                strategy.order_target_percent("AAPL", weight)

        share = instrument("AAPL", shortable=True)
        free = Costs(fee_bps=0, slippage_bps=0, latency_bps=0, borrow_rate=0)
        plain = run_plan(make_slices(), plan, [share], costs=free)
        result = run_plan(make_slices(action=dividend), plan, [share], costs=free)
        held = abs(plain.fills[0].size)
        assert result.value - plain.value == pytest.approx(sign * held * 2.0)
        assert sum(step.income for step in result.steps) == pytest.approx(sign * held * 2.0)


def test_a_dividend_on_nothing_held_is_nothing():
    dividend = Dividend(at=MONDAY, symbol="AAPL", amount=2.0)
    assert run_plan(make_slices(action=dividend), once, [SHARE]) == run_plan(make_slices(), once, [SHARE])


@pytest.mark.parametrize("held", [0.0, 5.0, -5.0, 49.0])
def test_a_reverse_split_leaves_whole_shares_and_a_rest(held):
    left, rest = apply_split(held, 0.1, 1.0)
    assert left == int(held * 0.1)
    assert left + rest == pytest.approx(held * 0.1)
    assert apply_split(held, 0.1, 0.0) == (held * 0.1, 0.0)


def test_a_lot_of_many_shares_may_be_broken_by_a_split():
    assert apply_split(100.0, 1.3, 100.0) == (130.0, 0.0)


def test_both_are_read_back_from_the_journal_as_they_were():
    for action in (
        Split(at=MONDAY, symbol="AAPL", ratio=4.0),
        Dividend(at=MONDAY, symbol="AAPL", amount=0.24),
    ):
        assert decode(encode(action, MONDAY)) == action
    with pytest.raises(JournalError, match="split"):
        decode(Event(kind="split", as_of=MONDAY, payload={"symbol": "AAPL", "ratio": 0}))


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="ratio"):
        Split(at=MONDAY, symbol="AAPL", ratio=0)
    with pytest.raises(ValueError, match="dividend"):
        Dividend(at=MONDAY, symbol="AAPL", amount=float("inf"))
    stranger = Split(at=MONDAY, symbol="MSFT", ratio=2.0)
    with pytest.raises((DataError, ValueError), match="MSFT"):
        run_plan(make_slices(action=stranger), once, [SHARE], costs=FREE)

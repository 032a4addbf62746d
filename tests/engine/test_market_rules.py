"""Each market's own rules: price limits, shares that settle the next day, and calendars that end."""

import random
from collections import defaultdict
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calendars import load_calendar
from engine.instruments import AssetClass, limit_lock_reason, limit_prices, price_limit
from engine.timeline import build_slices
from engine.trading.records import OrderStatus
from engine.trading.runner import run
from feeds.files.bars import read_bars, read_date_span
from feeds.instruments import guess_instrument
from tests.support.markets import DAY, FREE, FollowPlan, bar, coin, instrument, no_events, run_plan
from tests.support.places import SHARED_DATA

DATA = SHARED_DATA / "cn_stocks_raw"
A_SHARE = instrument("600519", asset_class=AssetClass.A_SHARE, lot=100)
LATER = date(2024, 1, 2)


def shanghai(*prices, last=date(2024, 3, 29)):
    """The calendar of Shanghai up to `last`, and bars of its sessions from 2024-01-02 with these prices."""
    calendar = load_calendar("XSHG", date(2024, 1, 1), last)
    days = [date(2024, 1, 1) + number * DAY for number in range(3 * len(prices))]
    sessions = [session for day in days if (session := calendar.session(day))]
    bars = [bar("600519", *session, *price) for session, price in zip(sessions, prices, strict=False)]
    return calendar, bars


def trade(plan, *prices, always=None, calendar=None, **changes):
    known, bars = shanghai(*prices)
    return run(
        build_slices(bars, []),
        strategy=FollowPlan,
        settings={"plan": plan, "always": always},
        instruments={"600519": replace(A_SHARE, calendar="XSHG", **changes)},
        costs={"600519": FREE},
        calendars={"XSHG": calendar or known},
        cash=100_000,
    )


def at_closes(*weights):
    """A plan that wants the first weight at the first close, and so on; None: nothing."""
    left = list(weights)

    def plan(strategy, _slice):
        weight = left.pop(0) if left else None
        if weight is not None:
            strategy.order_target_percent("600519", weight)

    return plan


@pytest.mark.parametrize(
    ("symbol", "day", "limit"),
    [
        ("600519", LATER, 0.10),
        ("sh600519", LATER, 0.10),
        ("300750.SZ", date(2020, 8, 23), 0.10),
        ("300750.SZ", date(2020, 8, 24), 0.20),
        ("301011", LATER, 0.20),
        ("688981", date(2019, 7, 22), 0.20),
        ("430047", LATER, 0.30),
        ("920002", LATER, 0.30),
        ("MAO", LATER, 0.10),
    ],
)
def test_an_a_share_has_the_price_limit_of_its_board_on_that_day(symbol, day, limit):
    assert price_limit(replace(A_SHARE, symbol=symbol), day) == limit


def test_an_instrument_that_states_its_price_limit_has_that_one_and_other_classes_have_none():
    assert price_limit(replace(A_SHARE, price_limit=0.05), LATER) == 0.05
    assert price_limit(replace(A_SHARE, price_limit=0.0), LATER) == 0
    assert price_limit(instrument("600519"), LATER) == 0
    with pytest.raises(ValueError, match=r"price_limit 1\.5"):
        replace(A_SHARE, price_limit=1.5)


@pytest.mark.parametrize(
    ("close", "down", "up"), [(10.05, 9.05, 11.06), (3.33, 3.00, 3.66), (7.25, 6.53, 7.98), (0.5, 0.45, 0.55)]
)
def test_limits_are_rounded_to_the_cent_with_halves_up(close, down, up):
    assert limit_prices(close, 0.1) == (pytest.approx(down), pytest.approx(up))


@settings(max_examples=200, deadline=None)
@given(close=st.floats(1, 2000), share=st.floats(-0.2, 0.2), size=st.sampled_from([-100, 100]))
def test_only_the_side_that_would_queue_is_refused_and_only_at_the_limit(close, share, size):
    close, opening = round(close, 2), max(round(close * (1 + share), 2), 0.01)
    down, up = limit_prices(close, 0.1)
    reason = limit_lock_reason(A_SHARE, size, opening, close, LATER)
    limit = up if size > 0 else down
    if opening == pytest.approx(limit, abs=1e-6):
        assert reason
    if abs(opening - limit) > 0.011 + 0.003 * limit:
        assert not reason
    assert not limit_lock_reason(A_SHARE, size, opening, 0.0, LATER)


def test_an_a_share_that_opens_at_its_upper_limit_is_not_bought():
    result = trade(at_closes(0.5), (10, 10), (11, 11), (11, 11))
    (order,) = result.orders
    assert order.status is OrderStatus.REJECTED
    assert order.reason == "600519 opened at the upper price limit of 11.00, where nobody sells"
    assert result.fills == ()


def test_an_a_share_that_opens_at_its_lower_limit_is_not_sold_and_is_sold_at_the_next_other_open():
    result = trade(at_closes(0.5, 0.0, 0.0), (10, 10), (10, 10), (9, 9), (8.5, 8.5), (8.5, 8.5))
    assert [order.status for order in result.orders] == [
        OrderStatus.FILLED,
        OrderStatus.REJECTED,
        OrderStatus.FILLED,
    ]
    assert result.orders[1].reason == "600519 opened at the lower price limit of 9.00, where nobody buys"
    assert [fill.open for fill in result.fills] == [10, 8.5]


def test_an_a_share_is_sold_at_its_upper_limit_and_bought_at_its_lower_limit():
    result = trade(at_closes(0.5, 0.0, 0.5), (10, 10), (9, 10), (11, 11), (9.9, 9.9), (10, 10))
    assert [fill.open for fill in result.fills] == [9, 11, 9.9]


def test_a_stated_limit_of_five_percent_locks_what_ten_would_not():
    assert trade(at_closes(0.5), (10, 10), (10.5, 10.5)).fills != ()
    (order,) = trade(at_closes(0.5), (10, 10), (10.5, 10.5), price_limit=0.05).orders
    assert "upper price limit of 10.50" in order.reason


def test_an_open_far_beyond_the_limit_has_another_reference_price_and_is_traded():
    assert [fill.open for fill in trade(at_closes(0.5), (10, 10), (14.4, 14.4)).fills] == [14.4]
    result = trade(at_closes(0.5, 0.0), (10, 10), (10, 10), (5, 5))
    assert [fill.open for fill in result.fills] == [10, 5]


def test_a_coin_that_opens_ten_percent_higher_is_bought():
    def plan(strategy, slice_):
        strategy.order_target_percent("BTC", 0.5)

    result = run_plan(build_slices(coin("BTC", (10, 10), (11, 11)), []), plan, [instrument("BTC")])
    assert [fill.open for fill in result.fills] == [11]


@settings(max_examples=40, deadline=None)
@given(
    moves=st.lists(st.tuples(st.floats(0.92, 1.08), st.floats(0.95, 1.05)), min_size=4, max_size=20),
    seed=st.integers(0, 10_000),
)
def test_shares_bought_today_are_never_sold_today_whenever_the_sale_is_wanted(moves, seed):
    prices, last = [], 20.0
    for gap, move in moves:
        prices.append((last * gap, last * gap * move))
        last *= gap * move

    def whenever(strategy, slice_):
        dice = random.Random(f"{seed} {slice_.as_of} {slice_.phase}")
        strategy.order_target_percent("600519", dice.choice([0.0, 0.0, 0.3, 0.9]))

    result = trade(no_events, *prices, always=whenever)
    bought = defaultdict(float)
    for fill in result.fills:
        if fill.size > 0:
            bought[fill.at.date()] += fill.size
        else:
            assert bought[fill.at.date()] == 0
    assert len({fill.at.date() for fill in result.fills}) == len(result.fills)


def ends_after_two_sessions():
    calendar = load_calendar("XSHG", date(2024, 1, 1), date(2024, 3, 29))
    return replace(calendar, last=date(2024, 1, 3), opens=calendar.opens[:2])


def test_where_the_calendar_ends_no_position_is_opened_and_the_order_says_so():
    result = trade(at_closes(None, 0.5), (10, 10), (10, 10), (10, 10), calendar=ends_after_two_sessions())
    (order,) = result.orders
    assert (order.status, order.due_at) == (OrderStatus.REJECTED, None)
    assert order.reason.startswith(
        "no new position in 600519: calendar XSHG knows the days 2024-01-01 to 2024-"
    )
    assert len(result.marks) == 3


def test_where_the_calendar_ends_what_is_held_can_still_be_sold():
    result = trade(at_closes(0.5, 0.9, 0.2), *[(10, 10)] * 4, calendar=ends_after_two_sessions())
    assert [(order.status, order.due_at is None) for order in result.orders] == [
        (OrderStatus.FILLED, False),
        (OrderStatus.REJECTED, True),
        (OrderStatus.FILLED, True),
    ]
    assert [fill.size for fill in result.fills] == [5000, -3000]


def test_one_calendar_that_ends_does_not_stop_the_others():
    calendar, bars = shanghai(*[(10, 10)] * 3)
    coins = coin("BTC", *[(5, 5)] * 6)

    def plan(strategy, slice_):
        for symbol in slice_.bars:
            strategy.order_target_percent(symbol, 0.3)

    result = run(
        build_slices([*bars, *coins], []),
        strategy=FollowPlan,
        settings={"plan": plan},
        instruments={"600519": replace(A_SHARE, calendar="XSHG"), "BTC": instrument("BTC")},
        costs=dict.fromkeys(("600519", "BTC"), FREE),
        calendars={
            "XSHG": replace(calendar, last=date(2024, 1, 2), opens=calendar.opens[:1]),
            "24/7": load_calendar("24/7", LATER, LATER),
        },
        cash=10_000,
    )
    assert {fill.symbol for fill in result.fills} == {"BTC"}
    assert all("no new position" in order.reason for order in result.orders if order.symbol == "600519")


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the real bars of ../shared/data")
def test_limit_days_of_real_shares_are_never_bought_at_the_top_nor_sold_at_the_bottom():
    refused = 0
    for path in sorted(DATA.glob("*.csv")):
        share = guess_instrument(path.stem)
        calendar = load_calendar(share.calendar, *read_date_span(path))
        bars = read_bars(path, share, calendar, since=date(2014, 1, 1), until=date(2016, 12, 31))
        previous = {later.opens_at: earlier.close for earlier, later in pairwise(bars)}
        wanted = random.Random(path.stem)

        def plan(strategy, slice_, symbol=path.stem, wanted=wanted):
            strategy.order_target_percent(symbol, wanted.choice([0.0, 0.2, 0.9]))

        result = run(
            build_slices(bars, []),
            strategy=FollowPlan,
            settings={"plan": plan},
            instruments={share.symbol: share},
            costs={share.symbol: FREE},
            calendars={share.calendar: calendar},
            cash=10_000_000,
        )
        for fill in result.fills:
            down, up = limit_prices(previous[fill.at], 0.1)
            assert abs(fill.open - (up if fill.size > 0 else down)) > 0.005
        refused += sum("price limit" in order.reason for order in result.orders)
    assert refused >= 10

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.lots import order_size, target_position
from engine.trading.pnl import (
    borrow_cost,
    commission,
    fill_price,
    net_return,
    period_pnl,
    slippage_cost,
    trade_cost,
)
from tests.support.markets import DEAR, FREE

PRICES = st.floats(0.001, 1e6)
SIZES = st.floats(-1e6, 1e6).filter(bool)


def test_a_buy_is_filled_above_the_open_and_a_sale_below_it():
    assert fill_price(2, 100, DEAR) == pytest.approx(100.25)
    assert fill_price(-2, 100, DEAR) == pytest.approx(99.75)
    assert fill_price(2, 100, FREE) == 100


def test_a_trade_costs_its_slippage_and_its_fee_on_the_filled_value():
    assert trade_cost(2, 100, DEAR) == pytest.approx(2 * 0.25 + 2 * 100.25 * 0.001)
    assert trade_cost(-2, 100, DEAR) == pytest.approx(2 * 0.25 + 2 * 99.75 * 0.001)
    assert trade_cost(5, 100, FREE) == 0


@given(size=SIZES, price=PRICES)
def test_slippage_and_commission_are_all_that_a_trade_costs_and_never_below_zero(size, price):
    paid = fill_price(size, price, DEAR)
    parts = slippage_cost(size, price, paid), commission(size, paid, DEAR)
    assert min(parts) >= 0
    assert trade_cost(size, price, DEAR) == sum(parts)


def test_a_fill_better_than_the_open_counts_as_negative_slippage():
    assert slippage_cost(2, 100, 99) == -2
    assert slippage_cost(-2, 100, 101) == -2


def test_only_a_short_pays_for_borrowing_by_the_day():
    assert borrow_cost(-3, 100, 2, DEAR) == pytest.approx(3 * 100 * 0.365 * 2 / 365)
    assert borrow_cost(3, 100, 2, DEAR) == 0
    assert borrow_cost(-3, 100, 0.5, DEAR) == pytest.approx(0.15)


def test_a_step_earns_position_times_price_change_less_cost():
    assert period_pnl(3, -2, 0.5) == -6.5
    assert period_pnl(-3, -2, 0.5) == 5.5
    assert period_pnl(0, 5, 0.5) == -0.5


def test_a_net_return_is_zero_where_no_equity_is_left():
    assert net_return(5, 100) == 0.05
    assert net_return(-5, 0) == net_return(-5, -10) == 0


@given(weight=st.floats(-2, 2), equity=st.floats(1, 1e7), price=PRICES)
def test_fractions_are_kept_where_there_is_no_lot(weight, equity, price):
    assert target_position(weight, equity, price, 0) == weight * equity / price


@given(
    weight=st.floats(-2, 2),
    equity=st.floats(1, 1e7),
    price=st.floats(1, 1e4),
    lot=st.sampled_from([1, 100, 0.1]),
)
def test_lots_round_towards_zero_by_less_than_a_lot(weight, equity, price, lot):
    exact, wanted = weight * equity / price, target_position(weight, equity, price, lot)
    assert abs(wanted) <= abs(exact) * (1 + 2e-9)
    assert abs(exact - wanted) < lot * (1 + 1e-9)
    assert wanted == pytest.approx(round(wanted / lot) * lot)
    assert wanted == 0 or math.copysign(1, wanted) == math.copysign(1, exact)


def test_a_whole_number_of_lots_is_not_lost_to_rounding():
    assert target_position(0.3, 1, 1, 0.1) == pytest.approx(0.3)
    assert target_position(1, 0.7, 0.1, 1) == 7


def test_an_order_takes_the_position_from_what_is_held_to_what_is_wanted():
    assert order_size(5.5, 2.25, 0) == 3.25
    assert order_size(300, 500, 100) == -200
    assert order_size(0.3, 0.1 + 0.2, 0.1) == 0


@given(held=SIZES, lot=st.sampled_from([0, 1, 0.1]))
def test_an_order_to_close_is_exactly_what_is_held(held, lot):
    assert order_size(0, held, lot) == -held

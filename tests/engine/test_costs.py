"""Costs as markets have them: least fees, taxes on sales, and fee tiers by the traded value."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from engine.instruments import Costs
from engine.model import Bar
from engine.timeline import build_slices
from engine.trading.fees import FeeVolume
from engine.trading.pnl import commission, trade_cost
from tests.support.markets import DAY, MONDAY, coin, instrument, run_plan

SHANGHAI = Costs(
    fee_bps=3, slippage_bps=0, latency_bps=0, borrow_rate=0, least_fee=5, sale_tax_bps=5
)  # of 100 shares of 9.50: 5 yuan to buy, 5 yuan and 0.475 of tax to sell
TIERS = Costs(
    fee_bps=10,
    slippage_bps=0,
    latency_bps=0,
    borrow_rate=0,
    fee_tiers=((10_000, 8), (20_000, 5)),
)


@pytest.mark.parametrize(
    ("size", "price", "rate", "paid"),
    [
        (100, 9.5, 1, 5),
        (-100, 9.5, 1, 5.475),
        (100_000, 9.5, 1, 285),
        (-100_000, 9.5, 1, 285 + 475),
        (100, 9.5 * 0.14, 0.14, 5 * 0.14),
        (0, 9.5, 1, 0),
    ],
)
def test_a_fill_pays_at_least_the_least_fee_and_a_sale_its_tax(size, price, rate, paid):
    assert commission(size, price, SHANGHAI, rate=rate) == pytest.approx(paid)
    assert trade_cost(size, price, SHANGHAI, rate=rate) == pytest.approx(paid)


@pytest.mark.parametrize(("traded", "bps"), [(0, 10), (9_999, 10), (10_000, 8), (19_999, 8), (1e9, 5)])
def test_the_fee_tier_is_that_of_the_value_traded_before(traded, bps):
    assert commission(2, 50, TIERS, traded=traded) == pytest.approx(bps / 100)


def test_the_value_traded_counts_the_thirty_days_before_an_instant_and_all_symbols_of_its_tiers():
    free = Costs(fee_bps=0, slippage_bps=0, latency_bps=0, borrow_rate=0)
    volume = FeeVolume({"BTC": TIERS, "ETH": TIERS, "AAPL": free})
    for day, symbol, value in [(0, "BTC", 1), (1, "AAPL", 2), (1, "ETH", 4), (30, "BTC", 8)]:
        volume.add(symbol, MONDAY + day * DAY, value)
    assert [volume.before("BTC", MONDAY + day * DAY) for day in (0, 1, 30, 31)] == [0, 1, 5, 12]
    assert volume.before("BTC", MONDAY + 30 * DAY + timedelta(seconds=1)) == 12
    assert volume.before("AAPL", MONDAY + 31 * DAY) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"least_fee": -1}, "least_fee -1 is not a number of zero or more"),
        ({"fee_tiers": ((5, float("nan")),)}, "fee_tiers nan"),
        ({"fee_tiers": ((5, 1), (5, 2))}, "do not ascend"),
    ],
)
def test_costs_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Costs(fee_bps=1, slippage_bps=1, latency_bps=1, borrow_rate=0, **changes)


def test_a_run_pays_the_least_fee_once_even_where_an_order_turns_a_position():
    costs = Costs(fee_bps=0, slippage_bps=0, latency_bps=0, borrow_rate=0, least_fee=7, sale_tax_bps=10)
    weights = [0.1, -0.1, 0.0]

    def plan(strategy, _slice):
        if weights:
            strategy.order_target_percent("BTC", weights.pop(0))

    prices = [(100, 100)] * 5
    result = run_plan(
        build_slices(coin("BTC", *prices), []), plan, [instrument("BTC", shortable=True)], costs=costs
    )
    turned = abs(result.fills[1].size) * 100 * 0.001
    assert [fill.commission for fill in result.fills] == pytest.approx([7, 7 + turned, 7])
    assert result.value == pytest.approx(10_000 - 21 - turned)
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - 10_000)


def test_a_run_reaches_a_lower_tier_by_its_own_fills_and_leaves_it_after_thirty_days():
    days = [1, 2, 3, 4, 40]

    def plan(strategy, slice_):
        if (day := (slice_.as_of - MONDAY).days) in days:
            strategy.order_target_percent("BTC", 0.8 if days.index(day) % 2 == 0 else 0.0)

    result = run_plan(
        build_slices(coin("BTC", *[(100, 100)] * 45), []), plan, [instrument("BTC")], costs=TIERS
    )
    fees = [fill.commission / abs(fill.size * fill.price) * 1e4 for fill in result.fills]
    assert fees == pytest.approx([10, 10, 8, 5, 10])
    assert result.value == pytest.approx(10_000 - sum(fill.commission for fill in result.fills))


def test_a_delay_costs_half_the_range_of_the_day_before_times_the_root_of_its_share():
    """A random walk of a day, whose mean move in so many minutes is drawn beside its mean range."""
    random = np.random.default_rng(1)
    paths = np.cumsum(random.normal(0, 1e-4, (2_000, 1_440)), axis=1)
    drawn = np.abs(paths[:, 89]).mean()
    free = Costs(fee_bps=0, slippage_bps=0, latency_bps=0, borrow_rate=0)
    late = replace(free, delay_minutes=90)
    charged = [late.delay_fraction(day_of(1 + min(0, path.min()), 1 + max(0, path.max()))) for path in paths]
    assert np.mean(charged) == pytest.approx(drawn, rel=0.05)
    assert late.delay_fraction(day_of(98, 102)) == pytest.approx(0.02 * 0.25)
    assert free.delay_fraction(day_of(98, 102)) == late.delay_fraction(None) == 0.0
    assert replace(free, delay_minutes=9_999).delay_fraction(day_of(1, 10**6)) == 0.5


def day_of(low, high):
    opens = datetime(2024, 1, 1, tzinfo=UTC)
    close = 1.0 if high < 2 else 100.0
    return Bar(
        symbol="A", opens_at=opens, closes_at=opens + timedelta(days=1), open=close, high=high, low=low,
        close=close, volume=1.0,
    )  # fmt: skip

"""Several quote currencies in one run: rates known at their own close, an account in the base currency."""

import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.calendars import load_calendar
from engine.errors import DataError, UsageError
from engine.fx import FxRates, FxRateSeries
from engine.instruments import Costs
from engine.model import Phase
from engine.timeline import build_slices
from engine.trading.records import EquityPoint, Fill
from engine.trading.runner import run
from feeds.files.bars import read_bars, read_date_span
from feeds.files.rates import read_rates
from feeds.instruments import guess_instrument
from tests.support.markets import (
    CALENDARS,
    DAY,
    FREE,
    MONDAY,
    FollowPlan,
    bar,
    coin,
    instrument,
    no_events,
    run_plan,
)
from tests.support.places import SHARED_DATA

DATA = SHARED_DATA
CASH = 10_000.0
CURRENCIES = ("USD", "CNY", "EUR")


def known(*values, start=MONDAY):
    """A series with one rate a day, the first known at `start`."""
    return FxRateSeries(
        known_at=tuple(start + number * DAY for number in range(len(values))), values=tuple(values)
    )


def write(folder, name, *rows, header="date,open,high,low,close,volume"):
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_rate_is_known_when_its_day_has_ended_and_not_earlier(tmp_path):
    path = write(tmp_path, "CNYUSD.csv", "2024-01-02,1,1,1,0.14,0", "2024-01-03,1,1,1,0.15,0")
    rates = read_rates([path], "USD")
    at = datetime(2024, 1, 4, tzinfo=UTC)
    assert rates.rate("CNY", at) == 0.15
    assert rates.rate("CNY", at - timedelta(microseconds=1)) == 0.14
    assert rates.rate("USD", at) == 1.0


def test_an_inverse_pair_gives_the_inverse_rate(tmp_path):
    path = write(tmp_path, "USD-CNY.csv", "2024-01-02,8.0", header="date,close")
    assert read_rates([path], "USD").rate("CNY", datetime(2024, 1, 3, tzinfo=UTC)) == 0.125


def test_a_pair_that_begins_and_ends_with_the_base_is_the_price_of_its_first_currency(tmp_path):
    path = write(tmp_path, "USDTUSD.csv", "2024-01-02,0.999", header="date,close")
    assert read_rates([path], "USD").rate("USDT", datetime(2024, 1, 3, tzinfo=UTC)) == 0.999


def test_a_missing_rate_names_the_file_and_the_key_that_would_give_it():
    with pytest.raises(DataError, match=r"no rate of CNY in USD; give a file CNYUSD\.csv .*\[rates\]"):
        FxRates(base="USD").rate("CNY", MONDAY)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (MONDAY - DAY, "the first is of 2024-01-01"),
        (MONDAY + 20 * DAY, "is of 2024-01-03, more than 15 days"),
    ],
)
def test_a_rate_that_is_not_known_yet_or_too_old_is_refused(at, message):
    rates = FxRates(base="USD", series={"CNY": known(7, 7, 7)})
    with pytest.raises(DataError, match=message):
        rates.rate("CNY", at)


def test_a_hole_in_the_rates_is_refused_before_a_run_that_would_meet_it():
    series = FxRateSeries(known_at=(MONDAY, MONDAY + 40 * DAY, MONDAY + 50 * DAY), values=(7, 7, 7))
    rates = FxRates(base="USD", series={"CNY": series}, constants={"USDT": 1.0})
    with pytest.raises(DataError, match="is of 2024-01-01, more than 15 days"):
        rates.require_coverage(["USD", "USDT", "CNY"], MONDAY, MONDAY + 50 * DAY)
    rates.require_coverage(["USD", "USDT", "CNY"], MONDAY + 40 * DAY, MONDAY + 60 * DAY)


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("CNYEUR.csv", ["2024-01-02,1"], "'CNYEUR' is no rate against USD"),
        ("USD.csv", ["2024-01-02,1"], "is no rate against USD"),
        ("CNYUSD.csv", ["2024-01-02,1", "2024-01-02,1"], "line 3: date 2024-01-02 after 2024-01-02"),
        ("CNYUSD.csv", ["2024-01-02T16:00,1"], "line 2: date '2024-01-02T16:00' is not a day"),
        ("CNYUSD.csv", ["2024-01-02,0"], "line 2: close '0' is not a rate above zero"),
        ("USDCNY.csv", ["2024-01-02,1e-320"], "line 2: close '1e-320' is not a rate above zero"),
        ("CNYUSD.csv", ["2024-01-02,nan"], "line 2: close 'nan'"),
        ("CNYUSD.csv", [], "no rows"),
    ],
)
def test_a_file_that_is_no_rate_is_refused_with_its_place(tmp_path, name, rows, message):
    path = write(tmp_path, name, *rows, header="date,close")
    with pytest.raises(DataError, match=message) as caught:
        read_rates([path], "USD")
    assert str(path) in str(caught.value)


def test_two_rates_of_one_currency_are_refused(tmp_path):
    for name in ("CNYUSD.csv", "USDCNY.csv"):
        write(tmp_path, name, "2024-01-02,1", header="date,close")
    with pytest.raises(DataError, match=r"CNY has a rate in .*CNYUSD\.csv already"):
        read_rates([tmp_path], "USD")
    with pytest.raises(DataError, match=r"CNY has a rate in \[rates\] already"):
        read_rates([tmp_path / "CNYUSD.csv"], "USD", {"CNY": 0.14})
    with pytest.raises(DataError, match="rate 0 is not a number above zero"):
        read_rates([], "USD", {"CNY": 0})


def test_cash_equity_and_costs_are_in_the_base_currency_and_prices_in_the_quote_currency():
    bars = coin("MAO", (100, 100), (100, 110), (120, 120))
    rates = FxRates(base="USD", series={"CNY": known(0.1, 0.2, 0.25)})
    costs = Costs(fee_bps=100, slippage_bps=100, latency_bps=0, borrow_rate=0)

    def plan(strategy, slice_):
        if slice_.as_of == MONDAY + DAY:
            strategy.order_target_percent("MAO", 0.5)

    result = run_plan(
        build_slices(bars, []), plan, [instrument("MAO", currency="CNY")], costs=costs, cash=1000, rates=rates
    )
    (fill,) = result.fills
    # Half of 1,000 USD at 100 CNY of 0.20 USD buys 25; the fill is at 101 CNY, the fee 1% of 505 USD.
    assert (fill.size, fill.open, fill.price, fill.rate) == (25, 100, 101, 0.2)
    assert (fill.commission, fill.slippage) == (pytest.approx(5.05), pytest.approx(5))
    assert result.cash == pytest.approx(1000 - 505 - 5.05)
    assert result.value == pytest.approx(result.cash + 25 * 120 * 0.25)


def test_a_position_is_valued_at_the_last_rate_known_while_its_market_is_closed():
    bars = [*coin("MAO", (100, 100), (100, 100)), *coin("BTC", *[(5, 5)] * 5)]
    rates = FxRates(base="USD", series={"CNY": known(1, 1, 1, 2, 3, 4)})

    def plan(strategy, slice_):
        if slice_.as_of == MONDAY + DAY:
            strategy.order_target_percent("MAO", 0.5)

    pair = [instrument("MAO", currency="CNY"), instrument("BTC")]
    result = run_plan(build_slices(bars, []), plan, pair, cash=1000, rates=rates)
    assert [mark.value for mark in result.marks] == [1000, 1000, 1500, 2000, 2500]
    assert sum(step.pnl for step in result.steps) == pytest.approx(1500)


def test_several_currencies_without_rates_are_refused_and_so_is_a_currency_without_a_rate():
    pair = [instrument("BTC"), instrument("SAP", currency="EUR")]
    bars = coin("BTC", (1, 1), (1, 1))
    with pytest.raises(UsageError, match="EUR, USD; give rates"):
        run_plan(build_slices(bars, []), no_events, pair)
    with pytest.raises(DataError, match="no rate of EUR in USD"):
        run_plan(build_slices(bars, []), no_events, pair, rates=FxRates(base="USD"))


class World:
    """A random market in several currencies; `plan` wants random weights at every close."""

    def __init__(self, bars, instruments, costs, rates, seed):
        self.bars, self.instruments, self.costs = bars, instruments, costs
        self.rates, self.seed = rates, seed

    def plan(self, strategy, slice_):
        for each in self.instruments:
            dice = random.Random(f"{self.seed} {slice_.as_of} {each.symbol}")
            if dice.random() < 0.6:
                least = -0.5 if each.shortable else 0.0
                strategy.order_target_percent(each.symbol, dice.choice([0.0, dice.uniform(least, 0.6)]))

    def run(self, **rest):
        settled = {"costs": self.costs, "cash": CASH, "rates": self.rates} | rest
        return run_plan(build_slices(self.bars, []), self.plan, self.instruments, **settled)


@st.composite
def worlds(draw):
    bars, instruments, costs = [], [], {}
    for number in range(draw(st.integers(1, 3))):
        name, calendar = f"S{number}", draw(st.sampled_from(sorted(CALENDARS)))
        instruments.append(
            instrument(
                name,
                calendar=calendar,
                currency=draw(st.sampled_from(CURRENCIES)),
                lot=draw(st.sampled_from([0.0, 1.0])),
                shortable=draw(st.booleans()),
            )
        )
        bps = st.floats(0, 100)
        costs[name] = Costs(
            fee_bps=draw(bps),
            slippage_bps=draw(bps),
            latency_bps=draw(bps),
            borrow_rate=draw(st.floats(0, 1)),
        )
        price = draw(st.floats(0.5, 500))
        moves = st.tuples(st.floats(0.7, 1.4), st.floats(0.7, 1.4))
        for day, (gap, move) in enumerate(draw(st.lists(moves, min_size=3, max_size=9))):
            session = CALENDARS[calendar].session((MONDAY + day * DAY).date())
            opening, price = price * gap, price * gap * move
            if session is not None:
                bars.append(bar(name, *session, opening, price))
    worth = st.lists(st.floats(0.05, 20), min_size=12, max_size=12)
    series = {currency: known(*draw(worth), start=MONDAY - 2 * DAY) for currency in CURRENCIES[1:]}
    return World(bars, instruments, costs, FxRates(base="USD", series=series), draw(st.integers(0, 10_000)))


def over_worlds(count):
    def decorate(test):
        quick = settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        return quick(given(world=worlds())(test))

    return decorate


@over_worlds(60)
def test_the_pnl_of_all_steps_in_the_base_currency_is_the_change_of_equity(world):
    result = world.run()
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - CASH, abs=1e-9 * CASH)
    assert sum(step.commission + step.slippage for step in result.steps) == pytest.approx(
        sum(fill.cost for fill in result.fills), abs=1e-9 * CASH
    )


@over_worlds(60)
def test_the_cost_paid_is_the_cost_configured_at_the_rate_of_the_fill(world):
    currencies = {each.symbol: each.currency for each in world.instruments}
    for fill in world.run().fills:
        costs = world.costs[fill.symbol]
        assert fill.price == fill.open * (
            1 + costs.slippage_fraction if fill.size > 0 else 1 - costs.slippage_fraction
        )
        assert fill.rate == world.rates.rate(currencies[fill.symbol], fill.at)
        fee = abs(fill.size) * fill.price * fill.rate * costs.fee_fraction
        slippage = abs(fill.size) * fill.open * fill.rate * costs.slippage_fraction
        assert fill.cost == pytest.approx(fee + slippage, rel=1e-9, abs=1e-9)


@over_worlds(60)
def test_equity_is_that_of_an_account_kept_from_the_fills_and_the_rates_alone(world):
    happened = []

    def source():
        for slice_ in build_slices(world.bars, []):
            happened.append(slice_)
            yield slice_

    currencies = {each.symbol: each.currency for each in world.instruments}
    costs = {symbol: replace(cost, borrow_rate=0) for symbol, cost in world.costs.items()}
    run_plan(
        source(),
        world.plan,
        world.instruments,
        costs=costs,
        cash=CASH,
        rates=world.rates,
        on_record=happened.append,
    )
    cash, held, price = CASH, defaultdict(float), {}
    for thing in happened:
        if isinstance(thing, Fill):
            held[thing.symbol] += thing.size
            cash -= thing.size * thing.price * thing.rate + thing.commission
        elif isinstance(thing, EquityPoint):
            worth = sum(
                size * price[symbol] * world.rates.rate(currencies[symbol], thing.at)
                for symbol, size in held.items()
                if size
            )
            assert (thing.value, thing.cash) == pytest.approx((cash + worth, cash), abs=1e-9 * CASH)
        elif hasattr(thing, "phase"):
            price.update({symbol: each.close for symbol, each in thing.bars.items()})


@settings(max_examples=60, deadline=None)
@given(world=worlds(), share=st.integers(0, 11), factor=st.floats(0.2, 5))
def test_a_later_rate_changes_nothing_that_was_recorded_before_it(world, share, factor):
    cut = MONDAY + (share - 2) * DAY
    changed = {
        currency: FxRateSeries(
            known_at=one.known_at,
            values=tuple(
                value * (factor if at >= cut else 1)
                for at, value in zip(one.known_at, one.values, strict=True)
            ),
        )
        for currency, one in world.rates.series.items()
    }

    def records(rates):
        seen = []
        world.run(rates=rates, on_record=seen.append)
        moments = ((record, getattr(record, "ended_at", None) or record.at) for record in seen)
        return [record for record, at in moments if at < cut]

    assert records(world.rates) == records(FxRates(base="USD", series=changed))


@over_worlds(40)
def test_rates_of_one_change_nothing_against_a_run_without_rates(world):
    plain = [replace(each, currency="USD") for each in world.instruments]
    ones = FxRates(base="USD", constants={"CNY": 1.0, "EUR": 1.0})
    without = run_plan(build_slices(world.bars, []), world.plan, plain, costs=world.costs, cash=CASH)
    assert world.run(rates=ones) == without


FILES = {
    "BTCUSDT": "coins_binance_daily",
    "AAPL": "us_stocks_daily",
    "600519": "cn_stocks_qfq",
}


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the real bars of ../shared/data")
def test_bitcoin_apple_and_moutai_open_and_close_at_their_own_instants_in_one_account():
    since, until = date(2024, 2, 1), date(2024, 4, 15)
    instruments = {symbol: guess_instrument(symbol) for symbol in FILES}
    paths = {symbol: DATA / folder / f"{symbol}.csv" for symbol, folder in FILES.items()}
    calendars = {
        each.calendar: load_calendar(each.calendar, *read_date_span(paths[symbol]))
        for symbol, each in instruments.items()
    }
    bars = [
        one
        for symbol, each in instruments.items()
        for one in read_bars(paths[symbol], each, calendars[each.calendar], since=since, until=until)
    ]
    days = [MONDAY + number * DAY for number in range(120)]
    wavy = FxRateSeries(known_at=tuple(days), values=tuple(0.14 + 0.001 * (n % 7) for n in range(120)))
    rates = FxRates(base="USD", constants={"USDT": 1.0}, series={"CNY": wavy})
    instants = defaultdict(set)

    def source():
        for slice_ in build_slices(bars, []):
            for symbol in slice_.bars:
                instants[symbol, slice_.phase].add(slice_.as_of.strftime("%H:%M"))
            yield slice_

    def plan(strategy, slice_):
        for symbol in slice_.bars:
            dice = random.Random(f"{slice_.as_of} {symbol}")
            strategy.order_target_percent(symbol, dice.choice([0.1, 0.3]))

    result = run(
        source(),
        strategy=FollowPlan,
        settings={"plan": plan},
        instruments=instruments,
        costs=dict.fromkeys(instruments, FREE),
        calendars=calendars,
        cash=1_000_000,
        rates=rates,
    )
    # New York changed to daylight saving time on 2024-03-10; Shanghai and coins never do.
    assert instants["BTCUSDT", Phase.OPEN] == instants["BTCUSDT", Phase.CLOSE] == {"00:00"}
    assert (instants["AAPL", Phase.OPEN], instants["AAPL", Phase.CLOSE]) == (
        {"14:30", "13:30"},
        {"21:00", "20:00"},
    )
    assert (instants["600519", Phase.OPEN], instants["600519", Phase.CLOSE]) == ({"01:30"}, {"07:00"})
    opens = {(one.symbol, one.opens_at): one.open for one in bars}
    assert {fill.symbol for fill in result.fills} == set(FILES)
    for fill in result.fills:
        assert fill.open == opens[fill.symbol, fill.at]
        assert fill.rate == rates.rate(instruments[fill.symbol].currency, fill.at)
        assert fill.decided_at <= fill.at
    assert sum(step.pnl for step in result.steps) == pytest.approx(result.value - 1_000_000, abs=1e-3)

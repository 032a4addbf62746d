import math
from datetime import UTC, datetime, timedelta

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.metrics.performance import (
    EquityMark,
    compute_performance,
    daily_returns,
    daily_sharpe,
    deflated_sharpe,
    expected_max_sharpe,
    max_drawdown,
)

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class PriceFeed(bt.feed.DataBase):
    params = (("prices", ()),)

    def start(self) -> None:
        super().start()
        self.left = list(enumerate(self.p.prices))

    def _load(self) -> bool:
        if not self.left:
            return False
        number, price = self.left.pop(0)
        self.lines.datetime[0] = bt.date2num((START + number * DAY).replace(tzinfo=None))
        for line in (self.lines.open, self.lines.high, self.lines.low, self.lines.close):
            line[0] = price
        self.lines.volume[0] = self.lines.openinterest[0] = 0.0
        return True


class HoldHalf(bt.Strategy):
    def __init__(self) -> None:
        self.marks: list[EquityMark] = []

    def next(self) -> None:
        closed = self.data.datetime.datetime(0).replace(tzinfo=UTC) + DAY
        self.marks.append((closed, self.broker.getvalue()))
        if len(self.marks) == 1:
            self.buy(size=0.5 * self.broker.getvalue() / self.data.close[0])


def held(prices: list[float], days_per_year: int) -> HoldHalf:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(PriceFeed(prices=prices))
    cerebro.addstrategy(HoldHalf)
    cerebro.addanalyzer(
        bt.analyzers.SharpeRatio,
        timeframe=bt.TimeFrame.Days,
        factor=days_per_year,
        annualize=True,
        riskfreerate=0.0,
        stddev_sample=True,
        _name="sharpe",
    )
    cerebro.addanalyzer(bt.analyzers.DrawDown, _name="drawdown")
    cerebro.broker.setcash(10_000.0)
    return cerebro.run()[0]


def marks(*values: float) -> list[EquityMark]:
    return [(START + (number + 1) * DAY, value) for number, value in enumerate(values)]


@pytest.mark.parametrize("days_per_year", [252, 365])
def test_every_figure_agrees_with_backtrader(days_per_year: int) -> None:
    steps = np.random.default_rng(3).standard_t(4, size=300) * 0.02
    strategy = held(list(100 * np.exp(np.cumsum(steps))), days_per_year)
    scores = compute_performance(strategy.marks, 10_000.0, days_per_year)
    assert scores.sharpe == pytest.approx(strategy.analyzers.sharpe.get_analysis()["sharperatio"])
    drawdown = strategy.analyzers.drawdown.get_analysis().max.drawdown
    assert scores.max_drawdown == pytest.approx(drawdown / 100)
    assert scores.total_return == pytest.approx(strategy.broker.getvalue() / 10_000 - 1)


def test_the_returns_of_a_curve_start_from_its_cash() -> None:
    scores = compute_performance(marks(110.0, 99.0), 100.0, 365)
    assert scores.returns == pytest.approx((0.1, -0.1))
    assert scores.total_return == pytest.approx(-0.01)
    assert scores.sharpe == pytest.approx(0.0)
    assert scores.max_drawdown == pytest.approx(0.1)


def test_a_day_counts_its_last_mark_and_midnight_ends_the_day_before() -> None:
    morning = timedelta(hours=9)
    curve = [
        (START + morning, 90.0),
        (START + DAY, 105.0),
        (START + DAY + morning, 1.0),
        (START + 2 * DAY, 84.0),
    ]
    assert daily_returns(curve, 100.0) == pytest.approx([0.05, -0.2])


def test_days_without_a_mark_are_passed_over() -> None:
    friday = datetime(2024, 1, 5, 21, tzinfo=UTC)
    assert daily_returns([(friday, 110.0), (friday + 3 * DAY, 121.0)], 100.0) == pytest.approx([0.1, 0.1])


def test_the_daily_sharpe_ratio_uses_the_sample_standard_deviation() -> None:
    returns = [0.01, -0.02, 0.03, 0.005]
    assert daily_sharpe(returns) == pytest.approx(np.mean(returns) / np.std(returns, ddof=1))


@pytest.mark.parametrize("returns", [[], [0.1], [0.0, 0.0, 0.0], [0.01] * 7])
def test_returns_that_do_not_vary_have_no_sharpe_ratio(returns: list[float]) -> None:
    assert daily_sharpe(returns) is None
    assert deflated_sharpe(returns, 3, 0.01) is None


def test_no_marks_mean_no_return_and_no_fall() -> None:
    scores = compute_performance([], 100.0, 365)
    assert (scores.total_return, scores.sharpe, scores.max_drawdown, scores.returns) == (0.0, None, 0.0, ())


def test_the_starting_cash_is_the_first_peak() -> None:
    assert max_drawdown(marks(80.0, 90.0), 100.0) == (pytest.approx(0.2), 1)
    assert max_drawdown(marks(110.0, 120.0), 100.0) == (0.0, 0)


def test_equity_below_zero_ends_the_returns_and_is_a_fall_of_more_than_all() -> None:
    scores = compute_performance(marks(50.0, -10.0, 5.0), 100.0, 365)
    assert scores.returns == pytest.approx((-0.5, -1.2))
    assert scores.max_drawdown == pytest.approx(1.1)


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_drawdown_is_the_worst_pair_of_an_earlier_and_a_later_value(values: list[float]) -> None:
    curve = [100.0, *values]
    worst = max((curve[i] - later) / curve[i] for i in range(len(curve)) for later in curve[i:])
    assert max_drawdown(marks(*values), 100.0)[0] == pytest.approx(worst)


@given(st.lists(st.floats(1.0, 1e6), min_size=2, max_size=40), st.floats(0.01, 100.0))
@settings(max_examples=40, deadline=None)
def test_the_unit_of_money_changes_no_figure(values: list[float], unit: float) -> None:
    plain = compute_performance(marks(*values), 100.0, 252)
    scaled = compute_performance(marks(*(value * unit for value in values)), 100.0 * unit, 252)
    assert scaled.total_return == pytest.approx(plain.total_return, abs=1e-9)
    assert scaled.max_drawdown == pytest.approx(plain.max_drawdown, abs=1e-9)
    assert scaled.returns == pytest.approx(plain.returns, abs=1e-6)


@pytest.mark.parametrize(
    ("curve", "cash"),
    [(marks(100.0)[::-1] + marks(1.0, 2.0)[::-1], 100.0), (marks(math.nan), 100.0), (marks(1.0), 0.0)],
)
def test_a_curve_that_cannot_be_scored_is_refused(curve: list[EquityMark], cash: float) -> None:
    with pytest.raises(ValueError):
        compute_performance(curve, cash, 365)


def test_the_deflated_sharpe_ratio_gives_the_example_of_its_authors() -> None:
    # Five years of 250 days, Sharpe 2.5 a year, skewness -3 and kurtosis 10, the best of 100 trials whose
    # annual Sharpe ratios have variance 1/2: the paper states 0.1132 for luck and 0.9004 for the result.
    # Kurtosis 10 is the least that skewness -3 allows, so the returns take two values.
    returns = np.array([1.0] * 1145 + [0.0] * 105)
    assert stats.skew(returns) == pytest.approx(-3, abs=0.01)
    returns += 2.5 / math.sqrt(250) * np.std(returns, ddof=1) - np.mean(returns)
    assert expected_max_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(list(returns), 100, 0.5 / 250) == pytest.approx(0.9004, abs=1e-3)


def test_one_trial_makes_it_the_probability_that_the_sharpe_ratio_is_above_zero() -> None:
    returns = list(np.random.default_rng(1).normal(0.001, 0.02, size=400))
    ratio = np.mean(returns) / np.std(returns, ddof=1)
    spread = 1 - stats.skew(returns) * ratio + (stats.kurtosis(returns, fisher=False) - 1) / 4 * ratio**2
    expected = stats.norm.cdf(ratio * math.sqrt(399) / math.sqrt(spread))
    assert deflated_sharpe(returns, 1, None) == pytest.approx(expected)
    assert deflated_sharpe(returns, 1, 5.0) == pytest.approx(expected)


def test_the_luck_of_the_best_trial_is_what_simulated_trials_show() -> None:
    best = np.random.default_rng(2).normal(0, 0.3, size=(20_000, 25)).max(axis=1).mean()
    assert expected_max_sharpe(25, 0.09) == pytest.approx(best, rel=0.02)
    assert expected_max_sharpe(1, 0.09) == expected_max_sharpe(0, 0.09) == 0.0


def test_more_trials_or_more_spread_between_them_lower_the_deflated_sharpe_ratio() -> None:
    returns = list(np.random.default_rng(1).normal(0.002, 0.02, size=400))
    by_trials = [deflated_sharpe(returns, trials, 0.002) for trials in (1, 2, 10, 100)]
    assert by_trials == sorted(by_trials, reverse=True)
    assert len(set(by_trials)) == 4
    assert deflated_sharpe(returns, 10, 0.004) < deflated_sharpe(returns, 10, 0.002)


def test_an_unknown_spread_of_trials_stands_at_what_luck_alone_would_give() -> None:
    returns = list(np.random.default_rng(1).normal(0.002, 0.02, size=101))
    assert deflated_sharpe(returns, 5, None) == deflated_sharpe(returns, 5, 1 / 100)


def test_the_best_of_many_trials_without_skill_is_seldom_taken_for_skill() -> None:
    generator = np.random.default_rng(8)
    taken = 0
    for _ in range(300):
        trials = generator.normal(0, 0.02, size=(20, 250))
        ratios = trials.mean(axis=1) / trials.std(axis=1, ddof=1)
        best = deflated_sharpe(list(trials[ratios.argmax()]), 20, float(ratios.var(ddof=1)))
        taken += best is not None and best > 0.95
    assert taken / 300 < 0.05


def test_no_coin_flipper_in_a_bull_market_is_more_than_luck_beside_buy_and_hold() -> None:
    # Buy and hold has an annual Sharpe ratio of 2.45; each flipper holds on half of the days.
    generator = np.random.default_rng(24)
    moves = generator.normal(0, 1, size=365)
    market = 0.02 * ((moves - moves.mean()) / moves.std(ddof=1) + 2.45 / math.sqrt(365))
    flippers = [list(market * generator.integers(0, 2, 365)) for _ in range(24)]
    hold = daily_sharpe(list(market)) or 0.0
    beside_nothing = [deflated_sharpe(returns, 1, None) or 0.0 for returns in flippers]
    beside_hold = [deflated_sharpe(returns, 1, None, hold) or 0.0 for returns in flippers]
    assert sum(chance > 0.95 for chance in beside_nothing) > 5
    assert max(beside_hold) < 0.95
    assert np.median(beside_hold) < 0.5
    # Against itself buy and hold is a toss-up.
    assert deflated_sharpe(list(market), 1, None, hold) == pytest.approx(0.5)

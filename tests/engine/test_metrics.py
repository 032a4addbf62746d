"""Every metric against worked examples and independent packages, and on the inputs where little is known."""

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy import optimize, stats

from engine.metrics.accuracy import collect_columns
from engine.metrics.bootstrap import bootstrap_intervals, resample_days
from engine.metrics.breakdown import compute_breakdown
from engine.metrics.calibration import score_calibration
from engine.metrics.close_errors import diebold_mariano, score_close_errors
from engine.metrics.direction import score_direction
from engine.metrics.exposure import PriceHistory, score_trading
from engine.metrics.performance import annual_return, compute_performance, regress_on_benchmark
from engine.metrics.registry import METRICS, collect_metrics, compute_inputs
from engine.model import Abstention, Bar, Direction, Forecast
from engine.outcomes import Outcome, Scored
from engine.trading.records import EngineResult, EquityPoint, Fill

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
UP, DOWN = Direction.UP, Direction.DOWN


def scored(day: int, direction: Direction, move: float, **more) -> Scored:
    """A forecast after a close of 100 whose next close is `move` above it."""
    as_of, symbol = START + day * DAY, more.get("symbol", "BTC")
    forecast = Forecast(
        symbol=symbol,
        as_of=as_of,
        direction=direction,
        confidence=more.get("confidence", 0.6),
        close=more.get("close", 100.0 + direction.sign),
        last_close=100.0,
        token_probability_up=more.get("token"),
    )
    outcome = Outcome(
        symbol=symbol,
        as_of=as_of,
        last_close=100.0,
        next_close=100.0 + move,
        known_at=as_of + DAY,
        fill_open=100.0,
        exit_open=100.0,
        open_known_at=as_of + DAY,
    )
    return forecast, outcome


def directions(forecasts: Sequence[bool], rises: Sequence[bool], per_day: int = 1):
    pairs = enumerate(zip(forecasts, rises, strict=True))
    rows = [
        scored(n // per_day, UP if up else DOWN, 1.0 if rose else -1.0, symbol=f"S{n % per_day}")
        for n, (up, rose) in pairs
    ]
    return score_direction(collect_columns(rows))


def equity(values: Sequence[float], cash: Sequence[float] | None = None, fills: Sequence[Fill] = ()):
    marks = tuple(
        EquityPoint(at=START + (n + 1) * DAY, value=value, cash=value if cash is None else cash[n])
        for n, value in enumerate(values)
    )
    return EngineResult(
        starting_cash=100.0,
        cash=marks[-1].cash if marks else 100.0,
        value=marks[-1].value if marks else 100.0,
        orders=(),
        fills=tuple(fills),
        marks=marks,
        steps=(),
        borrow_paid=0.0,
        analyses={},
    )


def perform(returns: Sequence[float], days_per_year: int = 252):
    values = 100.0 * np.cumprod(1 + np.array(returns))
    marks = [(START + (n + 1) * DAY, float(value)) for n, value in enumerate(values)]
    return compute_performance(marks, 100.0, days_per_year)


def test_balanced_accuracy_and_matthews_correlation_give_the_examples_of_scikit_learn():
    scores = directions([0, 1, 0, 0, 0, 1], [0, 1, 0, 0, 1, 0])
    assert scores.balanced_accuracy == pytest.approx(0.625)
    scores = directions([1, 0, 1, 1], [1, 1, 1, 0])
    assert scores.matthews == pytest.approx(-1 / 3)


def test_pesaran_and_timmermann_have_the_root_of_the_chi_square_of_their_table():
    # For two by two outcomes their S_n squared is Pearson's chi square times n / (n - 1).
    generator = np.random.default_rng(4)
    rises = generator.random(180) < 0.57
    forecasts = np.where(generator.random(180) < 0.3, rises, generator.random(180) < 0.6)
    scores = directions(forecasts, rises)
    table = [[np.sum((forecasts == f) & (rises == r)) for r in (0, 1)] for f in (0, 1)]
    chi2 = stats.chi2_contingency(table, correction=False).statistic
    assert scores.pesaran_timmermann == pytest.approx(math.sqrt(chi2 * 180 / 179), abs=1e-9)
    assert scores.pesaran_timmermann_p == pytest.approx(stats.norm.sf(scores.pesaran_timmermann), abs=1e-12)
    turned = directions(~forecasts, rises)
    assert turned.pesaran_timmermann == pytest.approx(-scores.pesaran_timmermann)
    assert turned.pesaran_timmermann_p > 0.95


def test_symbols_that_move_as_one_are_one_observation_to_the_test_by_days_only():
    generator = np.random.default_rng(5)
    single, whole, by_days = 0, 0, 0
    for _ in range(100):
        rises, forecasts = generator.random((2, 40)) < 0.5
        alone, copied = directions(forecasts, rises), directions(forecasts.repeat(4), rises.repeat(4), 4)
        assert copied.pesaran_timmermann_days == pytest.approx(alone.pesaran_timmermann_days)
        single += alone.pesaran_timmermann_p < 0.05
        whole += copied.pesaran_timmermann_p < 0.05
        by_days += copied.pesaran_timmermann_days_p < 0.05
    assert max(single, by_days) <= 10 < 15 < whole


def test_diebold_and_mariano_with_the_correction_is_the_t_test_of_one_step_differences():
    differences = np.random.default_rng(2).normal(0.2, 1.0, size=37)
    statistic, p = diebold_mariano(differences.tolist())
    expected = stats.ttest_1samp(differences, 0.0)
    assert (statistic, p) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-12)
    # By the paper: S1 sqrt((n + 1 - 2h + h(h-1)/n) / n) with h = 1 and S1 of the variance with divisor n.
    plain = differences.mean() / math.sqrt(differences.var() / 37)
    assert statistic == pytest.approx(plain * math.sqrt((37 + 1 - 2) / 37), abs=1e-12)


def test_errors_of_the_close_are_in_basis_points_and_scaled_by_the_random_walk():
    rows = [
        scored(0, UP, 4.0, close=101.0),
        scored(0, UP, 1.0, close=102.0, symbol="ETH"),
        scored(1, DOWN, -2.0, close=98.0),
        scored(2, UP, 0.0, close=101.0),
    ]
    scores = score_close_errors(collect_columns(rows))
    assert scores.close_rmse_bps == pytest.approx(100 * math.sqrt((9 + 1 + 0 + 1) / 4))
    assert scores.close_mase == pytest.approx((3 + 1 + 0 + 1) / (4 + 1 + 2 + 0))
    daily = [((300 - 400) + (100 - 100)) / 2, 0 - 200, 100 - 0]
    expected = stats.ttest_1samp(daily, 0.0)
    assert (scores.close_dm, scores.close_dm_p) == pytest.approx((expected.statistic, expected.pvalue))


def test_the_decomposition_gives_the_brier_score_and_the_bins_of_scikit_learn():
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import brier_score_loss

    generator = np.random.default_rng(6)
    probability = generator.random(500)
    rose = generator.random(500) < 0.3 + 0.4 * probability
    scores = score_calibration(probability, rose)
    shares, means = calibration_curve(rose, probability, n_bins=10)
    assert [each.rises for each in scores.curve] == pytest.approx(list(shares), abs=1e-12)
    assert [each.mean for each in scores.curve] == pytest.approx(list(means), abs=1e-12)
    sizes = np.array([each.n for each in scores.curve])
    assert scores.calibration_error == pytest.approx(np.sum(sizes * abs(shares - means)) / 500, abs=1e-12)
    brier = brier_score_loss(rose, probability)
    parts = scores.reliability - scores.resolution + scores.uncertainty + scores.within_bins
    assert parts == pytest.approx(brier, abs=1e-12)
    assert scores.skill == pytest.approx(1 - brier / (rose.mean() * (1 - rose.mean())), abs=1e-12)


def test_forecasts_of_one_probability_a_bin_have_the_three_terms_of_murphy():
    # Ten forecasts of 0.2 with 1 rise, ten of 0.7 with 8: by hand.
    probability = np.array([0.2] * 10 + [0.7] * 10)
    rose = np.array([True] + [False] * 9 + [True] * 8 + [False] * 2)
    scores = score_calibration(probability, rose)
    assert scores.reliability == pytest.approx((0.1**2 + 0.1**2) / 2)
    assert scores.resolution == pytest.approx((0.35**2 + 0.35**2) / 2)
    assert scores.uncertainty == pytest.approx(0.45 * 0.55)
    assert scores.within_bins == pytest.approx(0.0, abs=1e-15)
    assert scores.calibration_error == pytest.approx(0.1)
    assert [(each.low, each.high, each.n) for each in scores.curve] == [(0.2, 0.3, 10), (0.7, 0.8, 10)]


def test_a_probability_at_an_edge_belongs_to_the_bin_that_begins_there():
    scores = score_calibration(np.array([1 - 0.7, 1 - 0.9, 0.7, 1.0, 0.0]), np.array([True] * 5))
    assert [each.low for each in scores.curve] == [0.0, 0.1, 0.3, 0.7, 0.9]


def test_the_log_score_gives_the_example_of_scikit_learn():
    scores = score_calibration(np.array([0.9, 0.1, 0.2, 0.65]), np.array([True, False, False, True]))
    assert scores.log_score == pytest.approx(0.21616187468057912, abs=1e-12)


MIXED = [0.01, 0.10, -0.04, 0.02, 0.03, 0.02, 0.01, -0.10]
"""The returns of empyrical's own tests, whose expected figures are below; its year has 252 days."""


def test_yearly_figures_give_the_examples_of_empyrical():
    scores = perform(MIXED)
    assert scores.volatility == pytest.approx(0.9136465399704637, abs=1e-9)
    assert scores.sharpe == pytest.approx(1.7238613961706866, abs=1e-9)
    assert scores.sortino == pytest.approx(2.605531251673693, abs=1e-9)
    assert scores.max_drawdown == pytest.approx(0.1, abs=1e-9)
    # It counts the day before the first return as one more.
    scores = perform([0.0, *MIXED])
    assert scores.annual_return == pytest.approx(1.9135925373194231, abs=1e-9)
    assert scores.calmar == pytest.approx(19.135925373194233, abs=1e-8)


def test_gains_and_losses_are_counted_by_days_that_changed():
    scores = perform([0.02, -0.01, 0.0, 0.03, -0.04])
    assert scores.hit_rate == pytest.approx(0.5)
    assert scores.profit_factor == pytest.approx(0.05 / 0.05)


def test_the_length_of_a_drawdown_is_from_its_peak_until_equity_is_as_high_again():
    days = [1, 2, 3, 6, 7, 12, 13]
    values = [100.0, 120.0, 90.0, 100.0, 119.0, 121.0, 119.0]
    marks = [(START + day * DAY, value) for day, value in zip(days, values, strict=True)]
    scores = compute_performance(marks, 100.0, 252)
    assert (scores.max_drawdown, scores.max_drawdown_days) == (pytest.approx(0.25), 10)
    unrecovered = compute_performance(marks[:5], 100.0, 252)
    assert unrecovered.max_drawdown_days == 5


def test_alpha_and_beta_are_those_of_least_squares():
    generator = np.random.default_rng(7)
    benchmark = generator.normal(0.001, 0.02, size=60)
    returns = 0.0005 + 0.6 * benchmark + generator.normal(0, 0.01, size=60)
    days = [(START + n * DAY).date() for n in range(60)]
    theirs = dict(zip(days[:50], benchmark, strict=False))
    alpha, beta = regress_on_benchmark(dict(zip(days, returns, strict=True)), theirs, 365)
    expected = stats.linregress(benchmark[:50], returns[:50])
    assert (alpha, beta) == pytest.approx((expected.intercept * 365, expected.slope), abs=1e-9)


def test_the_probabilistic_sharpe_ratio_gives_the_example_of_its_authors():
    # 24 months with a Sharpe ratio of 0.458, skewness -2.448 and kurtosis 10.164: the paper states 0.913.
    body = np.linspace(0.0, 1.0, 22)

    def moments(tail):
        months = np.concatenate([-np.asarray(tail), body])
        return [stats.skew(months) + 2.448, stats.kurtosis(months, fisher=False) - 10.164]

    months = np.concatenate([-optimize.fsolve(moments, [1.0, 3.0]), body])
    assert moments(-months[:2]) == pytest.approx([0.0, 0.0], abs=1e-6)
    months = (months - months.mean()) / months.std(ddof=1)
    assert perform(0.02 * (months + 0.458)).probabilistic_sharpe == pytest.approx(0.913, abs=5e-4)


def test_bootstrap_intervals_are_those_of_arch():
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    returns = np.random.default_rng(9).normal(0.001, 0.02, size=120)
    returns[1:] += 0.4 * returns[:-1]
    length = round(float(optimal_block_length(returns)["stationary"].iloc[0]))
    assert length > 1
    sampler = StationaryBootstrap(length, returns, seed=np.random.default_rng(0))
    expected = sampler.conf_int(
        lambda drawn: math.sqrt(252) * drawn.mean() / drawn.std(ddof=1), 1000, method="percentile"
    )
    found = bootstrap_intervals([(1, 2)] * 120, returns.tolist(), 252)
    assert found.sharpe == pytest.approx(expected.ravel().tolist(), rel=1e-9)
    assert found.accuracy is None  # every day has the same share
    assert found.annual_return[0] < annual_return(np.prod(1 + returns) - 1, 120, 252) < found.annual_return[1]


def test_an_interval_of_dependent_days_is_wider_than_one_of_independent_days():
    noise = np.random.default_rng(3).normal(size=400)
    dependent = np.convolve(noise, np.ones(8) / math.sqrt(8), "same")
    widths = []
    for series in (noise, dependent):
        ((low, high),) = resample_days(series, [lambda drawn, s=series: s[drawn].mean(axis=1)])
        widths.append(high - low)
    assert widths[1] > 1.7 * widths[0]


def trade(day: int, size: float, price: float, cost: float = 0.0, symbol: str = "BTC") -> Fill:
    at = START + day * DAY
    return Fill(
        number=1, at=at, decided_at=at, symbol=symbol, size=size, price=price, open=price,
        commission=cost, slippage=0.0, cost=cost,
    )  # fmt: skip


def bars_of(*prices: tuple[float, float, float, float], symbol: str = "BTC") -> list[Bar]:
    return [
        Bar(
            symbol=symbol, opens_at=START + n * DAY, closes_at=START + (n + 1) * DAY, volume=1.0,
            open=open_, high=high, low=low, close=close,
        )
        for n, (open_, high, low, close) in enumerate(prices)
    ]  # fmt: skip


def test_exposure_turnover_and_the_lows_of_the_day_are_those_of_the_positions():
    # Half of 100 is bought at 50 on the second day, sold short on the fourth after the third's close at 40.
    bars = bars_of((50, 55, 45, 50), (50, 60, 30, 60), (60, 60, 40, 40), (40, 80, 40, 50))
    fills = [trade(1, 1.0, 50.0, 0.5), trade(3, -2.0, 40.0, 1.0)]
    run = equity([100.0, 109.5, 89.5, 78.5], [100.0, 49.5, 49.5, 128.5], fills)
    scores = score_trading(run, PriceHistory({"BTC": bars}), 4, 365, 0.0)
    assert scores.exposure == pytest.approx((0 + 60 / 109.5 + 40 / 89.5 + 50 / 78.5) / 4)
    assert scores.turnover == pytest.approx((50 + 80) / ((100 + 109.5 + 89.5 + 78.5) / 4) * 365 / 4)
    assert scores.break_even_cost_bps == pytest.approx((-21.5 + 1.5) / 130 * 1e4)
    # On the second day the low is 30 below the close; on the fourth a short of 1 has 30 to its high.
    assert scores.max_drawdown_lows == pytest.approx((109.5 - (78.5 - 30)) / 109.5)
    long_only = score_trading(
        equity([100.0, 109.5], [100.0, 49.5], fills[:1]), PriceHistory({"BTC": bars}), 2, 365, 0
    )
    assert long_only.max_drawdown_lows == pytest.approx((100 - (109.5 - 30)) / 100)


def test_positions_that_the_fills_do_not_explain_give_no_drawdown_within_days():
    # A split made 1 unit at 60 into 2 at 30; equity knows, and the fills do not.
    bars = bars_of((60, 60, 60, 60), (30, 31, 29, 30))
    run = equity([100.0, 100.0], [40.0, 40.0], [trade(0, 1.0, 60.0)])
    prices = PriceHistory({"BTC": bars})
    scores = score_trading(run, prices, 2, 365, 0.0)
    assert scores.max_drawdown_lows is None
    assert scores.exposure == pytest.approx(0.6)  # what is not cash, as nothing was sold short
    short = equity([100.0, 100.0], [160.0, 160.0], [trade(0, -1.0, 60.0)])
    assert score_trading(short, prices, 2, 365, 0.0).exposure is None


def test_positions_in_another_currency_are_worth_their_rate():
    bars = bars_of((50, 50, 40, 50), (50, 50, 40, 50))
    run = equity([100.0, 100.0], [75.0, 75.0], [trade(0, 1.0, 50.0)])
    scores = score_trading(run, PriceHistory({"BTC": bars}, lambda _symbol, _at: 0.5), 2, 365, 0.0)
    assert (scores.exposure, scores.max_drawdown_lows) == (pytest.approx(0.25), pytest.approx(0.05))


def test_symbols_and_years_are_scored_apart_with_days_as_clusters():
    rows = [
        scored(n, UP if n % 3 else DOWN, 1.0 if n % 2 else -1.0, symbol=name)
        for n in range(300, 420)
        for name in ("BTC", "ETH")
    ]
    breakdown = compute_breakdown(collect_columns(rows))
    assert list(breakdown["symbol"]) == ["BTC", "ETH"]
    assert {year: scores["n"] for year, scores in breakdown["year"].items()} == {"2024": 134, "2025": 106}
    alone = [row for row in rows if row[0].symbol == "ETH"]
    assert breakdown["symbol"]["ETH"] == compute_breakdown(collect_columns(alone))["symbol"]["ETH"]
    assert breakdown["year"]["2024"]["days"] == 67


def flat(days: int) -> EngineResult:
    return equity([100.0] * days)


SILENT = [
    (Abstention(symbol="BTC", as_of=START + n * DAY, reason="", last_close=100.0), None) for n in range(9)
]
RISING = [scored(n, UP, 1.0) for n in range(30)]
CASES = {
    "nothing": ([], equity([])),
    "all abstentions": (SILENT, flat(9)),
    "one forecast of one day": ([scored(0, UP, 1.0)], equity([101.0], [1.0], [trade(0, 1.0, 100.0, 0.1)])),
    "one pending forecast": ([(scored(0, UP, 1.0)[0], None)], flat(1)),
    "one day of many symbols": ([scored(0, UP, (-1) ** n, symbol=f"S{n}") for n in range(9)], flat(1)),
    "one trade": (RISING, equity([100.0] * 20 + [101.0] * 20, [0.0] * 40, [trade(0, 1.0, 100.0)])),
    "all hits at once": (RISING, equity([100.0 + n for n in range(30)])),
    "all misses, sure of each": ([scored(n, UP, -1.0, confidence=1.0) for n in range(30)], flat(30)),
    "constant forecasts": ([scored(n, UP, (-1) ** n) for n in range(30)], flat(30)),
    "only ties": ([scored(n, UP, 0.0, close=100.0) for n in range(30)], flat(30)),
    "the random walk": ([scored(n, UP, (-1) ** n, close=100.0) for n in range(30)], flat(30)),
    "tokens of some": ([scored(n, UP, (-1) ** n, token=0.9 if n < 2 else None) for n in range(30)], flat(30)),
    "two days": ([scored(n, UP, (-1) ** n) for n in range(2)], equity([101.0, 99.0])),
    "one loss only": (RISING, equity([100.0] * 39 + [99.0])),
    "ruin": (RISING, equity([50.0, -10.0, 5.0], [0.0, 0.0, 0.0])),
    "all is lost": (RISING, equity([100.0] * 25 + [0.0] * 5)),
    "a gain beyond the numbers of a year": (RISING, equity([1e12])),
    "half its life": (RISING, equity([100.0 + n % 5 for n in range(15)] + [100.0] * 15)),
    "opposite twins": (
        [scored(n, UP, 1.0 if s else -1.0, symbol=str(s)) for n in range(30) for s in (0, 1)],
        flat(30),
    ),
}


@pytest.mark.parametrize("benchmark", [None, flat(30), equity([100.0 + n % 3 for n in range(30)])])
@pytest.mark.parametrize("case", CASES)
def test_where_little_is_known_every_metric_is_a_number_or_nothing(case, benchmark):
    rows, engine = CASES[case]
    bars = bars_of(*[(100, 101, 99, 100)] * 40)
    inputs = compute_inputs(
        rows, engine, 365, suspended=0, prices=PriceHistory({"BTC": bars}), benchmark=benchmark, resample=True
    )
    values = collect_metrics(inputs)
    assert [metric.key for metric in METRICS if not metric.optional and metric.key not in values] == []
    for text in (values, compute_breakdown(inputs.columns)):
        json.dumps(text, allow_nan=False)  # neither NaN nor infinity
    for metric in METRICS:
        assert "nan" not in metric.show(values.get(metric.key)).lower()


def undefined(case: str) -> set[str]:
    rows, engine = CASES[case]
    inputs = compute_inputs(
        rows, engine, 365, suspended=0, prices=PriceHistory({"BTC": bars_of(*[(100, 101, 99, 100)] * 40)})
    )
    return {key for key, value in collect_metrics(inputs).items() if value is None}


def test_what_cannot_be_known_is_undefined_and_nothing_else_is():
    tests = {f"pesaran_timmermann{end}" for end in ("", "_p", "_days", "_days_p")} | {"matthews"}
    regression = {"alpha", "beta"}
    assert undefined("constant forecasts") >= tests
    assert "balanced_accuracy" not in undefined("constant forecasts")
    assert {"sharpe", "volatility", "accuracy_low", "close_dm"} <= undefined("one forecast of one day")
    assert undefined("all hits at once") == tests | regression | {
        *("balanced_accuracy", "brier_skill", "accuracy_open", "close_dm", "close_dm_p"),
        *("sortino", "calmar", "profit_factor", "break_even_cost_bps"),
    }
    assert {"accuracy", "brier", "log_score", "close_mae_bps"} <= undefined("all abstentions")
    assert {"close_dm", "close_dm_p"} <= undefined("the random walk")
    assert {"close_mase"} <= undefined("only ties")

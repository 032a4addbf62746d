import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy import stats

from engine.metrics.significance import MIN_DAYS, Conclusion, compute_verdict
from engine.model import Abstention, Direction, Forecast
from engine.outcomes import Outcome, Scored

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def scored(day: int, symbol: str, up: bool | None, rose: bool | None) -> Scored:
    """A forecast (None: an abstention) and an outcome (None: a tie)."""
    as_of = START + day * DAY
    outcome = Outcome(
        symbol=symbol,
        as_of=as_of,
        last_close=100.0,
        next_close=100.0 if rose is None else 101.0 if rose else 99.0,
        known_at=as_of + DAY,
        fill_open=100.0,
        exit_open=None,
        open_known_at=None,
    )
    if up is None:
        return Abstention(symbol=symbol, as_of=as_of, reason="unsure", last_close=100.0), outcome
    direction = Direction.UP if up else Direction.DOWN
    call = Forecast(
        symbol=symbol,
        as_of=as_of,
        direction=direction,
        confidence=0.6,
        close=100.0 + direction.sign,
        last_close=100.0,
    )
    return call, outcome


def make_forecasts(ups: np.ndarray, rises: np.ndarray) -> list[Scored]:
    """Forecasts over days × symbols."""
    return [
        scored(day, f"S{place}", bool(ups[day, place]), bool(rises[day, place]))
        for day in range(rises.shape[0])
        for place in range(rises.shape[1])
    ]


def herd(generator: np.random.Generator, days: int, symbols: int, together: float) -> np.ndarray:
    """Fair coins for each day and symbol that follow the day's own coin with probability `together`."""
    follows = generator.random((days, symbols)) < together
    return np.where(follows, generator.random((days, 1)) < 0.5, generator.random((days, symbols)) < 0.5)


def right(generator: np.random.Generator, rises: np.ndarray, share: float) -> np.ndarray:
    return np.where(generator.random(rises.shape) < share, rises, ~rises)


def test_without_any_edge_better_comes_out_about_once_in_forty_markets() -> None:
    generator = np.random.default_rng(2024)
    better = worse = 0
    for _ in range(300):
        rises, student, baseline = (herd(generator, 40, 5, 0.7) for _ in range(3))
        result = compute_verdict(
            make_forecasts(student, rises), {"coin": make_forecasts(baseline, rises)}
        ).result
        better += result is Conclusion.BETTER
        worse += result is Conclusion.WORSE
    assert better / 300 <= 0.05
    assert worse / 300 <= 0.05
    assert better + worse > 0


def test_choosing_the_best_baseline_makes_better_no_easier() -> None:
    generator = np.random.default_rng(7)
    better = 0
    for _ in range(100):
        rises, student, first, second = (herd(generator, 35, 4, 0.7) for _ in range(4))
        baselines = {"first": make_forecasts(first, rises), "second": make_forecasts(second, rises)}
        better += compute_verdict(make_forecasts(student, rises), baselines).result is Conclusion.BETTER
    assert better / 100 <= 0.05


@pytest.mark.parametrize(("share", "expected"), [(0.75, Conclusion.BETTER), (0.25, Conclusion.WORSE)])
def test_a_large_difference_is_told_from_none(share: float, expected: Conclusion) -> None:
    generator = np.random.default_rng(1)
    rises = herd(generator, 90, 3, 0.5)
    student = make_forecasts(right(generator, rises, share), rises)
    found = compute_verdict(student, {"coin": make_forecasts(right(generator, rises, 0.5), rises)})
    assert found.result is expected
    assert (found.decisions, found.days, found.days_needed) == (270, 90, 90)


@pytest.mark.parametrize(("days", "result"), [(29, Conclusion.INCONCLUSIVE), (30, Conclusion.BETTER)])
def test_fewer_than_thirty_days_are_always_inconclusive(days: int, result: Conclusion) -> None:
    rises = np.ones((days, 2), dtype=bool)
    found = compute_verdict(make_forecasts(rises, rises), {"wrong": make_forecasts(~rises, rises)})
    assert (found.result, found.difference, found.high) == (result, 1.0, 1.0)
    assert found.low is not None
    assert 0 < found.low < 1
    assert found.days_needed == MIN_DAYS


def test_the_interval_is_that_of_paired_differences_with_days_as_clusters() -> None:
    generator = np.random.default_rng(4)
    rises = herd(generator, 50, 4, 0.5)
    student, baseline = right(generator, rises, 0.55), right(generator, rises, 0.5)
    found = compute_verdict(make_forecasts(student, rises), {"coin": make_forecasts(baseline, rises)})
    daily = ((student == rises).astype(float) - (baseline == rises)).mean(axis=1)
    expected = stats.ttest_1samp(daily, 0).confidence_interval(0.95)
    assert found.difference == pytest.approx(daily.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    power = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * daily.std(ddof=1) / abs(daily.mean())
    assert found.result is Conclusion.INCONCLUSIVE
    assert found.days_needed == math.ceil(power**2) > 50


def test_as_many_days_as_needed_show_the_difference_four_times_in_five() -> None:
    generator = np.random.default_rng(6)
    spread = math.sqrt(0.6 * 0.4 + 0.5 * 0.5)
    days = math.ceil(((1.959964 + 0.841621) * spread / 0.1) ** 2 / 2)
    shown = 0
    for _ in range(60):
        rises = herd(generator, days, 2, 0.0)
        student, coin = right(generator, rises, 0.6), right(generator, rises, 0.5)
        shown += (
            compute_verdict(make_forecasts(student, rises), {"coin": make_forecasts(coin, rises)}).result
            is Conclusion.BETTER
        )
    assert 0.65 <= shown / 60 <= 0.93


def test_the_student_is_held_against_the_most_accurate_baseline() -> None:
    generator = np.random.default_rng(3)
    rises = herd(generator, 60, 2, 0.3)
    baselines = {
        name: make_forecasts(right(generator, rises, share), rises)
        for name, share in (("poor", 0.3), ("good", 0.8), ("fair", 0.6))
    }
    found = compute_verdict(make_forecasts(right(generator, rises, 0.6), rises), baselines)
    assert found.baseline == "good"
    assert found.difference is not None
    assert found.difference < 0


def test_a_baseline_that_was_lucky_on_a_few_days_does_not_hide_one_that_spoke_every_day() -> None:
    rises = np.ones((40, 1), dtype=bool)
    half = rises.copy()
    half[::2] = False
    baselines = {"rare": make_forecasts(rises[:5], rises[:5]), "steady": make_forecasts(half, rises)}
    assert compute_verdict(make_forecasts(rises, rises), baselines).baseline == "steady"
    assert compute_verdict(make_forecasts(rises, rises), {"rare": baselines["rare"]}).baseline == "rare"


def test_only_decisions_that_both_have_scored_are_compared() -> None:
    student = [scored(0, "A", True, True), scored(1, "A", None, True), scored(2, "A", True, None)]
    student += [
        scored(3, "A", True, True),
        scored(4, "A", False, True),
        (scored(5, "A", True, True)[0], None),
    ]
    baseline = [scored(day, "A", True, rose) for day, rose in enumerate((True, True, None))]
    baseline += [scored(3, "A", None, True), scored(4, "A", True, True), scored(5, "A", True, True)]
    baseline += [scored(0, "B", True, True)]
    found = compute_verdict(student, {"up": baseline})
    assert (found.decisions, found.days, found.difference) == (2, 2, -0.5)


def test_the_same_forecasts_differ_by_nothing_and_no_number_of_days_would_show_it() -> None:
    rises = herd(np.random.default_rng(9), 60, 2, 0.5)
    student = make_forecasts(herd(np.random.default_rng(10), 60, 2, 0.5), rises)
    found = compute_verdict(student, {"twin": student})
    assert (found.result, found.difference, found.days_needed) == (Conclusion.INCONCLUSIVE, 0.0, None)


def test_nothing_shared_is_inconclusive_without_figures() -> None:
    found = compute_verdict([scored(0, "A", True, True)], {"other": [scored(0, "B", True, True)]})
    assert found.result is Conclusion.INCONCLUSIVE
    assert (found.baseline, found.decisions, found.difference, found.low) == (None, 0, None, None)
    assert compute_verdict([], {}) == found


def test_one_shared_day_has_a_difference_and_no_interval() -> None:
    found = compute_verdict([scored(0, "A", True, True)], {"down": [scored(0, "A", False, True)]})
    assert (found.difference, found.low, found.high, found.days_needed) == (1.0, None, None, None)
    assert found.result is Conclusion.INCONCLUSIVE

"""Verdicts against fixed comparators: how differences are computed, and what they conclude."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from engine.metrics.differences import DEFAULT_COMPARATORS, Forecaster, compute_differences, rise_shares
from engine.metrics.verdicts import Claim, Conclusion, DailyDifferences, conclude
from engine.model import Abstention, Bar, Direction, Forecast
from engine.outcomes import match_outcomes
from engine.trading.records import EquityPoint

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def build_bars(closes: list[float], symbol: str = "A") -> list[Bar]:
    return [
        Bar(
            symbol=symbol,
            timeframe=DAY,
            opens_at=START + place * DAY,
            closes_at=START + (place + 1) * DAY,
            open=close,
            high=close,
            low=close,
            close=close,
            volume=1.0,
        )
        for place, close in enumerate(closes)
    ]


def build_forecast(bar: Bar, close: float, confidence: float = 0.6) -> Forecast:
    return Forecast(
        symbol=bar.symbol,
        as_of=bar.closes_at,
        direction=Direction.UP if close >= bar.close else Direction.DOWN,
        confidence=confidence,
        close=close,
        last_close=bar.close,
    )


def build_marks(values: list[float], exposures: list[float]) -> list[EquityPoint]:
    return [
        EquityPoint(at=START + (place + 1) * DAY, value=value, cash=value * (1 - exposure))
        for place, (value, exposure) in enumerate(zip(values, exposures, strict=True))
    ]


NOBODY = Forecaster(scored=(), marks=(), cash=100.0)


def compare(student, bars, others=None, **comparators):
    others = {"buy_and_hold": NOBODY} | (others or {})
    stated = {Claim(claim): name for claim, name in comparators.items()}
    return compute_differences(student, others, bars, {**DEFAULT_COMPARATORS, **stated}, can_short=False)


def test_the_default_comparators_know_the_share_of_rises_up_to_the_decision_and_no_more():
    bars = {"A": build_bars([100, 110, 105, 105, 126, 120])}
    series = bars["A"]
    shares = rise_shares(bars)
    assert [shares["A", bar.closes_at] for bar in series] == [1 / 2, 2 / 3, 2 / 4, 2 / 4, 3 / 5, 3 / 6]
    calls = [build_forecast(series[1], 108.9), build_forecast(series[3], 126), build_forecast(series[4], 130)]
    student = Forecaster(scored=match_outcomes(calls, bars), marks=(), cash=100.0)
    found = compare(student, bars)
    direction, probability, close = (found[claim] for claim in list(Claim)[:3])
    assert direction.values == pytest.approx([1 - 1 / 3, 1 - 1 / 2, 0 - 3 / 5])
    assert (direction.lows[0], direction.highs[0]) == pytest.approx((-1 / 3, 2 / 3))
    assert probability.values == pytest.approx([(2 / 3) ** 2 - 0.4**2, 0.5**2 - 0.4**2, 0.6**2 - 0.6**2])
    assert close.values == pytest.approx([(5 - 3.9) / 110, 21 / 105, (6 - 10) / 126])
    assert close.highs == pytest.approx([1.1 / 110, 21 / 105, 4 / 126])
    assert [day.day for day in direction.days] == [3, 5, 6]  # when the outcomes became known


def test_a_tie_counts_for_the_close_alone_and_an_abstention_for_nothing():
    bars = {"A": build_bars([100, 100, 101])}
    first, second, _ = bars["A"]
    abstention = Abstention(symbol="A", as_of=second.closes_at, reason="unsure", last_close=100.0)
    calls = [build_forecast(first, 102), abstention]
    found = compare(Forecaster(scored=match_outcomes(calls, bars), marks=(), cash=100.0), bars)
    assert [len(found[claim].days) for claim in Claim] == [0, 0, 1, 0]
    verdicts = conclude(found)
    assert verdicts[Claim.DIRECTION].result is Conclusion.INCONCLUSIVE
    assert (verdicts[Claim.DIRECTION].days, verdicts[Claim.DIRECTION].difference) == (0, None)


def test_buy_and_hold_is_brought_to_the_students_mean_exposure_so_far():
    student = Forecaster(scored=(), marks=build_marks([100, 103, 103.0], [0.5, 0.5, 0.0]), cash=100.0)
    held = Forecaster(scored=(), marks=build_marks([100, 110, 99.0], [1.0, 1.0, 1.0]), cash=100.0)
    found = compare(student, {}, {"buy_and_hold": held})[Claim.PNL]
    assert found.values == pytest.approx([0.0, 0.03 - 0.5 * 0.1, 0.0 + 0.5 * 0.1])
    assert found.lows == pytest.approx([-0.05, -0.05, -0.1])  # twice the move of a tenth, at half exposure
    plain = compare(student, {}, {"buy_and_hold": held}, pnl="buy_and_hold")[Claim.PNL]
    assert plain.values == pytest.approx([0.0, 0.03 - 0.1, 0.1])


def simulate(seed: int, days: int, share: float, drift: float = 0.5) -> tuple[dict, list[Forecast]]:
    """A market of moves of one per cent, and a student that is right in a share of cases and says 55%."""
    random = np.random.default_rng(seed)
    rises = random.random(days) < drift
    closes = 100 * np.cumprod(np.concatenate([[1.0], np.where(rises, 1.01, 1 / 1.01)]))
    bars = {"A": build_bars([float(close) for close in closes])}
    right = random.random(days) < share
    calls = [
        build_forecast(bar, bar.close * (1.001 if up else 0.999), 0.55)
        for bar, up in zip(bars["A"], np.where(right, rises, ~rises), strict=False)
    ]
    return bars, calls


def conclude_calls(bars, calls, others=None, **comparators):
    student = Forecaster(scored=match_outcomes(calls, bars), marks=(), cash=100.0)
    return conclude(compare(student, bars, others, **comparators))


@pytest.mark.parametrize(("share", "result"), [(0.65, Conclusion.BETTER), (0.35, Conclusion.WORSE)])
def test_a_large_edge_is_found_in_all_three_claims_about_forecasts_with_what_it_rests_on(share, result):
    verdicts = conclude_calls(*simulate(1, 400, share))
    for claim in (Claim.DIRECTION, Claim.PROBABILITY, Claim.CLOSE):
        verdict = verdicts[claim]
        assert verdict.result is result
        assert verdict.e_value >= 20
        assert verdict.raw_e_value >= verdict.e_value
        assert (verdict.days, verdict.level) == (400, 0.05)
        assert verdict.comparator == DEFAULT_COMPARATORS[claim]
        assert 20 <= verdict.days_needed <= 400
        assert verdict.low <= verdict.difference <= verdict.high
    assert verdicts[Claim.PNL].result is Conclusion.INCONCLUSIVE


def test_a_student_like_another_forecaster_but_for_four_calls_has_four_effective_days_and_no_verdict():
    bars, _ = simulate(2, 500, 0.5)
    hold = [build_forecast(bar, bar.close * 1.001, 0.55) for bar in bars["A"][:-1]]
    four = {100, 200, 300, 400}
    lucky = [
        build_forecast(bar, bar.close * (1.001 if after.close > bar.close else 0.999), 0.55)
        if place in four
        else hold[place]
        for place, (bar, after) in enumerate(zip(bars["A"], bars["A"][1:], strict=False))
    ]
    others = {"up": Forecaster(scored=match_outcomes(hold, bars), marks=(), cash=100.0)}
    verdict = conclude_calls(bars, lucky, others, direction="up")[Claim.DIRECTION]
    assert verdict.result is Conclusion.INCONCLUSIVE
    assert verdict.effective_days <= 4
    assert verdict.difference > 0


def test_a_forecaster_of_a_drifting_market_that_always_says_up_is_never_better():
    for seed in range(5):
        bars, _ = simulate(seed, 500, 0.5, drift=0.56)
        always = [build_forecast(bar, bar.close * 1.001, 0.55) for bar in bars["A"][:-1]]
        assert conclude_calls(bars, always)[Claim.DIRECTION].result is not Conclusion.BETTER


def test_days_needed_is_given_while_an_edge_is_seen_and_shrinks_with_the_edge_that_is_seen():
    weak, strong = (
        conclude_calls(*simulate(seed, 60, share))[Claim.DIRECTION] for seed, share in ((5, 0.55), (5, 0.62))
    )
    assert weak.result is strong.result is Conclusion.INCONCLUSIVE
    assert weak.days_needed > strong.days_needed > 60
    assert conclude_calls(*simulate(5, 60, 0.4))[Claim.DIRECTION].days_needed is None


def test_right_on_small_moves_and_wrong_on_large_ones_is_better_in_direction_and_not_in_money():
    random = np.random.default_rng(11)
    days = [(START + place * DAY).date() for place in range(1500)]
    right = random.random(1500) < 0.6
    moves = np.where(right, 0.004, 0.0075)
    zeros = np.full(1500, -0.5), np.full(1500, 0.5)
    direction = DailyDifferences(
        comparator="x", days=tuple(days), values=right - 0.5, lows=zeros[0], highs=zeros[1]
    )
    money = DailyDifferences(
        comparator="x",
        days=tuple(days),
        values=np.where(right, moves, -moves),
        lows=zeros[0] / 5,
        highs=zeros[1] / 5,
        guess=np.full(1500, 0.01),
    )
    verdicts = conclude({Claim.DIRECTION: direction, Claim.PNL: money})
    assert verdicts[Claim.DIRECTION].result is Conclusion.BETTER
    assert verdicts[Claim.PNL].result is Conclusion.WORSE

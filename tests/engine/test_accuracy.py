import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.metrics.accuracy import compute_accuracy, is_hit, is_open_hit, proportion_ci, standard_error
from engine.model import Abstention, Direction, Forecast
from engine.outcomes import Outcome, Scored

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def scored(
    day: int,
    direction: Direction,
    next_close: float,
    *,
    symbol: str = "BTC",
    opens: tuple[float, float | None] = (100.0, None),
    confidence: float = 0.6,
    close: float | None = None,
    token: float | None = None,
) -> Scored:
    as_of = START + day * DAY
    call = Forecast(
        symbol=symbol,
        as_of=as_of,
        direction=direction,
        confidence=confidence,
        close=100.0 + direction.sign if close is None else close,
        last_close=100.0,
        token_probability_up=token,
    )
    outcome = Outcome(
        symbol=symbol,
        as_of=as_of,
        last_close=100.0,
        next_close=next_close,
        known_at=as_of + DAY,
        fill_open=opens[0],
        exit_open=opens[1],
        open_known_at=None if opens[1] is None else as_of + DAY,
    )
    return call, outcome


def by_clusters(clusters: Iterable[tuple[int, int]]) -> list[Scored]:
    return [
        scored(day, Direction.UP, 101.0 if place < hits else 99.0, symbol=f"S{place}")
        for day, (hits, count) in enumerate(clusters)
        for place in range(count)
    ]


UP, DOWN = Direction.UP, Direction.DOWN

clusters_of_days = st.lists(
    st.integers(1, 6).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))),
    min_size=2,
    max_size=40,
)


def test_hits_misses_ties_abstentions_and_pending_forecasts_are_counted_apart() -> None:
    silent = Abstention(symbol="BTC", as_of=START + 4 * DAY, reason="late", last_close=100.0)
    pairs = [
        scored(0, UP, 103.0),
        scored(1, UP, 98.0),
        scored(2, DOWN, 98.0),
        scored(3, DOWN, 100.0),
        (silent, scored(4, UP, 101.0)[1]),
        (silent, None),
        (scored(5, UP, 101.0)[0], None),
    ]
    scores = compute_accuracy(pairs)
    assert (scores.n, scores.days, scores.ties, scores.abstentions, scores.pending) == (3, 3, 1, 2, 1)
    assert scores.accuracy == pytest.approx(2 / 3)
    assert compute_accuracy(reversed(pairs)) == scores


def test_nothing_scored_gives_no_figure() -> None:
    scores = compute_accuracy([])
    assert scores.n == scores.n_open == scores.days == 0
    figures = (scores.accuracy, scores.accuracy_low, scores.accuracy_open, scores.brier, scores.close_mae_bps)
    assert figures == (None,) * 5


def test_direction_is_scored_from_open_to_open_on_its_own() -> None:
    scores = compute_accuracy(
        [
            scored(0, UP, 99.0, opens=(100.0, 101.0)),
            scored(1, DOWN, 100.0, opens=(100.0, 99.0)),
            scored(2, UP, 101.0, opens=(100.0, 99.0)),
            scored(3, UP, 101.0, opens=(100.0, 100.0)),
            scored(4, UP, 101.0, opens=(100.0, None)),
        ]
    )
    assert (scores.n_open, scores.accuracy_open) == (3, pytest.approx(2 / 3))
    assert (scores.n, scores.accuracy) == (4, 0.75)


def test_a_hit_needs_a_forecast_a_known_outcome_and_a_move() -> None:
    silent = Abstention(symbol="BTC", as_of=START, reason="late", last_close=100.0)
    moved = scored(0, UP, 101.0, opens=(100.0, 90.0))
    assert (is_hit(*moved), is_open_hit(*moved)) == (True, False)
    assert is_hit(silent, moved[1]) is None
    assert is_open_hit(silent, moved[1]) is None
    assert is_hit(moved[0], None) is None
    assert is_hit(*scored(0, UP, 100.0)) is None


def test_the_brier_score_is_the_mean_square_of_the_stated_probability_without_ties() -> None:
    pairs = [
        scored(0, UP, 101.0, confidence=0.9),
        scored(1, DOWN, 101.0, confidence=0.8),
        scored(2, DOWN, 99.0, confidence=0.5),
        scored(3, UP, 100.0, confidence=1.0),
    ]
    assert compute_accuracy(pairs).brier == pytest.approx((0.1**2 + 0.8**2 + 0.5**2) / 3)


def test_the_close_error_is_in_basis_points_of_the_last_close_with_ties() -> None:
    pairs = [scored(0, UP, 99.0, close=102.0), scored(1, DOWN, 100.0, close=99.5)]
    assert compute_accuracy(pairs).close_mae_bps == pytest.approx((300 + 50) / 2)


def test_one_day_has_no_interval() -> None:
    scores = compute_accuracy(by_clusters([(3, 5)]))
    assert (scores.accuracy, scores.accuracy_low, scores.accuracy_high) == (0.6, None, None)


def test_days_of_equal_size_give_the_t_interval_of_the_daily_shares() -> None:
    clusters = [(2, 4), (3, 4), (1, 4), (4, 4), (2, 4), (3, 4), (2, 4)]
    expected = stats.ttest_1samp([hits / count for hits, count in clusters], 0).confidence_interval(0.95)
    scores = compute_accuracy(by_clusters(clusters))
    assert (scores.accuracy_low, scores.accuracy_high) == pytest.approx(tuple(expected))


def test_days_of_unequal_size_have_the_standard_error_of_resampled_days() -> None:
    generator = np.random.default_rng(5)
    counts = generator.integers(1, 8, size=150)
    clusters = np.stack([generator.binomial(counts, generator.beta(3, 2, size=150)), counts], axis=1)
    drawn = clusters[generator.integers(0, 150, size=(4000, 150))].sum(axis=1)
    resampled = float(np.std(drawn[:, 0] / drawn[:, 1]))
    assert standard_error(clusters.tolist()) == pytest.approx(resampled, rel=0.05)


def test_the_interval_holds_the_truth_nineteen_times_in_twenty_when_days_share_their_luck() -> None:
    generator = np.random.default_rng(11)
    held = 0
    for _ in range(4000):
        counts = generator.integers(1, 8, size=40)
        clusters = np.stack([generator.binomial(counts, generator.beta(2, 2, size=40)), counts], axis=1)
        low, high = proportion_ci(clusters.tolist()) or (1.0, 0.0)
        held += low <= 0.5 <= high
    assert 0.935 <= held / 4000 <= 0.96


@pytest.mark.parametrize("hits", [0, 1])
def test_days_that_were_all_right_or_all_wrong_give_the_exact_interval_of_as_many_coins(hits: int) -> None:
    exact = stats.binomtest(12 * hits, 12).proportion_ci(0.95, method="exact")
    scores = compute_accuracy(by_clusters([(count * hits, count) for count in (1, 2, 3, 4) * 3]))
    assert scores.accuracy == hits
    assert (scores.accuracy_low, scores.accuracy_high) == pytest.approx((exact.low, exact.high))


def test_days_that_all_show_one_share_do_not_make_it_certain() -> None:
    exact = stats.binomtest(5, 10).proportion_ci(0.95, method="exact")
    assert proportion_ci([(1, 2), (2, 4)] * 5) == pytest.approx((exact.low, exact.high))


@given(clusters_of_days)
@settings(max_examples=60, deadline=None)
def test_an_interval_holds_its_share_and_turns_over_with_it(clusters: list[tuple[int, int]]) -> None:
    share = sum(hits for hits, _ in clusters) / sum(count for _, count in clusters)
    low, high = proportion_ci(clusters) or (math.nan, math.nan)
    assert 0 <= low <= share <= high <= 1
    turned = proportion_ci([(count - hits, count) for hits, count in clusters])
    assert turned == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_days_are_dates_of_utc_and_many_symbols_on_one_day_are_one_cluster() -> None:
    assert compute_accuracy(by_clusters([(3, 5), (0, 2)])).days == 2


def test_a_standard_error_of_one_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="two clusters"):
        standard_error([(1, 2)])


def test_the_token_probability_has_a_brier_score_of_its_own_where_it_is_known():
    known = [
        scored(1, UP, 101.0, confidence=0.6, token=0.9),
        scored(2, DOWN, 101.0, confidence=0.6, token=0.3),
    ]
    scores = compute_accuracy([*known, scored(3, UP, 101.0, confidence=0.6), scored(4, UP, 100.0, token=0.1)])
    assert scores.brier == pytest.approx((0.4**2 + 0.6**2 + 0.4**2) / 3)
    assert scores.brier_token == pytest.approx((0.1**2 + 0.7**2) / 2)
    assert compute_accuracy([scored(3, UP, 101.0)]).brier_token is None

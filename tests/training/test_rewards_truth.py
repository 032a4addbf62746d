"""The best answer in expectation is the truth, whatever the market, and no constant earns anything."""

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.instruments import Costs
from engine.model import Direction
from llm.answers import format_answer
from tests.support.answers_drawn import (
    CONFIDENCES,
    constants,
    markets_of_known_odds,
    quantiles,
    random_answers,
)
from tests.support.experiences_by_hand import make_experience
from training.rewards import LABEL_LIMIT, Weights, brier_score, close_score, compute_reward

DEFAULT = Weights()


def worth(texts, days, weights=DEFAULT):
    """The expected reward of each text over experiences with probabilities."""
    return {
        text: math.fsum(odds * compute_reward(text, day, weights).total for day, odds in days)
        for text in texts
    }


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(market=markets_of_known_odds())
def test_at_default_weights_the_best_answer_states_the_true_probability_within_two_hundredths(market):
    days, stated, true = market
    worths = worth(stated, days)
    assert abs(stated[max(worths, key=worths.get)] - round(true, 2)) <= 0.02 + 1e-9


@given(probability=st.floats(0, 1))
def test_the_brier_part_is_highest_in_expectation_for_the_true_probability(probability):
    grid = [number / 100 for number in range(101)]
    best = max(grid, key=lambda q: probability * brier_score(q, 1) + (1 - probability) * brier_score(q, 0))
    assert abs(best - probability) <= 0.005 + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    returns=st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=12),
    volatility=st.floats(0.005, 0.1),
)
def test_the_close_part_is_highest_in_expectation_for_the_mean_of_the_label(returns, volatility):
    limit = LABEL_LIMIT * volatility
    truth = math.fsum(max(-limit, min(limit, value)) for value in returns) / len(returns)

    def expected(called):
        return math.fsum(close_score(called, came, volatility) for came in returns)

    others = [truth + step * volatility for step in (-9, -2, -0.5, -0.01, 0.01, 0.5, 2, 9)]
    assert all(expected(truth) > expected(other) for other in others)


@pytest.fixture(scope="module")
def random_days():
    """Days without any edge: each return comes with its opposite, so that half rise and the mean is zero."""
    sizes = [abs(z) * 0.03 for z in stats.t(5).ppf(quantiles(14))]
    return [(make_experience(sign * size), 1 / 28) for size in sizes for sign in (1, -1)]


def test_no_constant_answer_earns_more_on_random_days_than_the_base_rate_and_the_last_close(random_days):
    base = format_answer(Direction.UP, 0.5, 100)
    worths = worth([base, *constants(), "", "no idea"], random_days)
    assert max(worths.values()) <= worths[base] + 1e-12
    assert worths[format_answer(Direction.UP, 0.51, 100)] < worths[base]
    assert worths[format_answer(Direction.UP, 0.5, 100.5)] < worths[base]
    assert worths[format_answer(Direction.DOWN, 0.5, 100)] == pytest.approx(worths[base], abs=1e-12)


@pytest.mark.parametrize("rises", [9, 14, 17])
def test_where_rises_are_more_or_less_frequent_no_constant_beats_their_share(rises):
    days = [(make_experience(0.02 if number < rises else -0.02), 1 / 20) for number in range(20)]
    up = rises >= 10
    base = format_answer(Direction.UP if up else Direction.DOWN, max(rises, 20 - rises) / 20, 100)
    worths = worth(
        [base, *(format_answer(d, c, 100) for d, c in product(Direction, CONFIDENCES))], days, Weights(pnl=0)
    )
    assert max(worths, key=worths.get) == base


def test_without_cost_the_best_position_for_the_pnl_part_is_the_strategys_own():
    free = Costs(fee_bps=0, slippage_bps=0, latency_bps=0, borrow_rate=0)
    only_pnl = Weights(brier=0, close=0, pnl=1)
    for probability in (0.3, 0.55, 0.6, 0.7):
        days = [
            (make_experience(0.03 * z * math.sqrt(2 / math.pi), costs=free), odds)
            for z, odds in ((1.0, probability), (-1.0, 1 - probability))
        ]
        stated = dict(random_answers(100.0))
        worths = worth(stated, days, only_pnl)
        assert stated[max(worths, key=worths.get)] == pytest.approx(probability, abs=0.0051)

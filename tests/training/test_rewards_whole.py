"""All that GRPO maximises, the direction's part included, at the recipe's own weights."""

import json
import math
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.model import Direction
from llm.answers import format_answer
from tests.support.answers_drawn import (
    CONFIDENCES,
    INVALID,
    anything,
    constants,
    markets_of_known_odds,
    quantiles,
    random_answers,
    random_days,
    valid_answers,
)
from tests.support.experiences_by_hand import COIN, make_experience
from training.dataset.experience import TrainingSet
from training.grpo.config import GrpoConfig
from training.grpo.reward_functions import create_reward_functions
from training.rewards import CALL_LIMIT, LABEL_LIMIT, MARGIN, PNL_LIMIT, compute_reward, direction_score

RECIPE = GrpoConfig()


def whole(text, day):
    """What TRL sums for one answer: see `reward_funcs` and `reward_weights` in training.grpo.train."""
    return compute_reward(text, day, RECIPE.weights).total + RECIPE.direction * direction_score(text, day)


def worth(texts, odds_of_days):
    return {text: math.fsum(odds * whole(text, day) for day, odds in odds_of_days) for text in texts}


def lasting(p_up, tie, *, sigma=0.03, size=1.0, **situation):
    """A market that never changes and that drifts nowhere: rises, falls and ties, with their chances.

    Of the days that move a share of `p_up` rises; what is rarer is larger, so that the label's mean is zero.
    """
    up, down = p_up * (1 - tie), (1 - p_up) * (1 - tie)
    rise, fall = (size, size * up / down) if up < down else (size * down / up, size)
    drawn = ((rise, up), (-fall, down), (0.0, tie))
    return [(make_experience(z * sigma, volatility=sigma, **situation), odds) for z, odds in drawn if odds]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(market=markets_of_known_odds(ties=(0.0, 0.0, 0.1, 0.4)))
def test_the_best_answer_to_the_whole_reward_states_the_true_probability_within_two_hundredths(market):
    days, stated, true = market
    worths = worth(stated, days)
    assert abs(stated[max(worths, key=worths.get)] - round(true, 2)) <= 0.02 + 1e-9


@settings(max_examples=60, deadline=None)
@given(probability=st.floats(0, 1), tie=st.sampled_from([0.0, 0.3]))
def test_the_direction_part_is_highest_in_expectation_for_the_likelier_direction(probability, tie):
    chances = ((0.02, probability * (1 - tie)), (-0.02, (1 - probability) * (1 - tie)), (0.0, tie))

    def expected(way, confidence):
        text = format_answer(way, confidence, 100)
        return math.fsum(odds * direction_score(text, make_experience(came)) for came, odds in chances)

    up, down = expected(Direction.UP, 0.5), expected(Direction.DOWN, 0.5)
    assert up - down == pytest.approx((2 * probability - 1) * (1 - tie), abs=1e-12)
    assert {expected(Direction.UP, sure) for sure in CONFIDENCES} == {up}


def test_on_random_days_no_constant_answer_earns_more_than_the_base_rate_and_the_last_close():
    sizes = [abs(z) * 0.03 for z in stats.t(5).ppf(quantiles(14))]
    random = [(make_experience(sign * size), 1 / 28) for size in sizes for sign in (1, -1)]
    base = format_answer(Direction.UP, 0.5, 100)
    worths = worth([base, *constants(), "", "no idea"], random)
    assert max(worths.values()) <= worths[base] + 1e-12
    assert worths[format_answer(Direction.DOWN, 0.5, 100)] == pytest.approx(worths[base], abs=1e-12)
    assert worths[format_answer(Direction.UP, 0.51, 100)] < worths[base]
    assert worths[format_answer(Direction.UP, 0.5, 100.5)] < worths[base]


def most_above(rate, true, sigma):
    """How much more than `rate`, the chance `true` in hundredths, any stated confidence can be worth.

    Say c for how far `rate` lies from one half, e for how much farther out it lies than `true`, and d for how
    much nearer to one half an answer lies than `rate`. Where the label's mean is zero no answer earns by its
    close, and the likelier direction is worth at least as much as the other. What remains is the Brier part,
    -(e - d)^2 but for a constant, and what the position costs.

    The weight at x from one half is w = min(2 x sqrt(2/pi) / (lambda sigma), cap). It earns nothing, since
    the mean is zero, and costs lambda kappa w + lambda^2/2 w^2 sigma^2, kappa being the cost of a unit of
    weight; nothing is cut off at `PNL_LIMIT`, as lambda sigma w |z| <= 0.8 sqrt(2/pi) 2.9. Below the cap that
    is s0 x + k x^2 with s0 = 2 sqrt(2/pi) kappa/sigma and k = 4/pi, each times the part's weight. So the
    answer is worth -d^2 + 2 e d + s d - k d^2 more than `rate`, with s = s0 + 2 k c the slope at `rate`: at
    the most (e + s/2)^2 / (1 + k), at d = (e + s/2) / (1 + k). Where the cap holds the position back, less of
    that is saved, or nothing: then -d^2 + 2 e d is left, and d is 0 or at least 0.01, which is 2 |e| or more.
    So too for an answer farther out, with d below zero.
    """
    kappa = COIN.slippage_fraction + COIN.fee_fraction * (1 + COIN.slippage_fraction) + COIN.borrow_rate / 365
    k = RECIPE.weights["pnl"] * 4 / math.pi
    slope = RECIPE.weights["pnl"] * 2 * math.sqrt(2 / math.pi) * kappa / sigma + 2 * k * abs(rate - 0.5)
    return max(0.0, abs(rate - 0.5) - abs(true - 0.5) + slope / 2) ** 2 / (1 + k)


@settings(max_examples=25, deadline=None)
@given(
    p_up=st.floats(0.1, 0.9),
    tie=st.sampled_from([0.0, 0.05, 0.3]),
    size=st.floats(0.3, 2.9),
    sigma=st.floats(0.01, 0.06),
)
@example(p_up=0.875, tie=0.0, size=1.0, sigma=0.03125)  # 0.88 costs a little more than 0.87
@example(p_up=0.496, tie=0.0, size=1.0, sigma=0.03)  # one half in hundredths, and falls are likelier
def test_where_rises_are_more_or_less_frequent_no_constant_earns_more_than_their_share(
    p_up, tie, size, sigma
):
    market = lasting(p_up, tie, size=size, sigma=sigma)
    true = p_up * (1 - tie) + tie / 2
    rate = round(true, 2)
    likelier = Direction.UP if p_up >= 0.5 else Direction.DOWN
    base = format_answer(likelier, rate if p_up >= 0.5 else 1 - rate, 100)
    said = {
        text: stated for close in (97.0, 99.0, 100.0, 101.0, 103.0) for text, stated in random_answers(close)
    }
    worths = worth([base, *said, "", "no idea"], market)
    best = max(said, key=worths.__getitem__)
    assert worths[best] <= worths[base] + most_above(rate, true, sigma) + 1e-12
    # The hundredth nearest to d = (e + s/2) / (1 + k): with e <= 0.005 and s <= 0.0261, d is below 0.018.
    assert abs(said[best] - rate) <= 0.02 + 1e-9
    assert best.endswith('"close": 100.00}')


@pytest.mark.parametrize("p_up", [0.3, 0.45, 0.55, 0.7])
def test_the_other_direction_at_any_confidence_is_worth_less_than_the_base_rates_own(p_up):
    market = lasting(p_up, 0.05)
    rate = p_up * 0.95 + 0.025
    likelier = Direction.UP if rate >= 0.5 else Direction.DOWN
    other = Direction.DOWN if rate >= 0.5 else Direction.UP
    worths = worth([format_answer(way, sure, 100) for way, sure in product(Direction, CONFIDENCES)], market)
    best = max(worths[format_answer(other, sure, 100)] for sure in CONFIDENCES)
    lead = worths[format_answer(likelier, max(rate, 1 - rate), 100)] - best
    assert lead > RECIPE.direction * abs(2 * p_up - 1) * 0.95


@settings(max_examples=150, deadline=None)
@given(day=random_days(), text=valid_answers, junk=st.sampled_from(INVALID[:-1]))
def test_in_all_an_invalid_answer_is_worth_a_margin_less_than_any_valid_one(day, text, junk):
    assert whole(junk, day) <= whole(text, day) - MARGIN + 1e-12


@pytest.mark.parametrize("change", [0.2, 0.0, -0.2])
def test_in_all_only_the_margin_stands_between_an_invalid_answer_and_the_worst_valid_one(change):
    day = make_experience(change, volatility=0.02)
    far = [format_answer(Direction.DOWN, 1.0, 20), format_answer(Direction.UP, 1.0, 999)]
    worst = min(whole(text, day) for text in far)
    assert [whole(text, day) for text in INVALID] == pytest.approx([worst - MARGIN] * len(INVALID))


@settings(max_examples=200, deadline=None)
@given(day=random_days(), text=anything)
def test_the_whole_reward_is_bounded_and_finite_whatever_a_model_writes(day, text):
    weights = RECIPE.weights
    least = -weights["close"] * (LABEL_LIMIT + CALL_LIMIT) ** 2 - weights["pnl"] * PNL_LIMIT - MARGIN
    most = weights["brier"] + weights["pnl"] * PNL_LIMIT + RECIPE.direction
    got = whole(text, day)
    assert direction_score(text, day) in (0.0, 0.5, 1.0)
    assert least - 1e-9 <= got <= most
    json.dumps(got, allow_nan=False)


def test_the_functions_that_trl_calls_add_up_to_the_whole():
    day, other = make_experience(0.02), make_experience(-0.01)
    training = TrainingSet(items=(day, other), cutoff=day.known_at + 3 * day.horizon, embargo=day.horizon)
    texts = [format_answer(Direction.UP, 0.7, 101), format_answer(Direction.DOWN, 0.6, 99), "?"]
    logged = {}
    parts = [
        function(
            prompts=["a", "a", "b"],
            completions=texts,
            completion_ids=[[1], [2], [3]],
            index=[0, 1, 0],
            trainer_state=None,
            log_metric=logged.__setitem__,
        )
        for function in create_reward_functions(training, RECIPE.weights, RECIPE.direction)
    ]
    wanted = [whole(text, item) for text, item in zip(texts, (day, other, day), strict=True)]
    assert [sum(item) for item in zip(*parts, strict=True)] == pytest.approx(wanted, abs=1e-12)
    assert logged["outcome/invalid"] == pytest.approx(1 / 3)
    first, second = (
        compute_reward(text, item, RECIPE.weights) for text, item in zip(texts, (day, other), strict=False)
    )
    assert logged["outcome/brier"] == pytest.approx((first.brier + second.brier) / 2)


def test_each_function_sees_only_what_its_own_choice_decides():
    day = make_experience(0.02)
    training = TrainingSet(items=(day,), cutoff=day.known_at + 3 * day.horizon, embargo=day.horizon)
    texts = [
        format_answer(Direction.UP, 0.7, 101),
        format_answer(Direction.UP, 0.9, 101),
        format_answer(Direction.UP, 0.9, 105),
    ]
    direction, confidence, close = (
        function(texts, texts, index=[0, 0, 0])
        for function in create_reward_functions(training, RECIPE.weights, RECIPE.direction)
    )
    assert direction == [RECIPE.direction] * 3
    assert confidence[0] < confidence[1] == confidence[2]
    assert close[0] == pytest.approx(close[1]) and close[1] != close[2]

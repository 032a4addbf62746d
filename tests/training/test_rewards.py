"""What an answer earns: each part by its formula, invalid answers, and the function that TRL calls."""

import json
import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.instruments import AssetClass
from engine.model import Direction, Forecast
from engine.trading.pnl import trade_cost
from llm.answers import format_answer, parse_answer_text
from tests.support.answers_drawn import INVALID, anything, random_days, valid_answers
from tests.support.experiences_by_hand import (
    SIZING,
    make_experience,
    make_outcome,
    make_trade_context,
    shares,
)
from tests.support.markets import MONDAY, instrument
from training.dataset.counterfactual import simulate_step
from training.rewards import (
    CALL_LIMIT,
    LABEL_LIMIT,
    MARGIN,
    PARTS,
    PNL_LIMIT,
    Reward,
    Weights,
    average_rewards,
    brier_score,
    close_score,
    compute_reward,
    get_completion_text,
    pnl_score,
)

DEFAULT = Weights()


def make_forecast(direction, confidence, close=100.0):
    return Forecast(
        symbol="AAA",
        as_of=MONDAY,
        direction=direction,
        confidence=confidence,
        close=close,
        last_close=100.0,
    )


def test_the_brier_part_is_one_less_the_square_of_what_was_missing():
    assert brier_score(0.7, 1.0) == pytest.approx(0.91)
    assert brier_score(0.7, 0.0) == pytest.approx(0.51)
    got = compute_reward(format_answer(Direction.DOWN, 0.7, 99), make_experience(0.02), DEFAULT)
    assert got.brier == pytest.approx(brier_score(0.3, 1.0))


def test_a_tie_is_half_a_rise():
    assert compute_reward(format_answer(Direction.UP, 0.5, 100), make_experience(0.0), DEFAULT).brier == 1.0
    assert compute_reward(format_answer(Direction.UP, 1.0, 100), make_experience(0.0), DEFAULT).brier == 0.75


def test_the_gain_over_the_base_rate_is_told_and_pays_nothing():
    one, other = (
        compute_reward(format_answer(Direction.UP, 0.8, 101), make_experience(0.02, base_rate=rate), DEFAULT)
        for rate in (0.5, 0.9)
    )
    assert one.brier_gain == pytest.approx(brier_score(0.8, 1) - brier_score(0.5, 1))
    assert other.brier_gain == pytest.approx(brier_score(0.8, 1) - brier_score(0.9, 1))
    assert one.total == other.total


def test_the_close_part_counts_the_miss_in_standard_deviations():
    assert close_score(0.01, -0.02, 0.03) == pytest.approx(-1)
    assert close_score(0.06, 0.0, 0.02) == pytest.approx(-9)
    assert compute_reward(
        format_answer(Direction.UP, 0.6, 101.0), make_experience(0.03), DEFAULT
    ).close == pytest.approx(-4 / 9)


def test_a_wild_day_counts_as_three_standard_deviations_and_a_wild_call_as_five():
    assert close_score(0.0, 0.5, 0.02) == close_score(0.0, 0.06, 0.02) == pytest.approx(-9)
    assert close_score(-0.9, 0.0, 0.02) == close_score(-0.1, 0.0, 0.02) == pytest.approx(-25)
    assert close_score(-0.9, 0.5, 0.02) == pytest.approx(-((LABEL_LIMIT + CALL_LIMIT) ** 2))


def test_a_call_beyond_the_label_limit_still_earns_more_the_nearer_it_comes():
    scores = [close_score(away * 0.02, 0.5, 0.02) for away in (0, 1, 2, 3)]
    assert scores == sorted(scores)
    assert close_score(0.08, 0.0, 0.02) > close_score(0.09, 0.0, 0.02)


def test_a_market_that_did_not_move_has_a_volatility_to_divide_by():
    assert close_score(0.001, 0.0, 0.0) == pytest.approx(-1)


def test_the_return_is_that_of_the_position_the_strategy_would_take():
    day = make_experience(0.04)
    forecast = make_forecast(Direction.UP, 0.6)
    weight = SIZING.weight(forecast, 0.03)
    size = weight * 100_000 / 100
    cost = trade_cost(size, 100, day.trade_context.costs)
    taken = simulate_step(forecast, day.outcome, day.trade_context)
    assert (taken.position, taken.weight) == pytest.approx((size, weight))
    assert taken.net_return == pytest.approx((size * 4 - cost) / 100_000)
    charge = 25 / 2 * (weight * 0.03) ** 2
    assert pnl_score(taken, 0.03, 25) == pytest.approx(25 * (taken.net_return - charge))


def test_a_short_earns_a_fall_and_pays_for_borrowing():
    day = make_experience(-0.04)
    taken = simulate_step(make_forecast(Direction.DOWN, 0.6), day.outcome, day.trade_context)
    assert taken.position < 0 < taken.net_return
    borrowed = -taken.position * 100 * 0.1 / 365
    assert taken.cost == pytest.approx(trade_cost(taken.change, 100, day.trade_context.costs) + borrowed)


def test_only_the_change_of_a_position_is_paid_for():
    forecast = make_forecast(Direction.UP, 0.6)
    fresh = simulate_step(forecast, make_outcome(0.0), make_trade_context())
    kept = simulate_step(forecast, make_outcome(0.0), make_trade_context(position=fresh.position))
    assert kept.change == pytest.approx(0, abs=1e-9)
    assert kept.cost == pytest.approx(0, abs=1e-9)
    assert fresh.cost > 1


def test_a_symbol_that_cannot_be_sold_short_leaves_what_is_held():
    plain = replace(SIZING, shortable=frozenset())
    taken = simulate_step(
        make_forecast(Direction.DOWN, 0.9), make_outcome(-0.1), make_trade_context(sizing=plain)
    )
    assert (taken.position, taken.net_return) == (0.0, 0.0)
    stuck = make_trade_context(instrument=shares(shortable=False), position=5.0)
    assert simulate_step(make_forecast(Direction.DOWN, 0.9), make_outcome(-0.1), stuck).position == 5.0


def test_nobody_buys_at_an_upper_price_limit():
    share = instrument("AAA", asset_class=AssetClass.A_SHARE, lot=100.0, price_limit=0.1)
    gap = replace(make_outcome(0.1), fill_open=110.0, exit_open=115.0)
    assert (
        simulate_step(make_forecast(Direction.UP, 0.9), gap, make_trade_context(instrument=share)).position
        == 0
    )
    free = replace(gap, fill_open=105.0)
    assert (
        simulate_step(make_forecast(Direction.UP, 0.9), free, make_trade_context(instrument=share)).position
        > 0
    )


def test_lots_are_rounded_as_the_engine_rounds_them():
    taken = simulate_step(
        make_forecast(Direction.UP, 0.6), make_outcome(0.01), make_trade_context(instrument=shares(lot=100.0))
    )
    assert taken.position % 100 == 0
    assert taken.position > 0


def test_a_reward_is_the_weighted_sum_of_its_parts_and_a_weight_of_zero_leaves_one_out():
    text, day = format_answer(Direction.UP, 0.8, 102), make_experience(0.01)
    got = compute_reward(text, day, Weights(brier=2, close=0.5, pnl=3))
    assert got.total == pytest.approx(2 * got.brier + 0.5 * got.close + 3 * got.parts["pnl"])
    assert compute_reward(text, day, Weights(close=0, pnl=0)).total == pytest.approx(got.brier)


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_a_weight_that_is_no_number_of_zero_or_more_is_refused(wrong):
    with pytest.raises(ValueError, match="weight pnl"):
        Weights(pnl=wrong)


@pytest.mark.parametrize("text", INVALID)
def test_what_cannot_be_read_is_worth_a_fixed_margin_less_than_the_worst_that_can(text):
    got = compute_reward(text, make_experience(0.02), DEFAULT)
    assert not got.valid
    assert got.total == pytest.approx(DEFAULT.total(got.parts) - MARGIN)
    assert got.net_return == 0


@settings(max_examples=150, deadline=None)
@given(day=random_days(), text=valid_answers, junk=st.sampled_from(INVALID[:-1]))
def test_an_invalid_answer_is_worth_less_than_any_valid_one(day, text, junk):
    good, bad = compute_reward(text, day, DEFAULT), compute_reward(junk, day, DEFAULT)
    assert good.valid
    assert not bad.valid
    assert bad.total <= good.total - MARGIN + 1e-12
    assert bad.brier <= good.brier
    assert bad.close <= good.close + 1e-9
    assert bad.parts["pnl"] <= good.parts["pnl"] + 1e-9


def test_the_worst_valid_answer_is_only_the_margin_above_an_invalid_one():
    day = make_experience(0.2, volatility=0.02)
    worst = compute_reward('{"direction": "down", "confidence": 1.00, "close": 20.00}', day, DEFAULT)
    assert compute_reward("?", day, DEFAULT).total == pytest.approx(worst.total - MARGIN)


def test_all_invalid_answers_are_worth_the_same_so_that_form_alone_earns_nothing():
    assert len({compute_reward(text, make_experience(0.02), DEFAULT).total for text in INVALID}) == 1


@settings(max_examples=250, deadline=None)
@given(day=random_days(), text=anything)
def test_every_reward_is_bounded_and_finite_whatever_a_model_writes(day, text):
    got = compute_reward(text, day, DEFAULT)
    assert 0 <= got.brier <= 1
    assert -((LABEL_LIMIT + CALL_LIMIT) ** 2) - 1e-9 <= got.close <= 0
    assert all(part.low <= got.parts[name] <= part.high for name, part in PARTS.items())
    assert -PNL_LIMIT <= got.parts["pnl"] <= PNL_LIMIT
    least = -DEFAULT["close"] * (LABEL_LIMIT + CALL_LIMIT) ** 2 - DEFAULT["pnl"] * PNL_LIMIT - MARGIN
    assert least - 1e-9 <= got.total <= DEFAULT["brier"] + DEFAULT["pnl"] * PNL_LIMIT
    json.dumps(got.as_json(), allow_nan=False)


def test_an_answer_is_read_as_the_forecaster_reads_it():
    text = format_answer(Direction.UP, 0.64, 100.7)
    got = compute_reward(text, make_experience(0.02), DEFAULT)
    assert got.call == parse_answer_text(text, "AAA", MONDAY, 100.0)


def test_the_parts_of_a_batch_without_one_valid_answer_are_unknown_and_not_zero():
    figures = average_rewards([compute_reward("?", make_experience(0.01), DEFAULT)])
    assert figures["invalid"] == 1
    assert figures["brier"] is None
    json.dumps(figures, allow_nan=False)


def test_a_completion_is_text_or_the_last_chat_message():
    assert get_completion_text("x") == "x"
    assert get_completion_text([{"role": "assistant", "content": "y"}]) == "y"
    with pytest.raises(TypeError, match="neither text nor chat"):
        get_completion_text(3)


def test_the_figures_of_a_reward_are_json_with_the_reason_of_an_invalid_one():
    good = compute_reward(format_answer(Direction.UP, 0.6, 101), make_experience(0.01), DEFAULT)
    assert isinstance(good, Reward)
    assert good.as_json()["reason"] is None
    assert good.as_json()["total"] == good.total
    assert compute_reward("?", make_experience(0.01), DEFAULT).as_json()["reason"] == "not JSON"


def test_a_step_of_several_days_is_borrowed_for_all_of_them():
    held = make_trade_context(position=-100.0)
    day = replace(make_outcome(0.0), open_known_at=MONDAY + timedelta(days=3))
    silent = parse_answer_text("?", "AAA", MONDAY, 100.0)
    assert simulate_step(silent, day, held).cost == pytest.approx(100 * 100 * 0.1 * 3 / 365)

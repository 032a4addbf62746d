"""The gate lets a challenger through that is better beyond luck, and hardly ever one that is not."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DataError, UsageError
from engine.journal.canonical import canonical_json
from engine.model import Abstention, Direction, Forecast
from engine.outcomes import Outcome
from training.benches.gate import LEAD, NO_LEAD, draw_window, measure_gate
from training.promotion.evidence import DecisionPair, measure_evidence, mirrored_control, pair_decisions
from training.promotion.rule import GateRule, GateVerdict, alpha_spent, evaluate_challenger

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
RULE = GateRule()


def outcome(day, symbol="BTC", move=0.01, open_move=None):
    as_of = FIRST + timedelta(days=day)
    moved = move if open_move is None else open_move
    return Outcome(
        symbol=symbol,
        as_of=as_of,
        last_close=100.0,
        next_close=100.0 * (1 + move),
        known_at=as_of + timedelta(days=1),
        fill_open=100.0,
        exit_open=100.0 * (1 + moved),
        open_known_at=as_of + timedelta(days=1),
    )


def forecast(known, up, close=None):
    side = Direction.UP if up >= 0.5 else Direction.DOWN
    return Forecast(
        symbol=known.symbol,
        as_of=known.as_of,
        direction=side,
        confidence=max(up, 1 - up),
        close=close or 100.0 + side.sign * 0.5,
        last_close=100.0,
    )


def silence(known):
    return Abstention(symbol=known.symbol, as_of=known.as_of, reason="late", last_close=100.0)


def window(champion_up, challenger_up, days=30, symbols=("BTC", "ETH")):
    """Closes rise and fall in turn; each side states its P(up) as a function of what then happens."""
    sides = [], []
    for day in range(days):
        for place, symbol in enumerate(symbols):
            move = 0.01 if (day + place) % 2 else -0.01
            known = outcome(day, symbol, move)
            for side, stated in zip(sides, (champion_up, challenger_up), strict=True):
                side.append((forecast(known, stated(move > 0, day)), known))
    return sides


def knowing(confidence, wrong_every=10):
    """Right but for every so many days."""
    return lambda up, day: confidence if up == (day % wrong_every != 0) else 1 - confidence


def wrong(confidence):
    return lambda up, day: 1 - knowing(confidence)(up, day)


def test_a_challenger_that_knows_is_promoted_over_a_champion_that_is_wrong():
    verdict = evaluate_challenger(*window(wrong(0.7), knowing(0.7)), RULE, passed_guards=True)
    assert verdict.promoted
    assert verdict.against == ()
    assert (verdict.days, verdict.decisions) == (30, 60)
    assert verdict.brier_difference == pytest.approx((0.49 - 0.09) * (27 - 3) / 30)
    (reason,) = verdict.reasons
    assert "the Brier score is better by 0.3200 over 30 days" in reason


def test_the_other_way_round_nothing_is_promoted_and_the_reasons_say_why():
    verdict = evaluate_challenger(*window(knowing(0.7), wrong(0.7)), RULE, passed_guards=True)
    assert not verdict.promoted
    assert verdict.against == ("brier", "coin", "accuracy", "close_mae_bps", "open_return")
    assert len(verdict.reasons) == 5
    assert verdict.p_value > 0.99


def test_students_that_say_the_same_are_left_as_they_are():
    verdict = evaluate_challenger(*window(knowing(0.7), knowing(0.7)), RULE, passed_guards=True)
    assert verdict.against == ("brier",)
    assert (verdict.p_value, verdict.brier_difference) == (1.0, 0.0)


def test_a_guard_that_did_not_pass_stops_the_best_challenger():
    verdict = evaluate_challenger(*window(wrong(0.7), knowing(0.7)), RULE, passed_guards=False)
    assert verdict.against == ("guards",)


def test_too_few_days_are_never_enough():
    verdict = evaluate_challenger(*window(wrong(0.9), knowing(0.9), days=19), RULE, passed_guards=True)
    assert verdict.against == ("days",)
    assert "19 days are scored and the rule wants 20" in verdict.reasons
    for days in (0, 1):
        verdict = evaluate_challenger(*window(wrong(0.9), knowing(0.9), days=days), RULE, passed_guards=True)
        assert (verdict.promoted, verdict.p_value, verdict.days) == (False, None, days)


def test_a_challenger_that_only_says_less_is_better_and_stays_out():
    def sure_of_nothing(_up, day):
        return 0.95 if day % 2 else 0.05

    def calm(_up, day):
        return 0.52 if day % 3 else 0.48

    sides = window(sure_of_nothing, calm)
    verdict = evaluate_challenger(*sides, RULE, passed_guards=True)
    assert verdict.brier_difference > 0.1
    assert "coin" in verdict.against
    assert (
        "coin" not in evaluate_challenger(*sides, replace(RULE, coin_level=None), passed_guards=True).against
    )


def test_a_close_error_beyond_the_margin_stops_a_challenger():
    champion, challenger = window(wrong(0.7), knowing(0.7))
    far = [(replace(call, close=100.0 + call.direction.sign * 40.0), known) for call, known in challenger]
    verdict = evaluate_challenger(champion, far, RULE, passed_guards=True)
    assert verdict.against == ("close_mae_bps",)
    assert evaluate_challenger(champion, far, replace(RULE, close_margin=99.0), passed_guards=True).promoted


def test_silence_counts_as_even_chances_and_against_the_margin():
    champion, challenger = window(wrong(0.7), knowing(0.7))
    quiet = [
        (silence(known), known) if i < 2 else (call, known) for i, (call, known) in enumerate(challenger)
    ]
    verdict = evaluate_challenger(champion, quiet, RULE, passed_guards=True)
    assert verdict.against == ("abstentions",)
    assert verdict.measures["abstentions"] == (0.0, 2 / 60)
    assert verdict.decisions == 60
    first = pair_decisions(champion, quiet)[0]
    assert first.challenger == 0.5
    # Silence on its worst days must not make a student look good where the other spoke.
    mute = [(silence(known), known) for _, known in challenger]
    assert not evaluate_challenger(mute, mute, RULE, passed_guards=True).promoted


def test_net_returns_of_the_engine_take_the_place_of_the_open_return():
    sides = window(wrong(0.7), knowing(0.7))
    fine = evaluate_challenger(*sides, RULE, passed_guards=True, net_returns=(0.002, 0.0011))
    assert fine.promoted
    assert fine.measures["net_return"] == (0.002, 0.0011)
    assert "open_return" not in fine.measures
    worse = evaluate_challenger(*sides, RULE, passed_guards=True, net_returns=(0.002, 0.0009))
    assert worse.against == ("net_return",)


def test_ties_and_closes_not_yet_known_count_for_neither():
    tie, pending, known = outcome(0, move=0.0), outcome(1), outcome(2)
    champion = [(forecast(tie, 0.6), tie), (forecast(pending, 0.6), None), (forecast(known, 0.6), known)]
    challenger = [(forecast(tie, 0.7), tie), (forecast(pending, 0.7), None), (forecast(known, 0.7), known)]
    (pair,) = pair_decisions(champion, challenger)
    assert (pair.champion, pair.challenger, pair.up) == (0.6, 0.7, 1.0)


def test_both_must_have_been_asked_the_same_on_the_same_market():
    champion, challenger = window(wrong(0.7), knowing(0.7), days=3)
    with pytest.raises(DataError, match="the challenger has no call"):
        evaluate_challenger(champion, challenger[:-1], RULE, passed_guards=True)
    with pytest.raises(DataError, match="the champion has no call"):
        evaluate_challenger(champion[1:], challenger, RULE, passed_guards=True)
    with pytest.raises(DataError, match="two calls"):
        evaluate_challenger(champion, [*challenger, challenger[0]], RULE, passed_guards=True)
    other = outcome(0, move=0.5)
    with pytest.raises(DataError, match="outcomes differ"):
        evaluate_challenger(champion, [(challenger[0][0], other), *challenger[1:]], RULE, passed_guards=True)


def test_the_order_in_which_calls_are_given_changes_nothing():
    champion, challenger = window(wrong(0.6), knowing(0.6))
    assert evaluate_challenger(
        champion[::-1], challenger[::-1], RULE, passed_guards=True
    ) == evaluate_challenger(champion, challenger, RULE, passed_guards=True)


def test_rule_and_verdict_are_json_and_the_rule_comes_back():
    rule = GateRule(level=0.001, min_days=25)
    assert GateRule(**json.loads(canonical_json(rule.as_json()))) == rule
    verdict = evaluate_challenger(*window(wrong(0.7), knowing(0.7)), rule, passed_guards=True)
    read = json.loads(canonical_json(verdict.as_json()))
    assert (read["promoted"], read["level"], read["p_value"]) == (True, 0.001, verdict.p_value)
    assert isinstance(verdict, GateVerdict)


@pytest.mark.parametrize(
    "wrong_rule", [{"level": 0.0}, {"level": 0.0021}, {"coin_level": 1.0}, {"min_days": 1}]
)
def test_a_rule_that_promises_nothing_is_refused(wrong_rule):
    with pytest.raises(UsageError, match="gate"):
        GateRule(**wrong_rule)


def test_levels_of_all_gates_add_up_to_what_may_be_spent():
    open_ended = [alpha_spent(number) for number in range(1, 5001)]
    assert GateRule(level=open_ended[0]).level == 0.002
    assert max(open_ended) == open_ended[0]
    assert math.fsum(open_ended[:25]) == pytest.approx(0.05 * 25 / 49)
    # From gate 1,072 on each spends the smallest p-value of the test: all 5,000 exceed the total by 0.003.
    assert math.fsum(open_ended[:1071]) < 0.05
    assert math.fsum(open_ended) < 0.053
    assert math.fsum(alpha_spent(number, planned=100) for number in range(1, 101)) == pytest.approx(0.05)
    assert alpha_spent(3, planned=5) == 0.002
    for number, planned in ((0, None), (6, 5)):
        with pytest.raises(UsageError, match="plan more gates"):
            alpha_spent(number, planned=planned)


@pytest.mark.parametrize("levels", [{"number": 1_072}, {"number": 1, "planned": 1_000_000}])
def test_no_number_of_gates_closes_the_gate_for_ever(levels):
    """A challenger beyond doubt, which none of a million draws of luck matches, passes at any gate."""
    sure = [
        DecisionPair(
            day=FIRST.date() + timedelta(days=day), champion=0.5, challenger=0.95, up=float(day != 7)
        )
        for day in range(60)
    ]
    level = alpha_spent(**levels)
    assert measure_evidence(sure, level, seed=1).p_value <= GateRule(level=level).level


def pairs_drawn(random, champion, challenger, chance, days, symbols=1):
    day = FIRST.date()
    return [
        DecisionPair(
            day=day + timedelta(days=number),
            champion=champion,
            challenger=challenger,
            up=float(random.random() < chance),
        )
        for number in range(days)
        for _ in range(symbols)
    ]


def test_a_lucky_run_of_an_overconfident_student_is_no_proof():
    lucky = [
        DecisionPair(day=FIRST.date() + timedelta(days=d), champion=0.5, challenger=0.9, up=1.0)
        for d in range(20)
    ]
    unlucky = [replace(lucky[0], up=0.0), *lucky[1:]]
    evidence = measure_evidence(unlucky, 0.001, seed=1)
    assert evidence.p_days < 0.001  # what Student's t alone would have called proof
    assert evidence.p_break_even == pytest.approx(0.7**20 + 20 * 0.7**19 * 0.3, rel=0.3)
    assert evidence.p_value > 0.001


def test_the_level_holds_where_students_t_alone_breaks_it():
    random = np.random.default_rng(5)
    alone = both = 0
    for _ in range(1500):
        evidence = measure_evidence(pairs_drawn(random, 0.5, 0.9, 0.7, 20), 0.002, seed=1)
        alone += evidence.p_days <= 0.002
        both += evidence.p_value <= 0.002
    assert alone >= 6
    assert both <= 5


def test_days_on_which_all_symbols_moved_as_one_are_no_more_than_one_piece_of_evidence():
    random = np.random.default_rng(6)
    day = FIRST.date()
    ups = [float(random.random() < 0.8) for _ in range(20)]
    single = [
        DecisionPair(day=day + timedelta(days=d), champion=0.5, challenger=0.8, up=up)
        for d, up in enumerate(ups)
    ]
    twelve = [pair for pair in single for _ in range(12)]
    single_day, many = measure_evidence(single, 0.5, seed=1), measure_evidence(twelve, 0.5, seed=1)
    assert many.p_days == pytest.approx(single_day.p_days)
    assert many.p_break_even == pytest.approx(single_day.p_break_even, abs=0.1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.floats(0, 1), st.floats(0, 1), st.booleans()), min_size=2, max_size=40
    )
)
def test_evidence_is_a_probability_and_turns_over_with_the_sides(rows):
    pairs = [
        DecisionPair(day=FIRST.date() + timedelta(days=d), champion=a, challenger=b, up=float(up))
        for d, a, b, up in rows
    ]
    turned = [replace(pair, champion=pair.challenger, challenger=pair.champion) for pair in pairs]
    if len({pair.day for pair in pairs}) < 2:
        with pytest.raises(ValueError, match="two days"):
            measure_evidence(pairs, 0.05, seed=1)
        return
    evidence, reverse = measure_evidence(pairs, 0.05, seed=1), measure_evidence(turned, 0.05, seed=1)
    assert 0.0 <= evidence.p_value <= 1.0
    assert evidence.difference == pytest.approx(-reverse.difference, abs=1e-12)
    # Each is at least its p over days, and those two are one in all: the means only change their sign.
    assert evidence.p_value + reverse.p_value >= 1 - 1e-12
    mirror = measure_evidence(mirrored_control(pairs), 0.05, seed=1)
    assert -1.0 <= mirror.difference <= 1.0


def test_on_made_up_windows_the_gate_promotes_where_there_is_a_lead_and_nowhere_else():
    measured = measure_gate(5, 3, days=(30,))
    assert sum(share["promoted"] for share in measured["false"].values()) == 0
    assert measured["right"]["reversed market, 30 days"]["promoted"] >= 0.6
    sure = measured["false"]["no edge, champion sure of itself, 30 days"]
    assert sure["against"]["coin"] >= 0.6  # better in Brier, and still no knowledge
    assert measure_gate(2, 3, days=(20,)) == measure_gate(2, 3, days=(20,))


@pytest.mark.parametrize("name", [*NO_LEAD, *LEAD])
def test_made_up_windows_are_right_as_often_as_they_assume(name):
    assumed = (NO_LEAD | LEAD)[name]
    champion, challenger = draw_window(assumed, 150, np.random.default_rng(2))
    pairs = pair_decisions(champion, challenger)
    right = np.mean([(pair.challenger > 0.5) == (pair.up > 0.5) for pair in pairs])
    low, high = assumed.challenger
    assert 0.5 + 0.25 * low - 0.06 < right < 0.5 + 0.25 * high + 0.06

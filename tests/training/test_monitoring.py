import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.monitoring.guards import EvalMetrics, GuardLimits, find_alarms, find_violations

LIMITS = GuardLimits(grace=10)

SOUND = EvalMetrics(
    step=20,
    invalid=0.005,
    dead_groups=0.0,
    kl=0.1,
    reward=0.7,
    abstentions=0.0,
    one_class=0.6,
    confidence_spread=0.15,
    brier=0.2,
    brier_over_base=(-0.04, 0.02),
    brier_over_start=(-0.1, 0.02),
    close_spread=0.4,
    close_error=0.9,
    close_over_still=(-0.05, 0.1),
)

UNSOUND = {
    "invalid answers": {"invalid": 0.03},
    "dead groups": {"dead_groups": 0.8},
    "KL": {"kl": 5.0},
    "abstentions": {"abstentions": 0.05},
    "one class": {"one_class": 0.95},
    "spread of confidence": {"confidence_spread": 0.001},
    "Brier over base rate": {"brier_over_base": (0.08, 0.02)},
    "Brier over start": {"brier_over_start": (0.08, 0.02)},
    "spread of close": {"close_spread": 0.0},
    "error of close": {"close_over_still": (0.5, 0.1)},
}


def guards(vitals: EvalMetrics) -> set[str]:
    return {breach.guard for breach in find_violations(vitals, LIMITS)}


def looks(*states: EvalMetrics) -> list[EvalMetrics]:
    return [replace(state, step=10 * number) for number, state in enumerate(states)]


def stopping_guards(history: list[EvalMetrics]) -> set[str]:
    return {breach.guard for breach in find_alarms(history, LIMITS)}


def test_a_sound_state_passes_every_guard() -> None:
    assert guards(SOUND) == set()


@pytest.mark.parametrize(("guard", "change"), UNSOUND.items())
def test_each_guard_names_its_own_breach(guard: str, change: dict[str, object]) -> None:
    assert guards(replace(SOUND, **change)) == {guard}


@pytest.mark.parametrize(("guard", "change"), UNSOUND.items())
def test_a_breach_that_stays_stops_the_training_after_the_grace(
    guard: str, change: dict[str, object]
) -> None:
    ill = replace(SOUND, **change)
    assert stopping_guards(looks(SOUND, ill)) == set()
    assert stopping_guards(looks(SOUND, ill, ill)) == {guard}


def test_a_close_that_moves_too_far_is_as_bad_as_one_that_never_moves() -> None:
    assert guards(replace(SOUND, close_spread=3.0)) == {"spread of close"}


def test_a_student_whose_world_turned_over_may_recover() -> None:
    states = [
        replace(SOUND, brier_over_base=(excess, 0.03), invalid=invalid)
        for excess, invalid in [(0.2, None), (0.15, 0.06), (0.12, 0.05), (0.07, 0.03), (0.01, 0.01)]
    ]
    history = looks(*states)
    for seen in range(1, len(history) + 1):
        assert stopping_guards(history[:seen]) == set()
    assert guards(history[-1]) == set()


def test_a_student_that_gets_worse_and_worse_is_stopped() -> None:
    states = [replace(SOUND, brier_over_start=(worse, 0.01)) for worse in (0.0, 0.03, 0.05)]
    assert stopping_guards(looks(*states)) == {"Brier over start"}


def test_a_breach_in_another_guard_is_not_the_one_before() -> None:
    other = replace(SOUND, kl=2.0)
    assert stopping_guards(looks(SOUND, other, replace(SOUND, one_class=1.0))) == set()


def test_noise_is_no_breach() -> None:
    assert guards(replace(SOUND, brier_over_base=(0.05, 0.03), brier_over_start=(0.05, 0.03))) == set()
    assert guards(replace(SOUND, brier_over_base=(0.05, math.inf))) == set()


@pytest.mark.parametrize(
    "name", ["invalid", "dead_groups", "kl", "reward", "one_class", "confidence_spread", "close_spread"]
)
def test_a_figure_that_is_no_number_stops_the_training_at_once(name: str) -> None:
    assert len(find_alarms([replace(SOUND, step=1, **{name: math.nan})], LIMITS)) == 1


def test_a_reward_or_a_kl_without_bound_stops_the_training_at_once() -> None:
    for name in ("reward", "kl"):
        assert len(find_alarms([replace(SOUND, step=1, **{name: math.inf})], LIMITS)) == 1


def test_nothing_is_said_before_the_first_look() -> None:
    assert find_alarms([], LIMITS) == ()


@given(
    values=st.lists(st.floats(min_value=0, max_value=1, allow_nan=False), min_size=4, max_size=4),
    step=st.integers(min_value=0, max_value=9),
)
def test_no_finite_state_stops_a_training_within_the_grace(values: list[float], step: int) -> None:
    invalid, dead, one_class, spread = values
    state = replace(
        SOUND, step=step, invalid=invalid, dead_groups=dead, one_class=one_class, confidence_spread=spread
    )
    assert find_alarms([state, state], LIMITS) == ()


@given(mean=st.floats(-1, 1), error=st.floats(0, 1), more=st.floats(0, 1))
def test_a_larger_difference_is_never_less_of_a_breach(mean: float, error: float, more: float) -> None:
    smaller = "Brier over base rate" in guards(replace(SOUND, brier_over_base=(mean, error)))
    larger = "Brier over base rate" in guards(replace(SOUND, brier_over_base=(mean + more, error)))
    assert larger or not smaller


def test_vitals_are_plain_json_even_where_they_are_no_numbers() -> None:
    told = json.loads(json.dumps(replace(SOUND, kl=math.nan).as_json(), allow_nan=False))
    assert told["kl"] is None
    assert told["brier_over_base"] == [-0.04, 0.02]

"""What a student may learn from, and that nothing too new can get in."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from engine.errors import DataError, StudentError, UsageError
from engine.fx import FxRates
from engine.model import Abstention
from engine.timeline import build_observations
from tests.support.experiences_by_hand import build_all_experiences, make_facts
from tests.support.markets import DAY, MONDAY, instrument, stock
from training.dataset.experience import (
    Experience,
    TrainingSet,
    build_experiences,
    find_longest_horizon,
    require_disjoint,
    require_past,
)

INSTANT = timedelta(microseconds=1)


@contextmanager
def expect_refusal(error, *words):
    """Refused by one line that holds these words."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_a_decision_becomes_experience_once_the_open_that_ends_its_step_is_known():
    given = make_facts(days=9)
    experiences = build_all_experiences(given)
    assert [item.key for item in experiences] == [("AAA", MONDAY + (6 + n) * DAY) for n in range(2)]
    last = experiences[-1]
    assert last.known_at == MONDAY + 8 * DAY
    assert last.outcome.exit_open == given["bars"]["AAA"][8].open
    assert last.trade_context.fill_at == given["bars"]["AAA"][7].opens_at
    assert last.trade_context.price == last.observation.last_close


def test_what_comes_later_changes_nothing_of_an_earlier_experience():
    long, short = make_facts(days=15), make_facts(days=15)
    short["bars"] = {"AAA": long["bars"]["AAA"][:10]}
    assert build_all_experiences(short) == build_all_experiences(long)[: len(build_all_experiences(short))]
    assert len(build_all_experiences(short)) == 3


def test_the_base_rate_is_the_share_of_rises_known_at_the_decision():
    given = make_facts(days=9)
    first = build_all_experiences(given)[0]
    closes = [bar.close for bar in given["bars"]["AAA"] if bar.closes_at <= first.observation.as_of]
    ups = sum(b > a for a, b in pairwise(closes))
    moves = sum(b != a for a, b in pairwise(closes))
    assert first.base_rate == (ups + 1) / (moves + 2)


def test_a_close_before_a_gap_is_no_experience_because_its_order_would_have_expired():
    given = make_facts(days=14)
    given["bars"] = {"AAA": [bar for n, bar in enumerate(given["bars"]["AAA"]) if n != 8]}
    keys = [item.observation.as_of for item in build_all_experiences(given)]
    assert MONDAY + 7 * DAY in keys
    assert MONDAY + 8 * DAY not in keys
    assert MONDAY + 10 * DAY in keys


def test_a_foreign_price_is_sized_and_settled_in_the_base_currency():
    given = make_facts(instruments={"AAA": instrument("AAA", shortable=True, currency="EUR")})
    item = build_all_experiences(given | {"rates": FxRates(base="USD", constants={"EUR": 1.5})})[0]
    assert item.trade_context.price == item.observation.last_close * 1.5
    assert (item.trade_context.fill_rate, item.trade_context.exit_rate) == (1.5, 1.5)


def test_parts_of_different_decisions_make_no_experience():
    first, second = build_all_experiences(make_facts())[:2]
    with pytest.raises(ValueError, match="different decisions"):
        replace(first, outcome=second.outcome)
    other = Abstention(symbol="BBB", as_of=first.key[1], reason="", last_close=1.0)
    with pytest.raises(ValueError, match="different decisions"):
        replace(first, call=other)
    with pytest.raises(ValueError, match="has not ended"):
        replace(first, outcome=replace(first.outcome, exit_open=None, open_known_at=None))


def test_an_item_is_admitted_only_if_its_outcome_and_the_embargo_lie_before_the_cut_off():
    (item, *_) = experiences = build_all_experiences(make_facts())
    just = item.known_at + DAY
    with expect_refusal(DataError, "no outcome was known 1 days before"):
        TrainingSet.select(experiences, cutoff=just, embargo=DAY)
    assert TrainingSet.select(experiences, cutoff=just + INSTANT, embargo=DAY).items == (item,)


def test_a_planted_future_experience_is_refused_however_the_set_is_made():
    experiences = build_all_experiences(make_facts())
    cutoff = experiences[2].known_at + DAY
    honest = TrainingSet.select(experiences, cutoff=cutoff, embargo=DAY)
    planted = experiences[2]
    with expect_refusal(DataError, "AAA at", f"{planted.key[1]:%Y-%m-%d}", "leave it out"):
        TrainingSet(items=(*honest.items, planted), cutoff=cutoff, embargo=DAY)
    with expect_refusal(DataError, "AAA at"):
        replace(honest, items=(planted,))
    with expect_refusal(DataError, "AAA at"):
        replace(honest, cutoff=honest.items[-1].known_at)


def test_the_open_that_ends_the_step_must_be_known_in_time_too():
    item = build_all_experiences(make_facts())[0]
    late = replace(item, outcome=replace(item.outcome, open_known_at=item.known_at + 3 * DAY))
    cutoff = item.known_at + DAY + INSTANT
    assert TrainingSet(items=(item,), cutoff=cutoff, embargo=DAY).items == (item,)
    with expect_refusal(DataError, "AAA"):
        TrainingSet(items=(late,), cutoff=cutoff, embargo=DAY)


def test_an_embargo_shorter_than_the_horizon_is_refused():
    experiences = build_all_experiences(make_facts())
    far = MONDAY + 400 * DAY
    for embargo in (DAY - INSTANT, timedelta(0), -DAY):
        with expect_refusal(UsageError, "shorter than the horizon of AAA", "at least 1 days"):
            TrainingSet.select(experiences, cutoff=far, embargo=embargo)
        with expect_refusal(UsageError, "shorter than the horizon of AAA"):
            TrainingSet(items=tuple(experiences), cutoff=far, embargo=embargo)


def test_a_weekend_makes_the_horizon_three_days_and_the_embargo_with_it():
    prices = [(100 + n % 3, 100 + (n * 7) % 5) for n in range(20)]
    bars = [bar for bar in stock("SSS", *prices) if bar.opens_at.weekday() < 5]
    given = make_facts(
        bars={"SSS": bars},
        instruments={"SSS": instrument("SSS", calendar="NEW YORK")},
        costs={"SSS": make_facts()["costs"]["AAA"]},
    )
    experiences = build_experiences(
        build_observations(given["bars"], [], window=6, start=MONDAY - DAY), **given
    )
    assert find_longest_horizon(experiences) == 3 * DAY
    with expect_refusal(UsageError, "horizon of SSS", "at least 3 days"):
        TrainingSet.select(experiences, cutoff=MONDAY + 400 * DAY, embargo=DAY)
    assert TrainingSet.select(experiences, cutoff=MONDAY + 400 * DAY, embargo=3 * DAY).items == tuple(
        experiences
    )


def test_items_are_kept_in_the_order_of_time_whatever_order_they_came_in():
    experiences = build_all_experiences(make_facts())
    far = MONDAY + 400 * DAY
    assert TrainingSet.select(reversed(experiences), cutoff=far, embargo=DAY).items == tuple(experiences)
    since = experiences[2].key[1]
    assert TrainingSet.select(experiences, cutoff=far, embargo=DAY, since=since).items == tuple(
        experiences[2:]
    )


def test_an_adapter_from_the_future_is_refused():
    with expect_refusal(StudentError, "adapter good", "2024-01-01 00:00", "choose an older adapter"):
        require_past("good", MONDAY + INSTANT, MONDAY)
    require_past("good", MONDAY, MONDAY)


def test_a_test_window_inside_the_training_window_is_refused():
    with expect_refusal(UsageError, "2024-01-05", "2024-01-01 00:00 to 2024-01-11 00:00"):
        require_disjoint(MONDAY, MONDAY + 10 * DAY, MONDAY + 4 * DAY)
    with expect_refusal(UsageError, "test window"):
        require_disjoint(MONDAY, MONDAY + 10 * DAY, MONDAY + 10 * DAY - INSTANT)
    require_disjoint(MONDAY, MONDAY + 10 * DAY, MONDAY + 10 * DAY)


def test_an_experience_knows_its_own_horizon():
    item: Experience = build_all_experiences(make_facts())[0]
    assert item.horizon == DAY
    assert find_longest_horizon([]) == timedelta(0)

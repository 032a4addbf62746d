from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.experiences_by_hand import build_all_experiences, make_facts
from tests.support.markets import DAY, MONDAY
from training.dataset.experience import TrainingSet
from training.grpo.prompt_sampling import compute_recency_weights, draw_prompts

ALIKE = [0] * 9


def test_recent_items_weigh_more_by_their_half_life():
    training = TrainingSet.select(build_all_experiences(make_facts()), cutoff=MONDAY + 400 * DAY, embargo=DAY)
    assert compute_recency_weights(training, None) == [1.0] * len(training.items)
    aged = compute_recency_weights(training, 7.0)
    span = (training.items[-1].known_at - training.items[0].known_at) / timedelta(days=7)
    assert aged[-1] / aged[0] == pytest.approx(2**span)
    assert compute_recency_weights(replace(training, cutoff=training.cutoff + 7 * DAY), 7.0)[
        0
    ] == pytest.approx(aged[0] / 2)


def test_items_are_drawn_in_proportion_to_their_weights():
    weights = [0.5, 1.0, 2.0, 4.0]
    counts = Counter(places[0] for places in draw_prompts(weights, ALIKE[:4], steps=4000, prompts=1, seed=1))
    for place, weight in enumerate(weights):
        assert counts[place] / 4000 == pytest.approx(weight / sum(weights), abs=0.03)


def test_a_step_draws_no_item_twice_unless_there_are_too_few():
    assert all(
        len(set(places)) == 5 for places in draw_prompts([1.0] * 9, ALIKE, steps=50, prompts=5, seed=3)
    )
    assert sorted(draw_prompts([1.0] * 3, ALIKE[:3], steps=1, prompts=7, seed=3)[0])[::3] == [0, 1, 2]


def test_each_kind_gets_its_share_in_every_step_and_exactly_over_all():
    kinds = [0] * 50 + [1] * 13 + [2] * 37
    steps = draw_prompts([1.0] * 100, kinds, steps=100, prompts=16, seed=5)
    drawn = [Counter(kinds[place] for place in places) for places in steps]
    assert {len(places) for places in steps} == {16}
    for kind, share in ((0, 0.50), (1, 0.13), (2, 0.37)):
        assert all(abs(count[kind] - 16 * share) < 2 for count in drawn)
        assert sum(count[kind] for count in drawn) == pytest.approx(1600 * share, abs=1)


def test_the_shares_of_the_kinds_go_by_weight():
    steps = draw_prompts([3.0, 3.0, 1.0, 1.0], [0, 0, 1, 1], steps=40, prompts=2, seed=2)
    assert sum(place < 2 for places in steps for place in places) == 60


def test_draws_are_seeded():
    first = draw_prompts([1.0] * 9, ALIKE, steps=3, prompts=5, seed=3)
    assert first == draw_prompts([1.0] * 9, ALIKE, steps=3, prompts=5, seed=3)
    assert first != draw_prompts([1.0] * 9, ALIKE, steps=3, prompts=5, seed=4)

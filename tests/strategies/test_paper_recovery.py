import random

import pytest

from tests.support.paper_sessions import (
    check_replay,
    die_at,
    full_script,
    in_memory,
    kill_after,
    read_digests,
    read_rows,
    replay,
    run_in_child,
)


@pytest.fixture(scope="module")
def uninterrupted():
    for folder in in_memory():
        boundaries = []
        replay(folder, full_script(), ahead=1, at=boundaries.append)
        yield read_digests(folder), len(boundaries), folder


def test_the_trial_session_has_a_bit_of_everything(uninterrupted):
    kinds = {row.kind for row in read_rows(uninterrupted[2])}
    assert {"slice", "command", "quote", "gap", "split", "dividend", "adopted", "history"} <= kinds
    assert {"forecast", "order", "fill", "mark", "step", "risk", "valuation", "progress"} <= kinds
    adapters = [row.payload["adapter"] for row in read_rows(uninterrupted[2], "forecast")]
    assert set(adapters) == {None, "two"}
    steps = [row.payload for row in read_rows(uninterrupted[2], "step")]
    assert sum(step["income"] > 0 for step in steps) == 1


def test_a_session_killed_at_any_boundary_ends_as_the_one_that_was_never_killed(tmp_path, uninterrupted):
    digests, boundaries, _ = uninterrupted
    dice = random.Random(5)
    kills = 0
    while True:
        count = dice.randint(1, boundaries // 4)
        status = run_in_child(lambda: replay(tmp_path, full_script(), ahead=1, at=die_at(count)))  # noqa: B023  # runs at once
        if status == 0:
            break
        assert status == 9
        kills += 1
    assert kills >= 3
    assert read_digests(tmp_path) == digests
    assert check_replay(tmp_path).equal


@pytest.mark.parametrize("boundary", ["after the input", "before the forecast", "after the forecast",
                                      "before the effects", "after the effects"])  # fmt: skip
def test_a_session_killed_at_each_kind_of_boundary_ends_as_the_one_that_was_never_killed(
    tmp_path, uninterrupted, boundary
):
    def killed(count):
        die = die_at(count)
        return lambda: replay(
            tmp_path, full_script(), ahead=1, at=lambda name: die(name) if name == boundary else None
        )

    assert run_in_child(killed(6)) == 9
    assert run_in_child(killed(3)) == 9
    replay(tmp_path, full_script(), ahead=1)
    assert read_digests(tmp_path) == uninterrupted[0]


def test_a_session_killed_with_signal_9_at_any_moment_ends_as_the_one_that_was_never_killed(
    tmp_path, uninterrupted
):
    dice = random.Random(6)
    for _ in range(6):
        if kill_after(dice.uniform(0.05, 0.5), lambda: replay(tmp_path, full_script(), ahead=1)):
            break
    replay(tmp_path, full_script(), ahead=7)
    assert read_digests(tmp_path) == uninterrupted[0]


def test_inputs_committed_ahead_change_nothing(tmp_path, uninterrupted):
    replay(tmp_path, full_script(), ahead=64)
    assert read_digests(tmp_path) == uninterrupted[0]


def test_a_session_that_is_stopped_and_resumed_goes_on_as_if_it_had_not(tmp_path, uninterrupted):
    for limit in (20, 40, 60):
        steps = iter(range(limit))
        session = replay(tmp_path, full_script(), ahead=1, stop=lambda steps=steps: next(steps, None) is None)
        assert session.context is not None
    replay(tmp_path, full_script(), ahead=1)
    assert read_digests(tmp_path) == uninterrupted[0]
    kinds = [row.kind for row in read_rows(tmp_path)]
    assert (kinds.count("session_stopped"), kinds.count("session_resumed")) == (3, 3)


def test_a_finished_session_stays_as_it_is(tmp_path, uninterrupted):
    replay(tmp_path, full_script(), ahead=1)
    before = [(row.kind, row.payload) for row in read_rows(tmp_path)]
    replay(tmp_path, full_script(), ahead=1)
    after = [(row.kind, row.payload) for row in read_rows(tmp_path)]
    assert after[: len(before)] == before
    assert {kind for kind, _ in after[len(before) :]} == {"session_resumed"}

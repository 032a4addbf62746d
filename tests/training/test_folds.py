from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from training.dataset.experience import find_longest_horizon
from training.walkforward.config import Method, WalkForwardConfig
from training.walkforward.folds import build_folds, split_fold

DAY = timedelta(days=1)
FIRST = datetime(2023, 1, 1, tzinfo=UTC)


@given(train=st.integers(1, 200), test=st.integers(1, 90), days=st.integers(1, 900))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_test_windows_join_without_gap_or_overlap_and_end_within_the_history(train, test, days):
    last = FIRST + days * DAY
    windows = WalkForwardConfig(train_days=train, test_days=test)
    if days < train + 2 * test:
        with pytest.raises(UsageError, match=f"has {days} days and two folds need {train + 2 * test}"):
            build_folds(FIRST, last, windows)
        return
    folds = build_folds(FIRST, last, windows)
    assert folds[0].train_from == FIRST
    assert [fold.gate_at for fold in folds[:-1]] == [fold.cutoff for fold in folds[1:]]
    assert folds[-1].gate_at <= last < folds[-1].gate_at + windows.test
    assert all(fold.train_from <= fold.held_from < fold.cutoff < fold.gate_at for fold in folds)


def test_a_longer_step_leaves_days_between_gate_and_next_training():
    folds = build_folds(
        FIRST, FIRST + 200 * DAY, WalkForwardConfig(train_days=50, test_days=20, step_days=50)
    )
    assert [(fold.cutoff - FIRST).days for fold in folds] == [50, 100, 150]
    assert [(fold.gate_at - FIRST).days for fold in folds] == [70, 120, 170]


def test_a_fold_trains_on_nothing_that_was_not_known_an_embargo_before_its_cutoff(all_experiences):
    folds = build_folds(FIRST, FIRST + 106 * DAY, WalkForwardConfig(train_days=40, test_days=30))
    embargo = find_longest_horizon(all_experiences)
    for fold in folds:
        data = split_fold(all_experiences, fold, embargo)
        assert max(item.known_at for item in data.training.items) + embargo < fold.held_from
        assert max(item.known_at for item in data.held_out.items) + embargo < fold.cutoff
        assert min(item.observation.as_of for item in data.training.items) > fold.train_from
        assert min(item.observation.as_of for item in data.held_out.items) > fold.held_from


def test_a_later_future_changes_no_training_set(all_experiences):
    fold = build_folds(FIRST, FIRST + 106 * DAY, WalkForwardConfig(train_days=40, test_days=30))[0]
    past = [item for item in all_experiences if item.known_at < fold.cutoff]
    assert split_fold(all_experiences, fold, DAY) == split_fold(past, fold, DAY)


def test_an_embargo_shorter_than_the_horizon_is_refused(all_experiences):
    fold = build_folds(FIRST, FIRST + 106 * DAY, WalkForwardConfig(train_days=40, test_days=30))[0]
    with pytest.raises(UsageError, match="embargo"):
        split_fold(all_experiences, fold, timedelta(hours=23))


def test_a_window_too_short_for_the_embargo_says_so(all_experiences):
    fold = build_folds(FIRST, FIRST + 106 * DAY, WalkForwardConfig(train_days=8, test_days=30))[0]
    with pytest.raises(UsageError, match=r"fold 1, .* too few outcomes .* larger --train-days"):
        split_fold(all_experiences, fold, 5 * DAY)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"train_days": 0}, "--train-days 0"),
        ({"test_days": 60, "step_days": 30}, "test windows would overlap"),
        ({"recency_half_life": 0.0}, "--recency-half-life"),
        ({"recency_half_life": float("nan")}, "--recency-half-life"),
        ({"held_out": 1.0}, "held_out"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        WalkForwardConfig(**wrong)


def test_supervised_training_stands_beside_grpo_unless_told_otherwise():
    assert WalkForwardConfig().arms == (Method.GRPO, Method.SFT)
    assert WalkForwardConfig(compare=False).arms == (Method.GRPO,)
    assert WalkForwardConfig(method=Method.SFT).arms == (Method.SFT,)
    assert WalkForwardConfig(method=Method.NONE).arms == ()

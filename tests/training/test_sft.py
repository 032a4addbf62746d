import json
import math
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.journal.events import encode
from engine.journal.events.codec import encode_fields
from engine.model import Direction, Forecast
from llm.answers import parse_answer
from llm.model_files import adapter_folder
from llm.student import StudentSettings
from llm.transformers_student import load_student
from tests.support.students import make_small_model
from training.dataset.experience import find_longest_horizon
from training.sft.calibration import (
    CalibrationRow,
    build_target_answer,
    compute_daily_weights,
    fit_calibration,
    move_multiplier,
    sample_examples,
    target_close,
)
from training.sft.train import SftConfig, train_sft
from training.trained_adapter import TrainingJob
from training.walkforward.config import WalkForwardConfig
from training.walkforward.folds import build_folds, split_fold

FIRST = datetime(2023, 1, 1, tzinfo=UTC)


def statements(days, truth, *, stated=None, a_day=10, seed=1):
    """Decisions whose true log-odds are `truth` of what was stated and of momentum."""
    rng = random.Random(seed)
    rows = []
    for day in range(days):
        for _ in range(a_day):
            x, m = rng.gauss(0, 1), rng.uniform(-1, 1)
            p = 1 / (1 + math.exp(-truth(x, m)))
            probability = 1 / (1 + math.exp(-(stated or (lambda x, _: x))(x, m)))
            rows.append(
                CalibrationRow(
                    day=date(2023, 1, 1) + timedelta(days=day),
                    probability_up=probability,
                    momentum=m,
                    went_up=rng.random() < p,
                )
            )
    return rows


def true_probability(rows, truth):
    logit = [math.log(r.probability_up / (1 - r.probability_up)) for r in rows]
    return [1 / (1 + math.exp(-truth(x, r.momentum))) for x, r in zip(logit, rows, strict=True)]


def distance(labels, true):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(labels, true, strict=True)) / len(true))


def test_a_student_that_has_come_to_be_wrong_is_turned_round():
    def truth(x, m):
        return -x + 0.8 * m

    rows = statements(45, truth)
    fit = fit_calibration(rows)
    assert fit.significant
    assert fit.slope < -0.5
    assert fit.momentum > 0.2
    assert distance(fit.probabilities, true_probability(rows, truth)) < 0.08


def test_an_overconfident_student_is_made_modest():
    rows = statements(60, lambda x, _: x / 3, stated=lambda x, _: x)
    fit = fit_calibration(rows)
    assert 0.1 < fit.slope < 0.6


def test_without_anything_to_know_the_label_is_the_base_rate():
    turned = 0
    for seed in range(12):
        fit = fit_calibration(statements(45, lambda *_: 0.0, seed=seed))
        turned += fit.significant
        if not fit.significant:
            assert set(fit.probabilities) == {fit.base_rate}
            assert fit.slope == 0
    assert turned <= 2


def test_a_days_own_outcomes_do_not_make_its_labels():
    rows = statements(40, lambda x, _: x)
    last = rows[-1].day
    other = [replace(r, went_up=not r.went_up) if r.day == last else r for r in rows]
    same = [i for i, r in enumerate(rows) if r.day == last]
    before, after = fit_calibration(rows).probabilities, fit_calibration(other).probabilities
    assert [before[i] for i in same] == [after[i] for i in same]
    assert before != after


@given(
    share=st.floats(0, 1),
    days=st.integers(1, 12),
    stated=st.floats(0, 1),
    half_life=st.one_of(st.none(), st.floats(0.5, 50)),
)
@settings(max_examples=60, deadline=None)
def test_labels_are_probabilities_whatever_was_stated(share, days, stated, half_life):
    rng = random.Random(int(share * 1000))
    dates = [date(2023, 1, 1) + timedelta(days=n // 3) for n in range(3 * days)]
    rows = [
        CalibrationRow(
            day=day,
            probability_up=stated,
            momentum=rng.uniform(-1, 1),
            went_up=rng.choice([None, rng.random() < share]),
            weight=weight,
        )
        for day, weight in zip(dates, compute_daily_weights(dates, half_life), strict=True)
    ]
    fit = fit_calibration(rows)
    assert len(fit.probabilities) == len(rows)
    assert all(0 < label < 1 for label in fit.probabilities)
    assert 0 <= fit.p_value <= 1


def test_a_recent_outcome_weighs_more_by_the_half_life():
    days = [date(2023, 1, 1), date(2023, 1, 11), date(2023, 1, 21)]
    assert compute_daily_weights(days, 10) == [0.25, 0.5, 1.0]
    assert compute_daily_weights(days, None) == [1.0, 1.0, 1.0]


@given(p=st.floats(0, 1), volatility=st.floats(0.001, 0.2))
@settings(deadline=None)
def test_the_implied_close_lies_on_the_side_of_the_probability(p, volatility):
    close = target_close(100.0, p, volatility)
    assert (close - 100) * (p - 0.5) >= 0
    assert 100 * math.exp(-2.2 * volatility) < close < 100 * math.exp(2.2 * volatility)


@given(reach=st.floats(0.1, 1.4), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_reach_of_closes_is_found_from_what_came(reach, seed):
    rng = random.Random(seed)
    implied = [rng.gauss(0, 0.6) for _ in range(2000)]
    came = [reach * item + rng.gauss(0, 0.9) for item in implied]
    assert move_multiplier(implied, came, [1.0] * 2000) == pytest.approx(reach, abs=0.15)
    assert move_multiplier([0.0] * 5, [1.0] * 5, [1.0] * 5) == 1.0


@pytest.fixture(scope="module")
def data(all_experiences):
    fold = build_folds(FIRST, FIRST + timedelta(days=106), WalkForwardConfig(train_days=30, test_days=30))[0]
    return split_fold(all_experiences, fold, find_longest_horizon(all_experiences))


def test_a_taught_answer_is_one_the_student_may_give(data):
    for item in data.training.items[:40]:
        for p in (0.02, 0.31, 0.5, 0.77, 0.98):
            call = parse_answer(build_target_answer(item, p, 0.8), item.observation)
            assert isinstance(call, Forecast)
            assert call.direction is (Direction.UP if p >= 0.5 else Direction.DOWN)
            assert call.probability_up == pytest.approx(p, abs=0.005)


def test_every_item_is_taught_once_before_any_comes_again(data):
    items = data.training.items
    prompts = [str(number) for number in range(len(items))]
    examples = sample_examples(
        items,
        prompts,
        [0.6] * len(items),
        [1.0] * len(items),
        multiplier=1,
        num_examples=2 * len(items),
        seed=1,
    )
    assert sorted(row["prompt"] for row in examples[: len(items)]) == sorted(prompts)
    recent = sample_examples(
        items,
        prompts,
        [0.6] * len(items),
        [0.0] * (len(items) - 1) + [1.0],
        multiplier=1,
        num_examples=20,
        seed=1,
    )
    assert {row["prompt"] for row in recent} == {prompts[-1]}


@pytest.mark.slow
def test_training_writes_a_whole_adapter_twice_the_same_and_goes_on_from_it(data, tmp_path):
    model = make_small_model(tmp_path / "model")
    start = StudentSettings(student=str(model), prompt="compact", batch=32)
    recipe = SftConfig(steps=2, batch=8, rank=4, alpha=8)
    events = []

    def train(name, start):
        job = TrainingJob(
            start=start,
            training=data.training,
            held_out=data.held_out,
            folder=tmp_path / name,
            on_event=lambda payload: events.append((encode(payload, FIRST).kind, encode_fields(payload))),
            on_progress=lambda *_: None,
        )
        return train_sft(job, recipe=recipe)

    first, again = train("first", start), train("again", start)
    assert first.fingerprint == again.fingerprint
    kinds = [kind for kind, _ in events if kind != "training_guard"]
    assert kinds[: len(kinds) // 2] == [
        "training_labels",
        "training_look",
        "training_step",
        "training_step",
        "training_look",
        "training_done",
    ]
    assert json.dumps(events)
    adapter_folder(first.folder)
    stated = json.loads((first.folder / "closecall.json").read_text())
    assert stated == {"prompt": "compact", "released": data.held_out.cutoff.date().isoformat()}
    further = train("further", replace(start, adapter=first.folder))
    assert further.fingerprint != first.fingerprint
    student = load_student(replace(start, adapter=further.folder))
    prompt = student.prompt(data.held_out.items[0].observation)
    assert isinstance(
        parse_answer(student.answer([prompt], lambda *_: None)[0], data.held_out.items[0].observation),
        Forecast,
    )
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]

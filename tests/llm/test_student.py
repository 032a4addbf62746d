"""The transformers student on real models: the shipped one, and small ones of random weights."""

import random
import re
import shutil
from datetime import UTC, datetime

import pytest

from engine.errors import StudentError
from engine.model import Forecast
from engine.timeline import build_observations
from feeds.simulated.market import MarketSettings, simulate
from llm.answers import add_probability, format_answer, parse_answer
from llm.student import Quantization, StudentSettings
from llm.transformers_student import load_student
from strategies.backtest import backtest
from strategies.config_file import load_config
from tests.support.students import make_small_adapter, make_small_model

START = datetime.min.replace(tzinfo=UTC)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def silent(*_progress):
    pass


@pytest.fixture(scope="module")
def seen():
    market = simulate(MarketSettings(seed=11, coins=2, stocks=1, days=90))
    return build_observations(market.bars, market.news, window=21, start=START)


@pytest.fixture(scope="module")
def tiny():
    return load_student(StudentSettings())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_small_model(tmp_path_factory.mktemp("model") / "small")


@pytest.fixture(scope="module")
def adapter(small, tmp_path_factory):
    return make_small_adapter(small, tmp_path_factory.mktemp("adapter") / "lora")


@pytest.mark.slow
def test_the_batched_path_answers_like_one_call_a_prompt(tiny, seen):
    prompts = [tiny.prompt(observation) for observation in seen[:40]]
    answers = [re.sub(', "probability_up".*', "}", answer) for answer in tiny.answer(prompts, silent)]
    assert answers == [tiny.generate([prompt])[0] for prompt in prompts]


@pytest.mark.slow
def test_an_answer_does_not_depend_on_what_else_is_asked(tiny, seen):
    prompts = [tiny.prompt(observation) for observation in seen]
    whole = dict(zip(prompts, tiny.answer(prompts, silent), strict=True))
    for count, batch in ((1, 64), (5, 3), (63, 7), (100, 64)):
        some = random.Random(count).sample(prompts, count)
        student = load_student(StudentSettings(batch=batch))
        assert student.answer(some, silent) == [whole[prompt] for prompt in some]


@pytest.mark.slow
def test_random_weights_keep_to_the_format_and_never_contradict_themselves(small, seen):
    student = load_student(StudentSettings(student=str(small), prompt="compact"))
    answers = student.answer([student.prompt(observation) for observation in seen], silent)
    calls = [parse_answer(answer, observation) for answer, observation in zip(answers, seen, strict=True)]
    assert all(isinstance(call, Forecast) for call in calls)
    assert len(set(answers)) > 1
    for call, answer in zip(calls, answers, strict=True):
        rebased = float(answer.split('"close": ')[1].partition(",")[0])
        assert answer == add_probability(
            format_answer(call.direction, call.confidence, rebased), call.token_probability_up
        )


def test_an_adapter_changes_answers_and_fingerprint_and_is_named(small, adapter, seen):
    plain = load_student(StudentSettings(student=str(small), prompt="compact"))
    adapted = load_student(StudentSettings(student=str(small), prompt="compact", adapter=adapter))
    assert adapted.fingerprint != plain.fingerprint
    assert adapted.name.endswith("+ lora")
    prompts = [plain.prompt(observation) for observation in seen[:64]]
    assert adapted.answer(prompts, silent) != plain.answer(prompts, silent)


@pytest.mark.slow
def test_a_four_bit_student_with_an_adapter_runs_a_backtest_end_to_end(small, adapter, tmp_path):
    flags = {
        "student": str(small),
        "adapter": adapter,
        "quantization": "nf4",
        "prompt": "full",
        "batch": 16,
        "market": {"coins": 1, "stocks": 0, "days": 30},
    }
    run = backtest(load_config(None, flags), data_dir=tmp_path, clock=lambda: NOW)
    assert run.result["forecasts"] == 25
    assert run.result["abstentions"] == 0
    assert "lora" in run.result["student"]


def test_four_bit_weights_are_really_four_bit(small):
    student = load_student(StudentSettings(student=str(small), quantization=Quantization.NF4))
    layer = student.model.model.layers[0].mlp.up_proj
    assert type(layer).__name__ == "Linear4bit"
    assert student.fingerprint != load_student(StudentSettings(student=str(small))).fingerprint


def test_the_fingerprint_follows_the_weights_and_not_the_place(small, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(small, copy)
    first = load_student(StudentSettings(student=str(small))).fingerprint
    assert load_student(StudentSettings(student=str(copy))).fingerprint == first
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert load_student(StudentSettings(student=str(copy))).fingerprint != first


def test_the_weights_are_not_read_before_they_are_needed(seen):
    student = load_student(StudentSettings())
    student.prompt(seen[0])
    assert len(student.fingerprint) == 64
    assert "model" not in vars(student)


@pytest.mark.slow
def test_the_shipped_student_captures_nine_tenths_of_the_edge_on_unseen_markets(tmp_path):
    flags = {"seed": 4242, "market": {"days": 120}}
    result = backtest(load_config(None, flags), data_dir=tmp_path, clock=lambda: NOW).result
    assert result["abstentions"] == 0
    assert result["edge_captured"] >= 0.90
    assert result["scores"]["student"]["brier"] <= result["scores"]["oracle"]["brier"] + 0.01
    assert result["verdicts"]["direction"]["result"] == "better"


@pytest.mark.slow
def test_without_edge_the_verdict_is_not_better(tmp_path):
    flags = {"seed": 4242, "market": {"days": 120, "edge": False}}
    result = backtest(load_config(None, flags), data_dir=tmp_path, clock=lambda: NOW).result
    assert result["edge_captured"] is None
    assert all(verdict["result"] != "better" for verdict in result["verdicts"].values())


def test_weights_with_holes_are_refused_and_never_filled_at_random(small, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(small, tmp_path / "holes")
    weights = tmp_path / "holes" / "model.safetensors"
    kept = {name: value for name, value in load_file(weights).items() if "mlp.up_proj" not in name}
    save_file(kept, weights, metadata={"format": "pt"})
    with pytest.raises(StudentError, match=r"2 weights are missing, .*up_proj"):
        load_student(StudentSettings(student=str(tmp_path / "holes"))).generate(["hello"])

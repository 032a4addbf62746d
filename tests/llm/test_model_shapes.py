"""Models of other families and with other files: each answers and trains, or is refused with the reason."""

import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from engine.errors import StudentError
from engine.instruments import DEFAULT_COSTS
from engine.model import Forecast
from engine.timeline import build_observations
from feeds.simulated.market import MarketSettings, simulate
from llm.answers import parse_answer
from llm.chat import load_tokenizer, takes_system_message
from llm.prompts import TEMPLATES
from llm.student import StudentSettings
from llm.transformers_student import load_student
from strategies.sizing import PositionSizing
from tests.support.own_processes import ran
from tests.support.places import ROOT, SHARED_DATA
from tests.support.students import make_small_model
from tests.support.tables_on_disk import write_bars
from training.dataset.experience import TrainingSet, build_experiences
from training.grpo.config import GrpoConfig
from training.grpo.rollouts import gives_equal_probabilities
from training.grpo.train import train_grpo
from training.lora import LoraShape, add_adapter
from training.sft.train import SftConfig, train_sft
from training.trained_adapter import TrainingJob
from tui.cli.main import run

MAKE_MODELS = SHARED_DATA.with_name("cases") / "12-no-system-role" / "make_models.py"
ANSWERING = ("gemma2", "gemma3like", "gpt2", "llama3", "llama3_sharded", "mistral", "phi3", "qwen2_padded")
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
DROPS_SYSTEM = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")


def silent(_done, _total):
    pass


@pytest.fixture(scope="module")
def market():
    return simulate(MarketSettings(seed=11, coins=1, stocks=0, days=60))


@pytest.fixture(scope="module")
def seen(market):
    start = datetime(2023, 2, 2, tzinfo=UTC)
    return build_observations(market.bars, market.news, window=30, start=start)


@pytest.fixture(scope="module")
def sets(market, seen):
    experiences = build_experiences(
        seen,
        market.bars,
        instruments=market.instruments,
        calendars=market.calendars,
        costs={symbol: DEFAULT_COSTS[i.asset_class] for symbol, i in market.instruments.items()},
        sizing=PositionSizing(risk_aversion=25, cap=0.3, shortable=frozenset()),
    )
    whole = TrainingSet.select(
        experiences, cutoff=datetime(2023, 2, 25, tzinfo=UTC), embargo=timedelta(days=2)
    )
    return replace(whole, items=whole.items[:8]), replace(whole, items=whole.items[8:10])


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    if not MAKE_MODELS.is_file():
        pytest.skip("the shared cases are not on this machine")
    folder = tmp_path_factory.mktemp("shapes")
    ran([sys.executable, MAKE_MODELS, folder], cwd=ROOT, capture_output=True, check=True, seconds=300)
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_small_model(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture
def model(small, tmp_path):
    """A copy that a test may change."""
    return Path(shutil.copytree(small, tmp_path / "model"))


def settings(folder, **more):
    return StudentSettings(student=str(folder), batch=4, **more)


def refuse(folder, data, capsys):
    """Run a backtest that must fail with exit code 3; return its one line."""
    (bars,) = write_bars(data / "bars", "BTC-USD")
    assert run(["backtest", "--bars", str(bars), "--data-dir", f"{data}/d", "--student", str(folder)]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    return line


def answer_and_train(start, seen, sets, folder):
    student = load_student(start)
    answers = student.answer([student.prompt(observation) for observation in seen[:2]], silent)
    assert all(isinstance(parse_answer(*pair), Forecast) for pair in zip(answers, seen[:2], strict=True))
    grpo = GrpoConfig(steps=1, prompts_per_step=2, num_generations=4, forced_prefixes=2, rank=2)
    for number, train in enumerate(
        (partial(train_sft, recipe=SftConfig(steps=1, batch=2, rank=2)), partial(train_grpo, recipe=grpo))
    ):
        job = TrainingJob(
            start=start,
            training=sets[0],
            held_out=sets[1],
            folder=folder / str(number),
            on_event=lambda _event: None,
            on_progress=lambda *_: None,
        )
        adapted = load_student(replace(start, adapter=train(job).folder))
        (answer,) = adapted.answer([adapted.prompt(seen[0])], silent)
        assert isinstance(parse_answer(answer, seen[0]), Forecast)


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERING)
def test_each_shape_answers_and_trains_a_step(shapes, seen, sets, tmp_path, name):
    # Its context is too short for the prompts of larger models.
    prompt = "compact" if name == "gpt2" else None
    answer_and_train(settings(shapes / name, prompt=prompt), seen, sets, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "more"), [("Bloom", {}), ("Mixtral", {"num_local_experts": 2})])
def test_models_without_positions_and_with_experts_answer_and_train(seen, sets, tmp_path, family, more):
    model = make_small_model(tmp_path / "model", family, **more)
    answer_and_train(settings(model, prompt="compact"), seen, sets, tmp_path)


def test_prompts_are_shared_only_where_the_probabilities_stay_the_same(small, tmp_path):
    families = {"Qwen3": small} | {
        family: make_small_model(tmp_path / family, family) for family in ("Bloom", "Mamba")
    }
    equal = {
        family: gives_equal_probabilities(load_student(settings(folder)).model)
        for family, folder in families.items()
    }
    assert equal == {"Qwen3": True, "Bloom": False, "Mamba": False}


def test_a_model_that_takes_no_adapter_answers_and_is_refused_for_training(seen, tmp_path):
    start = settings(make_small_model(tmp_path / "model", "Mamba"), prompt="compact")
    student = load_student(start)
    (answer,) = student.answer([student.prompt(seen[0])], silent)
    assert isinstance(parse_answer(answer, seen[0]), Forecast)
    with pytest.raises(StudentError, match=r"takes no adapter .* use another model for training"):
        add_adapter(student, start, LoraShape())


@pytest.mark.slow
def test_a_template_without_a_system_message_gets_the_prompt_of_one_that_folds_it_by_itself(shapes, seen):
    gemma2, gemma3 = (load_student(settings(shapes / name)) for name in ("gemma2", "gemma3like"))
    assert gemma2.prompt(seen[0]) == gemma3.prompt(seen[0])
    assert "takes no system message" in gemma2.notes[0]
    assert gemma3.notes == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("base_notemplate", "the tokenizer has no chat template; use a chat (instruct) model"),
        ("shard_missing", "model-00002-of-00008.safetensors is missing"),
        ("spm_only", "needs the package sentencepiece, which is not installed; install it"),
    ],
)
def test_a_shape_that_cannot_answer_is_refused_with_the_reason(shapes, tmp_path, capsys, name, reason):
    if name == "spm_only" and importlib.util.find_spec("sentencepiece"):
        pytest.skip("sentencepiece is installed here")
    assert reason in refuse(shapes / name, tmp_path, capsys)


@pytest.mark.slow
def test_a_prompt_that_cannot_fit_into_a_context_is_refused_with_its_size(shapes, seen):
    student = load_student(settings(shapes / "gpt2", prompt="full-v1"))
    reason = r'a prompt of 1,\d+ tokens .* its context of 1,024; set prompt = "compact", or use another model'
    with pytest.raises(StudentError, match=reason):
        student.prompt(seen[0])


@pytest.mark.parametrize("template", [NO_SYSTEM, DROPS_SYSTEM])
def test_a_system_message_that_is_refused_or_dropped_goes_into_the_users(model, seen, template):
    (model / "chat_template.jinja").write_text(template)
    student = load_student(settings(model, prompt="full-v1"))
    system, user = TEMPLATES["full-v1"].messages(seen[0], len(seen[0].news))
    assert student.prompt(seen[0]) == (
        f"<|im_start|>user\n{system['content']}\n\n{user['content']}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert not takes_system_message(load_tokenizer(model), model)


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("asked", "stated"),
    [
        ({"repetition_penalty": 1.3}, "repetition_penalty 1.3"),
        ({"no_repeat_ngram_size": 2, "num_beams": 1}, "no_repeat_ngram_size 2"),
        ({"num_beams": 3, "length_penalty": 2.0}, "num_beams 3"),
        ({"suppress_tokens": [40, 41, 42, 43]}, "suppress_tokens [40, 41, 42, 43]"),
        ({"do_sample": True, "temperature": 0.7, "top_k": 20}, "do_sample True, temperature 0.7, top_k 20"),
    ],
)
def test_what_a_models_generation_config_asks_for_changes_no_answer(small, model, seen, asked, stated):
    change_json(model / "generation_config.json", **asked)
    plain, other = (load_student(settings(folder, prompt="compact")) for folder in (small, model))
    prompts = [plain.prompt(observation) for observation in seen[:8]]
    assert other.answer(prompts, silent) == plain.answer(prompts, silent)
    assert f"its files ask for {stated}, which is ignored" in other.notes[0]
    assert other.model.generation_config.repetition_penalty is None
    assert plain.notes == ()


def test_settings_in_the_configuration_of_an_older_model_change_no_answer_either(small, model, seen):
    (model / "generation_config.json").unlink()
    change_json(model / "config.json", repetition_penalty=1.4, min_length=50)
    plain, other = (load_student(settings(folder, prompt="compact")) for folder in (small, model))
    prompts = [plain.prompt(observation) for observation in seen[:4]]
    assert other.answer(prompts, silent) == plain.answer(prompts, silent)
    assert "ask for min_length 50, repetition_penalty 1.4" in other.notes[0]


def test_padding_with_a_token_that_the_model_does_not_have_changes_no_answer(small, model, seen):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(model)
    plain, other = (load_student(settings(folder, prompt="compact")) for folder in (small, model))
    prompts = [plain.prompt(observation) for observation in seen[:4]]
    assert other.answer(prompts, silent) == plain.answer(prompts, silent)


def test_answers_that_a_penalty_shaped_before_are_not_taken_for_greedy_ones(model):
    from llm.answers import GRAMMAR
    from llm.model_files import fingerprint

    start = settings(model, prompt="compact")
    before = lambda: fingerprint([model], "none", "compact", GRAMMAR, "4", "cpu")  # noqa: E731  # of other files
    change_json(model / "generation_config.json", do_sample=True, temperature=0.6)
    assert load_student(start).fingerprint == before()
    change_json(model / "generation_config.json", repetition_penalty=1.1)
    assert load_student(start).fingerprint != before()


def test_prompts_are_kept_within_a_short_context_by_leaving_headlines_out(model, seen):
    whole = load_student(settings(model, prompt="compact"))
    observation = max(seen, key=lambda seen: len(seen.news))
    longest = whole.count_tokens(whole.prompt(observation))
    change_json(model / "config.json", max_position_embeddings=longest + 63)
    short = load_student(settings(model, prompt="compact"))
    assert short.count_tokens(short.prompt(observation)) < longest
    assert f"its context of {longest + 63:,} tokens limits prompts to {longest - 1:,}" in short.notes[0]


def test_a_file_in_place_of_a_folder_is_refused(tmp_path, capsys):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert "model.gguf: a file, and only folders" in refuse(tmp_path / "model.gguf", tmp_path, capsys)


def test_the_shipped_student_has_nothing_to_note():
    assert load_student(StudentSettings()).notes == ()

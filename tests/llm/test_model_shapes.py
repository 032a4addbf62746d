"""Models of other families and with other files: each answers and trains, or is refused with the reason."""

import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import PreTrainedTokenizerFast

from engine.errors import StudentError, UsageError
from engine.instruments import DEFAULT_COSTS
from engine.model import Forecast
from engine.timeline import build_observations
from feeds.simulated.market import MarketSettings, simulate
from llm.answers import parse_answer
from llm.chat import load_tokenizer, takes_system_message
from llm.loading import load_model
from llm.memory import ModelSize, expected_bytes, require_memory, weights_bytes
from llm.prompts import TEMPLATES
from llm.student import DecodingMode, Quantization, StudentSettings
from llm.transformers_student import load_student
from strategies.sizing import PositionSizing
from tests.support.gguf_models import write_gguf
from tests.support.own_processes import ran
from tests.support.places import ROOT, SHARED_DATA
from tests.support.qwen_shape import qwen_config
from tests.support.students import make_small_adapter, make_small_model
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
ANSWERING = ("gemma2", "gpt2", "llama3_sharded", "mistral", "phi3", "qwen2_padded")
NONE = Quantization.NONE
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
DROPS_SYSTEM = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")


def silent(*_progress):
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
    answer_and_train(settings(shapes / name, prompt="compact"), seen, sets, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "more"),
    [("Bloom", {}), ("Mixtral", {"num_local_experts": 2}), ("Gemma3Text", {"sliding_window": 64})],
)
def test_models_without_positions_with_experts_and_with_windows_answer_and_train(
    seen, sets, tmp_path, family, more
):
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
    reason = r"a prompt of 1,\d+ tokens .* its context of 1,024; use --prompt compact, or name another model"
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


@pytest.mark.parametrize("mode", [DecodingMode.JSON, DecodingMode.THINK])
def test_reasoning_that_a_template_opens_by_itself_is_closed_unless_it_is_asked_for(model, seen, mode):
    opens = CHATML.replace("assistant\n'", "assistant\n<think>\n'")
    (model / "chat_template.jinja").write_text(opens)
    prompt = load_student(settings(model, prompt="compact", mode=mode)).prompt(seen[0])
    assert prompt.endswith("<think>\n" if mode is DecodingMode.THINK else "<think>\n\n</think>\n\n")


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


def test_prompts_are_kept_within_a_short_context_by_leaving_headlines_out(model, seen):
    whole = load_student(settings(model, prompt="compact"))
    observation = max(seen, key=lambda seen: len(seen.news))
    longest = whole.count_tokens(whole.prompt(observation))
    change_json(model / "config.json", max_position_embeddings=longest + 63)
    short = load_student(settings(model, prompt="compact"))
    assert short.count_tokens(short.prompt(observation)) < longest
    assert f"its context of {longest + 63:,} tokens limits prompts to {longest - 1:,}" in short.notes[0]


def test_a_file_in_place_of_a_folder_is_refused(tmp_path, capsys):
    (tmp_path / "model.bin").write_bytes(b"GGUF")
    assert "model.bin: a file, and only folders of safetensors and GGUF" in refuse(
        tmp_path / "model.bin", tmp_path, capsys
    )


def test_a_gguf_file_is_the_model_that_it_was_made_from(small, seen, tmp_path):
    path = write_gguf(small, tmp_path / "small.gguf")
    ids = torch.arange(5, 25)[None]
    plain, packed = load_model(small, None, NONE), load_model(path, None, NONE)
    assert torch.equal(plain(ids).logits, packed(ids).logits)
    student = load_student(settings(path, prompt="compact"))
    (answer,) = student.answer([student.prompt(seen[0])], silent)
    assert isinstance(parse_answer(answer, seen[0]), Forecast)
    assert "<think>" in student.prompt(seen[0])
    loss = add_adapter(student, settings(path), LoraShape(rank=2, alpha=2))(ids, labels=ids).loss
    loss.backward()
    with pytest.raises(StudentError, match="a GGUF file is loaded unquantized"):
        load_model(path, None, Quantization.NF4)


def test_a_gguf_file_of_llama_3_keeps_its_scaling_of_positions_and_another_is_refused(tmp_path):
    rope = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0}
    rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    folder = make_small_model(tmp_path / "llama", "Llama", rope_parameters=rope, tie_word_embeddings=True)
    plain = load_model(folder, None, NONE)
    frequencies = 500_000.0 ** -(np.arange(16) / 16)
    factors = (frequencies / plain.model.rotary_emb.inv_freq.numpy()).astype(np.float32)
    assert factors.max() == pytest.approx(32)
    path = write_gguf(folder, tmp_path / "llama.gguf", "llama", factors)
    ids = torch.arange(5, 205)[None]
    assert torch.allclose(plain(ids).logits, load_model(path, None, NONE)(ids).logits, atol=1e-4)
    other = write_gguf(folder, tmp_path / "other.gguf", "llama", np.sqrt(factors))
    with pytest.raises(StudentError, match="its scaling of positions is not that of Llama 3"):
        load_model(other, None, NONE)


@pytest.mark.parametrize("kind", [Quantization.INT8, Quantization.NF4])
@pytest.mark.parametrize("tied", [True, False])
def test_quantized_weights_take_what_was_calculated_and_answer_nearly_the_same(tmp_path, kind, tied):
    folder = make_small_model(tmp_path / "model", tie_word_embeddings=tied)
    plain, packed = load_model(folder, None, NONE), load_model(folder, None, kind)
    assert weights_bytes(plain) == pytest.approx(expected_bytes(folder, NONE, "float32"), rel=0.01)
    # The tables of nf4 are the same for a layer of any size, so they weigh in one of this size.
    assert weights_bytes(packed) == pytest.approx(expected_bytes(folder, kind, "float32"), rel=0.1)
    ids = torch.arange(5, 25)[None]
    before, after = plain(ids).logits, packed(ids).logits
    assert after.dtype == torch.float32
    assert 0 < (before - after).abs().max() < 0.25 * before.abs().max()


def test_an_eight_bit_answer_does_not_depend_on_the_other_rows(tmp_path):
    model = load_model(make_small_model(tmp_path / "model"), None, Quantization.INT8)
    ids = torch.arange(5, 29).reshape(3, 8)
    together, alone = model(ids).logits[1], model(ids[1:2]).logits[0]
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_shape_of_qwen3_takes_at_most_55_hundredths_of_a_gigabyte_in_four_bits(tmp_path):
    qwen_config().save_pretrained(tmp_path)
    assert 0.5e9 < expected_bytes(tmp_path, Quantization.NF4, "float32") <= 0.55e9
    assert expected_bytes(tmp_path, NONE, "float32") == 4 * 596_049_920


def test_a_model_that_memory_cannot_hold_is_refused_with_what_would_fit(small, monkeypatch):
    size = ModelSize(linear=3 * 10**9, embeddings=10**9, other=0, cached=1_000)
    monkeypatch.setattr("llm.memory.available_bytes", lambda _device: 6 * 10**9)
    with pytest.raises(
        StudentError, match=r"need 16\.0 GB, and 6\.0 GB are free; --quantization int8 needs 5"
    ):
        require_memory(size, NONE, "float32", path=small, device="cpu")
    require_memory(size, Quantization.INT8, "float32", path=small, device="cpu")
    monkeypatch.setattr("llm.memory.available_bytes", lambda _device: 1)
    with pytest.raises(StudentError, match="name a smaller model"):
        load_model(small, None, NONE)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"device": "tpu"}, "--device tpu: there is no such device here; use cpu"),
        ({"dtype": "float8"}, "--dtype float8: no such type; use float32, bfloat16, float16"),
    ],
)
def test_a_device_or_type_that_is_not_here_is_refused_with_the_choices(small, asked, reason):
    with pytest.raises(UsageError, match=reason):
        load_model(small, None, NONE, **asked)


def test_a_model_computes_in_the_type_that_was_asked_for(small):
    model = load_model(small, None, NONE, dtype="bfloat16")
    assert model(torch.arange(5, 25)[None]).logits.dtype == torch.bfloat16


def test_an_adapter_for_another_model_is_refused_before_weights_are_read(small, tmp_path):
    other = make_small_model(tmp_path / "other", num_key_value_heads=2)
    adapter = make_small_adapter(other, tmp_path / "adapter")
    (small_copy := Path(shutil.copytree(small, tmp_path / "copy"))).joinpath("model.safetensors").unlink()
    with pytest.raises(
        StudentError, match=r"an adapter for another model .* name the model that it was trained"
    ):
        load_model(small_copy, adapter, NONE)
    assert load_model(other, adapter, NONE) is not None


def test_a_tokenizer_that_cannot_write_an_answer_back_is_refused(model):
    words = WordPiece({"[UNK]": 0, "up": 1, "{": 2, "[END]": 3}, unk_token="[UNK]")
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), eos_token="[END]").save_pretrained(model)
    with pytest.raises(StudentError, match="its tokenizer turns an answer into"):
        load_student(settings(model))


def test_a_tokenizer_without_a_chat_template_gets_a_plain_one_and_says_so(model, seen):
    (model / "chat_template.jinja").unlink()
    student = load_student(settings(model, prompt="full"))
    system, user = TEMPLATES["full"].messages(seen[0], len(seen[0].news))
    assert student.prompt(seen[0]) == f"{system['content']}\n\n{user['content']}\n\nAnswer:\n"
    assert student.notes == (
        f"Student {model}: its tokenizer has no chat template, so prompts are plain text.",
    )


def test_the_shipped_student_has_nothing_to_note():
    assert load_student(StudentSettings()).notes == ()

"""The decoder: the tree of answers, rows, shared beginnings, memory, and the modes."""

import gc
import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.model import Forecast
from engine.timeline import build_observations
from feeds.simulated.market import MarketSettings, simulate
from llm.answers import GRAMMAR, READOUT_GRAMMAR, format_answer, parse_answer, split_reasoning
from llm.decoding.answer_tree import AnswerTree
from llm.decoding.cache import RowCache
from llm.student import DecodingMode, StudentSettings
from llm.transformers_student import load_student

TINY = StudentSettings()


def silent(*_progress):
    pass


@pytest.fixture(scope="module")
def tiny():
    return load_student(TINY)


@pytest.fixture(scope="module")
def seen():
    market = simulate(MarketSettings(seed=5, days=30))
    return build_observations(market.bars, market.news, window=21, start=datetime.min.replace(tzinfo=UTC))[
        :24
    ]


@pytest.fixture(scope="module")
def prompts(tiny, seen):
    return [tiny.prompt(observation) for observation in seen]


@pytest.fixture(scope="module")
def tree(tiny):
    return AnswerTree(tiny.tokenizer, tiny.model.config.vocab_size, GRAMMAR)


def with_weights(tiny, **changes):
    student = load_student(replace(TINY, **changes))
    student.__dict__["model"] = tiny.model
    return student


@pytest.mark.parametrize(
    "answer",
    [format_answer("up", 0.6, 100.5), format_answer("down", 0.57, 99.5), format_answer("down", 1.0, 100.0)],
)
def test_the_tree_leads_along_the_tokens_of_a_whole_answer(tiny, tree, answer):
    wanted = tiny.tokenizer(answer, add_special_tokens=False).input_ids
    step, tokens, choices = tree.start, list(tree.start.tokens), 0
    while step.node.choices:
        token = wanted[len(tokens)]
        assert token in step.node.choices
        step = tree.advance(step.node.text, token)
        tokens += step.tokens
        choices += 1
    assert (step.node.text, tokens) == (answer, wanted)
    assert choices < len(wanted) - 4  # what is forced is no choice


def test_every_way_through_the_tree_is_an_answer(tree, seen):
    import random

    rng = random.Random(3)
    for _ in range(200):
        step = tree.start
        while step.node.choices:
            step = tree.advance(step.node.text, rng.choice(step.node.choices))
        assert isinstance(parse_answer(step.node.text, seen[0]), Forecast)


def test_a_beginning_that_was_computed_before_changes_no_bit(tiny, prompts):
    decoder = tiny._decoder
    tokens = [tiny.tokenizer(text, add_special_tokens=False).input_ids for text in prompts[:3]]
    alone = [decoder.logits(ids).clone() for ids in tokens]
    for ids, before in zip(reversed(tokens), reversed(alone), strict=True):
        assert decoder.logits(ids[: len(ids) // 2]) is not None
        assert (decoder.logits(ids) == before).all()


def test_weights_that_were_trained_since_leave_nothing_of_the_answers_before(prompts):
    import torch

    student = load_student(TINY)
    before = student.answer(prompts[:1], silent)
    with torch.no_grad():
        for weight in student.model.parameters():
            weight.mul_(1.1)
    fresh = with_weights(student)
    assert student.answer(prompts[:1], silent) == fresh.answer(prompts[:1], silent) != before


def test_a_batch_that_memory_does_not_hold_is_halved(tiny, prompts, monkeypatch):
    import torch

    student = with_weights(tiny, batch=16)
    decoder, whole = student._decoder, student.answer(prompts, silent)
    run, sizes = decoder._run_batch, []

    def run_out(rows, *rest):
        sizes.append(len(rows))
        if len(rows) > 5:
            raise torch.OutOfMemoryError
        run(rows, *rest)

    monkeypatch.setattr(decoder, "_run_batch", run_out)
    assert student.answer(prompts, silent) == whole
    assert sizes[:3] == [16, 8, 4]


def test_the_keys_of_a_batch_are_freed_with_it(tiny, prompts):
    gc.collect()
    gc.disable()  # which looks for cycles long after memory has run out
    try:
        tiny.answer(prompts, silent)
        tiny.answer(prompts[:3], silent)
        assert sum(type(item) is RowCache for item in gc.get_objects()) <= 1  # the beginning kept last
    finally:
        gc.enable()


def test_answers_come_batch_by_batch_with_progress_before_the_first(tiny, prompts):
    student = with_weights(tiny, batch=8)
    events: list[object] = []
    for some in student.answer_batches(
        prompts, lambda done, total, rate=0.0: events.append((done, total, rate))
    ):
        events.extend([sorted(some)])
    batches = [event for event in events if isinstance(event, list)]
    assert [len(batch) for batch in batches] == [8, 8, 8]
    assert isinstance(events[0], tuple)
    assert events[0][2] > 0
    assert events[-1] == batches[-1] or events[-1][:2] == (24, 24)


def test_readout_reads_the_probability_that_the_plain_model_has(tiny, prompts, seen):
    import torch

    student = with_weights(tiny, mode=DecodingMode.READOUT)
    answers = student.answer(prompts[:4], silent)
    up, down = (tiny.tokenizer(word, add_special_tokens=False).input_ids[0] for word in ("up", "down"))
    for text, answer, observation in zip(prompts, answers, seen, strict=False):
        ids = tiny.tokenizer(
            text + '{"direction": "', add_special_tokens=False, return_tensors="pt"
        ).input_ids
        with torch.inference_mode():
            logits = tiny.model(ids).logits[0, -1]
        wanted = float(logits[[up, down]].softmax(0)[0])
        call = parse_answer(answer, observation)
        assert call.token_probability_up == pytest.approx(wanted, abs=0.02)  # of "u" and "d" too
        assert call.confidence == pytest.approx(max(wanted, 1 - wanted), abs=0.02)
        assert abs(call.close / call.last_close - 1) <= 0.1


def test_readout_and_json_agree_on_what_json_chose(tiny, prompts):
    read, chosen = (
        with_weights(tiny, mode=mode).answer(prompts, silent)
        for mode in (DecodingMode.READOUT, DecodingMode.JSON)
    )
    for one, other in zip(map(json.loads, read), map(json.loads, chosen), strict=True):
        assert one["probability_up"] == pytest.approx(other["probability_up"], abs=1e-4)
        assert one["direction"] == other["direction"]


def test_a_thought_is_kept_and_ends_with_its_budget(tiny, prompts, seen):
    student = with_weights(tiny, mode=DecodingMode.THINK, think_tokens=12)
    for answer, observation in zip(student.answer(prompts[:3], silent), seen, strict=False):
        thought, rest = split_reasoning(answer)
        assert answer.startswith("<think>\n")
        assert len(tiny.tokenizer(thought, add_special_tokens=False).input_ids) <= 14
        assert not re.search(r"<\|.*?\|>", thought)
        assert isinstance(parse_answer(answer, observation), Forecast)
        assert json.loads(rest)


def test_samples_are_repeatable_and_their_median_is_an_answer(tiny, prompts, seen):
    five = with_weights(tiny, samples=5)
    answers = five.answer(prompts, silent)
    assert with_weights(tiny, samples=5, batch=7).answer(prompts[::-1], silent) == answers[::-1]
    assert with_weights(tiny, samples=5, seed=8).answer(prompts, silent) != answers
    for answer, observation in zip(answers, seen, strict=True):
        assert isinstance(parse_answer(answer, observation), Forecast)


def test_the_readout_leaves_one_digit_before_the_point_open(tiny):
    tree = AnswerTree(tiny.tokenizer, tiny.model.config.vocab_size, READOUT_GRAMMAR)
    token = next(token for token in tree.start.node.choices if tree.token_text(token) == "up")
    step = tree.advance(tree.start.node.text, token)
    while '"close"' not in step.node.text:
        step = tree.advance(
            step.node.text, max(step.node.choices, key=lambda one: tree.token_text(one) == "5")
        )
    assert step.node.text.endswith('"close": 10')


@pytest.mark.parametrize("kind", ["Gemma2", "Mistral"])
def test_a_sliding_window_that_is_shorter_than_the_prompt_is_kept(tiny, kind):
    import torch
    import transformers

    from llm.decoding.decoder import Decoder

    torch.manual_seed(2)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, sliding_window=24, max_position_embeddings=256,
    )  # fmt: skip
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    tokens = torch.randint(0, 300, (200,)).tolist()
    decoder = Decoder(model, batch=4)
    decoder.logits(tokens[:120])
    with torch.inference_mode():
        wanted = model(torch.tensor([tokens])).logits[0, -1]
    assert (decoder.logits(tokens) - wanted).abs().max() < 1e-4 * wanted.abs().max()

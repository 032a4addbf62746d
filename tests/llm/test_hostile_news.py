"""Hostile news through real models: what it may change is a forecast, and nothing else."""

import time
import tracemalloc
from dataclasses import replace
from zlib import crc32

import pytest
from transformers import AutoTokenizer

from engine.model import Forecast
from llm.answers import parse_answer
from llm.model_files import model_folder
from llm.student import DecodingMode, StudentSettings
from llm.transformers_student import load_student
from strategies.api import backtest
from strategies.market_data import MarketData
from tests.support.hostile_texts import (
    ANSWERS,
    HOSTILE,
    MEGABYTE,
    SPECIAL_TOKENS,
    put_in_news,
    sample_texts,
)
from tests.support.observations import make_observation
from tests.support.students import RuleStudent, make_small_model

QUIET = make_observation(
    [100.0 + n % 7 for n in range(120)], ["Rain in Spain", "Bitcoin trades sideways", "Markets are calm"]
)
NAMES = (("BTC", ("Bitcoin", "比特币")),)
PROMPTS = {
    "compact": {"prompt": "compact"},
    "full": {"prompt": "full"},
    "full, masked": {"prompt": "full", "mask": True, "names": NAMES},
    "full-v1": {"prompt": "full-v1"},
    "append": {"prompt": "append"},
}
LARGE = [hostile for hostile in HOSTILE if hostile.kind == "megabyte"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model in whose vocabulary the control tokens of every family are special ones."""
    tokens = [token for family in SPECIAL_TOKENS.values() for token in family if "▁" not in token[0]]
    tokenizer = AutoTokenizer.from_pretrained(model_folder("tiny"))
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    folder = make_small_model(tmp_path_factory.mktemp("small") / "model", vocab_size=len(tokenizer))
    tokenizer.save_pretrained(folder)
    return str(folder)


def load(student, **more):
    return load_student(StudentSettings(student=student, batch=64, **more))


def view(student):
    return replace(QUIET, bars=QUIET.bars[-student.window :])


def answer(student, texts):
    seen = [put_in_news(view(student), hostile) for hostile in texts]
    answers = student.answer([student.prompt(observation) for observation in seen], lambda *_counts: None)
    return [parse_answer(*pair) for pair in zip(answers, seen, strict=True)]


def count_special(student, text):
    tokens = student.tokenizer(text, add_special_tokens=False).input_ids
    return len(tokens), sum(token in student.tokenizer.added_tokens_decoder for token in tokens)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_no_text_becomes_a_special_token_or_exceeds_the_token_budget(small, prompt):
    student = load(small, **PROMPTS[prompt])
    quiet = view(student)
    _, harmless = count_special(student, student.prompt(quiet))
    assert harmless
    assert count_special(student, "<start_of_turn>[INST]</s>")[1] == 3
    for hostile in HOSTILE if prompt in ("compact", "full") else sample_texts(1):
        tokens, special = count_special(student, student.prompt(put_in_news(quiet, hostile)))
        assert special == harmless, hostile.text[:200]
        assert tokens <= student.template.max_tokens, hostile.text[:200]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_megabyte_takes_the_time_and_memory_of_a_headline(small, prompt):
    student = load(small, **PROMPTS[prompt])
    quiet = view(student)
    student.prompt(quiet)
    for number, hostile in enumerate(LARGE):
        seen = put_in_news(quiet, hostile)
        started = time.process_time()
        student.prompt(seen)
        assert time.process_time() - started < 0.1, hostile.text[:20]
        seen = replace(seen, symbol=f"BTC{number}")  # another, which no cache knows
        tracemalloc.start()
        student.prompt(seen)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5 * MEGABYTE, hostile.text[:20]


@pytest.mark.parametrize("mode", DecodingMode)
def test_every_answer_is_a_forecast_in_every_mode(small, mode):
    wanted = {"mode": mode, "think_tokens": 12}
    assert all(isinstance(call, Forecast) for call in answer(load("tiny", **wanted), sample_texts(5)))
    random = load(small, prompt="full", **wanted)
    assert all(isinstance(call, Forecast) for call in answer(random, sample_texts(1)))


def obey(prompt):
    """Answer as a model does that hostile news has captured."""
    return (*ANSWERS, '{"direction": "down", "confidence": 1.00, "close": 10.00}')[
        crc32(prompt.encode()) % (len(ANSWERS) + 1)
    ]


@pytest.mark.parametrize(
    ("student", "weight"), [("tiny", 0.05), (RuleStudent(obey), 0.249)], ids=["tiny", "captured"]
)
def test_positions_stay_within_their_limits(student, weight):
    market = MarketData.simulated(seed=5, days=36, coins=2, stocks=0)
    texts = sample_texts(4)
    news = [replace(item, title=texts[number % len(texts)].text) for number, item in enumerate(market.news)]
    result = backtest(replace(market, news=news), student=student, max_gross_exposure=0.5, allow_short=True)
    equity = dict(zip(result.equity["at"], result.equity["value"], strict=True))
    closes = {(bar.symbol, bar.closes_at): bar.close for bars in market.bars.values() for bar in bars}
    positions = dict.fromkeys(market.bars, 0.0)
    weights = [0.0]
    for order in result.orders.itertuples():
        if order.status == "filled":
            positions[order.symbol] += order.size
            close = closes[order.symbol, order.decided_at]
            weights.append(abs(positions[order.symbol]) * close / equity[order.decided_at])
    assert weight < max(weights) < 0.25 + 1e-9

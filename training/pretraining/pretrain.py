"""Pretrain the tiny student from random weights: tokenizer, a small Qwen3, supervised training by TRL.

The same recipe on the same machine gives the same weights.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.model import Direction, Observation
from engine.timeline import build_observations
from feeds.simulated.headlines import HeadlineSet
from feeds.simulated.market import TRAINING_SEEDS, MarketSettings, OracleView, simulate
from llm.answers import format_answer
from llm.prompts import BASE, CompactTemplate, Messages, rebase_price
from training.trl_runs import train_supervised

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3Config


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingExample:
    """A prompt as chat messages, and the oracle's answer."""

    messages: Messages
    answer: str


def format_oracle_answer(view: OracleView, observation: Observation) -> str:
    """Return the best answer: the likelier direction, its probability, and the median next close."""
    up = view.probability_up >= 0.5
    close = rebase_price(view.close, observation.last_close)
    close = max(BASE, close) if up else min(BASE, close)
    return format_answer(
        Direction.UP if up else Direction.DOWN, max(view.probability_up, 1 - view.probability_up), close
    )


def build_examples(seed: int, *, days: int = 365) -> Iterator[TrainingExample]:
    """Yield an example of each close of one simulated market, oldest first, without withheld headlines."""
    market = simulate(MarketSettings(seed=seed, coins=2, stocks=2, days=days, headlines=HeadlineSet.FAMILIAR))
    template = CompactTemplate()
    start = datetime.min.replace(tzinfo=UTC)
    for observation in build_observations(market.bars, market.news, window=template.window, start=start):
        view = market.oracle[observation.symbol, observation.as_of]
        yield TrainingExample(
            messages=template.messages(observation, template.headlines),
            answer=format_oracle_answer(view, observation),
        )


Progress = Callable[[str, int, int], None]
"""Called with the current stage, the steps done and the steps in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """The seed, the training and the size of the tiny student.

    Attributes:
        batch: Examples a step.
        vocabulary: The most tokens of the tokenizer, trained on `tokenizer_examples` examples.
        width: Hidden size; `feed_forward` is that of the MLP.
    """

    seed: int = 1
    steps: int = 820
    batch: int = 64
    learning_rate: float = 3e-3
    vocabulary: int = 1536
    width: int = 128
    layers: int = 4
    heads: int = 4
    key_value_heads: int = 2
    feed_forward: int = 384
    tokenizer_examples: int = 20_000

    def stored(self) -> dict[str, Any]:
        """Return the recipe as model cards print it: under the names of the first version."""
        names = {"tokenizer_examples": "tokenizer_lessons"}
        return {names.get(name, name): value for name, value in asdict(self).items()}


def pretrain(folder: Path, recipe: PretrainConfig, on_progress: Progress) -> None:
    """Train a student and write model, tokenizer and configuration as a folder that transformers loads.

    It takes about 12 minutes on two cores; always on the CPU, so that equal recipes give equal weights.

    Args:
        folder: Where the student goes.
        recipe: Its training and size.
        on_progress: Called after each step.
    """
    import torch
    from transformers import Qwen3ForCausalLM

    on_progress("preparing examples", 0, 0)
    examples = list(islice(_build_all_examples(recipe.seed), recipe.steps * recipe.batch))
    tokenizer = train_tokenizer(_example_texts(examples[: recipe.tokenizer_examples]), recipe.vocabulary)
    torch.manual_seed(recipe.seed)
    model = Qwen3ForCausalLM(_model_configuration(recipe, tokenizer))
    _train(model, tokenizer, examples, recipe, on_progress)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _build_all_examples(seed: int) -> Iterator[TrainingExample]:
    first = TRAINING_SEEDS.start + seed * 1000
    for market in range(first, first + 1000):
        yield from build_examples(market)


def _example_texts(examples: list[TrainingExample]) -> Iterator[str]:
    for example in examples:
        yield "user\n" + example.messages[-1]["content"]
        yield "assistant\n"
        yield "\n\n"
        yield example.answer


def _model_configuration(recipe: PretrainConfig, tokenizer: "PreTrainedTokenizerFast") -> "Qwen3Config":
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.key_value_heads,
        head_dim=recipe.width // recipe.heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )


def _train(
    model: Any,
    tokenizer: "PreTrainedTokenizerFast",
    examples: list[TrainingExample],
    recipe: PretrainConfig,
    on_progress: Progress,
) -> None:
    rows = [
        {
            "prompt": tokenizer.apply_chat_template(
                example.messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            ),
            "completion": example.answer,
        }
        for example in examples
    ]
    train_supervised(
        model,
        tokenizer,
        rows,
        _create_reporter(recipe.steps, on_progress),
        seed=recipe.seed,
        steps=recipe.steps,
        device="cpu",
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.steps // 20,
        weight_decay=0.01,
        logging_strategy="no",
    )


def _create_reporter(steps: int, on_progress: Progress) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        # The signature is transformers'.
        # The arguments are those of a callback of transformers.
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            on_progress("training", state.global_step, steps)

    return Reporter()


PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
THINK, END_THINK = "<think>", "</think>"
_ANSWER_PARTS = ('{"direction": "', '", "confidence": ', ', "close": ')

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if enable_thinking is defined and enable_thinking is false -%}
{{- '<think>\\n\\n</think>\\n\\n' -}}
{%- endif -%}
{%- endif -%}
"""
"""Qwen3's chat format, without tools."""


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerFast":
    """Train a tokenizer of at most `vocabulary` tokens, including five special ones; deterministic."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    parts = "|".join(re.escape(part) for part in _ANSWER_PARTS)
    pieces = rf"{parts}| ?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]|\s+"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pieces), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, START, END, THINK, END_THINK]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        model_max_length=512,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )

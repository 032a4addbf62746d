"""A causal language model of transformers as a student: greedy decoding, batched, constrained by a grammar.

Batches have a fixed number of rows and a fixed length, and a prompt's place in them
depends only on the prompts before it, so that what comes later changes no earlier answer, to the bit.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.errors import StudentError
from engine.model import Observation
from llm.answers import GRAMMAR
from llm.chat import PLAIN_TEMPLATE, load_tokenizer, render, takes_system_message
from llm.known_models import known_model
from llm.loading import load_model, select_device, translate_errors
from llm.model_files import (
    SAMPLING,
    adapter_folder,
    context_length,
    fingerprint,
    ignored_settings,
    model_folder,
    model_metadata,
    stated_release,
)
from llm.prompts import TEMPLATES, Messages, PromptTemplate, fit_to_token_budget, fold_system_message
from llm.student import Progress, StudentSettings

_ANSWER_TOKENS = 64
_LENGTH_STEPS = 8


def load_student(wanted: StudentSettings) -> "TransformersStudent":
    """Return a student whose files are checked; its weights are loaded when it is first asked.

    Raises StudentError with a remedy, also later, if the weights turn out to be unusable.
    """
    folder = model_folder(wanted.student)
    adapter = adapter_folder(wanted.adapter) if wanted.adapter else None
    return TransformersStudent(wanted, folder, adapter)


class TransformersStudent:
    """A model that answers prompts, and its tokenizer. Make one with `load_student`."""

    def __init__(self, wanted: StudentSettings, folder: Path, adapter: Path | None) -> None:
        self.name = wanted.student if adapter is None else f"{wanted.student} + {adapter.name}"
        known = known_model(wanted.student, folder)
        self.released = _latest_date(
            stated_release(folder) or (known.released if known else None),
            *([stated_release(adapter)] if adapter else []),
        )
        # An adapter's data are later than those of the model that it was trained on.
        self.knowledge_until = known.knowledge_until if known and not adapter else None
        self.template = _select_template(wanted, folder)
        self.window = self.template.window
        self._wanted = wanted
        self._folder = folder
        self._adapter = adapter
        with translate_errors(f"student {wanted.student}"):
            self.tokenizer = load_tokenizer(folder)
            self._folds_system = not takes_system_message(self.tokenizer, folder)
        self._ignored = ignored_settings(folder)
        self._context = context_length(folder)
        budget = self.template.max_tokens
        self._max_tokens = budget if self._context is None else min(budget, self._context - _ANSWER_TOKENS)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Return, in sentences, what the model's files ask for and do not get, and what its limits change."""
        notes = []
        if self._ignored:
            asked = ", ".join(f"{name} {value!r:.60}" for name, value in self._ignored.items())
            notes.append(f"its files ask for {asked}, which is ignored: answers are the most probable tokens")
        if self.tokenizer.chat_template == PLAIN_TEMPLATE:
            notes.append("its tokenizer has no chat template, so prompts are plain text")
        if self._folds_system and self.template.name == "full":
            notes.append("its chat template takes no system message, so the task is in the user's")
        if self._max_tokens < self.template.max_tokens:
            notes.append(f"its context of {self._context:,} tokens limits prompts to {self._max_tokens:,}")
        return tuple(f"Student {self.name}: {note}." for note in notes)

    @cached_property
    def fingerprint(self) -> str:
        """Return the SHA-256 over weights, adapter, tokenizer, template, quantization and device."""
        folders = [self._folder, self._adapter] if self._adapter else [self._folder]
        # Such a model was answered for with its own settings before: those answers are not to be found.
        without = [f"without {name}" for name in self._ignored if name not in SAMPLING]
        return fingerprint(
            folders,
            self._wanted.quantization,
            self.template.name,
            GRAMMAR,
            str(self._wanted.batch),
            select_device(),
            *without,
        )

    @cached_property
    def model(self) -> Any:
        """Return the model with its adapter, for whoever trains it; the weights are read at the first use."""
        with translate_errors(f"student {self.name}"):
            wanted = self._wanted
            return load_model(
                self._folder, self._adapter, wanted.quantization, device=wanted.device, dtype=wanted.dtype
            )

    @cached_property
    def _grammar(self) -> Any:
        import xgrammar

        rows = self.model.get_input_embeddings().weight.shape[0]
        information = xgrammar.TokenizerInfo.from_huggingface(self.tokenizer, vocab_size=rows)
        return xgrammar.GrammarCompiler(information).compile_grammar(GRAMMAR)

    def prompt(self, observation: Observation) -> str:
        """Return the chat text of an observation, thinking off, within the template's token limit."""
        text = fit_to_token_budget(
            self.template, observation, self._render, self.count_tokens, self._max_tokens
        )
        if self._context is None or len(text.encode()) + _ANSWER_TOKENS <= self._context:
            return text  # no token is shorter than a byte
        if (tokens := self.count_tokens(text)) + _ANSWER_TOKENS > self._context:
            shorter = "" if self.template.name == "compact" else 'set prompt = "compact", or '
            raise StudentError(
                f"student {self.name}: a prompt of {tokens:,} tokens and an answer of {_ANSWER_TOKENS} are "
                f"more than its context of {self._context:,}; {shorter}use another model"
            )
        return text

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a prompt has."""
        return len(self.tokenizer(text, add_special_tokens=False).input_ids)

    def answer(self, prompts: Sequence[str], on_progress: Progress) -> list[str]:
        """Return one raw answer for each prompt, in order; greedy, constrained to the answer's grammar."""
        answers = [""] * len(prompts)
        done = 0
        for length, places in self._batches(prompts):
            texts = [prompts[i] for i in places]
            filled = texts + texts[:1] * (self._wanted.batch - len(texts))
            with translate_errors(f"student {self.name}", "answer", "try a smaller batch, or another model"):
                generated = self.generate(filled, length)
            for place, text in zip(places, generated, strict=False):
                answers[place] = text
            done += len(places)
            on_progress(done, len(prompts))
        return answers

    def generate(self, prompts: Sequence[str], length: int | None = None) -> list[str]:
        """Answers from one `model.generate` call, prompts padded on the left to `length` tokens."""
        import torch
        from xgrammar.contrib.hf import LogitsProcessor

        tokens = self.tokenizer(
            list(prompts),
            return_tensors="pt",
            add_special_tokens=False,
            padding="longest" if length is None else "max_length",
            max_length=length,
        ).to(self.model.device)
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=tokens.input_ids,
                attention_mask=tokens.attention_mask,
                generation_config=self._generation_config,
                logits_processor=[LogitsProcessor(self._grammar)],
            )
        generated = output[:, tokens.input_ids.shape[1] :]
        return [str(text) for text in self.tokenizer.batch_decode(generated, skip_special_tokens=True)]

    @cached_property
    def _generation_config(self) -> Any:
        from transformers import GenerationConfig

        return GenerationConfig(
            max_new_tokens=_ANSWER_TOKENS,
            do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
        )

    def _render(self, messages: Messages) -> str:
        return render(self.tokenizer, fold_system_message(messages) if self._folds_system else messages)

    def _batches(self, prompts: Sequence[str]) -> Iterator[tuple[int, list[int]]]:
        """Yield the places of prompts of similar length, a batch at most, in the order of the prompts."""
        step = max(32, self.template.max_tokens // _LENGTH_STEPS)
        waiting: dict[int, list[int]] = {}
        tokens = self.tokenizer(list(prompts), add_special_tokens=False).input_ids if prompts else []
        for place, counted in enumerate(map(len, tokens)):
            length = -(-counted // step) * step
            places = waiting.setdefault(length, [])
            places.append(place)
            if len(places) == self._wanted.batch:
                yield length, waiting.pop(length)
        yield from sorted(waiting.items())


def _latest_date(*dates: date | None) -> date | None:
    """Return the latest of some days; unknown, where one of them is."""
    known = [day for day in dates if day is not None]
    return max(known) if len(known) == len(dates) else None


def _select_template(wanted: StudentSettings, folder: Path) -> PromptTemplate:
    name = wanted.prompt or str(model_metadata(folder).get("prompt", "full"))
    if name not in TEMPLATES:
        raise StudentError(
            f"{folder}: unknown prompt template {name!r}; choose one of {', '.join(TEMPLATES)}"
        )
    return TEMPLATES[name]

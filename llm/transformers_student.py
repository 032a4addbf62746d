"""A causal language model of transformers as a student: its prompts, and its answers by `llm.decoding`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ClosecallError, StudentError
from engine.model import Observation
from llm.answers import GRAMMAR, median_answer
from llm.chat import PLAIN_TEMPLATE, load_tokenizer, render, takes_system_message
from llm.decoding.modes import ANSWER_TOKENS, ProgramFactory
from llm.known_models import known_model
from llm.loading import describe_arithmetic, load_model, translate_errors
from llm.masking import Names
from llm.model_files import (
    SAMPLING,
    adapter_base,
    adapter_folder,
    context_length,
    fingerprint,
    ignored_settings,
    latest_date,
    model_folder,
    model_metadata,
    stated_release,
)
from llm.prompts import Messages, PromptTemplate, find_template, fit_to_token_budget, fold_system_message
from llm.student import DecodingMode, Progress, StudentSettings, Task

_FORMER_BATCH = "64"
"""Answers depended on the batch once. Those to the default batch are still found."""

if TYPE_CHECKING:
    from llm.decoding.decoder import Decoder, Meter


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
        self.released = latest_date(
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
        self._max_tokens = budget if self._context is None else min(budget, self._context - ANSWER_TOKENS)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Return, in sentences, what the model's files ask for and do not get, and what its limits change."""
        notes = []
        if self._ignored:
            asked = ", ".join(f"{name} {value!r:.60}" for name, value in self._ignored.items())
            notes.append(f"its files ask for {asked}, which is ignored: answers are the most probable tokens")
        if self.tokenizer.chat_template == PLAIN_TEMPLATE:
            notes.append("its tokenizer has no chat template, so prompts are plain text")
        base = adapter_base(self._adapter) if self._adapter else ""
        if base and Path(base).name != Path(self._wanted.student).name:
            notes.append(f"its adapter was trained on {base}, which should be the same model")
        if self._folds_system and self.template.name != "compact":
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
            self.template.key,
            GRAMMAR,
            _FORMER_BATCH,
            *describe_arithmetic(self._wanted),
            *self._decoding,
            *without,
        )

    def with_mask(self, names: Names | None) -> "TransformersStudent":
        """Return the student with prompts that mask these names, or none; it has the weights read so far."""
        twin = copy(self)
        twin._wanted = replace(self._wanted, mask=names is not None, names=names or ())
        twin.template = _select_template(twin._wanted, self._folder)
        vars(twin).pop("fingerprint", None)  # it is that of the former template
        return twin

    @property
    def _decoding(self) -> tuple[str, ...]:
        """Return how answers are taken, where it is not the most probable one of the grammar."""
        wanted = self._wanted
        mode = () if wanted.mode is DecodingMode.JSON else (wanted.mode,)
        drawn = (str(wanted.samples), str(wanted.seed)) if wanted.samples > 1 else ()
        budget = (str(wanted.think_tokens),) if wanted.mode is DecodingMode.THINK else ()
        return (*mode, *drawn, *budget)

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
        if self._context is None or len(text.encode()) + ANSWER_TOKENS <= self._context:
            return text  # no token is shorter than a byte
        if (tokens := self.count_tokens(text)) + ANSWER_TOKENS > self._context:
            short = "compact" if self._wanted.task is Task.NEXT else "brief"
            shorter = "" if self.template.name == short else f"use --prompt {short}, or "
            raise StudentError(
                f"student {self.name}: a prompt of {tokens:,} tokens and an answer of {ANSWER_TOKENS} are "
                f"more than its context of {self._context:,}; {shorter}name another model"
            )
        return text

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a prompt has."""
        return len(self.tokenizer(text, add_special_tokens=False).input_ids)

    def answer(self, prompts: Sequence[str], on_progress: Progress) -> list[str]:
        """Return one raw answer for each prompt, in order."""
        answers: dict[int, str] = {}
        for some in self.answer_batches(prompts, on_progress):
            answers |= some
        return [answers[place] for place in range(len(prompts))]

    def answer_batches(self, prompts: Sequence[str], on_progress: Progress) -> Iterator[Mapping[int, str]]:
        """Yield the answers by the place of their prompt, batch by batch.

        Raises:
            StudentError: Where a prompt and its answer do not fit into memory.
        """
        with translate_errors(
            f"student {self.name}", "answer", "close other programs, or try a smaller model"
        ):
            yield from (
                self._one_by_one(prompts, on_progress)
                if self._decoder is None
                else self._in_rows(self._decoder, prompts, on_progress)
            )

    def reset_meter(self) -> "Meter":
        """Return what the answers from now on are measured with; for models that are computed in rows."""
        if self._decoder is None:
            raise StudentError(
                f"student {self.name}: models of its kind are not computed in rows; use another"
            )
        self._decoder.meter = self._decoder.meter.__class__()
        return self._decoder.meter

    def _in_rows(
        self, decoder: "Decoder", prompts: Sequence[str], on_progress: Progress
    ) -> Iterator[Mapping[int, str]]:
        from llm.decoding.decoder import Prompt

        samples = self._wanted.samples
        tokens = self.tokenizer(list(prompts), add_special_tokens=False).input_ids if prompts else []
        waiting = [
            Prompt(
                place=place,
                tokens=tuple(tokens[place]),
                create=partial(self._programs.create, text, number),
                room=self._programs.room,
            )
            for place, text in enumerate(prompts)
            for number in range(samples)
        ]
        started, before = time.perf_counter(), decoder.meter.tokens

        def report(share: float) -> None:
            rate = (decoder.meter.tokens - before) / (time.perf_counter() - started)
            on_progress(int(share * len(prompts)), len(prompts), rate)

        drawn: dict[int, list[str]] = {}
        for batch in decoder.run(waiting, report):
            for place, text in batch:
                drawn.setdefault(place, []).append(text)
            complete = [place for place, texts in drawn.items() if len(texts) == samples]
            yield {place: median_answer(drawn.pop(place)) for place in complete}

    def _one_by_one(self, prompts: Sequence[str], on_progress: Progress) -> Iterator[Mapping[int, str]]:
        """Answer with transformers' own loop, for models that cannot be computed in rows."""
        if self._wanted.mode is not DecodingMode.JSON or self._wanted.samples > 1:
            raise StudentError(
                f"student {self.name}: models of its kind answer in the mode json without samples only; "
                "leave --mode and --samples out"
            )
        for place, prompt in enumerate(prompts):
            yield {place: self.generate([prompt])[0]}
            on_progress(place + 1, len(prompts))

    @cached_property
    def _decoder(self) -> "Decoder | None":
        from llm.decoding.decoder import Decoder

        decoder = Decoder(self.model, batch=self._wanted.batch)
        return decoder if decoder.agrees() else None

    @cached_property
    def _programs(self) -> ProgramFactory:
        rows = self.model.get_input_embeddings().weight.shape[0]
        return ProgramFactory(self.tokenizer, rows, self._wanted)

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
            max_new_tokens=ANSWER_TOKENS,
            do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
        )

    def _render(self, messages: Messages) -> str:
        folded = fold_system_message(messages) if self._folds_system else messages
        return render(self.tokenizer, folded, thinking=self._wanted.mode is DecodingMode.THINK)


def _select_template(wanted: StudentSettings, folder: Path) -> PromptTemplate:
    name = wanted.prompt or str(model_metadata(folder).get("prompt", "full"))
    try:
        return find_template(name, wanted.task, wanted.names if wanted.mask else None)
    except ClosecallError as error:
        # The user's own words, or those of the model's files.
        kind = type(error) if wanted.prompt or wanted.task is not Task.NEXT else StudentError
        raise kind(f"student {wanted.student}: {error}") from error

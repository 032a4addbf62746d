"""A causal language model of transformers as a student: greedy decoding, batched, constrained by a grammar.

Batches have a fixed number of rows and a fixed length, and a prompt's place in them
depends only on the prompts before it, so that what comes later changes no earlier answer, to the bit.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.errors import StudentError
from engine.model import Observation
from llm.answers import GRAMMAR
from llm.model_files import adapter_folder, fingerprint, model_folder, model_metadata, release_date
from llm.prompts import TEMPLATES, Messages, PromptTemplate, fit_to_token_budget
from llm.student import Progress, Quantization, StudentSettings

_ANSWER_TOKENS = 64
_LENGTH_STEPS = 8


@contextmanager
def ignore_renamed_attribute() -> Iterator[None]:
    """Ignore that peft and trl read an attribute by the name that transformers is about to drop."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
        yield


def load_student(wanted: StudentSettings) -> "TransformersStudent":
    """A student whose files are checked; its weights are loaded when it is first asked something.

    Raises StudentError with a remedy, also later, if the weights turn out to be unusable.
    """
    folder = model_folder(wanted.student)
    adapter = adapter_folder(wanted.adapter) if wanted.adapter else None
    return TransformersStudent(wanted, folder, adapter)


class TransformersStudent:
    """A model that answers prompts, and its tokenizer. Make one with `load_student`."""

    def __init__(self, wanted: StudentSettings, folder: Path, adapter: Path | None) -> None:
        self.name = wanted.student if adapter is None else f"{wanted.student} + {adapter.name}"
        self.released = _latest_date(
            release_date(wanted.student, folder), release_date(str(adapter), adapter) if adapter else None
        )
        self.template = _select_template(wanted, folder)
        self.window = self.template.window
        self._wanted = wanted
        self._folder = folder
        self._adapter = adapter
        with _translate_errors(f"student {wanted.student}"):
            self.tokenizer = _load_tokenizer(folder)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over weights, adapter, tokenizer, template, quantization, decoding and device."""
        folders = [self._folder, self._adapter] if self._adapter else [self._folder]
        return fingerprint(
            folders,
            self._wanted.quantization,
            self.template.name,
            GRAMMAR,
            str(self._wanted.batch),
            _select_device(),
        )

    @cached_property
    def model(self) -> Any:
        """The model with its adapter, for whoever trains it; the weights are read at the first use."""
        with _translate_errors(f"student {self.name}"):
            return _load_model(self._folder, self._adapter, self._wanted.quantization)

    @cached_property
    def _grammar(self) -> Any:
        import xgrammar

        rows = self.model.get_input_embeddings().weight.shape[0]
        information = xgrammar.TokenizerInfo.from_huggingface(self.tokenizer, vocab_size=rows)
        return xgrammar.GrammarCompiler(information).compile_grammar(GRAMMAR)

    def prompt(self, observation: Observation) -> str:
        """The chat text of an observation, thinking off, within the template's token limit."""
        return fit_to_token_budget(self.template, observation, self._render, self.count_tokens)

    def count_tokens(self, text: str) -> int:
        """How many tokens a prompt has."""
        return len(self.tokenizer(text, add_special_tokens=False).input_ids)

    def answer(self, prompts: Sequence[str], on_progress: Progress) -> list[str]:
        """One raw answer for each prompt, in order; greedy, constrained to the answer's grammar."""
        answers = [""] * len(prompts)
        done = 0
        for length, places in self._batches(prompts):
            texts = [prompts[i] for i in places]
            filled = texts + texts[:1] * (self._wanted.batch - len(texts))
            for place, text in zip(places, self.generate(filled, length), strict=False):
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
                max_new_tokens=_ANSWER_TOKENS,
                do_sample=False,
                pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
                logits_processor=[LogitsProcessor(self._grammar)],
            )
        generated = output[:, tokens.input_ids.shape[1] :]
        return [str(text) for text in self.tokenizer.batch_decode(generated, skip_special_tokens=True)]

    def _render(self, messages: Messages) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        )

    def _batches(self, prompts: Sequence[str]) -> Iterator[tuple[int, list[int]]]:
        """Places of prompts of similar length, at most a batch at a time, in the order of the prompts."""
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
    known = [day for day in dates if day is not None]
    return max(known, default=None)


def _select_template(wanted: StudentSettings, folder: Path) -> PromptTemplate:
    name = wanted.prompt or str(model_metadata(folder).get("prompt", "full"))
    if name not in TEMPLATES:
        raise StudentError(
            f"{folder}: unknown prompt template {name!r}; choose one of {', '.join(TEMPLATES)}"
        )
    return TEMPLATES[name]


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.chat_template is None:
        raise StudentError(f"{folder}: the tokenizer has no chat template; use a chat (instruct) model")
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _select_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def _translate_errors(name: str) -> Iterator[None]:
    """Turn what transformers, peft and bitsandbytes raise on bad files into one line."""
    try:
        yield
    except StudentError:
        raise
    except Exception as error:  # the libraries raise errors of many kinds, bare ones among them
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StudentError(f"{name}: cannot be loaded ({reason[:200]}); check its files") from error


def _require_complete(folder: Path, report: Mapping[str, Any]) -> None:
    """Refuse weights with holes, which transformers would fill at random."""
    for kind in ("missing_keys", "mismatched_keys"):
        if found := report.get(kind):
            what = f"{len(found)} weights are {kind.removesuffix('_keys')}, {min(map(str, found))} first"
            raise StudentError(f"{folder}: {what}; fetch the model again")


def _load_model(folder: Path, adapter: Path | None, quantization: Quantization) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would write into our own progress
    device = _select_device()
    on_gpu = device == "cuda"
    compute = torch.bfloat16 if on_gpu else torch.float32
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        device_map=device,
        dtype=compute,
        quantization_config=nf4 if quantization is Quantization.NF4 else None,
        output_loading_info=True,
    )
    model, report = loaded  # with its loading info, transformers gives a pair
    _require_complete(folder, report)
    if adapter is not None:
        from peft import PeftModel

        with ignore_renamed_attribute():
            model = PeftModel.from_pretrained(model, str(adapter), local_files_only=True)
    return model.eval()

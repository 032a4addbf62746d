"""The protocols of a student, which turns prompts into raw answers, and the settings of one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from engine.errors import StudentError
from engine.model import Observation
from llm.masking import Names
from llm.prompts import PromptTemplate


class Progress(Protocol):
    """Called with prompts answered, prompts in all and, by a model in this process, tokens a second."""

    def __call__(self, done: int, total: int, tokens_per_second: float = 0.0, /) -> None:
        """Show it."""


class Student(Protocol):
    """A model that forecasts. Equal prompts get equal answers, whatever else is in the batch."""

    @property
    def name(self) -> str:
        """Return the student's name in tables."""

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 over all but the prompt that decides an answer: weights, adapter, decoding."""

    @property
    def window(self) -> int:
        """Return how many closed bars its prompts look at."""

    @property
    def released(self) -> date | None:
        """Return the day from which no event can be in its training data; None where it is not known."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a user of its forecasts should know about them, in sentences."""

    def prompt(self, observation: Observation) -> str:
        """Return the whole text that the model is given, its chat template included."""

    def answer(self, prompts: Sequence[str], on_progress: Progress) -> list[str]:
        """Return one raw answer for each prompt, in order."""


@runtime_checkable
class BatchedStudent(Protocol):
    """A student that gives its answers batch by batch, so that each can be kept at once."""

    def answer_batches(self, prompts: Sequence[str], on_progress: Progress) -> Iterator[Mapping[int, str]]:
        """Yield the answers by the place of their prompt, in any order."""


@runtime_checkable
class MaskableStudent(Protocol):
    """A student whose prompts have names and dates, or masks in their place."""

    def with_mask(self, names: Names | None) -> Student:
        """Return the same student with prompts that mask these names, or none; weights are shared."""


class TrainableStudent(Student, Protocol):
    """A student whose model is in this process, for training it and for measuring it."""

    @property
    def template(self) -> PromptTemplate:
        """Return how its prompts are written."""

    @property
    def tokenizer(self) -> Any:
        """Return the tokenizer of transformers."""

    @property
    def model(self) -> Any:
        """Return the model of transformers with its adapter; the weights are read at the first use."""

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a prompt has."""

    def generate(self, prompts: Sequence[str], length: int | None = None) -> list[str]:
        """Return the answers of one `model.generate` call, prompts padded on the left to `length` tokens."""


class Quantization(StrEnum):
    """How the weights are held in memory."""

    NONE = "none"
    INT8 = "int8"
    NF4 = "nf4"


class DecodingMode(StrEnum):
    """How an answer is taken from a model.

    Attributes:
        JSON: The most probable answer of the grammar; only tokens that are a choice are generated.
        READOUT: Probability and close are read from the model's distribution; no text is generated.
        THINK: Free reasoning within a budget of tokens, then the answer of the grammar.
    """

    JSON = "json"
    READOUT = "readout"
    THINK = "think"


class Task(StrEnum):
    """What is forecast: the next close, or the close of a day whose other prices are known (never traded)."""

    NEXT = "next"
    SAME_DAY = "same-day"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentSettings:
    """Which model to load, what it is asked and how.

    Attributes:
        student: "tiny", a folder, a GGUF file, an id on the hub, an address of a server, or FILE.py:CLASS.
        adapter: The folder of a peft adapter.
        quantization: How the weights are held in memory.
        prompt: The name or file of the prompt template; None leaves the choice to the model's folder.
        batch: The most prompts computed together; fewer where memory is short.
        mode: How an answer is taken from the model.
        samples: How many answers are drawn; from two on, their median counts.
        seed: Of the draws.
        think_tokens: The most tokens of reasoning, in the mode "think".
        device: "cpu", "cuda" or "cuda:N"; None takes a GPU where there is one.
        dtype: "float32", "bfloat16" or "float16"; None takes what suits the device.
        task: What is forecast.
        mask: Whether names and dates are replaced in prompts.
        names: The names of each symbol, which a masked prompt replaces.
        model: The name of the model that a server is asked for.
        adapter_name: The name of an adapter that a server has loaded.
        allow_remote: Whether a server may be on another machine.
    """

    student: str = "tiny"
    adapter: Path | None = None
    quantization: Quantization = Quantization.NONE
    prompt: str | None = None
    batch: int = 64
    mode: DecodingMode = DecodingMode.JSON
    samples: int = 1
    seed: int = 7
    think_tokens: int = 512
    device: str | None = None
    dtype: str | None = None
    task: Task = Task.NEXT
    mask: bool = False
    names: tuple[tuple[str, tuple[str, ...]], ...] = ()
    model: str | None = None
    adapter_name: str | None = None
    allow_remote: bool = False


class StudentTimeout(StudentError):
    """The student did not answer within its time. The session abstains and continues."""


class StudentUnavailable(StudentError):
    """The student has died or cannot be loaded. The session abstains and continues."""


class StudentInterrupted(StudentError):
    """A command arrived while the student was answering. The session abstains and obeys it."""


class StudentClient(Protocol):
    """A student as a session asks it: each call ends within `seconds`, or raises one of the errors above.

    `interrupted` is called while it waits; once it returns True, StudentInterrupted is raised.
    """

    @property
    def fingerprint(self) -> str:
        """As of `llm.student.Student`."""
        ...

    @property
    def window(self) -> int:
        """Return how many closed bars its prompts look at."""
        ...

    def prompts(self, observed: Sequence[Observation], seconds: float) -> list[str]:
        """Return the whole prompt for each observation, in order."""
        ...

    def answers(self, prompts: Sequence[str], seconds: float, interrupted: Callable[[], bool]) -> list[str]:
        """Return one raw answer for each prompt, in order."""
        ...


class LocalStudentClient:
    """A student in the session's own process, without a time limit."""

    def __init__(self, student: Student) -> None:
        self._student = student

    @property
    def fingerprint(self) -> str:
        """Return that of the student."""
        return self._student.fingerprint

    @property
    def window(self) -> int:
        """Return that of the student."""
        return self._student.window

    def prompts(self, observed: Sequence[Observation], seconds: float) -> list[str]:  # noqa: ARG002  # protocol
        """Return the student's prompts."""
        return [self._student.prompt(observation) for observation in observed]

    def answers(
        self,
        prompts: Sequence[str],
        seconds: float,  # noqa: ARG002  # protocol
        interrupted: Callable[[], bool],
    ) -> list[str]:
        """Return the student's answers, unless a command came before it was asked."""
        if interrupted():
            raise StudentInterrupted("a command came before the student was asked; resume to be forecast for")
        return self._student.answer(prompts, lambda *_: None)

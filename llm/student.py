"""The protocols of a student, which turns prompts into raw answers, and the settings of one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from engine.errors import StudentError
from engine.model import Observation
from llm.prompts import PromptTemplate

Progress = Callable[[int, int], None]
"""Called with prompts answered and prompts in all."""


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
    NF4 = "nf4"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentSettings:
    """Which model to load and how. `prompt` None leaves the choice to the model's folder."""

    student: str = "tiny"
    adapter: Path | None = None
    quantization: Quantization = Quantization.NONE
    prompt: str | None = None
    batch: int = 64


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
        return self._student.answer(prompts, lambda _done, _total: None)

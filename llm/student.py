"""What every student is: something that turns prompts into raw answers. Knows no market and no ledger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from engine.errors import StudentError
from engine.model import Observation

Progress = Callable[[int, int], None]
"""Called with prompts answered and prompts in all."""


class Student(Protocol):
    """A local model that forecasts. Equal prompts get equal answers, whatever stands beside them."""

    @property
    def name(self) -> str:
        """How the student is called in tables."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything but the prompt that decides an answer: weights, adapter, decoding."""

    @property
    def window(self) -> int:
        """How many closed bars its prompts look at."""

    @property
    def released(self) -> date | None:
        """The day from which what happened cannot be in the model; None where it is not known."""

    def prompt(self, observation: Observation) -> str:
        """The whole text the model is given, its chat template included."""

    def answer(self, prompts: Sequence[str], on_progress: Progress) -> list[str]:
        """One raw answer for each prompt, in order."""


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
    """The student did not answer within its time. The session abstains and goes on."""


class StudentUnavailable(StudentError):
    """The student has died or cannot be loaded. The session abstains and goes on."""


class StudentInterrupted(StudentError):
    """A person's command came while the student was asked. The session abstains and obeys."""


class StudentClient(Protocol):
    """A student as a session asks it: each call ends within `seconds`, or raises one of the errors above.

    `interrupted` is asked now and then while it waits; once it says yes, StudentInterrupted is raised.
    """

    @property
    def fingerprint(self) -> str:
        """As of `llm.student.Student`."""
        ...

    @property
    def window(self) -> int:
        """How many closed bars its prompts look at."""
        ...

    def prompts(self, observed: Sequence[Observation], seconds: float) -> list[str]:
        """The whole prompt for each observation, in order."""
        ...

    def answers(self, prompts: Sequence[str], seconds: float, interrupted: Callable[[], bool]) -> list[str]:
        """One raw answer for each prompt, in order."""
        ...


class LocalStudentClient:
    """A student in the session's own process, which takes the time it takes."""

    def __init__(self, student: Student) -> None:
        self._student = student

    @property
    def fingerprint(self) -> str:
        """The student's own."""
        return self._student.fingerprint

    @property
    def window(self) -> int:
        """The student's own."""
        return self._student.window

    def prompts(self, observed: Sequence[Observation], seconds: float) -> list[str]:  # noqa: ARG002  # protocol
        """The student's prompts."""
        return [self._student.prompt(one) for one in observed]

    def answers(
        self,
        prompts: Sequence[str],
        seconds: float,  # noqa: ARG002  # protocol
        interrupted: Callable[[], bool],
    ) -> list[str]:
        """The student's answers, unless a command came before it was asked."""
        if interrupted():
            raise StudentInterrupted("a command came before the student was asked; resume to be forecast for")
        return self._student.answer(prompts, lambda _done, _total: None)

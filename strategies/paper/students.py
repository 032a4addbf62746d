"""A student that has to answer in time, and what a session does when it does not.

Knows no session. A student in a process of its own keeps these promises with a time limit that it enforces;
one in the session's own process cannot be interrupted, and serves tests and replays.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.errors import StudentError
from engine.values import Observation
from llm.student import Student


class StudentLate(StudentError):
    """The student did not answer within its time. The session abstains and goes on."""


class StudentGone(StudentError):
    """The student has died or cannot be loaded. The session abstains and goes on."""


class StudentInterrupted(StudentError):
    """A person's command came while the student was asked. The session abstains and obeys."""


class TimelyStudent(Protocol):
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


class InProcess:
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

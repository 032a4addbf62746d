"""A student that lives in a process of its own, as a session asks it. Knows no line and no pipe."""

from collections.abc import Callable, Sequence
from datetime import date
from functools import cached_property
from typing import Any

from engine.values import Observation
from llm.student import Progress
from llm.transformers_student import StudentSettings
from tui.paper.messages import day_from, observation_payload, settings_payload
from tui.paper.student_host import StudentHost


class RemoteStudent:
    """One student of a host: a `llm.student.Student` and a `strategies.paper.students.TimelyStudent`.

    `seconds` is the limit for what has none of its own, such as loading it.
    """

    def __init__(self, host: StudentHost, wanted: StudentSettings, seconds: float) -> None:
        self._host = host
        self._wanted = settings_payload(wanted)
        self._seconds = seconds

    @cached_property
    def _described(self) -> dict[str, Any]:
        return dict(self._host.ask({"ask": "describe", "student": self._wanted}, self._seconds))

    @property
    def name(self) -> str:
        """As of `llm.student.Student`, like the three that follow. Raises StudentError where it is gone."""
        return str(self._described["name"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything but the prompt that decides an answer."""
        return str(self._described["fingerprint"])

    @property
    def window(self) -> int:
        """How many closed bars its prompts look at."""
        return int(self._described["window"])

    @property
    def released(self) -> date | None:
        """The day from which what happened cannot be in the model."""
        return day_from(self._described["released"])

    def prompts(
        self, observed: Sequence[Observation], seconds: float, interrupted: Callable[[], bool] = lambda: False
    ) -> list[str]:
        """The whole prompt for each observation, in order."""
        asked = [observation_payload(one) for one in observed]
        question = {"ask": "prompts", "student": self._wanted, "observed": asked}
        return list(self._host.ask(question, seconds, interrupted))

    def answers(self, prompts: Sequence[str], seconds: float, interrupted: Callable[[], bool]) -> list[str]:
        """One raw answer for each prompt, in order."""
        question = {"ask": "answers", "student": self._wanted, "prompts": list(prompts)}
        return list(self._host.ask(question, seconds, interrupted))

    def prompt(self, observation: Observation) -> str:
        """One prompt."""
        return self.prompts([observation], self._seconds)[0]

    def answer(self, prompts: Sequence[str], on_progress: Progress) -> list[str]:
        """Answers without anything that could interrupt them."""
        found = self.answers(prompts, self._seconds, lambda: False)
        on_progress(len(prompts), len(prompts))
        return found

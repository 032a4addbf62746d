"""What every student is: something that turns prompts into raw answers. Knows no market and no ledger."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Protocol

from engine.values import Observation

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

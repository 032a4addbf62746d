"""Ask a student again, past the answer cache: parts of its prompts in an order that it cannot foresee."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

from llm.student import BatchedStudent, Student

_REPEATS = 3
"""How often an answer that differs is asked for again, alone."""


@dataclass(slots=True, kw_only=True)
class Questioner:
    """Asks, counts what it asked, and notes what the student does not repeat.

    Attributes:
        create: Returns the student without anything that it has seen before.
        rng: Draws orders and parts.
        asked: How many prompts were asked.
        unstable: Prompts to which the student has several answers.
    """

    create: Callable[[], Student]
    rng: Random
    asked: int = 0
    unstable: set[str] = field(default_factory=set)

    def ask(self, student: Student, prompts: Iterable[str]) -> dict[str, str]:
        """Return the answers to prompts, asked in parts of random sizes and in a random order."""
        shuffled = list(dict.fromkeys(prompts))
        self.rng.shuffle(shuffled)
        self.asked += len(shuffled)
        # A model of ours computes prompts apart, and loses time where it is asked in parts.
        size = (
            len(shuffled) if isinstance(student, BatchedStudent) else self.rng.randint(2, len(shuffled) + 2)
        )
        answers: dict[str, str] = {}
        for first in range(0, len(shuffled), max(1, size)):
            part = shuffled[first : first + size]
            answers |= zip(part, student.answer(part, _ignore_progress), strict=True)
        return answers

    def ask_alone(self, prompt: str) -> str:
        """Return the answer to one prompt of a student that has seen no other."""
        self.asked += 1
        return self.create().answer([prompt], _ignore_progress)[0]

    def find_changes(self, known: Mapping[str, str], answers: Mapping[str, str]) -> dict[str, str]:
        """Return, by prompt, what a student says alone where it answered otherwise than is known.

        An answer that differs from time to time though the prompt is asked alone says nothing: it is left
        out, and its prompt counts as unstable.

        Args:
            known: The answers of the run by prompt.
            answers: Those given now.
        """
        differing = [prompt for prompt, answer in answers.items() if known.get(prompt, answer) != answer]
        alone: dict[str, str] = {}
        for prompt in self.rng.sample(differing, min(len(differing), 8)):
            repeated = {self.ask_alone(prompt) for _ in range(_REPEATS)}
            if len(repeated) > 1:
                self.unstable.add(prompt)
            else:
                alone[prompt] = repeated.pop()
        return {} if self.unstable else alone


def _ignore_progress(_done: int, _total: int, _rate: float = 0.0, /) -> None:
    """Show nothing."""

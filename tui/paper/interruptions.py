"""A person's commands while the student is asked: who says stop is not to wait for an answer.

In simulated time a command of the replay itself waits its turn; one that a person gives does not.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.commands import COMMAND, CommandKind
from engine.journal import Journal
from engine.risk import RISK
from engine.values import Observation
from strategies.paper.sources import REPLAYED
from strategies.paper.students import TimelyStudent

Interrupted = Callable[[], bool]


class Breakable(TimelyStudent, Protocol):
    """A timely student whose prompts can be broken off too."""

    def prompts(
        self, observed: Sequence[Observation], seconds: float, interrupted: Interrupted = lambda: False
    ) -> list[str]:
        """The whole prompt for each observation, in order."""
        ...


class Interruptions:
    """Whether a person has said stop and the session has not come to it yet."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._since = 0

    def __call__(self) -> bool:
        """Look into the journal, from where nothing was waiting on."""
        rows = list(self._journal.read(self._since, (COMMAND, RISK)))
        done = {row.payload.get("input") for row in rows if row.kind == RISK}
        given = [row for row in rows if row.kind == COMMAND and REPLAYED not in row.payload]
        waiting = (
            bool(given) and given[-1].seq not in done and CommandKind(given[-1].payload["command"]).stops
        )
        if not waiting and rows:
            self._since = rows[-1].seq
        return waiting


class Interruptible:
    """A student that is not waited for any longer once a person says stop."""

    def __init__(self, student: Breakable, interruptions: Interruptions) -> None:
        self._student = student
        self._interruptions = interruptions

    @property
    def fingerprint(self) -> str:
        """The student's own."""
        return self._student.fingerprint

    @property
    def window(self) -> int:
        """The student's own."""
        return self._student.window

    def prompts(self, observed: Sequence[Observation], seconds: float) -> list[str]:
        """The student's prompts."""
        return self._student.prompts(observed, seconds, self._interruptions)

    def answers(self, prompts: Sequence[str], seconds: float, interrupted: Interrupted) -> list[str]:
        """The student's answers."""
        return self._student.answers(prompts, seconds, lambda: interrupted() or self._interruptions())

"""A replay's calls in large batches, ahead of its time: prompts depend on facts, never on a portfolio.

A student answers many prompts in little more time than one. What was asked ahead is kept in the ledger like
any other answer; a prompt that is not as foreseen is asked by itself. Knows no process and no session.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from engine.errors import JournalError
from engine.journal.events import Kind, decode_as, input_seq, replay_number
from engine.journal.journal import Journal
from engine.model import Observation
from engine.trading.risk import Command
from llm.answer_cache import AnswerCache, answer_digest
from llm.student import StudentClient

Interrupted = Callable[[], bool]


class Cancellable(StudentClient, Protocol):
    """A timely student whose prompts can be broken off too."""

    def prompts(
        self, observed: Sequence[Observation], seconds: float, interrupted: Interrupted = lambda: False
    ) -> list[str]:
        """The whole prompt for each observation, in order."""
        ...


class CommandWatcher:
    """Whether a person stopped all orders and the session has not applied that yet."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._since = 0

    def __call__(self) -> bool:
        """Return whether a command that blocks orders waits; reads on from where none did."""
        rows = list(self._journal.read(self._since, (Kind.COMMAND, Kind.RISK)))
        done = {input_seq(row) for row in rows if row.kind == Kind.RISK}
        given = [row for row in rows if row.kind == Kind.COMMAND and replay_number(row) is None]
        waiting = (
            bool(given) and given[-1].seq not in done and decode_as(Command, given[-1]).kind.blocks_orders
        )
        if not waiting and rows:
            self._since = rows[-1].seq
        return waiting


class CancellableStudent:
    """A student that is interrupted once a person stops all orders."""

    def __init__(self, student: Cancellable, interruptions: CommandWatcher) -> None:
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


_SMALL, _LARGE = 64, 512

_SHORT = 4.0

Key = tuple[str, datetime]


class PrefetchingStudent:
    """`student`, asked for the coming observations of `foreseen` (in order of time) whenever it is asked.

    `on_asking` is told how many of them are behind, and how many there are.
    """

    def __init__(
        self,
        student: Cancellable,
        upcoming: Sequence[Observation],
        ledger: AnswerCache,
        on_asking: Callable[[int, int], None] = lambda _place, _all: None,
    ) -> None:
        self._student = student
        self._on_asking = on_asking
        self._upcoming = upcoming
        self._places = {(one.symbol, one.as_of): place for place, one in enumerate(upcoming)}
        self._ledger = ledger
        self._size = _SMALL
        self._prompts: dict[Key, str] = {}
        self._answers: dict[str, str] = {}

    @property
    def fingerprint(self) -> str:
        """The student's own."""
        return self._student.fingerprint

    @property
    def window(self) -> int:
        """The student's own."""
        return self._student.window

    def prompts(
        self, observed: Sequence[Observation], seconds: float, interrupted: Callable[[], bool] = lambda: False
    ) -> list[str]:
        """The student's prompts."""
        place = self._places.get((observed[0].symbol, observed[0].as_of))
        if place is None or any(self._upcoming_index(one) != one for one in observed):
            return self._student.prompts(observed, seconds, interrupted)
        if any((one.symbol, one.as_of) not in self._prompts for one in observed):
            self._on_asking(place, len(self._upcoming))
            coming = self._upcoming[place : place + max(self._size, len(observed))]
            texts = self._student.prompts(coming, seconds, interrupted)
            self._prompts = {(one.symbol, one.as_of): text for one, text in zip(coming, texts, strict=True)}
            self._answers = {}
        return [self._prompts[one.symbol, one.as_of] for one in observed]

    def answers(self, prompts: Sequence[str], seconds: float, interrupted: Callable[[], bool]) -> list[str]:
        """The student's answers, to the coming prompts as well."""
        if any(prompt not in self._answers for prompt in prompts):
            coming = list(dict.fromkeys([*prompts, *self._prompts.values()]))
            digests = {answer_digest(self.fingerprint, prompt): prompt for prompt in coming}
            known: dict[str, str] = {}
            with suppress(JournalError):  # the session finds out by itself, and says so
                known = self._ledger.get_many(list(digests))
            missing = [prompt for digest, prompt in digests.items() if digest not in known]
            self._answers = {digests[digest]: answer for digest, answer in known.items()}
            self._ask(missing, seconds, interrupted)
        return [self._answers[prompt] for prompt in prompts]

    def _ask(self, missing: Sequence[str], seconds: float, interrupted: Callable[[], bool]) -> None:
        begun = time.monotonic()
        texts = self._student.answers(missing, seconds, interrupted) if missing else []
        if len(missing) >= self._size:
            short = time.monotonic() - begun < min(_SHORT, seconds / 4)
            self._size = min(self._size * 2, _LARGE) if short else max(self._size // 2, _SMALL)
        self._answers |= dict(zip(missing, texts, strict=True))
        rows = [
            {"digest": answer_digest(self.fingerprint, prompt), "prompt": prompt, "answer": answer}
            for prompt, answer in zip(missing, texts, strict=True)
        ]
        with suppress(JournalError):
            self._ledger.put_many(self.fingerprint, rows)

    def _upcoming_index(self, one: Observation) -> Observation | None:
        place = self._places.get((one.symbol, one.as_of))
        return None if place is None else self._upcoming[place]

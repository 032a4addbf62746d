"""Answers a replay's prompts ahead of time in large batches: they never depend on the portfolio.

A student answers many prompts in little more time than one. Answers are kept in the answer cache; a prompt
that differs from the expected one is answered by itself.
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
    """A student client whose prompts can be interrupted, too."""

    def prompts(
        self, observed: Sequence[Observation], seconds: float, interrupted: Interrupted = lambda: False
    ) -> list[str]:
        """Return the whole prompt for each observation, in order."""
        ...


class CommandWatcher:
    """Detects a command that blocks orders and that the session has not applied yet."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._since = 0

    def __call__(self) -> bool:
        """Return whether a command that blocks orders is waiting."""
        rows = list(self._journal.read(self._since, (Kind.COMMAND, Kind.RISK)))
        done = {input_seq(row) for row in rows if row.kind == Kind.RISK}
        given = [row for row in rows if row.kind == Kind.COMMAND and replay_number(row) is None]
        waiting = (
            bool(given) and given[-1].seq not in done and decode_as(Command, given[-1]).kind.blocks_orders
        )
        if not waiting and rows:
            self._since = rows[-1].seq
        return waiting


class _Wrapper:
    def __init__(self, student: Cancellable) -> None:
        self._student = student

    @property
    def fingerprint(self) -> str:
        """Return the student's fingerprint."""
        return self._student.fingerprint

    @property
    def window(self) -> int:
        """Return the student's window."""
        return self._student.window


class CancellableStudent(_Wrapper):
    """A student that is interrupted by a command that blocks orders."""

    def __init__(self, student: Cancellable, interruptions: CommandWatcher) -> None:
        super().__init__(student)
        self._interruptions = interruptions

    def prompts(self, observed: Sequence[Observation], seconds: float) -> list[str]:
        """Return the student's prompts."""
        return self._student.prompts(observed, seconds, self._interruptions)

    def answers(self, prompts: Sequence[str], seconds: float, interrupted: Interrupted) -> list[str]:
        """Return the student's answers."""
        return self._student.answers(prompts, seconds, lambda: interrupted() or self._interruptions())


_SMALL, _LARGE = 64, 512
_SHORT = 4.0
Key = tuple[str, datetime]


class PrefetchingStudent(_Wrapper):
    """A student that also answers the next of the `upcoming` observations, given in order of time.

    `on_asking` is called with the number of observations done, and their total.
    """

    def __init__(
        self,
        student: Cancellable,
        upcoming: Sequence[Observation],
        ledger: AnswerCache,
        on_asking: Callable[[int, int], None] = lambda _place, _all: None,
    ) -> None:
        super().__init__(student)
        self._on_asking = on_asking
        self._upcoming = upcoming
        self._places = {(seen.symbol, seen.as_of): (place, seen) for place, seen in enumerate(upcoming)}
        self._ledger = ledger
        self._size = _SMALL
        self._prompts: dict[Key, str] = {}
        self._answers: dict[str, str] = {}

    def prompts(
        self, observed: Sequence[Observation], seconds: float, interrupted: Interrupted = lambda: False
    ) -> list[str]:
        """Return the student's prompts."""
        known = [self._places.get((seen.symbol, seen.as_of), (-1, None)) for seen in observed]
        place = known[0][0]
        if any(expected != seen for (_, expected), seen in zip(known, observed, strict=True)):
            return self._student.prompts(observed, seconds, interrupted)
        if any((seen.symbol, seen.as_of) not in self._prompts for seen in observed):
            self._on_asking(place, len(self._upcoming))
            coming = self._upcoming[place : place + max(self._size, len(observed))]
            texts = self._student.prompts(coming, seconds, interrupted)
            self._prompts = {
                (seen.symbol, seen.as_of): text for seen, text in zip(coming, texts, strict=True)
            }
            self._answers = {}
        return [self._prompts[seen.symbol, seen.as_of] for seen in observed]

    def answers(self, prompts: Sequence[str], seconds: float, interrupted: Interrupted) -> list[str]:
        """Return the student's answers, and keep those to upcoming prompts."""
        if any(prompt not in self._answers for prompt in prompts):
            coming = list(dict.fromkeys([*prompts, *self._prompts.values()]))
            digests = {answer_digest(self.fingerprint, prompt): prompt for prompt in coming}
            known: dict[str, str] = {}
            with suppress(JournalError):  # the session meets the same fault and reports it
                known = self._ledger.get_many(list(digests))
            missing = [prompt for digest, prompt in digests.items() if digest not in known]
            self._answers = {digests[digest]: answer for digest, answer in known.items()}
            self._ask(missing, seconds, interrupted)
        return [self._answers[prompt] for prompt in prompts]

    def _ask(self, missing: Sequence[str], seconds: float, interrupted: Interrupted) -> None:
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
        with suppress(JournalError):  # the answers are in memory; the cache only saves a later run the work
            self._ledger.put_many(self.fingerprint, rows)

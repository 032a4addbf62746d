"""Start the student's process, query it within a time limit, and restart it when it has died.

Questions and answers are lines of JSON.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from engine.journal.canonical import canonical_json
from engine.model import Observation
from llm.student import Progress, StudentInterrupted, StudentSettings, StudentTimeout, StudentUnavailable
from llm.worker.messages import decode_day, encode_observation, encode_settings

STUDENT_COMMAND = (sys.executable, "-P", "-m", "llm.worker.process")
_LOOK_EVERY = 0.1
_PIECE = 65_536
MAX_RESTARTS = 6
_MAX_PAUSE = 30.0


class _ProcessDied(Exception):
    """The process is no more; the text describes its end."""


class _Process:
    """One process and its two pipes, neither of which is ever waited for without a limit."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a process was started without its pipes")
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._read = bytearray()
        self.pid = self._process.pid

    def request(self, line: bytes, look: Callable[[], None]) -> bytes:
        """Write a line and read one, calling `look` about ten times a second; raises what `look` raises."""
        unsent = memoryview(line)
        while True:
            look()
            ready, writable, _ = select.select([self._out], [self._in] if unsent else [], [], _LOOK_EVERY)
            if writable:
                unsent = self._write(unsent)
            if ready and (answer := self._line()) is not None:
                return answer

    def end(self) -> None:
        """Kill the process if it still is, and forget it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _write(self, unsent: memoryview) -> memoryview:
        try:
            return unsent[os.write(self._in, unsent[:_PIECE]) :]
        except BlockingIOError:
            return unsent
        except OSError as error:
            raise _ProcessDied(self._describe_exit()) from error

    def _line(self) -> bytes | None:
        piece = os.read(self._out, _PIECE)
        if not piece:
            raise _ProcessDied(self._describe_exit())
        self._read += piece
        end = self._read.find(b"\n", max(0, len(self._read) - len(piece)))
        if end < 0:
            return None
        line, self._read = bytes(self._read[:end]), self._read[end + 1 :]
        return line

    def _describe_exit(self) -> str:
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        return f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"


class StudentHost:
    """The student's process, started when first asked. Use it as a context manager.

    `look` is called while an answer is awaited and may raise to break off; `on_death` receives the reason of
    each death.
    """

    def __init__(
        self,
        *,
        look: Callable[[], None] = lambda: None,
        on_death: Callable[[str], None] = lambda _how: None,
        command: tuple[str, ...] = STUDENT_COMMAND,
    ) -> None:
        self._look = look
        self._on_death = on_death
        self._command = command
        self._process: _Process | None = None
        self._number = 0
        self._deaths = 0
        self._not_before = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int | None:
        """Return the process's number while there is one."""
        return self._process.pid if self._process else None

    def ask(
        self,
        question: Mapping[str, object],
        seconds: float,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Any:
        """Return the answer to a question within `seconds`; a process that dies is restarted and asked again.

        Raises StudentTimeout when the time is up (the process, which may hang, is ended), StudentUnavailable
        when it died too often or refuses, StudentInterrupted once `interrupted` returns True.
        """
        until = time.monotonic() + seconds

        def look() -> None:
            self._look()
            if interrupted():
                raise StudentInterrupted("a command came before the student answered; resume to continue")
            if time.monotonic() >= until:
                raise StudentTimeout(f"no answer within {seconds:g} s; see whether the machine is too slow")

        try:
            answer = self._request_with_restart(question, look)
        except (StudentTimeout, StudentInterrupted):
            self.end()  # it may hang, and an answer that comes later would be taken for another
            raise
        if "error" in answer:
            raise StudentUnavailable(answer["error"])
        return answer["answer"]

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _request_with_restart(
        self, question: Mapping[str, object], look: Callable[[], None]
    ) -> dict[str, Any]:
        for _ in range(MAX_RESTARTS):
            while time.monotonic() < self._not_before:
                look()
                time.sleep(_LOOK_EVERY)
            try:
                reply = self._request_once(question, look)
            except _ProcessDied as error:
                self._on_exit(str(error))
                continue
            self._deaths = 0
            return reply
        raise StudentUnavailable(
            f"the student's process died {MAX_RESTARTS} times in a row; see the session's log"
        )

    def _request_once(self, question: Mapping[str, object], look: Callable[[], None]) -> dict[str, Any]:
        if self._process is None:
            self._process = _Process(self._command)
        self._number += 1
        line = canonical_json({"number": self._number, **question}) + "\n"
        answer: dict[str, Any] = json.loads(self._process.request(line.encode(), look))
        if answer["number"] != self._number:
            raise _ProcessDied("answered another question")
        return answer

    def _on_exit(self, how: str) -> None:
        self.end()
        pause = 0.0 if self._deaths == 0 else min(2.0 ** (self._deaths - 1), _MAX_PAUSE)
        self._deaths += 1
        self._not_before = time.monotonic() + pause
        self._on_death(f"the student's process {how}; it is started again")


class RemoteStudent:
    """One student of a host: a `llm.student.Student` and a `llm.student.StudentClient`.

    `seconds` is the limit for what has none of its own, such as loading it.
    """

    def __init__(self, host: StudentHost, wanted: StudentSettings, seconds: float) -> None:
        self._host = host
        self._wanted = encode_settings(wanted)
        self._seconds = seconds

    @cached_property
    def _description(self) -> dict[str, Any]:
        return dict(self._host.ask({"ask": "describe", "student": self._wanted}, self._seconds))

    @property
    def name(self) -> str:
        """As of `llm.student.Student`, like the four that follow. Raises StudentError where it is gone."""
        return str(self._description["name"])

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 over everything but the prompt that decides an answer."""
        return str(self._description["fingerprint"])

    @property
    def window(self) -> int:
        """Return how many closed bars its prompts look at."""
        return int(self._description["window"])

    @property
    def released(self) -> date | None:
        """Return the day from which what happened cannot be in the model."""
        return decode_day(self._description["released"])

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a user of its forecasts should know about them."""
        return tuple(self._description["notes"])

    def prompts(
        self, observed: Sequence[Observation], seconds: float, interrupted: Callable[[], bool] = lambda: False
    ) -> list[str]:
        """Return the whole prompt for each observation, in order."""
        asked = [encode_observation(observation) for observation in observed]
        question = {"ask": "prompts", "student": self._wanted, "observed": asked}
        return list(self._host.ask(question, seconds, interrupted))

    def answers(self, prompts: Sequence[str], seconds: float, interrupted: Callable[[], bool]) -> list[str]:
        """Return one raw answer for each prompt, in order."""
        question = {"ask": "answers", "student": self._wanted, "prompts": list(prompts)}
        return list(self._host.ask(question, seconds, interrupted))

    def prompt(self, observation: Observation) -> str:
        """Return one prompt."""
        return self.prompts([observation], self._seconds)[0]

    def answer(self, prompts: Sequence[str], on_progress: Progress) -> list[str]:
        """Return the answers; nothing interrupts them."""
        answers = self.answers(prompts, self._seconds, lambda: False)
        on_progress(len(prompts), len(prompts))
        return answers

"""Keeps a session's process running: starts it, starts it anew when it dies, tells what happens, ends it.

Knows the session by its journal alone. Nothing that goes wrong here reaches the session.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

from engine.errors import ClosecallError, DataError, JournalError, UsageError
from engine.journal import Row
from strategies.paper.lock import SessionLock
from strategies.paper.opening import session_folder
from tui.options import now
from tui.paper.child import SESSION_COMMAND, Child
from tui.paper.places import LOG, SUPERVISOR_LOCK, journal_path, runner_of
from tui.paper.plan import Plan
from tui.paper.session_log import SessionLog
from tui.paper.session_process import STOPPED
from tui.paper.tail import Tail
from tui.paper.telling import CHANGES, LIVE, TOLD, log_line
from tui.paper.webhook import Webhook

_LOOK_EVERY = 0.2
_LONGEST_PAUSE = 60.0
_SHORT_LIFE = 60.0
_MOST_FAILURES = 3
_LINGER = 10.0
_ERRORS: dict[int, type[ClosecallError]] = {2: UsageError, 3: DataError}

Show = Callable[[Row], None]
Say = Callable[[str], None]


class Ended(StrEnum):
    """How a session came to its end, for now or for good."""

    FINISHED = "finished"
    STOPPED = "stopped"


class Supervisor:
    """One start of a session. `show` is given each event that matters, `say` what the processes say.

    `command` starts the session's own process.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        show: Show,
        say: Say,
        stop: threading.Event,
        command: tuple[str, ...] = SESSION_COMMAND,
    ) -> None:
        self._plan = plan
        self._command = command
        self._show, self._say, self._stop = show, say, stop
        self._folder = session_folder(plan.data_dir, plan.name)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._failures = 0

    def run(self) -> Ended:
        """Until the session ends or `stop` is set. Raises UsageError where another process runs it, and
        whatever its own process found wrong.
        """
        with SessionLock(self._folder / SUPERVISOR_LOCK):
            self._wait_for_the_last()
            self._log = SessionLog(self._folder / LOG)
            self._tail = Tail(
                journal_path(self._plan.data_dir, self._plan.name), self._plan.name, TOLD + LIVE
            )
            address = self._plan.webhook
            self._webhook = Webhook(address, lambda why: self._fault("webhook", why)) if address else None
            try:
                return self._keep_running()
            finally:
                self._pass_on()
                if self._webhook is not None:
                    self._webhook.close()
                self._tail.close()
                self._log.close()

    def _keep_running(self) -> Ended:
        while True:
            begun = time.monotonic()
            child = Child(self._plan, self._command)
            self._log.write(now(), "process started", pid=child.pid)
            try:
                code = self._watch(child)
            finally:
                if child.ended() is None:
                    child.stop()
                child.close()
                self._hear(child)
            self._pass_on()
            self._log.write(now(), "process ended", code=code)
            if code in (0, STOPPED):
                return Ended.FINISHED if code == 0 else Ended.STOPPED
            if self._stop.is_set():
                return Ended.STOPPED
            self._failed(child, code, time.monotonic() - begun)

    def _watch(self, child: Child) -> int:
        """Pass on what happens until the process ends; its exit code."""
        while (code := child.ended()) is None:
            self._hear(child)
            self._pass_on()
            if self._stop.is_set():
                child.stop()
            self._stop.wait(_LOOK_EVERY)
        return code

    def _failed(self, child: Child, code: int, lived: float) -> None:
        """Raise what the process found wrong, or wait before it is started again."""
        error = child.error()
        if error.startswith(f"session {self._plan.name} runs already") and self._failures < _MOST_FAILURES:
            self._failures += 1
            self._wait_for_the_last()  # it is on its way out: the lock of supervisors is ours
            return
        if error:
            self._tell("failed", now(), error)
            raise _ERRORS.get(code, ClosecallError)(error)
        how = f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._failures = 1 if lived > _SHORT_LIFE else self._failures + 1
        if code > 0 and self._failures >= _MOST_FAILURES:
            raise JournalError(
                f"the session's process {how} {_MOST_FAILURES} times in a row; its words stand in "
                f"{self._folder / LOG}"
            )
        pause = 0.0 if self._failures == 1 else min(2.0 ** (self._failures - 2), _LONGEST_PAUSE)
        said = f"the session's process {how}; it is started again" + (f" in {pause:.0f} s" if pause else "")
        self._fault("session", said)
        self._stop.wait(pause)

    def _hear(self, child: Child) -> None:
        for line in child.words():
            self._log.write(now(), "said", text=line)
            self._say(line)

    def _pass_on(self) -> None:
        while rows := self._tail.look():
            for row in rows:
                self._show(row)
                if (line := log_line(row)) is not None:
                    self._log.write(now(), row.kind, seq=row.seq, as_of=row.as_of, text=line)
                # A webhook that fails is at fault, and is not to be told so for ever.
                told = row.kind in CHANGES and row.payload.get("part") != "webhook"
                if told and self._webhook is not None:
                    self._webhook.tell(self._message(row.kind, row.as_of, line or row.kind, seq=row.seq))

    def _fault(self, part: str, reason: str) -> None:
        at = now()
        self._log.write(at, "fault", part=part, text=reason)
        if not self._tail.fault(part, reason, at):
            self._say(reason)

    def _tell(self, event: str, at: datetime, text: str) -> None:
        self._log.write(at, event, text=text)
        if self._webhook is not None:
            self._webhook.tell(self._message(event, at, text))

    def _message(self, event: str, at: datetime, text: str, **more: Any) -> dict[str, Any]:
        return {"session": self._plan.name, "event": event, "at": at.isoformat(), "text": text, **more}

    def _wait_for_the_last(self) -> None:
        """A supervisor that was killed leaves a process that notices within moments."""
        until = time.monotonic() + _LINGER
        while runner_of(self._folder) is not None and time.monotonic() < until:
            self._stop.wait(_LOOK_EVERY)

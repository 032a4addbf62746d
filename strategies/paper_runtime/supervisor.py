"""Keeps a session's process running: starts it, restarts it when it dies, reports events, and stops it.

Follows the session by its journal alone. No fault here affects the session.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import IO, Any

from engine.errors import ClosecallError, DataError, JournalError, UsageError
from engine.journal.events import Kind
from engine.journal.journal import Row
from strategies.console import print_stderr, utc_now
from strategies.monitor.descriptions import FOLLOWED_KINDS, NOTIFIED_KINDS, log_line
from strategies.paper.files import (
    LOG,
    OUTPUT,
    SUPERVISOR_LOCK,
    journal_path,
    runner_pid,
    session_folder,
    supervisor_pid,
)
from strategies.paper.lock import SessionLock
from strategies.paper_runtime.launch import LaunchSpec
from strategies.paper_runtime.notifications import EventTail, SessionLog, Webhook
from strategies.paper_runtime.session_process import STOPPED

BACKGROUND_COMMAND = (sys.executable, "-P", "-m", "strategies.paper_runtime.supervisor")
_PATIENCE = 90.0
_BACKGROUND_POLL_INTERVAL = 0.2


def require_stopped(plan: LaunchSpec) -> None:
    """Raise UsageError where another process runs the session of a plan."""
    if holder := supervisor_pid(session_folder(plan.data_dir, plan.name)):
        raise UsageError(
            f"session {plan.name} runs already, in process {holder}; "
            f"end it with: closecall paper stop {plan.name}"
        )


def start_in_background(plan: LaunchSpec) -> int:
    """Start the supervisor of a plan and wait until its session runs; return its process number.

    Raises UsageError where another process runs the session, or the error that kept it from running.
    """
    require_stopped(plan)
    folder = session_folder(plan.data_dir, plan.name)
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / OUTPUT
    with output.open("wb") as written:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            BACKGROUND_COMMAND, stdin=subprocess.PIPE, stdout=written, stderr=written, start_new_session=True
        )
    if process.stdin is None:
        raise RuntimeError("a process was started without a pipe")
    process.stdin.write(plan.to_json().encode() + b"\n")
    process.stdin.close()
    until = time.monotonic() + _PATIENCE
    journal = journal_path(plan.data_dir, plan.name)
    while process.poll() is None and time.monotonic() < until:
        if runner_pid(folder) is not None and journal.is_file():
            return process.pid
        time.sleep(_BACKGROUND_POLL_INTERVAL)
    if (code := process.poll()) not in (None, 0):
        lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        error = UsageError(lines[-1].removeprefix("closecall: ") if lines else f"ended with exit code {code}")
        error.exit_code = code if code in (2, 3) else 3
        raise error
    return process.pid


SESSION_COMMAND = (sys.executable, "-P", "-m", "strategies.paper_runtime.session_process")
_GRACE = 20.0
_DRAIN_SECONDS = 2.0


class ChildProcess:
    """One process in a group of its own, so that a terminal's Ctrl-C reaches the supervisor alone."""

    def __init__(self, plan: LaunchSpec, command: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        stdin, out, err = self._process.stdin, self._process.stdout, self._process.stderr
        if stdin is None or out is None or err is None:
            raise RuntimeError("a process was started without its pipes")
        self._stderr_lines: queue.Queue[str] = queue.Queue()
        self._out: list[bytes] = []
        self._pipes = (out, err)
        self._stdin = stdin  # held open: its end means to the process that its supervisor is gone
        self._readers = [
            threading.Thread(target=self._listen, args=(err,), daemon=True),
            threading.Thread(target=lambda: self._out.append(out.read()), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        try:
            stdin.write(plan.to_json().encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # it has ended already; its exit code states how

    @property
    def pid(self) -> int:
        """Return the process number."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal, None while it runs."""
        return self._process.poll()

    def stderr_lines(self) -> list[str]:
        """Return the lines that it or its children wrote to stderr since the last call."""
        lines = []
        while not self._stderr_lines.empty():
            lines.append(self._stderr_lines.get())
        return lines

    def error(self) -> str:
        """Return the error that it reported on its stdout at its end; empty if it reported none."""
        try:
            return str(json.loads(b"".join(self._out))["error"])
        except (ValueError, KeyError, TypeError):
            return ""

    def stop(self) -> None:
        """Terminate it, and kill it if it does not end."""
        self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Read the remaining output of a process that has ended, and close its pipes."""
        with suppress(BrokenPipeError):  # the process has ended and reads no more
            self._stdin.close()
        for reader, pipe in zip(self._readers[::-1], self._pipes, strict=True):
            reader.join(_DRAIN_SECONDS)
            if not reader.is_alive():  # else a process that it left behind still holds the other end
                pipe.close()

    def _listen(self, err: IO[bytes]) -> None:
        for line in err:
            self._stderr_lines.put(line.decode(errors="replace").rstrip())


_LOOK_EVERY = 0.2
_MAX_PAUSE = 60.0
_SHORT_LIFE = 60.0
_MAX_FAILURES = 3
_WAIT_FOR_PREVIOUS = 10.0
_ERRORS: dict[int, type[ClosecallError]] = {2: UsageError, 3: DataError}
Show = Callable[[Row], None]


class SessionEnd(StrEnum):
    """How the run of a session ended."""

    FINISHED = "finished"
    STOPPED = "stopped"


class Supervisor:
    """One start of a session. `show` is called with each followed event, `on_message` with lines of stderr.

    `command` starts the session's process.
    """

    def __init__(
        self,
        plan: LaunchSpec,
        *,
        show: Show,
        on_message: Callable[[str], None],
        stop: threading.Event,
        command: tuple[str, ...] = SESSION_COMMAND,
    ) -> None:
        self._plan = plan
        self._command = command
        self._show, self._on_message, self._stop = show, on_message, stop
        self._folder = session_folder(plan.data_dir, plan.name)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._failures = 0

    def run(self) -> SessionEnd:
        """Run the session until it ends or `stop` is set.

        Raises UsageError where another process runs it, and the error that its own process reports.
        """
        with SessionLock(self._folder / SUPERVISOR_LOCK):
            self._wait_for_previous()
            self._log = SessionLog(self._folder / LOG)
            self._tail = EventTail(
                journal_path(self._plan.data_dir, self._plan.name), self._plan.name, FOLLOWED_KINDS
            )
            address = self._plan.webhook
            self._webhook = (
                Webhook(address, lambda why: self._record_fault("webhook", why)) if address else None
            )
            try:
                return self._keep_running()
            finally:
                self._pass_on()
                if self._webhook is not None:
                    self._webhook.close()
                self._tail.close()
                self._log.close()

    def _keep_running(self) -> SessionEnd:
        while True:
            begun = time.monotonic()
            child = ChildProcess(self._plan, self._command)
            self._log.write(utc_now(), "process started", pid=child.pid)
            try:
                code = self._watch(child)
            finally:
                if child.exit_code() is None:
                    child.stop()
                child.close()
                self._drain_stderr(child)
            self._pass_on()
            self._log.write(utc_now(), "process ended", code=code)
            if code in (0, STOPPED):
                return SessionEnd.FINISHED if code == 0 else SessionEnd.STOPPED
            if self._stop.is_set():
                return SessionEnd.STOPPED
            self._on_failure(child, code, time.monotonic() - begun)

    def _watch(self, child: ChildProcess) -> int:
        """Pass on events until the process ends, and return its exit code."""
        while (code := child.exit_code()) is None:
            self._drain_stderr(child)
            self._pass_on()
            if self._stop.is_set():
                child.stop()
            self._stop.wait(_LOOK_EVERY)
        return code

    def _on_failure(self, child: ChildProcess, code: int, uptime: float) -> None:
        """Raise the error that the process reported, or wait before it is restarted."""
        error = child.error()
        if error.startswith(f"session {self._plan.name} runs already") and self._failures < _MAX_FAILURES:
            self._failures += 1
            self._wait_for_previous()  # the previous process is about to end: we hold the supervisors' lock
            return
        if error:
            self._notify("failed", utc_now(), error)
            raise _ERRORS.get(code, ClosecallError)(error)
        how = f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._failures = 1 if uptime > _SHORT_LIFE else self._failures + 1
        if code > 0 and self._failures >= _MAX_FAILURES:
            raise JournalError(
                f"the session's process {how} {_MAX_FAILURES} times in a row; its messages are in "
                f"{self._folder / LOG}"
            )
        pause = 0.0 if self._failures == 1 else min(2.0 ** (self._failures - 2), _MAX_PAUSE)
        reason = f"the session's process {how}; it is restarted" + (f" in {pause:.0f} s" if pause else "")
        self._record_fault("session", reason)
        self._stop.wait(pause)

    def _drain_stderr(self, child: ChildProcess) -> None:
        for line in child.stderr_lines():
            self._log.write(utc_now(), "stderr", text=line)
            self._on_message(line)

    def _pass_on(self) -> None:
        while rows := self._tail.poll():
            for row in rows:
                self._show(row)
                if (line := log_line(row)) is not None:
                    self._log.write(utc_now(), row.kind, seq=row.seq, as_of=row.as_of, text=line)
                # A failing webhook is itself a fault, which must not be posted.
                notified = row.kind in NOTIFIED_KINDS and row.payload.get("part") != "webhook"
                if notified and self._webhook is not None:
                    self._webhook.post(self._message(row.kind, row.as_of, line or row.kind, seq=row.seq))

    def _record_fault(self, part: str, reason: str) -> None:
        at = utc_now()
        self._log.write(at, Kind.FAULT, part=part, text=reason)
        if not self._tail.append_fault(part, reason, at):
            self._on_message(reason)

    def _notify(self, event: str, at: datetime, text: str) -> None:
        self._log.write(at, event, text=text)
        if self._webhook is not None:
            self._webhook.post(self._message(event, at, text))

    def _message(self, event: str, at: datetime, text: str, **more: Any) -> dict[str, Any]:
        return {"session": self._plan.name, "event": event, "at": at.isoformat(), "text": text, **more}

    def _wait_for_previous(self) -> None:
        """Wait for the process of a killed supervisor, which ends within moments."""
        until = time.monotonic() + _WAIT_FOR_PREVIOUS
        while runner_pid(self._folder) is not None and time.monotonic() < until:
            self._stop.wait(_LOOK_EVERY)


def main() -> None:
    """Supervise until the session ends or a signal stops this process."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGINT, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal that started it may close
    plan = LaunchSpec.from_json(sys.stdin.readline())
    try:
        Supervisor(plan, show=lambda _row: None, on_message=print_stderr, stop=stop).run()
    except ClosecallError as error:
        print_stderr(f"closecall: {' '.join(str(error).split())}")
        sys.exit(error.exit_code)
    os._exit(0)  # threads that read a killed child's pipes are not waited for


if __name__ == "__main__":
    main()

"""The process of a session as its supervisor sees it: started with a plan, asked to end, its words read."""

import json
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO

from tui.paper.plan import Plan

SESSION_COMMAND = (sys.executable, "-P", "-m", "tui.paper.session_process")
_GRACE = 20.0
_LAST_WORDS = 2.0


class Child:
    """One process. Its own group, so that a terminal's Ctrl-C reaches the supervisor alone."""

    def __init__(self, plan: Plan, command: tuple[str, ...]) -> None:
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
        self._said: queue.Queue[str] = queue.Queue()
        self._out: list[bytes] = []
        self._pipes = (out, err)
        self._stdin = stdin  # held open: its end tells the process that its supervisor is gone
        self._readers = [
            threading.Thread(target=self._listen, args=(err,), daemon=True),
            threading.Thread(target=lambda: self._out.append(out.read()), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        try:
            stdin.write(plan.text().encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # it has ended already, and its exit code tells how

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def ended(self) -> int | None:
        """Its exit code, negative for a signal, once it has ended."""
        return self._process.poll()

    def words(self) -> list[str]:
        """The lines that it or its own children wrote to stderr since this was last asked."""
        found = []
        while not self._said.empty():
            found.append(self._said.get())
        return found

    def error(self) -> str:
        """What was wrong, as it said itself at its end; empty if it said nothing."""
        try:
            return str(json.loads(b"".join(self._out))["error"])
        except (ValueError, KeyError, TypeError):
            return ""

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Hear the last words of a process that has ended, and let its pipes go."""
        with suppress(BrokenPipeError):
            self._stdin.close()
        for reader, pipe in zip(self._readers[::-1], self._pipes, strict=True):
            reader.join(_LAST_WORDS)
            if not reader.is_alive():  # else a process that it left behind still holds the other end
                pipe.close()

    def _listen(self, err: IO[bytes]) -> None:
        for line in err:
            self._said.put(line.decode(errors="replace").rstrip())

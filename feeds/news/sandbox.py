"""Run parsers of hostile input in a child process with limits of time and memory.

A feed or page can be made so that its parser runs for hours, fills the memory or crashes. A child that takes
too long is killed, and the caller gets one clear error. The child has no network and few environment
variables, and returns JSON only.
"""

import base64
import contextlib
import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from engine.errors import DataError

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT")
_START = "from feeds.news.sandbox import serve; serve()"
_HEADER_BYTES = 8
_MAX_ANSWER_BYTES = 32_000_000

_NETWORK_EVENTS = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
    "socket.bind",
)

Run = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    process: subprocess.Popen[bytes]
    requests: IO[bytes]
    answers: IO[bytes]


class Sandbox:
    """Call functions in one child process, started at the first call and again after a failure.

    `seconds` limits one call, with the child's start; `memory` limits the child's address space in bytes,
    where the system can do so (not on Windows). Close it, or use it in a `with` statement.
    """

    def __init__(self, *, seconds: float = 20.0, memory: int = 1_500_000_000) -> None:
        self._seconds = seconds
        self._memory = memory
        self._child: _Child | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a module's function in the child and return its result, which went through JSON.

        Raises DataError, without a place in its message, where the function failed or exceeded the limits.
        """
        child = self._ensure_started()
        timer = threading.Timer(self._seconds, child.process.kill)
        timer.daemon = True
        timer.start()
        try:
            _send(child.requests, _encode_request(function.__module__, function.__name__, arguments))
            answer = json.loads(_receive(child.answers))
        except (OSError, EOFError, ValueError):
            self.close()
            limits = f"{self._seconds:g} s and {self._memory // 1_000_000:,} MB"
            raise DataError(f"not readable within {limits}; leave it out") from None
        finally:
            timer.cancel()
        if "fault" in answer:
            raise DataError(f"not readable ({answer['fault']}); leave it out")
        return answer["value"]

    def close(self) -> None:
        """Kill the child."""
        child, self._child = self._child, None
        if child is not None:
            child.process.kill()
            child.process.wait()
            for pipe in (child.requests, child.answers):
                with contextlib.suppress(OSError):  # what a killed child did not read cannot be flushed
                    pipe.close()

    def _ensure_started(self) -> _Child:
        if self._child is None or self._child.process.poll() is not None:
            self.close()
            self._child = _start_child()
            with contextlib.suppress(OSError):  # a child that cannot start fails at the first call
                _send(self._child.requests, str(self._memory).encode())
        return self._child


def _start_child() -> _Child:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # feedparser converts some dates through the local zone, which must have no skipped hours.
    kept |= {"TZ": "UTC", "PYTHONUTF8": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(  # noqa: S603 - nothing from outside is in the command
        [sys.executable, "-c", _START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=kept,
    )
    if process.stdin is None or process.stdout is None:
        raise OSError("the child has no pipes")
    return _Child(process=process, requests=process.stdin, answers=process.stdout)


def serve() -> None:
    """Answer calls from standard input on standard output until it is closed: the child's main loop."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of a library would be taken for an answer
    _limit_memory(int(_receive(requests)))
    sys.addaudithook(_refuse_network)
    with contextlib.suppress(EOFError):  # the parent has closed the pipe: nothing more to parse
        while True:
            module, name, arguments = _read_request(_receive(requests))
            _send(answers, json.dumps(_run_request(module, name, arguments)).encode())


def _encode_request(module: str, name: str, arguments: tuple[object, ...]) -> bytes:
    """Return a call as JSON, in which bytes are a list with one base64 text."""
    plain = [
        [base64.b64encode(argument).decode()] if isinstance(argument, bytes) else argument
        for argument in arguments
    ]
    return json.dumps([module, name, plain]).encode()


def _read_request(data: bytes) -> tuple[str, str, tuple[object, ...]]:
    module, name, plain = json.loads(data)
    arguments = (base64.b64decode(value[0]) if isinstance(value, list) else value for value in plain)
    return module, name, tuple(arguments)


def _run_request(module: str, name: str, arguments: tuple[object, ...]) -> dict[str, Any]:
    try:
        return {"value": getattr(importlib.import_module(module), name)(*arguments)}
    except MemoryError:
        os._exit(1)  # the memory stays fragmented; the parent starts a fresh child
    except Exception as error:  # a parser may raise anything on hostile input
        return {"fault": type(error).__name__}


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _refuse_network(event: str, _: tuple[Any, ...]) -> None:
    if event in _NETWORK_EVENTS:
        raise OSError("a parser has no network")


def _send(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(len(data).to_bytes(_HEADER_BYTES, "big") + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    head = pipe.read(_HEADER_BYTES)
    size = int.from_bytes(head, "big")
    data = pipe.read(size) if len(head) == _HEADER_BYTES and size <= _MAX_ANSWER_BYTES else b""
    if len(head) < _HEADER_BYTES or len(data) < size:
        raise EOFError
    return data

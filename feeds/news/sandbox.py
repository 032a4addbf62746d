"""Functions that read hostile input, run in a child process with limits.

Knows processes, not what is read. Parsers of feeds and pages can be made to run for hours, to fill the
memory or to crash; a child that takes too long is ended, and the caller gets one clear error. The child gets
no network, no variable of the environment but a few, and hands back JSON only.
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

_SIZE = 8

_LONGEST_ANSWER = 32_000_000

_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind")

Run = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    process: subprocess.Popen[bytes]
    requests: IO[bytes]
    answers: IO[bytes]


class Sandbox:
    """Calls functions in one child process, which it starts at the first call and again after a failure.

    `seconds` is what one call may take, with the child's start; `memory` is the child's address space in
    bytes, kept where the system can limit it (not on Windows). To be closed, or used in a `with` statement.
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
        """What a function of a module, called in the child, gives back as JSON.

        Raises DataError, with no place in it, where the function failed, took too long or too much memory.
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
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.process.kill()
            child.process.wait()
            for pipe in (child.requests, child.answers):
                with contextlib.suppress(OSError):
                    pipe.close()

    def _ensure_started(self) -> _Child:
        if self._child is None or self._child.process.poll() is not None:
            self.close()
            self._child = _start_child()
            with contextlib.suppress(OSError):  # a child that cannot start shows at the first call
                _send(self._child.requests, str(self._memory).encode())
        return self._child


def _start_child() -> _Child:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # feedparser takes some dates through the local zone, which must not have hours that do not exist.
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
    """What the child does: answer the calls from standard input on standard output, until that is closed."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints would be taken for an answer
    _limit_memory(int(_receive(requests)))
    sys.addaudithook(_refuse_network)
    with contextlib.suppress(EOFError):
        while True:
            module, name, arguments = _read_request(_receive(requests))
            _send(answers, json.dumps(_run_request(module, name, arguments)).encode())


def _encode_request(module: str, name: str, arguments: tuple[object, ...]) -> bytes:
    """A call as JSON; of bytes, which JSON does not have, the base64 text stands in a list of one."""
    plain = [
        [base64.b64encode(argument).decode()] if isinstance(argument, bytes) else argument
        for argument in arguments
    ]
    return json.dumps([module, name, plain]).encode()


def _read_request(data: bytes) -> tuple[str, str, tuple[object, ...]]:
    module, name, plain = json.loads(data)
    read = (base64.b64decode(one[0]) if isinstance(one, list) else one for one in plain)
    return module, name, tuple(read)


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
    if event in _NETWORK:
        raise OSError("a parser has no network")


def _send(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(len(data).to_bytes(_SIZE, "big") + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    head = pipe.read(_SIZE)
    size = int.from_bytes(head, "big")
    data = pipe.read(size) if len(head) == _SIZE and size <= _LONGEST_ANSWER else b""
    if len(head) < _SIZE or len(data) < size:
        raise EOFError
    return data

"""Loopback HTTP servers that misbehave by a seeded plan. Knows transport and rows, no wire format."""

import random
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, urlsplit

# A row as text: start in milliseconds since 1970, open, high, low, close, volume.
TextRow = tuple[int, str, str, str, str, str]
Answer = str | tuple[int, str] | tuple[int, str, dict[str, str]]
TRANSPORT = ("429", "418", "500", "502", "503", "504", "reset", "stall", "truncated", "cut")
ROWS = ("missing", "duplicate", "differing", "reordered", "zero", "absurd")
LASTING = ("missing", "zero", "absurd")


@dataclass(kw_only=True)
class FaultPlan:
    """Which answers go wrong, and how, by `seed`.

    `transport` and `rows` are probabilities for one request; never more than `in_a_row` answers fail in
    transport one after the other. `lasting` candles of each symbol are wrong in every answer.
    """

    seed: int
    transport: float = 0.25
    rows: float = 0.5
    in_a_row: int = 4
    lasting: int = 0
    kinds: Sequence[str] = TRANSPORT + ROWS
    stall_s: float = 0.6
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._failed = 0
        self._lock = threading.Lock()

    def next_transport(self) -> str | None:
        """The fault of this request's transport, or None."""
        kinds = [kind for kind in TRANSPORT if kind in self.kinds]
        with self._lock:
            if not kinds or self._failed >= self.in_a_row or self._random.random() >= self.transport:
                self._failed = 0
                return None
            self._failed += 1
            kind = self._random.choice(kinds)
            self.done.append(kind)
            return kind

    def spoil(self, rows: Sequence[TextRow]) -> list[TextRow]:
        """The rows of this answer, with up to three faults."""
        kinds = [kind for kind in ROWS if kind in self.kinds]
        spoiled = list(rows)
        with self._lock:
            if not kinds or self._random.random() >= self.rows:
                return spoiled
            for kind in self._random.choices(kinds, k=self._random.randint(1, 3)):
                if spoiled:
                    self.done.append(kind)
                    self._spoil(spoiled, kind)
        return spoiled

    def spoil_for_good(self, rows: Sequence[TextRow]) -> tuple[list[TextRow], set[int]]:
        """One symbol's rows with `lasting` faults, and the starts of the candles that are wrong."""
        kinds = [kind for kind in LASTING if kind in self.kinds] or list(LASTING)
        spoiled, wrong = list(rows), set()
        for at in self._random.sample(range(len(rows)), min(self.lasting, len(rows))):
            kind = self._random.choice(kinds)
            start = rows[at][0]
            place = next(number for number, row in enumerate(spoiled) if row[0] == start)
            if kind == "missing":
                del spoiled[place]
            else:
                spoiled[place] = self._change_price(rows[at], kind, (2000.0, 0.0005))
            wrong.add(start)
        return spoiled, wrong

    def _spoil(self, rows: list[TextRow], kind: str) -> None:
        at = self._random.randrange(len(rows))
        if kind == "missing":
            del rows[at : at + self._random.randint(1, 3)]
        elif kind == "duplicate":
            rows.insert(at, rows[at])
        elif kind == "differing":
            start, open_, high, low, _, volume = rows[at]
            middle = repr((float(open_) + float(low)) / 2)
            other = (start, open_, high, low, middle, volume + "7")
            rows.insert(at + self._random.randint(0, 1), other)
        elif kind == "reordered":
            part = rows[at : at + 5]
            self._random.shuffle(part)
            rows[at : at + 5] = part
        else:
            rows[at] = self._change_price(rows[at], kind, (1000.0, 0.001))

    def _change_price(self, row: TextRow, kind: str, factors: Sequence[float]) -> TextRow:
        if kind == "zero":
            return (row[0], row[1], row[2], "0.0", row[4], row[5])
        factor = self._random.choice(factors)
        return (row[0], *(repr(float(cell) * factor) for cell in row[1:5]), row[5])


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client asked: path, parameters, headers in small letters, and the body of a POST."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    line: str
    body: bytes = b""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away; its test looks at what it did."""


class Loopback:
    """An HTTP server on 127.0.0.1 in threads of this process.

    `answer` gives the body, (status, body), (status, body, headers), or the name of a fault of transport.

    `dated` gives the seconds since 1970 of the Date header; without it that is this machine's.
    """

    def __init__(self, answer: Callable[[Request], Answer], faults: FaultPlan | None) -> None:
        self.answer, self.faults = answer, faults
        self.requests: list[Request] = []
        self.dated: Callable[[], float] | None = None
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"loopback": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count_requests(self, path: str) -> list[Request]:
        """The requests whose path ends so, in order."""
        return [request for request in self.requests if request.path.endswith(path)]


class _Handler(BaseHTTPRequestHandler):
    loopback: Loopback

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """What the Date header says."""
        return super().date_time_string(self.loopback.dated() if self.loopback.dated else timestamp)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(
            path=parts.path,
            query=dict(parse_qsl(parts.query)),
            headers=headers,
            line=self.path,
            body=self.rfile.read(int(headers.get("content-length", 0))),
        )
        self.loopback.requests.append(request)
        fault = self.loopback.faults.next_transport() if self.loopback.faults else None
        answer = self.loopback.answer(request)
        if isinstance(answer, str) and answer in TRANSPORT:
            fault, answer = answer, "{}"
        status, body, *headers = answer if isinstance(answer, tuple) else (200, answer)
        self._headers = headers[0] if headers else {}
        try:
            self._reply(status, body.encode(), fault)
        except OSError:
            self.close_connection = True

    do_POST = do_GET  # noqa: N815  # the name is http.server's

    def _reply(self, status: int, body: bytes, fault: str | None) -> None:
        if fault == "reset":
            self._reset()
        elif fault == "stall":
            self.loopback.closing.wait(self.loopback.faults.stall_s if self.loopback.faults else None)
            self._reset()
        elif fault == "truncated":
            self._send(status, body[: len(body) // 2])
        elif fault == "cut":
            self._send(status, body[: len(body) // 2], length=len(body))
            self._reset()
        elif fault is not None:
            self._send(int(fault), b'{"code":-1003,"msg":"slow down"}', retry_after=fault[:2] != "50")
        else:
            self._send(status, body)

    def _send(
        self, status: int, body: bytes, length: int | None = None, *, retry_after: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if retry_after:
            self.send_header("Retry-After", "17")
        for name, value in self._headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

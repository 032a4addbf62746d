"""Fetch one page by HTTP GET from an address that may be hostile, within limits of time and size.

It sends no cookies and no credentials, and uses no proxy, not even one from the environment: a proxy would
hide which address is reached.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin

from engine.errors import DataError
from feeds.files.tables import quote_value
from feeds.news.url_policy import Origin, get_origin, parse_url, redact_url, resolve_host

_REDIRECTS = {301, 302, 303, 307, 308}
_RETRYABLE = {408, 425, 429, 500, 502, 503, 504}
_CHUNK = 65_536

_HEADERS = {
    "User-Agent": "closecall (news reader)",
    "Accept": "*/*",
    "Accept-Encoding": "gzip",
    "Connection": "close",
}


class SourceBusy(DataError):
    """A source that did not answer or asked to wait; the caller may try again after `wait` seconds."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one GET: seconds to connect, between reads and in total; decompressed bytes; redirects."""

    connect: float = 10.0
    read: float = 15.0
    total: float = 45.0
    body: int = 5_000_000
    redirects: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A fetched page: its address after redirects, its Content-Type header and its decompressed body."""

    url: str
    content_type: str
    body: bytes


def fetch_page(url: str, named: frozenset[Origin] = frozenset(), limits: Limits | None = None) -> Page:
    """Fetch the page at `url`.

    Every host on the way, including those of redirects, must resolve to public addresses only, and the
    connection goes to the address that was checked. The resolver's own time limit applies to resolving.

    Args:
        url: An address that begins with http:// or https://.
        named: Origins that the user named, which may be internal.
        limits: Limits of time, size and redirects.

    Raises:
        SourceBusy: Where another try may help.
        DataError: For any other failure. No message contains a query or credentials.
    """
    limits = limits or Limits()
    start = url
    with _Deadline(limits.total) as deadline:
        for _ in range(limits.redirects + 1):
            try:
                parts = parse_url(url)
                answer = _request_page(parts, named, limits, deadline)
            except DataError as error:
                raise error if url is start else _redirect_error(start, error) from None
            if isinstance(answer, Page):
                return answer
            url = urljoin(url, answer)
    raise DataError(f"{redact_url(start)}: more than {limits.redirects} redirects; give the final address")


class _Deadline:
    """Shut the connection down when the time for the whole GET is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.over = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._abort)
        self._timer.daemon = True

    def __enter__(self) -> "_Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection down at the deadline, in place of the one watched before."""
        with self._lock:
            self._socket = connection
        if self.over:
            self._abort()

    def _abort(self) -> None:
        with self._lock:
            self.over = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # a connection that is closed already needs no shutdown
                    # The plain socket's method, because TLS would first wait for the peer.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _request_page(
    parts: SplitResult, named: frozenset[Origin], limits: Limits, deadline: _Deadline
) -> Page | str:
    """Return the page at `parts`, or the address it redirects to."""
    place = redact_url(parts.geturl())
    try:
        with contextlib.closing(_connect(parts, named, limits, deadline)) as connection:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", target, headers=_HEADERS)
            with connection.getresponse() as answer:
                if answer.status in _REDIRECTS and (moved := answer.headers.get("Location", "").strip()):
                    # http.client decodes headers as Latin-1, while servers send UTF-8.
                    return str(moved.encode("latin-1").decode("utf-8", "replace"))
                _require_success(place, answer)
                body = b"".join(_decompress(place, answer, limits.body))
                content_type = answer.headers.get("Content-Type", "")
    except DataError:
        raise
    except (OSError, http.client.HTTPException, zlib.error, UnicodeError) as error:
        if deadline.over or isinstance(error, TimeoutError):
            raise SourceBusy(f"{place}: no complete answer in time; try again later") from None
        raise SourceBusy(f"{place}: {_describe_error(error)}; check the address or try again later") from None
    if deadline.over:
        raise SourceBusy(f"{place}: no complete answer in {deadline.seconds:g} s; try again later")
    return Page(url=parts.geturl(), content_type=content_type, body=body)


def _connect(
    parts: SplitResult, named: frozenset[Origin], limits: Limits, deadline: _Deadline
) -> http.client.HTTPConnection:
    host, port = origin = get_origin(parts)
    try:
        address = resolve_host(redact_url(parts.geturl()), origin, internal=origin in named)
    except socket.gaierror:
        raise OSError(0, "the host is unknown") from None
    plain = socket.create_connection((address, port), timeout=limits.connect)
    connection = http.client.HTTPConnection(host, port)
    try:
        deadline.watch(plain)
        if parts.scheme == "https":
            secure = ssl.create_default_context().wrap_socket(
                plain, server_hostname=host, do_handshake_on_connect=False
            )
            plain = secure
            deadline.watch(secure)
            secure.do_handshake()
            connection.default_port = 443
        plain.settimeout(limits.read)
    except BaseException:  # also Ctrl-C must not leave the socket open
        plain.close()
        raise
    connection.sock = plain
    return connection


def _require_success(place: str, answer: http.client.HTTPResponse) -> None:
    if answer.status == 200:
        return
    if answer.status in _RETRYABLE:
        wait = answer.headers.get("Retry-After", "")
        raise SourceBusy(
            f"{place}: answered HTTP {answer.status}; try again later",
            float(wait) if wait.isascii() and wait.isdigit() else None,
        )
    raise DataError(f"{place}: answered HTTP {answer.status}; check the address")


def _decompress(place: str, answer: http.client.HTTPResponse, max_bytes: int) -> Iterator[bytes]:
    """Yield the decompressed body in chunks. Raises DataError above `max_bytes`."""
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise DataError(
            f"{place}: compressed as {quote_value(encoding)}, which was not asked for; leave this source out"
        )
    decompressor = None if encoding in ("identity", "") else zlib.decompressobj(zlib.MAX_WBITS | 32)
    size = 0
    while data := answer.read(_CHUNK):
        for chunk in (data,) if decompressor is None else _decompress_chunks(decompressor, data):
            size += len(chunk)
            if size > max_bytes:
                raise DataError(f"{place}: more than {max_bytes:,} bytes; leave this source out")
            yield chunk
        if decompressor is not None and decompressor.eof:
            return
    if answer.length or decompressor is not None:
        raise http.client.IncompleteRead(b"", answer.length)


def _decompress_chunks(decompressor: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    """Yield the decompressed data in chunks of bounded size, whatever the compression ratio."""
    chunk = decompressor.decompress(data, _CHUNK)
    while chunk:
        yield chunk
        chunk = decompressor.decompress(decompressor.unconsumed_tail, _CHUNK)


def _redirect_error(start: str, error: DataError) -> DataError:
    """Return the error with the address that was asked for first."""
    message = f"{redact_url(start)}: redirects to {error}"
    return SourceBusy(message, error.wait) if isinstance(error, SourceBusy) else DataError(message)


def _describe_error(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "no trusted connection (TLS)"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"the answer is not readable ({type(error).__name__})"

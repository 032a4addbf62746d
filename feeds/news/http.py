"""One bounded HTTP GET of an address that may be hostile.

Knows addresses, redirects and limits, not what a page means. It sends no cookie and no credential and uses no
proxy, also not one from the environment: a proxy would hide which address is reached.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from engine.errors import DataError
from feeds.files.tables import quote_value

_PORTS = {"http": 80, "https": 443}

_LONGEST_ADDRESS = 2_000

_PLAIN = "%/:?#[]@!$&'()*+,;=~"

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Origin = tuple[str, int]


def parse_url(url: str) -> SplitResult:
    """The parts of an address that may be fetched. Spaces and other alphabets become %-escapes.

    Raises DataError for another scheme than http and https, a user name or password, and what is no address.
    """
    try:
        parts = urlsplit(quote(url.strip(), safe=_PLAIN))
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise DataError(f"{redact_url(url)}: not an address; write it as https://host/path") from None
    if parts.scheme not in _PORTS:
        raise DataError(f"{redact_url(url)}: {quote_value(parts.scheme)} is not fetched; use http or https")
    if parts.username is not None or parts.password is not None:
        raise DataError(f"{redact_url(url)}: a user name or password in the address; remove it")
    if not known or len(url) > _LONGEST_ADDRESS or "%" in parts.netloc:
        raise DataError(f"{redact_url(url)}: not an address; write it as https://host/path")
    return parts


def get_origin(parts: SplitResult) -> Origin:
    """Host and port of a checked address."""
    return (parts.hostname or "", parts.port or _PORTS[parts.scheme])


def origins(urls: Iterable[str]) -> frozenset[Origin]:
    """Host and port of each of `urls`, for `named`. Raises DataError for an address that cannot be used."""
    return frozenset(get_origin(parse_url(url)) for url in urls)


def redact_url(url: str) -> str:
    """`url` fit for a message: without user name, password, query or fragment, printable, cut to a length."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    text = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"
    return "".join(char if char.isprintable() else "?" for char in text)[:120]


def internet_address(where: str, origin: Origin, *, internal: bool) -> str:
    """The first internet address of a host; `where` names it in errors.

    Raises socket.gaierror for an unknown host, and DataError where one of its addresses is not public, unless
    `internal` ones are allowed.
    """
    found = socket.getaddrinfo(*origin, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not internal and not all(is_public(address) for address in addresses):
        raise DataError(f"{where}: leads to an internal address; name the host yourself if it is meant")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address can be reached from anywhere: not loopback, private, link-local and the like."""
    try:
        one = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(one, ipaddress.IPv6Address):
        inner = one.ipv4_mapped or one.sixtofour or (one.teredo[1] if one.teredo else None)
        if one in _NAT64:
            inner = ipaddress.IPv4Address(int(one) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return one.is_global and not one.is_multicast


_REDIRECTS = {301, 302, 303, 307, 308}

_BUSY = {408, 425, 429, 500, 502, 503, 504}

_CHUNK = 65_536

_HEADERS = {
    "User-Agent": "closecall (news reader)",
    "Accept": "*/*",
    "Accept-Encoding": "gzip",
    "Connection": "close",
}


class SourceBusy(DataError):
    """A source that did not answer, or asked to wait. The caller may try again, `wait` seconds later."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one GET may cost: seconds to connect, between two pieces and in all; bytes unpacked; redirects."""

    connect: float = 10.0
    read: float = 15.0
    total: float = 45.0
    body: int = 5_000_000
    redirects: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What an address answered: the address after redirects, the Content-Type header, the unpacked body."""

    url: str
    content_type: str
    body: bytes


def fetch_page(url: str, named: frozenset[Origin] = frozenset(), limits: Limits | None = None) -> Page:
    """The page at `url`, which begins with http:// or https://.

    Every host, that of each redirect as well, must resolve to public addresses only, but for the origins in
    `named`, which the user wrote down; the connection goes to the address that was checked. The name
    service's own time limit applies to resolving. Raises SourceBusy where another try may help and DataError
    else; neither message holds a query, a user name or a password.
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
    """Cuts the connection when the time for all of a GET is over, whatever it is waiting for."""

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
        """Cut `connection` from now on."""
        with self._lock:
            self._socket = connection
        if self.over:
            self._abort()

    def _abort(self) -> None:
        with self._lock:
            self.over = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    # The plain socket's: TLS would first wait for an answer of the other side.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _request_page(
    parts: SplitResult, named: frozenset[Origin], limits: Limits, deadline: _Deadline
) -> Page | str:
    """The page at `parts`, or the address to which it redirects."""
    where = redact_url(parts.geturl())
    try:
        with contextlib.closing(_connect(parts, named, limits, deadline)) as connection:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", target, headers=_HEADERS)
            with connection.getresponse() as answer:
                if answer.status in _REDIRECTS and (moved := answer.headers.get("Location", "").strip()):
                    # http.client reads headers as Latin-1; what is sent there today is UTF-8.
                    return str(moved.encode("latin-1").decode("utf-8", "replace"))
                _require_success(where, answer)
                body = b"".join(_decompress(where, answer, limits.body))
                content_type = answer.headers.get("Content-Type", "")
    except DataError:
        raise
    except (OSError, http.client.HTTPException, zlib.error, UnicodeError) as error:
        if deadline.over or isinstance(error, TimeoutError):
            raise SourceBusy(f"{where}: no complete answer in time; try again later") from None
        raise SourceBusy(f"{where}: {_describe_error(error)}; check the address or try again later") from None
    if deadline.over:
        raise SourceBusy(f"{where}: no complete answer in {deadline.seconds:g} s; try again later")
    return Page(url=parts.geturl(), content_type=content_type, body=body)


def _connect(
    parts: SplitResult, named: frozenset[Origin], limits: Limits, deadline: _Deadline
) -> http.client.HTTPConnection:
    host, port = origin = get_origin(parts)
    try:
        address = internet_address(redact_url(parts.geturl()), origin, internal=origin in named)
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
    except BaseException:
        plain.close()
        raise
    connection.sock = plain
    return connection


def _require_success(where: str, answer: http.client.HTTPResponse) -> None:
    if answer.status == 200:
        return
    if answer.status in _BUSY:
        wait = answer.headers.get("Retry-After", "")
        raise SourceBusy(
            f"{where}: answered HTTP {answer.status}; try again later",
            float(wait) if wait.isascii() and wait.isdigit() else None,
        )
    raise DataError(f"{where}: answered HTTP {answer.status}; check the address")


def _decompress(where: str, answer: http.client.HTTPResponse, most: int) -> Iterator[bytes]:
    """The body, piece by piece, never more than `most` bytes of it."""
    packing = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if packing not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise DataError(
            f"{where}: packed as {quote_value(packing)}, which was not asked for; leave this source out"
        )
    unpack = None if packing in ("identity", "") else zlib.decompressobj(zlib.MAX_WBITS | 32)
    size = 0
    while packed := answer.read(_CHUNK):
        for piece in (packed,) if unpack is None else _decompress_chunks(unpack, packed):
            size += len(piece)
            if size > most:
                raise DataError(f"{where}: more than {most:,} bytes; leave this source out")
            yield piece
        if unpack is not None and unpack.eof:
            return
    if answer.length or unpack is not None:
        raise http.client.IncompleteRead(b"", answer.length)


def _decompress_chunks(unpack: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    """What `packed` unpacks to, in pieces of a bounded size, whatever the ratio is."""
    piece = unpack.decompress(packed, _CHUNK)
    while piece:
        yield piece
        piece = unpack.decompress(unpack.unconsumed_tail, _CHUNK)


def _redirect_error(start: str, error: DataError) -> DataError:
    """The error with the address that was asked for first."""
    message = f"{redact_url(start)}: redirects to {error}"
    return SourceBusy(message, error.wait) if isinstance(error, SourceBusy) else DataError(message)


def _describe_error(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "no trusted connection (TLS)"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"the answer is not readable ({type(error).__name__})"

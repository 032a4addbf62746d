"""Which addresses may be fetched: http(s) URLs whose host resolves to public addresses only.

Hosts that the user named are exempt, so that a feed on a local network can be read.
"""

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import SplitResult, quote, urlsplit

from engine.errors import DataError
from feeds.files.tables import quote_value

_PORTS = {"http": 80, "https": 443}
_MAX_URL_LENGTH = 2_000
_UNESCAPED = "%/:?#[]@!$&'()*+,;=~"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Origin = tuple[str, int]


def parse_url(url: str) -> SplitResult:
    """Return the parts of an address that may be fetched, with spaces and non-ASCII characters escaped.

    Raises:
        DataError: For a scheme other than http and https, for credentials, and for text that is no address.
    """
    try:
        parts = urlsplit(quote(url.strip(), safe=_UNESCAPED))
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise DataError(f"{redact_url(url)}: not an address; write it as https://host/path") from None
    if parts.scheme not in _PORTS:
        raise DataError(f"{redact_url(url)}: {quote_value(parts.scheme)} is not fetched; use http or https")
    if parts.username is not None or parts.password is not None:
        raise DataError(f"{redact_url(url)}: a user name or password in the address; remove it")
    if not valid or len(url) > _MAX_URL_LENGTH or "%" in parts.netloc:
        raise DataError(f"{redact_url(url)}: not an address; write it as https://host/path")
    return parts


def get_origin(parts: SplitResult) -> Origin:
    """Return host and port of an address that `parse_url` accepted."""
    return (parts.hostname or "", parts.port or _PORTS[parts.scheme])


def origins(urls: Iterable[str]) -> frozenset[Origin]:
    """Return host and port of each of `urls`. Raises DataError for an address that cannot be fetched."""
    return frozenset(get_origin(parse_url(url)) for url in urls)


def redact_url(url: str) -> str:
    """Return `url` for a message: printable, 120 characters at most, no credentials, query or fragment."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    text = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"
    return "".join(char if char.isprintable() else "?" for char in text)[:120]


def resolve_host(place: str, origin: Origin, *, internal: bool) -> str:
    """Resolve a host and return its first address.

    Args:
        place: The address for error messages.
        origin: Host and port.
        internal: Whether addresses that are not public are allowed.

    Raises:
        socket.gaierror: For an unknown host.
        DataError: Where one of its addresses is not public and `internal` is false.
    """
    entries = socket.getaddrinfo(*origin, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in entries]
    if not internal and not all(is_public(address) for address in addresses):
        raise DataError(f"{place}: leads to an internal address; name the host yourself if it is meant")
    return addresses[0]


def is_public(address: str) -> bool:
    """Return whether an IP address is public: not loopback, private, link-local or the like."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast

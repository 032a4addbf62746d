"""Which addresses may be reached: http and https, no credentials, on hosts that are public or were named.

Knows addresses and the name service; opens no connection.
"""

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import SplitResult, quote, urlsplit

from engine.errors import DataError
from feeds.tables import shown

_PORTS = {"http": 80, "https": 443}
_LONGEST_ADDRESS = 2_000
_PLAIN = "%/:?#[]@!$&'()*+,;=~"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Origin = tuple[str, int]


def checked(url: str) -> SplitResult:
    """The parts of an address that may be fetched. Spaces and other alphabets become %-escapes.

    Raises DataError for another scheme than http and https, a user name or password, and what is no address.
    """
    try:
        parts = urlsplit(quote(url.strip(), safe=_PLAIN))
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise DataError(f"{place(url)}: not an address; write it as https://host/path") from None
    if parts.scheme not in _PORTS:
        raise DataError(f"{place(url)}: {shown(parts.scheme)} is not fetched; use http or https")
    if parts.username is not None or parts.password is not None:
        raise DataError(f"{place(url)}: a user name or password in the address; remove it")
    if not known or len(url) > _LONGEST_ADDRESS or "%" in parts.netloc:
        raise DataError(f"{place(url)}: not an address; write it as https://host/path")
    return parts


def origin_of(parts: SplitResult) -> Origin:
    """Host and port of a checked address."""
    return (parts.hostname or "", parts.port or _PORTS[parts.scheme])


def origins(urls: Iterable[str]) -> frozenset[Origin]:
    """Host and port of each of `urls`, for `named`. Raises DataError for an address that cannot be used."""
    return frozenset(origin_of(checked(url)) for url in urls)


def place(url: str) -> str:
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

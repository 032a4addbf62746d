"""Other addresses for a source: a mirror, a reverse proxy or a test's server in place of the official one.

Knows addresses and the Date header of answers; it knows no candle and chooses no source.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit


def require_url(url: str) -> str:
    """`url` without a slash at its end. Raises ValueError for what is no plain http(s) address.

    A user name or password in it is refused, because addresses are shown and stored.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise ValueError("write an address such as https://mirror.example:8080")
    if parts.username is not None or parts.password is not None:
        raise ValueError("leave user name and password out: addresses are shown and stored")
    return url.rstrip("/")


def rebase_url(address: str, url: str) -> str:
    """`address` with its scheme and host replaced by `url`, whose own path comes before the old one."""
    _, _, rest = address.partition("://")
    _, slash, path = rest.partition("/")
    return url + slash + path


def rebase_table(table: Mapping[str, Any], url: str) -> dict[str, Any]:
    """A table of addresses, which may hold tables, with all of them moved to `url`."""
    return {
        name: rebase_table(entry, url) if isinstance(entry, Mapping) else rebase_url(str(entry), url)
        for name, entry in table.items()
    }


def describe_source(provenance: str, url: str | None) -> str:
    """Who says it, and where that is not the official address; of an address only scheme and host."""
    if url is None:
        return provenance
    parts = urlsplit(url)
    return f"{provenance} at {parts.scheme}://{parts.netloc} (not the official address)"


class HttpSession:
    """What passes between a library and its source: led to `url` where one is given, each Date noted."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self.dated: datetime | None = None

    def redirect(self, address: str) -> str:
        """The address to ask in place of `address`."""
        return address if self._url is None else rebase_url(address, self._url)

    def record_date(self, headers: Mapping[str, str]) -> None:
        """Keep what time an answer says it is: its Date and, from a cache, its Age (RFC 9110 and 9111)."""
        age = headers.get("Age") or "0"
        try:
            dated = parsedate_to_datetime(headers.get("Date") or "")
            seconds = float(age) if age.isascii() and age.isdigit() else 0.0
            self.dated = dated.astimezone(UTC) + timedelta(seconds=seconds)
        except (TypeError, ValueError, OverflowError):
            self.dated = None

    def wrap_session(self, session: Any) -> Any:
        """The session of requests or curl_cffi itself, from now on led and noted."""
        plain = session.request

        def request(method: Any, url: str, *rest: Any, **settings: Any) -> Any:
            answer = plain(method, self.redirect(url), *rest, **settings)
            self.record_date(answer.headers)
            return answer

        session.request = request
        return session


@contextmanager
def requests_through(module: Any, wire: HttpSession) -> Iterator[None]:
    """Let a library's module, which calls `requests.get` itself, ask through `wire` meanwhile."""
    plain = module.requests
    module.requests = _Requests(plain, wire)
    try:
        yield
    finally:
        module.requests = plain


class _Requests:
    """The two things that akshare uses of requests."""

    def __init__(self, plain: Any, wire: HttpSession) -> None:
        self._plain, self._wire = plain, wire

    def get(self, url: str, **settings: Any) -> Any:
        answer = self._plain.get(self._wire.redirect(url), **settings)
        self._wire.record_date(answer.headers)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

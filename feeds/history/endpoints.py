"""Redirect a source's requests to another address: a mirror, a reverse proxy or a test server."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit


def require_url(url: str) -> str:
    """Return `url` without a slash at its end. Raises ValueError for what is no plain http(s) address.

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
    """Replace scheme and host of `address` by `url`, whose own path comes before that of `address`."""
    _, _, rest = address.partition("://")
    _, slash, path = rest.partition("/")
    return url + slash + path


def rebase_table(table: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return a table of addresses, which may be nested, with all of them rebased to `url`."""
    return {
        name: rebase_table(entry, url) if isinstance(entry, Mapping) else rebase_url(str(entry), url)
        for name, entry in table.items()
    }


def describe_source(provenance: str, url: str | None) -> str:
    """Return the provenance, with scheme and host where the address is not the official one."""
    if url is None:
        return provenance
    parts = urlsplit(url)
    return f"{provenance} at {parts.scheme}://{parts.netloc} (not the official address)"


class HttpSession:
    """Redirects a library's HTTP requests to `url`, if given, and records the Date of answers."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self.dated: datetime | None = None

    def redirect(self, address: str) -> str:
        """Return the address to request in place of `address`."""
        return address if self._url is None else rebase_url(address, self._url)

    def record_date(self, headers: Mapping[str, str]) -> None:
        """Record the time an answer states: its Date and, from a cache, its Age (RFC 9110 and 9111)."""
        age = headers.get("Age") or "0"
        try:
            dated = parsedate_to_datetime(headers.get("Date") or "")
            seconds = float(age) if age.isascii() and age.isdigit() else 0.0
            self.dated = dated.astimezone(UTC) + timedelta(seconds=seconds)
        except (TypeError, ValueError, OverflowError):
            self.dated = None

    def wrap_session(self, session: Any) -> Any:
        """Patch a session of requests or curl_cffi to redirect its requests and record dates."""
        plain = session.request

        def request(method: Any, url: str, *rest: Any, **settings: Any) -> Any:
            answer = plain(method, self.redirect(url), *rest, **settings)
            self.record_date(answer.headers)
            return answer

        session.request = request
        return session


@contextmanager
def redirect_requests(module: Any, http: HttpSession) -> Iterator[None]:
    """Redirect a library's module that calls `requests.get` itself, within the context."""
    plain = module.requests
    module.requests = _Requests(plain, http)
    try:
        yield
    finally:
        module.requests = plain


class _Requests:
    """The part of requests that akshare uses."""

    def __init__(self, plain: Any, http: HttpSession) -> None:
        self._plain, self._http = plain, http

    def get(self, url: str, **settings: Any) -> Any:
        answer = self._plain.get(self._http.redirect(url), **settings)
        self._http.record_date(answer.headers)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

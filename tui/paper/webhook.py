"""Tells an address of one's own what changed: POST of JSON, within a time limit, without redirects.

Works in a thread of its own; what fails is told to a function and stops nothing. The address may hold a
secret: no more than its host is ever said.
"""

import json
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from engine.errors import UsageError

VARIABLE = "CLOSECALL_WEBHOOK"
_SECONDS = 5.0
_MOST_WAITING = 100


def require_webhook(address: str) -> str:
    """The address, if it is https, or http on this machine. Raises UsageError, which does not repeat it."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        good = parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))
    except ValueError:
        host, good = "", False
    if not host or not good:
        raise UsageError(f"the webhook ({VARIABLE} or [paper] webhook) is no https address; give one")
    return address


class Webhook:
    """Posts to `address` what it is told; `failed` is told the reason where that did not succeed."""

    def __init__(self, address: str, failed: Callable[[str], None]) -> None:
        self._address = require_webhook(address)
        self._failed = failed
        self._waiting: queue.Queue[Mapping[str, Any] | None] = queue.Queue(_MOST_WAITING)
        self._opener = urllib.request.build_opener(_Stay)
        self._thread = threading.Thread(target=self._work, name="webhook", daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        """Who is told."""
        return urlsplit(self._address).hostname or ""

    def tell(self, said: Mapping[str, Any]) -> None:
        """Post this when its turn comes; where too much waits, it is left out, and that is told."""
        try:
            self._waiting.put_nowait(said)
        except queue.Full:
            self._failed(f"{_MOST_WAITING} messages to {self.host} wait already; one was left out")

    def close(self) -> None:
        """Wait for what is to be posted, but not for long."""
        try:
            self._waiting.put(None, timeout=_SECONDS)
        except queue.Full:
            return
        self._thread.join(2 * _SECONDS)

    def _work(self) -> None:
        while (said := self._waiting.get()) is not None:
            try:
                self._post(said)
            except (OSError, ValueError) as error:
                self._failed(f"{self.host} was not told: {_reason(error)}")

    def _post(self, said: Mapping[str, Any]) -> None:
        request = urllib.request.Request(  # noqa: S310  # checked to be https, or http on this machine
            self._address,
            data=json.dumps(said, default=str).encode(),
            headers={"Content-Type": "application/json"},
        )
        with self._opener.open(request, timeout=_SECONDS) as answer:
            answer.read(1000)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Leads nowhere else: an answer that wants to is an error."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No other address is ever asked."""


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"it answers {error.code}"
    inner = getattr(error, "reason", error)
    return str(getattr(inner, "strerror", None) or type(inner).__name__)

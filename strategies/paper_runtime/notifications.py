"""The webhook and the log of a session.

The webhook posts JSON, within a time limit and without redirects, in a thread of its own; a failure is
reported to a function and stops nothing. The address may hold a secret: only its host is ever shown.
"""

import json
import logging
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from ipaddress import ip_address
from itertools import islice
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.errors import JournalError, UsageError
from engine.journal.events import encode
from engine.journal.events.sessions import Fault
from engine.journal.journal import Journal, Row

VARIABLE = "CLOSECALL_WEBHOOK"
_SECONDS = 5.0
_MAX_WAITING = 100


def require_webhook(address: str) -> str:
    """Return the address if it is https, or http on this machine. Raises UsageError without repeating it."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        good = parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))
    except ValueError:
        host, good = "", False
    if not host or not good:
        raise UsageError(f"the webhook ({VARIABLE} or [paper] webhook) is not an https address; give one")
    return address


class Webhook:
    """Posts messages to `address`; `failed` is called with the reason of a failure."""

    def __init__(self, address: str, failed: Callable[[str], None]) -> None:
        self._address = require_webhook(address)
        self._failed = failed
        self._waiting: queue.Queue[Mapping[str, Any] | None] = queue.Queue(_MAX_WAITING)
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        """Return the host of the address."""
        return urlsplit(self._address).hostname or ""

    def post(self, message: Mapping[str, Any]) -> None:
        """Queue a message; where too many wait, it is dropped and that is reported."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self._failed(f"{_MAX_WAITING} messages to {self.host} are waiting; one was dropped")

    def close(self) -> None:
        """Post the waiting messages within a few seconds, and stop."""
        try:
            self._waiting.put(None, timeout=_SECONDS)
        except queue.Full:
            return
        self._thread.join(2 * _SECONDS)

    def _run(self) -> None:
        while (message := self._waiting.get()) is not None:
            try:
                self._post(message)
            except (OSError, ValueError) as error:
                self._failed(f"{self.host} could not be reached: {_reason(error)}")

    def _post(self, message: Mapping[str, Any]) -> None:
        request = urllib.request.Request(  # noqa: S310  # checked to be https, or http on this machine
            self._address,
            data=json.dumps(message, default=str).encode(),
            headers={"Content-Type": "application/json"},
        )
        with self._opener.open(request, timeout=_SECONDS) as answer:
            answer.read(1000)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: one is an error."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow no redirect."""


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


_MAX_BYTES, _KEPT = 5_000_000, 5


class SessionLog:
    """Writes lines to `path`; beyond 5 MB it becomes `path.1` and so on, and five old ones are kept.

    Lines that cannot be written are dropped.
    """

    def __init__(self, path: Path) -> None:
        self._handler = _TolerantHandler(
            path, maxBytes=_MAX_BYTES, backupCount=_KEPT, encoding="utf-8", delay=True
        )
        self._handler.setFormatter(logging.Formatter("%(message)s"))

    def write(self, at: datetime, event: str, **fields: Any) -> None:
        """Write one line: when, what, and further fields."""
        line = json.dumps({"at": at.isoformat(), "event": event, **fields}, ensure_ascii=False, default=str)
        # Directly, since the command disables loggers to silence libraries.
        self._handler.handle(logging.makeLogRecord({"msg": line, "levelno": logging.INFO}))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class _TolerantHandler(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Do nothing: the disk may be full, which the session's own journal states."""


_MAX_EVENTS = 2000
_PATIENCE = 2.0


class EventTail:
    """Reads events of some kinds from the journal's present end on; all of them if it does not exist yet."""

    def __init__(self, path: Path, name: str, kinds: Collection[str]) -> None:
        self._path, self._name, self._kinds = path, name, kinds
        self._journal: Journal | None = None
        self._since = 0
        if journal := self._open():
            self._since = journal.last_seq

    def poll(self) -> list[Row]:
        """Return the new events, up to some thousands; none while the journal cannot be read."""
        try:
            if (journal := self._open()) is None:
                return []
            rows = list(islice(journal.read(self._since, self._kinds), _MAX_EVENTS))
            self._since = rows[-1].seq if rows else self._since
        except JournalError:
            return []
        return rows

    def append_fault(self, part: str, reason: str, at: datetime) -> bool:
        """Journal that something was wrong; return whether that succeeded."""
        event = encode(Fault(part=part, state="was", reason=reason), at)
        try:
            if not self._path.is_file():
                return False
            with Journal.open(self._path, self._name, lock_timeout=_PATIENCE) as journal:
                if not journal.last_seq:
                    return False
                journal.append([event], at)
        except JournalError:
            return False
        return True

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _open(self) -> Journal | None:
        if self._journal is None and self._path.is_file():
            try:
                self._journal = Journal.open(self._path, self._name, lock_timeout=_PATIENCE)
            except JournalError:
                return None  # it is being created, or its own process reports what is wrong
        return self._journal

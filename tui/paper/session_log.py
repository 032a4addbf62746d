"""A session's log: a JSON object on each line, in files that take turns. Knows no session."""

import json
import logging
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

_LARGEST, _KEPT = 5_000_000, 5


class SessionLog:
    """Writes lines to `path`; beyond 5 MB it becomes `path.1` and so on, and five old ones are kept.

    A log that cannot be written is no reason to stop anything: then it lacks lines.
    """

    def __init__(self, path: Path) -> None:
        self._handler = _Patient(path, maxBytes=_LARGEST, backupCount=_KEPT, encoding="utf-8", delay=True)
        self._handler.setFormatter(logging.Formatter("%(message)s"))

    def write(self, at: datetime, event: str, **said: Any) -> None:
        """One line: when, what, and whatever else is to be said of it."""
        line = json.dumps({"at": at.isoformat(), "event": event, **said}, ensure_ascii=False, default=str)
        # Past the loggers, which the command switches off for what libraries say.
        self._handler.handle(logging.makeLogRecord({"msg": line, "levelno": logging.INFO}))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class _Patient(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Nothing: the disk may be full, and the session's own journal says so."""

"""Where sessions live, how one is begun, and how one process at a time has it open. Knows no source."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.journal import Event, Journal
from strategies.paper.lock import SessionLock
from strategies.paper.session import PaperSession, Parts
from strategies.paper.settings import SessionSettings, started_event
from strategies.paper.tip import TIP, Tip
from strategies.runs import JOURNAL

SESSIONS, LOCK = "sessions", "session.lock"


def session_folder(data_dir: Path, name: str) -> Path:
    """The folder of a session. Raises UsageError for a name that is no word."""
    if not re.fullmatch(r"[\w-][\w.-]{0,59}", name):
        raise UsageError(f"session {name[:40]!r}: use letters, digits, dots, dashes and underscores")
    return data_dir / SESSIONS / name


def start_session(
    data_dir: Path,
    name: str,
    settings: SessionSettings,
    inputs: Iterable[Event],
    *,
    at: datetime,
    about: Mapping[str, Any],
) -> None:
    """Begin a session's journal with its settings and first inputs (history), in one transaction.

    `about` is whatever else is to stand with the settings, such as the configuration. Raises UsageError for a
    session that has begun already.
    """
    folder = session_folder(data_dir, name)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        SessionLock(folder / LOCK),
        Journal.open(folder / JOURNAL, name, create=True) as journal,
    ):
        if journal.last_seq:
            raise UsageError(f"there is a session {name} already; resume it, or choose another name")
        journal.append([started_event(settings, at, about), *inputs], at)


@contextmanager
def open_session(
    data_dir: Path, name: str, parts: Callable[[Journal], Parts], *, lock_timeout: float = 10.0
) -> Iterator[PaperSession]:
    """A session that was begun, for this process alone; `parts` is given its journal.

    Raises UsageError if there is none of that name or another process has it open, JournalError for a journal
    that cannot be used.
    """
    folder = session_folder(data_dir, name)
    if not (folder / JOURNAL).is_file():
        near = difflib.get_close_matches(name, [each.name for each in (data_dir / SESSIONS).glob("*")], n=1)
        hint = f"did you mean {near[0]}?" if near else "start one first"
        raise UsageError(f"there is no session {name!r} in {data_dir}; {hint}")
    with (
        SessionLock(folder / LOCK),
        Journal.open(folder / JOURNAL, name, lock_timeout=lock_timeout) as journal,
    ):
        yield PaperSession(journal, parts(journal), Tip(folder / TIP))

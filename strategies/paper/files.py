"""The files of sessions: creates one, and opens it for one process at a time."""

import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import INCOMPATIBLE, JournalError, UsageError, suggest
from engine.journal.events import Kind, decode_as, encode
from engine.journal.events.sessions import SessionStarted
from engine.journal.journal import Event, Journal
from engine.journal.recovery import CHECKPOINT_FILE, Checkpoint
from strategies.config import BacktestConfig
from strategies.paper.lock import SessionLock
from strategies.paper.session import PaperSession, SessionDeps
from strategies.run_spec import RunSpec, encode_run_spec
from strategies.runs import JOURNAL

SESSIONS, LOCK = "sessions", "session.lock"


def session_folder(data_dir: Path, name: str) -> Path:
    """Return the folder of a session. Raises UsageError for an invalid name."""
    if not re.fullmatch(r"[\w-][\w.-]{0,59}", name):
        raise UsageError(f"session {name[:40]!r}: use letters, digits, dots, dashes and underscores")
    return data_dir / SESSIONS / name


def create_session(
    data_dir: Path,
    name: str,
    settings: RunSpec,
    inputs: Iterable[Event],
    *,
    at: datetime,
    about: Mapping[str, Any],
) -> None:
    """Create a session's journal with its settings and first inputs (history), in one transaction.

    Args:
        data_dir: The data folder.
        name: The session's name.
        settings: What decides the session.
        inputs: Its first inputs.
        at: When it is created.
        about: Whatever else is to be known of it, such as the configuration.

    Raises:
        UsageError: There is a session of that name.
    """
    folder = session_folder(data_dir, name)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        SessionLock(folder / LOCK),
        Journal.open(folder / JOURNAL, name, create=True) as journal,
    ):
        if journal.last_seq:
            raise UsageError(f"there is a session {name} already; resume it or choose another name")
        journal.append([encode(encode_run_spec(settings, about), at), *inputs], at)


@contextmanager
def open_session(
    data_dir: Path, name: str, parts: Callable[[Journal], SessionDeps], *, lock_timeout: float = 10.0
) -> Iterator[PaperSession]:
    """Open a session for this process alone.

    Args:
        data_dir: The data folder.
        name: The session's name.
        parts: Returns what the session works with, given its journal.
        lock_timeout: How many seconds to wait for a locked journal.

    Raises:
        UsageError: There is no session of that name, or another process has it open.
        JournalError: Its journal cannot be used.
    """
    folder = session_folder(data_dir, name)
    if not (folder / JOURNAL).is_file():
        known = [each.name for each in (data_dir / SESSIONS).glob("*")]
        hint = suggest(name, known, "start one first")
        raise UsageError(f"there is no session {name!r} in {data_dir}; {hint}")
    with (
        SessionLock(folder / LOCK),
        Journal.open(folder / JOURNAL, name, lock_timeout=lock_timeout) as journal,
    ):
        yield PaperSession(journal, parts(journal), Checkpoint(folder / CHECKPOINT_FILE))


def read_start(data_dir: Path, name: str) -> SessionStarted | None:
    """Return a session's first payload, or None where there is no session of that name."""
    path = journal_path(data_dir, name)
    if not path.is_file():
        return None
    with Journal.open(path, name) as journal:
        first = next(journal.read(0), None)
    if first is None:
        return None
    if first.kind != Kind.SESSION_STARTED:
        raise JournalError(
            f"{path}: begins with {first.kind}, so it is not a session's; restore it from a copy"
        )
    return decode_as(SessionStarted, first)


def decode_config(start: SessionStarted) -> BacktestConfig:
    """Return the configuration that a session began with. Raises JournalError if it cannot be read."""
    try:
        return BacktestConfig.model_validate(start.about["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(f"the session's configuration cannot be read; {INCOMPATIBLE}") from error


SUPERVISOR_LOCK = "supervisor.lock"
LOG, OUTPUT, LEARNING = "session.log", "background.log", "learning"


def journal_path(data_dir: Path, name: str) -> Path:
    """Return the path of a session's journal. Raises UsageError for an invalid name."""
    return session_folder(data_dir, name) / JOURNAL


def session_names(data_dir: Path) -> list[str]:
    """Return the names of all sessions that have a journal."""
    return sorted(path.parent.name for path in (data_dir / SESSIONS).glob(f"*/{JOURNAL}"))


def learning_dir(data_dir: Path, name: str, *, replay: bool) -> Path:
    """Return the folder of a session's registry: the user's, or its own for a replay in simulated time."""
    return session_folder(data_dir, name) / LEARNING if replay else data_dir


def supervisor_pid(folder: Path) -> int | None:
    """Return the process that keeps a session running, if one does."""
    return _lock_owner(folder / SUPERVISOR_LOCK)


def runner_pid(folder: Path) -> int | None:
    """Return the process that has a session open, if one does."""
    return _lock_owner(folder / LOCK)


def _lock_owner(lock: Path) -> int | None:
    """Return the process that holds a lock, which is written in the file; None where nobody does."""
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        number = os.read(file, 20).decode(errors="replace").strip()
        return int(number) if number.isdigit() else 0
    finally:
        os.close(file)
    return None

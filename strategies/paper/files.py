"""Where sessions live, how one is begun, and how one process at a time has it open. Knows no source."""

import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import JournalError, UsageError, suggest
from engine.journal.journal import Event, Journal
from engine.journal.recovery import CHECKPOINT_FILE, Checkpoint
from strategies.config import BacktestConfig
from strategies.paper.lock import SessionLock
from strategies.paper.session import PaperSession, SessionDeps
from strategies.run_spec import STARTED, RunSpec, encode_run_spec
from strategies.runs import JOURNAL

SESSIONS, LOCK = "sessions", "session.lock"


def session_folder(data_dir: Path, name: str) -> Path:
    """The folder of a session. Raises UsageError for a name that is no word."""
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
        journal.append([encode_run_spec(settings, at, about), *inputs], at)


@contextmanager
def open_session(
    data_dir: Path, name: str, parts: Callable[[Journal], SessionDeps], *, lock_timeout: float = 10.0
) -> Iterator[PaperSession]:
    """A session that was begun, for this process alone; `parts` is given its journal.

    Raises UsageError if there is none of that name or another process has it open, JournalError for a journal
    that cannot be used.
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


def read_start(data_dir: Path, name: str) -> Mapping[str, Any] | None:
    """What a session's first event says, or None where nothing was begun."""
    path = journal_path(data_dir, name)
    if not path.is_file():
        return None
    with Journal.open(path, name) as journal:
        first = next(journal.read(0), None)
    if first is None:
        return None
    if first.kind != STARTED:
        raise JournalError(f"{path}: begins with {first.kind}, so it is no session's; restore it from a copy")
    return first.payload


def decode_config(start: Mapping[str, Any]) -> BacktestConfig:
    """The configuration that a session began with."""
    try:
        return BacktestConfig.model_validate(start["about"]["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(
            "the session's configuration cannot be read; another version wrote it, use that one"
        ) from error


SUPERVISOR_LOCK = "supervisor.lock"

LOG, OUTPUT, LEARNING = "session.log", "background.log", "learning"


def journal_path(data_dir: Path, name: str) -> Path:
    """A session's journal. Raises UsageError for a name that is no word."""
    return session_folder(data_dir, name) / JOURNAL


def session_names(data_dir: Path) -> list[str]:
    """All sessions that have a journal, by name."""
    return sorted(path.parent.name for path in (data_dir / SESSIONS).glob(f"*/{JOURNAL}"))


def learning_dir(data_dir: Path, name: str, *, replay: bool) -> Path:
    """Where a session's registry is: the user's own, but for a replay, whose time is not ours."""
    return session_folder(data_dir, name) / LEARNING if replay else data_dir


def supervisor_pid(folder: Path) -> int | None:
    """The process that keeps a session running, if one does."""
    return _lock_owner(folder / SUPERVISOR_LOCK)


def runner_pid(folder: Path) -> int | None:
    """The process that has a session open, if one does."""
    return _lock_owner(folder / LOCK)


def _lock_owner(lock: Path) -> int | None:
    """Who holds a lock: its number stands in the file, which means nothing while nobody does."""
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        said = os.read(file, 20).decode(errors="replace").strip()
        return int(said) if said.isdigit() else 0
    finally:
        os.close(file)
    return None

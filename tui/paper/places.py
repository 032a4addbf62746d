"""Where the files of a session's processes are, and which process holds a session. Opens no journal."""

import fcntl
import os
from pathlib import Path

from strategies.paper.opening import LOCK, SESSIONS, session_folder
from strategies.runs import JOURNAL

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


def supervisor_of(folder: Path) -> int | None:
    """The process that keeps a session running, if one does."""
    return _holder(folder / SUPERVISOR_LOCK)


def runner_of(folder: Path) -> int | None:
    """The process that has a session open, if one does."""
    return _holder(folder / LOCK)


def _holder(lock: Path) -> int | None:
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

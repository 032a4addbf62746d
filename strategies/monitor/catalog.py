"""Lists the journals of a data folder, and finds the process that has one open. Reads only.

The names are those of `strategies.paper.files`, `strategies.runs`, `strategies.live_data`,
`training.retraining.source` and `llm.registry.store`, which are too slow to import for the dashboard
to start at once; a test compares them.
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

JOURNAL = "journal.sqlite"
TRAINING = "training.sqlite"
REGISTRY = Path("models", JOURNAL)
MAX_PLACES = 40
"""The largest number of journals that are read, newest first."""


class JournalType(StrEnum):
    """What a journal belongs to."""

    SESSION = "session"
    RUN = "run"
    COLLECTION = "collection"
    TRAINING = "training"
    REGISTRY = "registry"


FOLDERS = {JournalType.SESSION: "sessions", JournalType.RUN: "runs", JournalType.COLLECTION: "collections"}
LOCKS = {JournalType.SESSION: "session.lock", JournalType.RUN: "lock"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPlace:
    """One journal: its type, name and path."""

    type: JournalType
    name: str
    path: Path

    @property
    def key(self) -> str:
        """Return the name that is unique among all journals of a data folder."""
        return f"{self.type}/{self.name}"


def list_places(data_dir: Path) -> list[JournalPlace]:
    """Return all journals: the registry, sessions, then runs, collections and trainings, newest first."""
    folders = [(sort, data_dir / folder, JOURNAL) for sort, folder in FOLDERS.items()]
    folders.append((JournalType.TRAINING, data_dir / FOLDERS[JournalType.RUN], TRAINING))
    dated = [
        (modified_at(path), JournalPlace(type=sort, name=path.parent.name, path=path))
        for sort, folder, name in folders
        for path in _list_journals(folder, name)
    ]
    dated.sort(key=lambda pair: (pair[1].type is not JournalType.SESSION, -pair[0], pair[1].name))
    registry = data_dir / REGISTRY
    first = (
        [JournalPlace(type=JournalType.REGISTRY, name="registry", path=registry)]
        if registry.is_file()
        else []
    )
    return [*first, *(place for _, place in dated[:MAX_PLACES])]


def lock_owner(place: JournalPlace) -> int | None:
    """Return the process that has a session or walk-forward open, None where none is known.

    Reads the system's list of locks and takes none itself, which could make a session fail to start.
    """
    name = LOCKS.get(place.type)
    if name is None:
        return None
    try:
        stat = (place.path.parent / name).stat()
        locks = Path("/proc/locks").read_text()
    except OSError:
        return _owner_by_pid(place.path.parent / name)
    wanted = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    for line in locks.splitlines():
        words = line.split()
        if "FLOCK" in words and wanted in words:
            return int(words[words.index(wanted) - 1])
    return None


def _owner_by_pid(lock: Path) -> int | None:
    """Return the process named in the lock file, on systems without such a list."""
    try:
        number = int(lock.read_text().strip())
        os.kill(number, 0)
    except (OSError, ValueError, OverflowError):
        return None
    return number


def _list_journals(folder: Path, name: str) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            paths = [Path(entry.path, name) for entry in entries if entry.is_dir(follow_symlinks=True)]
    except OSError:
        return []
    return [path for path in paths if path.is_file()]


def modified_at(path: Path) -> float:
    """Return when the journal or its write-ahead log was last written, 0 if it has just been removed."""
    times = [0.0]
    for each in (path, path.with_name(path.name + "-wal")):
        try:
            times.append(each.stat().st_mtime)
        except OSError:
            continue
    return max(times)

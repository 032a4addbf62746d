"""Where a data folder keeps what the dashboard shows, and which process has it open. Reads only.

The names are those of `strategies.paper.files`, `strategies.runs`, `strategies.live_data`,
`training.retraining.source` and `llm.registry.store`, whose imports take longer than the dashboard may to
appear; a test holds them together.
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

JOURNAL = "journal.sqlite"

TRAINING = "training.sqlite"

REGISTRY = Path("models", JOURNAL)

MAX_PLACES = 40
"""How many journals are looked at, the newest first."""


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
    """One journal: whose it is, by which name, and its path."""

    type: JournalType
    name: str
    path: Path

    @property
    def key(self) -> str:
        """What names it among all journals of a data folder."""
        return f"{self.type}/{self.name}"


def list_places(data_dir: Path) -> list[JournalPlace]:
    """All journals of a data folder: registry, sessions, then runs, collections, trainings, newest first."""
    kept = [(sort, data_dir / folder, JOURNAL) for sort, folder in FOLDERS.items()]
    kept.append((JournalType.TRAINING, data_dir / FOLDERS[JournalType.RUN], TRAINING))
    found = [
        (_modified_at(path), JournalPlace(type=sort, name=path.parent.name, path=path))
        for sort, folder, name in kept
        for path in _list_journals(folder, name)
    ]
    found.sort(key=lambda pair: (pair[1].type is not JournalType.SESSION, -pair[0], pair[1].name))
    registry = data_dir / REGISTRY
    first = (
        [JournalPlace(type=JournalType.REGISTRY, name="registry", path=registry)]
        if registry.is_file()
        else []
    )
    return [*first, *(place for _, place in found[:MAX_PLACES])]


def lock_owner(place: JournalPlace) -> int | None:
    """The process that has the session or walk-forward open; None where none has, or where it is unknown.

    Looks at the system's list of locks, and never takes one itself: that could turn a session away.
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
    """As the lock file says, on systems without such a list."""
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


def _modified_at(path: Path) -> float:
    """When the journal was last written, by its log where there is one; 0 if it has just gone."""
    times = [0.0]
    for each in (path, path.with_name(path.name + "-wal")):
        try:
            times.append(each.stat().st_mtime)
        except OSError:
            continue
    return max(times)

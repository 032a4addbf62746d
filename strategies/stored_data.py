"""What closecall has stored in a data folder, how large each part is, and how parts are removed.

Only what closecall itself writes is listed, so that a data folder named by mistake loses nothing else.
"""

import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from engine.errors import UsageError, suggest
from strategies.paper.files import LOCK, SESSIONS, supervisor_pid
from strategies.paper.lock import SessionLock

EVERYTHING = "everything"
_GROUPS = {"session": SESSIONS, "run": "runs", "collection": "collections", "bars": "bars"}
"""Parts that have names, and the folder of each."""

_SINGLE = {
    "news": ("news",),
    "models": ("models",),
    "adapters": ("adapters",),
    "students": ("students",),
    "benches": ("no-edge",),
    "answers": ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"),
    "trials": ("trials.jsonl",),
}
_TRASH = ".removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """Something stored: its key, such as run/NAME or news, its files or folders, and their bytes."""

    key: str
    paths: tuple[Path, ...]
    bytes: int


def list_stored(data_dir: Path) -> list[StoredPart]:
    """Return what is stored in a data folder."""
    parts = []
    for kind, folder in _GROUPS.items():
        with_names = sorted(p for p in (data_dir / folder).glob("*") if p.is_dir() and p.name != _TRASH)
        parts += [_measure(f"{kind}/{unquote(path.name)}", [path]) for path in with_names]
    for key, names in _SINGLE.items():
        if found := [data_dir / name for name in names if (data_dir / name).exists()]:
            parts.append(_measure(key, found))
    return parts


def select_stored(parts: Sequence[StoredPart], words: Iterable[str]) -> list[StoredPart]:
    """Return the parts that words name.

    A word is a key, the name of a run, session or collection, a plural such as runs, or `everything`. The
    record of trials, by which later results are judged, goes with everything else only.

    Raises:
        UsageError: A word names nothing, or several parts.
    """
    chosen: dict[str, StoredPart] = {}
    for word in words:
        found = [part for part in parts if _is_named(part.key, word)]
        if word == EVERYTHING:
            found = list(parts)
        elif word == "trials":
            raise UsageError("the record of trials is removed with everything only: results are judged by it")
        elif word in _plurals() and not found:
            raise UsageError(f"no {word} are stored")
        elif not found:
            raise UsageError(f"nothing stored is called {word!r}; {_hint(parts, word)}")
        elif len(found) > 1 and word not in _plurals():
            keys = " or ".join(part.key for part in found)
            raise UsageError(f"{word!r} is the name of several things; write {keys}")
        chosen |= {part.key: part for part in found}
    return list(chosen.values())


def remove_stored(data_dir: Path, parts: Sequence[StoredPart]) -> None:
    """Remove parts for good; a part is there whole or not at all, also if this is killed.

    Raises:
        UsageError: A process has one of them open. Nothing is removed then.
    """
    paths = [path for part in parts for path in part.paths]
    folders = {path.parent for path in paths}
    for folder in folders:  # what a removal that was killed has left
        shutil.rmtree(folder / _TRASH, ignore_errors=True)
    with ExitStack() as held:
        for part in parts:
            held.enter_context(_hold(part))
        for path in paths:
            (path.parent / _TRASH).mkdir(exist_ok=True)
            path.rename(path.parent / _TRASH / path.name)
    for folder in folders:
        shutil.rmtree(folder / _TRASH)
        if folder != data_dir and not any(folder.iterdir()):
            folder.rmdir()


def _measure(key: str, paths: Sequence[Path]) -> StoredPart:
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    size = sum(file.lstat().st_size for file in files if file.is_symlink() or file.is_file())
    return StoredPart(key=key, paths=tuple(paths), bytes=size)


def _plurals() -> dict[str, str]:
    return {f"{kind.removesuffix('s')}s": kind for kind in _GROUPS}


def _is_named(key: str, word: str) -> bool:
    kind, _, name = key.partition("/")
    return word == key or _plurals().get(word) == kind or (kind != "bars" and bool(name) and word == name)


def _hint(parts: Sequence[StoredPart], word: str) -> str:
    known = [*(part.key for part in parts), *(part.key.partition("/")[2] for part in parts), *_plurals()]
    return suggest(word, filter(None, known), "list what is there with: closecall data list")


@contextmanager
def _hold(part: StoredPart) -> Iterator[None]:
    """Keep other processes from opening a part. Raises UsageError if one has it open."""
    kind, _, name = part.key.partition("/")
    if kind == "session":
        folder = part.paths[0]
        if supervisor := supervisor_pid(folder):
            raise UsageError(
                f"session {name} is running in process {supervisor}; "
                f"stop it first: closecall paper stop {name}"
            )
        with SessionLock(folder / LOCK):
            yield
        return
    if database := next(filter(_is_open, _list_databases(part)), None):
        raise UsageError(f"{part.key} is in use: another process has {database} open; close that first")
    yield


def _list_databases(part: StoredPart) -> Iterator[Path]:
    for path in part.paths:
        yield from path.rglob("*.sqlite") if path.is_dir() else [path] * (path.suffix == ".sqlite")


def _is_open(database: Path) -> bool:
    """Whether another process has a database open: each that has holds a shared lock on it."""
    address = f"file:{quote(str(database.absolute()))}?mode=rw"
    connection = sqlite3.connect(address, uri=True, timeout=0, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        return "locked" in str(error)
    except sqlite3.DatabaseError:  # what is damaged may be removed too
        return False
    finally:
        connection.close()
    return False

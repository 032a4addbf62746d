"""The store of bars: one Parquet file for each source, timeframe and symbol.

Files are replaced as a whole, and one process at a time writes a source.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits
from urllib.parse import unquote

from engine.errors import DataError
from feeds.files.tables import quote_value
from feeds.history.stored_bars import StoredBars, read_table, write_table

_SUFFIX = ".parquet"
_MAX_NAME_LENGTH = 180
_PLAIN = ascii_uppercase + digits + "-_"


class BarStore:
    """The files under `root`. A reader needs no lock: files are replaced atomically."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, source: str, symbol: str, timeframe: str) -> Path:
        """Return the file of one symbol; names are escaped, so that none can leave the folder."""
        return self._folder(source, timeframe) / (_escape_name(symbol) + _SUFFIX)

    def sources(self) -> list[str]:
        """Return the sources of which something is stored, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(unquote(folder.name) for folder in self.root.iterdir() if folder.is_dir())

    def symbols(self, source: str, timeframe: str = "1d") -> list[str]:
        """Return the symbols that are stored, sorted."""
        folder = self._folder(source, timeframe)
        return sorted(unquote(file.stem) for file in folder.glob("*" + _SUFFIX) if file.name[0] != ".")

    def find(self, source: str, symbol: str, timeframe: str) -> StoredBars | None:
        """Return what is stored, or None if nothing is. Raises DataError for a damaged file."""
        path = self.path(source, symbol, timeframe)
        if not path.is_file():
            return None
        stored = read_table(path)
        if (stored.source, stored.symbol, stored.timeframe) != (source, symbol, timeframe):
            raise DataError(
                f"{path}: holds {quote_value(stored.symbol)}, not {quote_value(symbol)}; remove it"
            )
        return stored

    def read(self, source: str, symbol: str, timeframe: str = "1d") -> StoredBars:
        """Return what is stored. Raises DataError for a damaged file, and if nothing is there."""
        stored = self.find(source, symbol, timeframe)
        if stored is None:
            raise DataError(f"{self.root}: no {timeframe} bars of {symbol} from {source}; fetch them first")
        return stored

    def write(self, stored: StoredBars) -> None:
        """Replace the symbol's file atomically, once the new one is on the disk.

        Call it inside `writing`. Raises DataError where the folder cannot be written.
        """
        path = self.path(stored.source, stored.symbol, stored.timeframe)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_table(temporary, stored)
            temporary.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}; make room or give write access") from None
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def writing(self, source: str) -> Iterator[None]:
        """Hold the lock to write `source`; temporary files of interrupted downloads are removed first.

        The operating system frees the lock when a process ends, however it ends. Raises DataError where
        another process holds it.
        """
        import fcntl

        folder = self._folder(source)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror}; choose a folder that can be written") from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(f"{folder}: another fetch is writing here; wait for it to end") from None
            for stale in folder.rglob(".*.tmp"):
                stale.unlink()
            yield
        finally:
            os.close(handle)

    def _folder(self, source: str, timeframe: str = "") -> Path:
        folder = self.root / _escape_name(source, _PLAIN + ascii_lowercase)
        return folder / _escape_name(timeframe, _PLAIN + ascii_lowercase) if timeframe else folder


def _sync_folder(folder: Path) -> None:
    """Sync the folder's entries to the disk; otherwise a power cut could undo a rename."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _escape_name(text: str, plain: str = _PLAIN) -> str:
    """Return `text` as a file name that no two texts share, also where the file system ignores case."""
    name = "".join(
        mark if mark in plain or (mark == "." and 0 < at < len(text) - 1) else _percent_encode(mark)
        for at, mark in enumerate(text)
    )
    if not name or len(name) > _MAX_NAME_LENGTH:
        raise DataError(f"{quote_value(text)} cannot name a file; give a symbol of 1 to 60 letters")
    return name


def _percent_encode(mark: str) -> str:
    return "".join(f"%{byte:02X}" for byte in mark.encode("utf-8", "surrogatepass"))

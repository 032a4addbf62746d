"""The registry's folder: its journal, the turns that processes take there, and adapters copied in whole.

Knows files, locks and rows. It does not know what may be promoted, or when.
"""

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import JournalError
from engine.journal.events import encode
from engine.journal.events.training import AdapterEntered
from engine.journal.journal import Journal
from llm.registry.adapters import adapter_names, check_files, copy_atomically
from llm.registry.events import Change, RegistryEvent, RegistryState

SESSION = "registry"
JOURNAL = Path("models", "journal.sqlite")
"""Where a data folder keeps the registry's journal."""


class RegistryStore:
    """The registry of a data folder in one process; `state` is that of its journal when last read.

    An adapter is copied to `models/entering/NAME`, moved to `models/adapters/NAME` and only then put on
    record. `entering/NAME` stays until that is done, and so shows what a killed process left.
    """

    def __init__(self, data_dir: Path, lock_timeout: float) -> None:
        self._folder = data_dir / JOURNAL.parent
        self._lock_timeout = lock_timeout
        for part in ("adapters", "entering"):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        self.state = RegistryState(home=self._folder / "adapters")
        self._journal = Journal.open(data_dir / JOURNAL, SESSION, create=True)
        try:
            self._journal.verify()
            self._clear_leftovers()
        except BaseException:  # also Ctrl-C must not leave the journal open
            self.close()
            raise

    def close(self) -> None:
        """Release the journal."""
        self._journal.close()

    def refresh(self) -> RegistryState:
        """Return the state, with all that was recorded by now."""
        for row in self._journal.read(self.state.seq):
            self.state.apply(row)
        return self.state

    @contextmanager
    def transaction(self) -> Iterator[RegistryState]:
        """Hold the only right to change the registry; yield the state, which holds as long as it lasts.

        Raises JournalError where another process does not finish in time. A process that is killed
        loses its turn at once: the lock is one of SQLite's on a file that stays empty.
        """
        with self._lock(self._lock_timeout) as gained:
            if not gained:
                raise JournalError(
                    f"{self._folder}: another process has been changing the registry for "
                    f"{self._lock_timeout:g} s; wait for it to finish or end it, then try again"
                )
            yield self.refresh()

    def append(self, event: RegistryEvent, at: datetime) -> Change:
        """Record one event; call it inside `transaction`. This is the instant at which a change holds."""
        self._journal.append([encode(event, at)], recorded_at=at)
        return self.refresh().changes[-1]

    def import_adapter(self, source: Path, at: datetime, details: Mapping[str, Any]) -> str:
        """Copy an adapter in, register it under a free name and return the name; inside `transaction`."""
        name = next(
            name for name in adapter_names(at, details["identity"]) if name not in self.state.adapters
        )
        marker, target = self._folder / "entering" / name, self.state.home / name
        self._clear(marker)
        marker.mkdir()
        try:
            copy_atomically(source, marker / "files", target)
            check_files(target, details["fingerprint"], f"adapter {name}")
        except BaseException:  # also Ctrl-C must not leave half an adapter
            self._clear(marker)
            raise
        self.append(AdapterEntered(name=name, **details), at)
        marker.rmdir()
        return name

    def _clear_leftovers(self) -> None:
        with self._lock(0.0) as gained:
            if gained:  # whoever else holds the turn clears up after itself
                self.refresh()
                for marker in (self._folder / "entering").iterdir():
                    self._clear(marker)

    def _clear(self, marker: Path) -> None:
        target = self.state.home / marker.name
        if marker.is_dir() and marker.name not in self.state.adapters and target.is_dir():
            shutil.rmtree(target)
        if marker.is_dir():
            shutil.rmtree(marker)

    @contextmanager
    def _lock(self, timeout: float) -> Iterator[bool]:
        connection = sqlite3.connect(self._folder / "turn.sqlite", timeout=timeout, isolation_level=None)
        try:
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise JournalError(
                        f"{self._folder}: cannot be locked ({error}); check the folder"
                    ) from error
                yield False
            else:
                yield True
        finally:
            connection.close()

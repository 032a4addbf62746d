"""Allows one process per session: an exclusive lock on a file beside its journal.

The system releases it when the process ends, however it ends; the file alone has no effect.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import UsageError


class SessionLock:
    """Held from `acquire` to `release`, or as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises UsageError if another process has it, with that process's number."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(file, 20).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise UsageError(
                f"session {self._path.parent.name} runs already, in process {holder}; stop that one first"
            ) from error
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        self._file = file

    def release(self) -> None:
        """Release the lock. Releasing twice does no harm."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

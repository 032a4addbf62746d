"""Adapters as values and as files: their names, fingerprints and copies."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from engine.errors import StudentError
from llm.model_files import TINY, adapter_folder, fingerprint, model_folder

_ADAPTER_FILES = (".safetensors", ".json", ".jinja", ".txt", ".model")


# The files that a fingerprint covers: nothing else of a folder is copied, pickles least of all.
class Status(StrEnum):
    """The status of an adapter: `retired` was champion once, `rejected` never was."""

    CHALLENGER = "challenger"
    CHAMPION = "champion"
    RETIRED = "retired"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """LoRA weights on a base model, as the registry describes them.

    `student` is the base model as `student_key` writes it, `base` the SHA-256 of its files where that was
    stated. `parent` is the adapter that training started from; where that has no name in the registry,
    `start` is its fingerprint; both None: the bare base model. Nothing known at or after `cutoff` was used,
    by it or by its parents. `fingerprint` is that of `folder`'s files. `recipe` and `scores` are JSON, as the
    trainer stated them.
    """

    name: str
    parent: str | None
    start: str | None = None
    student: str
    base: str | None
    cutoff: datetime
    recipe: Mapping[str, Any]
    fingerprint: str
    scores: Mapping[str, Any]
    status: Status
    created_at: datetime
    folder: Path

    @property
    def origin(self) -> str:
        """Return what training started from, in words."""
        return self.parent or (f"unregistered {self.start[:12]}" if self.start else "base model")


def student_key(student: str) -> str:
    """Return the key of a base model: "tiny" and hub ids as they are, an existing folder by its full path."""
    if student == TINY:
        return student
    folder = Path(student).expanduser()
    return str(folder.resolve()) if folder.exists() else student


def base_fingerprint(student: str) -> str:
    """Return the SHA-256 over the base model's files. Raises StudentError where there is no such model."""
    return fingerprint([model_folder(student)])


def adapter_names(at: datetime, identity: str) -> Iterator[str]:
    """Yield the possible names of an adapter, always the same: its UTC day and digits of its identity."""
    day = at.astimezone(UTC).date().isoformat()
    yield from (f"{day}-{identity[:digits]}" for digits in range(6, len(identity) + 1))


def check_files(folder: Path, expected: str, what: str) -> None:
    """Raise StudentError unless `folder` holds a plain LoRA adapter with this fingerprint."""
    actual = fingerprint([adapter_folder(folder)])
    if actual != expected:
        raise StudentError(
            f"{what}: the files in {folder} have the fingerprint {actual[:12]}, and "
            f"{expected[:12]} is stated; restore them from a copy, or use another adapter"
        )


def copy_atomically(source: Path, staging: Path, target: Path) -> None:
    """Copy an adapter's files so that `target` appears whole, and lasts, or not at all.

    `staging` is a folder on the same file system that does not exist yet. Raises StudentError if the
    files cannot be written.
    """
    try:
        staging.mkdir()
        for path in sorted(source.iterdir()):
            if path.is_file() and path.suffix in _ADAPTER_FILES:
                shutil.copyfile(path, staging / path.name)
                _fsync(staging / path.name)
        _fsync(staging)
        staging.rename(target)
        _fsync(target.parent)
    except OSError as error:
        raise StudentError(
            f"{target}: the adapter could not be copied here ({error.strerror}); make room and write access"
        ) from error


def _fsync(path: Path) -> None:
    """Have the disk keep a file or a folder's names: the event that lists them must not outlive them."""
    if os.name != "posix" and path.is_dir():
        return  # elsewhere a folder cannot be opened
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

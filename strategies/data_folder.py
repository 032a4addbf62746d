"""Where closecall keeps its data, and whether a folder can be written. Creates nothing."""

import os
from pathlib import Path
from tempfile import TemporaryFile

from engine.errors import UsageError

ENVIRONMENT_VARIABLE = "CLOSECALL_DATA_DIR"
BARS_FOLDER = "bars"
NEWS_FILE = Path("news") / "seen.jsonl"


def data_dir(chosen: Path | None) -> Path:
    """Return the chosen folder, or that of the environment variable, or the user's data folder."""
    named = chosen or os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(named).expanduser() if named else default_data_dir()


def default_data_dir() -> Path:
    """Return the data folder where none is chosen, as the operating system has it."""
    from platformdirs import user_data_path

    return user_data_path("closecall", appauthor=False)


def require_writable(folder: Path, option: str) -> Path:
    """Return `folder`. Raises UsageError, before any work is done for it, where it could not be written."""
    place = existing_parent(folder)
    if not place.is_dir():
        raise UsageError(f"{option} {folder}: {place} is a file; name a folder")
    try:
        with TemporaryFile(dir=place):
            return folder
    except OSError as error:
        raise UsageError(
            f"{option} {folder}: {place} cannot be written ({error.strerror}); name another folder"
        ) from error


def existing_parent(folder: Path) -> Path:
    """Return `folder`, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())

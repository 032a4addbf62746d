"""Where closecall keeps its data, and whether a folder can be written. Creates nothing."""

import os
from pathlib import Path
from tempfile import TemporaryFile

from engine.errors import UsageError

ENVIRONMENT_VARIABLE = "CLOSECALL_DATA_DIR"
BARS_FOLDER = "bars"
TRIALS_FILE = "trials.jsonl"
TRIALS_VARIABLE = "CLOSECALL_TRIALS"
NEWS_FILE = Path("news") / "seen.jsonl"


def data_dir(chosen: Path | None) -> Path:
    """Return the chosen folder, or that of the environment variable, or the user's data folder."""
    named = chosen or os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(named).expanduser() if named else default_data_dir()


def default_data_dir() -> Path:
    """Return the data folder where none is chosen, as the operating system has it."""
    from platformdirs import user_data_path

    return user_data_path("closecall", appauthor=False)


def find_trial_records(data_dir: Path) -> list[Path]:
    """Return the record of trials of a data folder, and that of the user if it is another file.

    The user's is in the default data folder, so that another --data-dir does not restart the count. The
    environment variable names another file; where it is empty, there is none.
    """
    named = os.environ.get(TRIALS_VARIABLE)
    users = default_data_dir() / TRIALS_FILE if named is None else Path(named).expanduser() if named else None
    own = data_dir / TRIALS_FILE
    return [own] if users is None or users.absolute() == own.absolute() else [own, users]


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

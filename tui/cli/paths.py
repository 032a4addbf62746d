"""The one place that knows where closecall keeps its data. Creates nothing."""

import os
from pathlib import Path

from engine.errors import UsageError

ENVIRONMENT_VARIABLE = "CLOSECALL_DATA_DIR"


def data_dir(chosen: Path | None) -> Path:
    """The chosen folder, or the user's data folder of this system."""
    if chosen is not None:
        return chosen.expanduser()
    from platformdirs import user_data_path

    return user_data_path("closecall", appauthor=False)


def working_dir(chosen: Path | None) -> Path:
    """As `data_dir`. Raises UsageError where nothing could be written there."""
    return require_writable(data_dir(chosen), "--data-dir")


def require_writable(folder: Path, option: str) -> Path:
    """`folder` itself. Raises UsageError, before any work is done for it, where it could not be written."""
    place = existing_parent(folder)
    if not place.is_dir():
        raise UsageError(f"{option} {folder}: {place} is a file; name a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {folder}: {place} cannot be written; name another folder")
    return folder


def existing_parent(folder: Path) -> Path:
    """`folder`, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())

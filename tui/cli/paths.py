"""Check the folders that a command is to write to. Creates nothing."""

import os
from pathlib import Path

from engine.errors import UsageError
from strategies.data_folder import ENVIRONMENT_VARIABLE as ENVIRONMENT_VARIABLE
from strategies.data_folder import data_dir as data_dir
from strategies.data_folder import default_data_dir as default_data_dir


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


def shorten_home(path: Path) -> str:
    """Return a path as a shell takes it, with ~ for the user's home."""
    home = Path("~").expanduser()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def existing_parent(folder: Path) -> Path:
    """`folder`, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())

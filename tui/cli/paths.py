"""Check the folder that a command is to write to. Creates nothing."""

from pathlib import Path

from strategies.data_folder import ENVIRONMENT_VARIABLE as ENVIRONMENT_VARIABLE
from strategies.data_folder import data_dir as data_dir
from strategies.data_folder import default_data_dir as default_data_dir
from strategies.data_folder import existing_parent as existing_parent
from strategies.data_folder import require_writable as require_writable


def working_dir(chosen: Path | None) -> Path:
    """As `data_dir`. Raises UsageError where nothing could be written there."""
    return require_writable(data_dir(chosen), "--data-dir")


def shorten_home(path: Path) -> str:
    """Return a path as a shell takes it, with ~ for the user's home."""
    home = Path("~").expanduser()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)

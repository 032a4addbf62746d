"""Check the folder that a command is to write to. Creates nothing."""

from pathlib import Path

from strategies.data_folder import ENVIRONMENT_VARIABLE as ENVIRONMENT_VARIABLE
from strategies.data_folder import data_dir as data_dir
from strategies.data_folder import existing_parent as existing_parent
from strategies.data_folder import require_writable as require_writable


def working_dir(chosen: Path | None) -> Path:
    """As `data_dir`. Raises UsageError where nothing could be written there."""
    return require_writable(data_dir(chosen), "--data-dir")

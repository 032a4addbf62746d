"""Where closecall keeps its data. Creates nothing."""

import os
from pathlib import Path

ENVIRONMENT_VARIABLE = "CLOSECALL_DATA_DIR"


def data_dir(chosen: Path | None) -> Path:
    """Return the chosen folder, or that of the environment variable, or the user's data folder."""
    named = chosen or os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(named).expanduser() if named else default_data_dir()


def default_data_dir() -> Path:
    """Return the data folder where none is chosen, as the operating system has it."""
    from platformdirs import user_data_path

    return user_data_path("closecall", appauthor=False)

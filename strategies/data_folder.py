"""Where closecall keeps its data. Creates nothing."""

import os
from pathlib import Path

ENVIRONMENT_VARIABLE = "CLOSECALL_DATA_DIR"


def data_dir(chosen: Path | None) -> Path:
    """Return the chosen folder, or that of the environment variable, or the user's data folder."""
    named = chosen or os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_data_path

    return user_data_path("closecall", appauthor=False)

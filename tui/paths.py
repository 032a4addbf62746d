"""The one place that knows where closecall keeps its data. Creates nothing."""

from pathlib import Path

ENVIRONMENT_VARIABLE = "CLOSECALL_DATA_DIR"


def data_dir(chosen: Path | None) -> Path:
    """The chosen folder, or the user's data folder of this system."""
    if chosen is not None:
        return chosen.expanduser()
    from platformdirs import user_data_path

    return user_data_path("closecall", appauthor=False)

"""Until when the training data of an adapter reach, by its own files and by the registry."""

from datetime import UTC, datetime, time
from pathlib import Path

from llm.model_files import adapter_folder, fingerprint, stated_release
from llm.registry.adapters import Adapter
from llm.registry.registry import Registry, registry_exists


def find_registered(registry: Registry, folder: Path) -> Adapter | None:
    """Return the registered adapter with the files of a folder; None where there is none.

    Raises:
        StudentError: For a folder that holds no adapter.
    """
    digest = fingerprint([adapter_folder(folder)])
    return next((adapter for adapter in registry.adapters() if adapter.fingerprint == digest), None)


def training_end(folder: Path, registered: Adapter | None) -> datetime | None:
    """Return the instant from which nothing is in the training data of an adapter and of those before it.

    The later of what its closecall.json states, of which the day counts from its beginning, and what the
    registry has on record; None where neither has it.

    Args:
        folder: The adapter's folder.
        registered: The adapter as the registry has it, if it does.
    """
    released = stated_release(folder)
    stated = [] if released is None else [datetime.combine(released, time(0), UTC)]
    return max([*stated, *([registered.cutoff] if registered else [])], default=None)


def find_training_end(folder: Path, data_dir: Path) -> datetime | None:
    """Return the same of a folder's adapter, with the registry of a data folder if there is one."""
    if not registry_exists(data_dir):
        return training_end(folder, None)
    with Registry.open(data_dir) as registry:
        return training_end(folder, find_registered(registry, folder))


def describe_unknown_end(folder: Path) -> str:
    """Return why an adapter cannot be the start of a gated training, and what to do about it."""
    return (
        f"adapter {folder}: until when its training data reach is not known, so that no test window can be "
        'shown to lie after it; state the day in its closecall.json: {"released": "YYYY-MM-DD"}'
    )

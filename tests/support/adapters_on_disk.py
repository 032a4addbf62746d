"""Adapters as small folders that look like peft's, and a process that keeps changing a registry."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.journal.events.training import AdapterScored
from llm.model_files import fingerprint
from llm.registry.registry import Registry

START = datetime(2026, 1, 1, tzinfo=UTC)


def instant_at(hours):
    return START + timedelta(hours=hours)


def adapter_on_disk(folder, number=1, config=None):
    """A LoRA adapter of one small tensor; each number has other weights."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    config = config or {"peft_type": "LORA", "base_model_name_or_path": "tiny"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    weights = {"lora_A": np.full((2, 4), float(number), dtype=np.float32)}
    save_file(weights, folder / "adapter_model.safetensors")
    return folder


def enter(registry, folder, hours=1, **stated):
    """Put a folder on record as a trainer would."""
    usual = {
        "parent": None,
        "student": "tiny",
        "cutoff": START,
        "recipe": {"method": "grpo", "seed": 1},
        "fingerprint": fingerprint([folder]),
        "scores": {"brier": 0.21},
        "at": instant_at(hours),
    }
    return registry.register(folder, **(usual | stated))


def enter_many(registry, home, numbers):
    """The names of new adapters on record, made with these numbers."""
    return [
        enter(registry, adapter_on_disk(home / f"made-{number}", number), hours=number).name
        for number in numbers
    ]


def add_scores(registry, name, hours, by, scores):
    """Put scores into an adapter's history that change nothing."""
    with registry._store.transaction():
        registry._store.append(AdapterScored(name=name, by=by, scores=scores), instant_at(hours))


def change_for_ever(data: Path, made: Path, first: int) -> None:
    """Enter, promote and roll back until killed; prints a line after the first promotion."""
    with Registry.open(data) as registry:
        for number in range(first, first + 10_000):
            folder = adapter_on_disk(made / f"made-{number}", number)
            name = enter(registry, folder).name
            registry.promote(name, at=instant_at(2), by="test", reason="its turn")
            if number == first:
                sys.stdout.write("ready\n")
                sys.stdout.flush()
            if number % 3 == 0:
                registry.rollback(at=instant_at(2), by="test", reason="its turn")


if __name__ == "__main__":
    change_for_ever(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))


def promote(registry, name, hours=100, **more):
    return registry.promote(name, at=instant_at(hours), by="user", reason="looks good", **more)

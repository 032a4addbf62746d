"""LoRA adapters: put on a student's model, and written to a folder. Knows no method of training."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.model_files import SETTINGS_FILE
from llm.transformers_student import StudentSettings, TransformersStudent


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """The shape of a new adapter: terms of `rank`, scaled by `alpha / rank`, on every linear layer."""

    rank: int = 16
    alpha: int = 32


def adaptable(student: TransformersStudent, start: StudentSettings, shape: Lora) -> Any:
    """The student's model with a trainable adapter: the one that `start` names, or a new one.

    The student answers with the adapter from then on, as it changes. A new one is drawn from torch's
    random numbers and changes no answer yet.
    """
    from peft import LoraConfig, get_peft_model

    model = student._model
    if start.adapter is None:
        lora = LoraConfig(
            r=shape.rank,
            lora_alpha=shape.alpha,
            lora_dropout=0.0,
            bias="none",
            task_type="CAUSAL_LM",
            target_modules="all-linear",
        )
        return get_peft_model(model, lora)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return model


def write_adapter(model: Any, folder: Path, student: str, settings: Mapping[str, str]) -> None:
    """Write the trained adapter with `settings` as closecall.json; the folder appears as a whole.

    What peft adds for the hub is left out, and so is the base model's path, which is another one elsewhere.
    A folder that is there already is replaced.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "adapter"
        model.peft_config["default"].base_model_name_or_path = student
        model.save_pretrained(made, selected_adapters=["default"], save_embedding_layers=False)
        (made / "README.md").unlink(missing_ok=True)
        (made / SETTINGS_FILE).write_text(json.dumps(dict(settings), indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        made.replace(folder)

"""LoRA adapters: put on a student's model, and written to a folder. Knows no method of training."""

import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.journal.events.training import TrainingGuard
from llm.model_files import SETTINGS_FILE
from llm.student import Quantization, StudentSettings, TrainableStudent


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraShape:
    """The shape of a new adapter: terms of `rank`, scaled by `alpha / rank`.

    They are on every linear layer of the blocks between two shares of the model's `depth`; at least one block
    is among them.
    """

    rank: int = 16
    alpha: int = 32
    depth: tuple[float, float] = (0.0, 1.0)

    def blocks(self, count: int) -> list[int]:
        """The places of the blocks among `count`."""
        first = min(int(self.depth[0] * count), count - 1)
        return list(range(first, max(first + 1, round(self.depth[1] * count))))


def add_adapter(student: TrainableStudent, start: StudentSettings, shape: LoraShape) -> Any:
    """The student's model with a trainable adapter: the one that `start` names, or a new one.

    The student answers with the adapter from then on, as it changes. A new one is drawn from torch's
    random numbers and changes no answer yet.
    """
    from peft import LoraConfig, get_peft_model

    model = student.model
    if start.adapter is None:
        lora = LoraConfig(
            r=shape.rank,
            lora_alpha=shape.alpha,
            lora_dropout=0.0,
            bias="none",
            task_type="CAUSAL_LM",
            target_modules=_linear_layers(model),
            layers_to_transform=shape.blocks(model.config.get_text_config().num_hidden_layers),
        )
        return get_peft_model(model, lora)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return model


def _linear_layers(model: Any) -> list[str]:
    """The names that the linear layers have within a block, such as q_proj."""
    import torch

    output = model.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and module is not output
        }
    )


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
        _sort_target_modules(made / "adapter_config.json")
        (made / SETTINGS_FILE).write_text(json.dumps(dict(settings), indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        made.replace(folder)


def _sort_target_modules(config: Path) -> None:
    """peft writes the names of its layers in the order of a set, another one in every process."""
    stated = json.loads(config.read_text(encoding="utf-8"))
    stated["target_modules"] = sorted(stated["target_modules"])
    config.write_text(json.dumps(stated, indent=2, sort_keys=True) + "\n", encoding="utf-8")


_TRIED = "The next close"
_NO_GRADIENT = re.compile(
    "an autograd kernel was not registered|does not require grad|derivative for .* is not implemented"
)
"""How torch says that an operation has no gradient; any other failure says nothing about one."""


def trainable_student(
    start: StudentSettings,
    load: Callable[[StudentSettings], TrainableStudent],
    on_event: Callable[[TrainingGuard], None],
) -> tuple[StudentSettings, TrainableStudent]:
    """The student to train and the settings it was loaded with: as `start` has it, or unquantized.

    The latter is reported as a TrainingGuard.
    """
    if start.quantization is Quantization.NONE or has_stable_gradient(load(start), start):
        return start, load(start)
    on_event(
        TrainingGuard(
            step=0,
            guard="gradient of quantized weights",
            value=None,
            limit=None,
            done="trains unquantized",
        )
    )
    plain = replace(start, quantization=Quantization.NONE)
    return plain, load(plain)


def has_stable_gradient(student: TrainableStudent, start: StudentSettings) -> bool:
    """Return whether an adapter on the student's weights has the same gradient after an answer as before it.

    Any other failure, such as too little memory, is raised unchanged.
    """
    import torch

    model = add_adapter(student, start, LoraShape(rank=2, alpha=2))
    _perturb_adapter(model)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*an autograd kernel was not registered")
            before = _gradients(model, student)
            student.generate([_TRIED])
            after = _gradients(model, student)
    except (RuntimeError, UserWarning) as failure:
        if not _NO_GRADIENT.search(str(failure)):
            raise
        return False
    return len(before) > 0 and all(
        bool(torch.isfinite(one).all())
        and bool(one.abs().sum() > 0)
        and torch.allclose(one, other, rtol=0.05, atol=1e-3 * float(one.abs().max()))
        for one, other in zip(before, after, strict=True)
    )


def _perturb_adapter(model: Any) -> None:
    """Give the second factor of a new adapter some size, or the first would have no gradient to compare."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.requires_grad and "lora_B" in name:
            noise = torch.randn(weight.shape, generator=generator) * 0.01
            weight.data.copy_(noise.to(weight.device, weight.dtype))


def _gradients(model: Any, student: TrainableStudent) -> list[Any]:
    ids = student.tokenizer(_TRIED, return_tensors="pt", add_special_tokens=False).input_ids
    ids = ids.to(model.device)
    model.zero_grad(set_to_none=True)
    model(input_ids=ids, labels=ids).loss.backward()
    found = [weight.grad.float().clone() for weight in model.parameters() if weight.grad is not None]
    model.zero_grad(set_to_none=True)
    return found

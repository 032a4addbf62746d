"""Add LoRA adapters to a student's model, and write them to a folder."""

import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import StudentError
from engine.journal.events.training import TrainingGuard
from llm.loading import quiet_deprecations
from llm.model_files import SETTINGS_FILE, first_line
from llm.student import Quantization, StudentSettings, TrainableStudent


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraShape:
    """The shape of a new adapter.

    Attributes:
        rank: Rank of the added terms, which are scaled by `alpha / rank`.
        alpha: See `rank`.
        depth: The blocks whose linear layers have one, between two fractions of the model's depth; at least
            one block.
    """

    rank: int = 16
    alpha: int = 32
    depth: tuple[float, float] = (0.0, 1.0)

    def blocks(self, count: int) -> list[int]:
        """Return the indices of the blocks among `count`."""
        first = min(int(self.depth[0] * count), count - 1)
        return list(range(first, max(first + 1, round(self.depth[1] * count))))


def add_adapter(student: TrainableStudent, start: StudentSettings, shape: LoraShape) -> Any:
    """Return the student's model with a trainable adapter; the student answers with it from then on.

    Args:
        student: The student.
        start: Names the adapter to train; without one, a new adapter is drawn from torch's random numbers,
            which changes no answer yet.
        shape: The shape of a new adapter.
    """
    from peft import LoraConfig, get_peft_model

    model = student.model
    if start.adapter is None:
        layers = _linear_layers(model)
        lora = LoraConfig(
            r=shape.rank,
            lora_alpha=shape.alpha,
            lora_dropout=0.0,
            bias="none",
            task_type="CAUSAL_LM",
            target_modules=sorted(layers),
            fan_in_fan_out="Conv1D" in layers.values(),
            layers_to_transform=shape.blocks(model.config.get_text_config().num_hidden_layers),
        )
        try:
            with quiet_deprecations():
                return get_peft_model(model, lora)
        except ValueError as error:
            raise StudentError(
                f"student {start.student}: it takes no adapter ({first_line(error)}); "
                "use another model for training"
            ) from error
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return model


def _linear_layers(model: Any) -> dict[str, str]:
    """Return the names of the linear layers within a block, such as q_proj, with the name of their class."""
    import torch
    from transformers.pytorch_utils import Conv1D  # the linear layer of GPT-2 and its like

    output = model.get_output_embeddings()
    return {
        name.rpartition(".")[2]: type(module).__name__
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not output
    }


def write_adapter(model: Any, folder: Path, student: str, settings: Mapping[str, str]) -> None:
    """Write a trained adapter; the folder appears as a whole, and an existing one is replaced.

    Args:
        model: The peft model.
        folder: Where the adapter goes.
        student: The base model's name, written in place of its path on this machine.
        settings: The contents of closecall.json.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        written = Path(scratch) / "adapter"
        model.peft_config["default"].base_model_name_or_path = student
        model.save_pretrained(written, selected_adapters=["default"], save_embedding_layers=False)
        (written / "README.md").unlink(missing_ok=True)  # peft's, for the hub
        _sort_target_modules(written / "adapter_config.json")
        (written / SETTINGS_FILE).write_text(json.dumps(dict(settings), indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        written.replace(folder)


def _sort_target_modules(config: Path) -> None:
    """Sort the layer names, which peft writes in the order of a set: another one in every process."""
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings["target_modules"] = sorted(settings["target_modules"])
    config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


_PROBE_TEXT = "The next close"
_NO_GRADIENT = re.compile(
    "an autograd kernel was not registered|does not require grad|derivative for .* is not implemented"
)
"""How torch says that an operation has no gradient; any other failure says nothing about one."""


def load_student_to_train(
    start: StudentSettings,
    load: Callable[[StudentSettings], TrainableStudent],
    on_event: Callable[[TrainingGuard], None],
) -> tuple[StudentSettings, TrainableStudent]:
    """Load the student to train: as `start` has it, or unquantized where its gradient is not stable.

    Args:
        start: The settings of the student.
        load: Loads a student.
        on_event: Gets a TrainingGuard where the student is loaded unquantized.

    Returns:
        The settings it was loaded with, and the student.
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
    unquantized = replace(start, quantization=Quantization.NONE)
    return unquantized, load(unquantized)


def has_stable_gradient(student: TrainableStudent, start: StudentSettings) -> bool:
    """Return whether an adapter on the student's weights has the same gradient before and after an answer.

    Any other failure, such as too little memory, is raised unchanged.
    """
    import torch

    model = add_adapter(student, start, LoraShape(rank=2, alpha=2))
    _perturb_adapter(model)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*an autograd kernel was not registered")
            before = _gradients(model, student)
            student.generate([_PROBE_TEXT])
            after = _gradients(model, student)
    except (RuntimeError, UserWarning) as failure:
        if not _NO_GRADIENT.search(str(failure)):
            raise
        return False
    return len(before) > 0 and all(
        bool(torch.isfinite(first).all())
        and bool(first.abs().sum() > 0)
        and torch.allclose(first, second, rtol=0.05, atol=1e-3 * float(first.abs().max()))
        for first, second in zip(before, after, strict=True)
    )


def _perturb_adapter(model: Any) -> None:
    """Set the second factor of a new adapter to noise: at zero, the first would have no gradient."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.requires_grad and "lora_B" in name:
            noise = torch.randn(weight.shape, generator=generator) * 0.01
            weight.data.copy_(noise.to(weight.device, weight.dtype))


def _gradients(model: Any, student: TrainableStudent) -> list[Any]:
    ids = student.tokenizer(_PROBE_TEXT, return_tensors="pt", add_special_tokens=False).input_ids
    ids = ids.to(model.device)
    model.zero_grad(set_to_none=True)
    model(input_ids=ids, labels=ids).loss.backward()
    gradients = [weight.grad.float().clone() for weight in model.parameters() if weight.grad is not None]
    model.zero_grad(set_to_none=True)
    return gradients

"""Whether a quantized student can be trained where it runs; if not, it is trained unquantized.

bitsandbytes repacks 4-bit weights on some processors when they are first evaluated, and what was repacked
may have no gradient. So the gradient is tried, after an answer, before anything is trained.
"""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from llm.transformers_student import Quantization, StudentSettings, TransformersStudent
from training.lora.adapters import Lora, adaptable

_TRIED = "The next close"
_NO_GRADIENT = re.compile(
    "an autograd kernel was not registered|does not require grad|derivative for .* is not implemented"
)
"""How torch says that an operation has no gradient. Any other failure says nothing about one."""


def trainable_student(
    start: StudentSettings,
    load: Callable[[StudentSettings], TransformersStudent],
    on_event: Callable[[str, Mapping[str, Any]], None],
) -> tuple[StudentSettings, TransformersStudent]:
    """The student to train and the settings it was loaded with: as `start` has it, or unquantized.

    The latter is told as an event "training_guard".
    """
    if start.quantization is Quantization.NONE or learns_after_answering(load(start), start):
        return start, load(start)
    on_event(
        "training_guard",
        {
            "step": 0,
            "guard": "gradient of quantized weights",
            "value": None,
            "limit": None,
            "done": "trains unquantized",
        },
    )
    plain = replace(start, quantization=Quantization.NONE)
    return plain, load(plain)


def learns_after_answering(student: TransformersStudent, start: StudentSettings) -> bool:
    """Whether an adapter on the student's weights has the same gradient after an answer as before it.

    Whatever else goes wrong on the way, such as too little memory, is raised as it came.
    """
    import torch

    model = adaptable(student, start, Lora(rank=2, alpha=2))
    _stir(model)
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


def _stir(model: Any) -> None:
    """Give the second factor of a new adapter some size, or the first would have no gradient to compare."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.requires_grad and "lora_B" in name:
            noise = torch.randn(weight.shape, generator=generator) * 0.01
            weight.data.copy_(noise.to(weight.device, weight.dtype))


def _gradients(model: Any, student: TransformersStudent) -> list[Any]:
    ids = student.tokenizer(_TRIED, return_tensors="pt", add_special_tokens=False).input_ids
    ids = ids.to(model.device)
    model.zero_grad(set_to_none=True)
    model(input_ids=ids, labels=ids).loss.backward()
    found = [weight.grad.float().clone() for weight in model.parameters() if weight.grad is not None]
    model.zero_grad(set_to_none=True)
    return found

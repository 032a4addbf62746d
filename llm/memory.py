"""What a model takes in memory: counted for a loaded one, calculated for one that is to be loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import StudentError
from llm.model_files import load_config
from llm.student import Quantization

GB = 1_000_000_000

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""A weight in four bits, its share of a scale of eight bits, and that one's share of a scale of 32."""


def weights_bytes(model: Any) -> int:
    """Return the bytes of a loaded model's parameters and buffers; what is tied or shared counts once."""
    tensors = [*model.parameters(), *model.buffers()]
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        nested = getattr(state, "state2", None)
        parts = [getattr(part, name, None) for part in (state, nested) for name in ("absmax", "code")]
        tensors += [part for part in parts if part is not None]
    storages = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in tensors}
    return sum(storages.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """What a model's memory follows from.

    Attributes:
        linear: Parameters in linear layers, which quantization shrinks.
        embeddings: Parameters of the input and the output embedding; once, where they are tied.
        other: Parameters elsewhere.
        cached: Numbers that are kept for each token of a prompt or an answer: keys and values.
    """

    linear: int
    embeddings: int
    other: int
    cached: int

    def weights_bytes(self, quantization: Quantization, dtype: str) -> int:
        """Return the bytes of the weights, computed with in `dtype`."""
        compute = DTYPE_BYTES[dtype]
        if quantization is Quantization.NONE:
            return (self.linear + self.embeddings + self.other) * compute
        each = 1.0 if quantization is Quantization.INT8 else _NF4_BYTES
        return round(self.linear * each + self.embeddings * 2 + self.other * compute)

    def cache_bytes(self, tokens: int, dtype: str) -> int:
        """Return the bytes of the keys and values of some tokens, of all rows of a batch together."""
        return self.cached * tokens * DTYPE_BYTES[dtype]


def expected_bytes(path: Path, quantization: Quantization, dtype: str) -> int:
    """Return the bytes that a model's weights will take, calculated from its configuration.

    Args:
        path: The model's folder, or its GGUF file.
        quantization: How the weights are to be held.
        dtype: The type that the model computes in.

    Returns:
        Bytes, within a percent or so of what `weights_bytes` counts once it is loaded.
    """
    return model_size(path).weights_bytes(quantization, dtype)


def model_size(path: Path) -> ModelSize:
    """Return the size of the model in a folder or a GGUF file; no weight is read or allocated."""
    return measure(empty_model(load_config(path)))


def empty_model(config: Any) -> Any:
    """Return the model of a configuration with the shapes of its weights, without their values."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    model.tie_weights()
    return model


def measure(model: Any) -> ModelSize:
    """Return the size of a model that is not quantized."""
    import torch
    from transformers.pytorch_utils import Conv1D

    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    embeddings = {id(end.weight): end.weight.numel() for end in ends if end is not None}
    linear = {
        id(module.weight): module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and id(module.weight) not in embeddings
    }
    total = sum(parameter.numel() for parameter in model.parameters())
    return ModelSize(
        linear=sum(linear.values()),
        embeddings=sum(embeddings.values()),
        other=total - sum(linear.values()) - sum(embeddings.values()),
        cached=cached_per_token(model.config.get_text_config()),
    )


def cached_per_token(config: Any) -> int:
    """Return how many numbers a model keeps for each token: its keys and values, in all layers."""
    heads = getattr(config, "num_attention_heads", None) or 1
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(2 * config.num_hidden_layers * kv_heads * width)


def available_bytes(device: str) -> int:
    """Return the memory that is free on a device: of the machine, or of the GPU."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def require_memory(
    size: ModelSize, quantization: Quantization, dtype: str, *, path: Path, device: str, tokens: int = 1_024
) -> None:
    """Refuse a model that the free memory cannot hold, before its weights are read.

    Args:
        size: The model's size.
        quantization: How the weights are to be held.
        dtype: The type that the model computes in.
        path: The model's folder, or its GGUF file.
        device: Where it is to run.
        tokens: Tokens whose keys and values must fit beside the weights.

    Raises:
        StudentError: Where they do not fit, with what would.
    """
    free = available_bytes(device)
    needed = size.weights_bytes(quantization, dtype) + size.cache_bytes(tokens, dtype)
    if needed <= free:
        return
    choices = [(Quantization.NONE, "bfloat16")]
    if path.is_dir():
        choices += [(Quantization.INT8, dtype), (Quantization.NF4, dtype)]
    fitting = [
        (total, f"--dtype {kind}" if other is Quantization.NONE else f"--quantization {other}")
        for other, kind in choices
        if (total := size.weights_bytes(other, kind) + size.cache_bytes(tokens, kind)) <= free
    ]
    remedy = "name a smaller model"
    if fitting:
        total, flag = max(fitting)
        remedy = f"{flag} needs {total / GB:.1f} GB"
    raise StudentError(
        f"student {path}: its weights and the keys of one prompt need {needed / GB:.1f} GB, and "
        f"{free / GB:.1f} GB are free; {remedy}"
    )

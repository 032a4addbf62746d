"""Weights in eight bits, and embeddings in bfloat16 beside quantized layers that compute in another type.

The rows of a weight have a scale each and activations are not quantized, so that an answer depends on its
own prompt alone: LLM.int8 and torch's dynamic quantization choose outliers and scales over a whole batch.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

_CHUNK = 8_192
"""Rows of an output embedding that are converted at once: all of them would be a second copy."""


class Int8Linear(nn.Linear):
    """A linear layer with its weight of shape (out, in) in int8, and a scale of shape (out,) for its rows."""

    scale: torch.Tensor

    def __init__(self, source: nn.Linear | Conv1D, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        weight = (source.weight.T if isinstance(source, Conv1D) else source.weight).detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        self.out_features, self.in_features = weight.shape
        self.weight = nn.Parameter((weight / scale[:, None]).round().to(torch.int8), requires_grad=False)
        self.register_buffer("scale", scale.to(dtype))
        bias = None if source.bias is None else source.bias.detach().to(dtype)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output, computed in the type of `x`."""
        output = functional.linear(x, self.weight.to(x.dtype)) * self.scale.to(x.dtype)
        return output if self.bias is None else output + self.bias.to(x.dtype)


class HalfOutput(nn.Linear):
    """An output embedding whose weight stays in bfloat16 and whose logits have the type of its input."""

    def __init__(self, source: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = source.weight.shape
        self.weight = source.weight  # the very parameter, which may be tied to the input embedding
        self.bias = source.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits; rounded to bfloat16 they could not tell close probabilities apart."""
        parts = [functional.linear(x, rows.to(x.dtype)) for rows in torch.split(self.weight, _CHUNK)]
        output = torch.cat(parts, dim=-1)
        return output if self.bias is None else output + self.bias.to(x.dtype)


def quantize_int8(model: Any, dtype: torch.dtype) -> None:
    """Replace the linear layers of a model, all but its output embedding, by ones in eight bits."""
    output = model.get_output_embeddings()
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not output
    ]
    for name, module in layers:
        model.set_submodule(name, Int8Linear(module, dtype))


def compute_in(model: Any, dtype: torch.dtype) -> None:
    """Make a quantized model with parameters in bfloat16 compute in `dtype`; embeddings stay in bfloat16."""
    embedding, output = model.get_input_embeddings(), model.get_output_embeddings()
    kept = {id(module.weight) for module in (embedding, output) if module is not None}
    for parameter in model.parameters():
        if parameter.dtype is torch.bfloat16 and id(parameter) not in kept:
            parameter.data = parameter.data.to(dtype)
    embedding.register_forward_hook(lambda _module, _inputs, vectors: vectors.to(dtype))
    if type(output) is nn.Linear:
        model.set_output_embeddings(HalfOutput(output))

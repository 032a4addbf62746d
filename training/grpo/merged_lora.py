"""Run a LoRA model with merged weights, W + scale B A, recomputed at each use.

For a model as narrow as the tiny student, two thin products beside each layer cost more than one product
with the sum. Gradients reach A and B through the sum, so it trains the same adapter.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NARROW = 16
"""Merged weights are faster for layers of at most this many ranks in width."""


def should_merge(model: Any, adapter: str) -> bool:
    """Return whether merged weights are faster: every layer is narrow, plain and unquantized."""
    import torch

    layers = dict(_lora_layers(model, adapter))
    return bool(layers) and all(
        type(layer.base_layer) is torch.nn.Linear
        and not getattr(layer, "use_dora", {}).get(adapter, False)
        and isinstance(layer.lora_A[adapter], torch.nn.Linear)
        and min(layer.base_layer.weight.shape) <= _NARROW * layer.r[adapter]
        for layer in layers.values()
    )


class MergedLora:
    """A peft model with the weights of one adapter merged; called like the model itself."""

    def __init__(self, model: Any, adapter: str) -> None:
        base = model.get_base_model()
        self._sources = dict(_lora_layers(model, adapter))
        self._adapter = adapter
        self._plain = _without_lora(base)
        self._cached_weights: dict[str, Any] | None = None
        self.config, self.device, self.dtype = base.config, base.device, base.dtype

    def __call__(self, **inputs: Any) -> Any:
        """Return the model's output for these inputs."""
        from torch.func import functional_call

        weights = self._weights() if self._cached_weights is None else self._cached_weights
        return functional_call(self._plain, weights, (), inputs, tie_weights=False)

    @contextmanager
    def cache_weights(self) -> Iterator["MergedLora"]:
        """Compute the weights once for several calls, without gradient."""
        import torch

        with torch.no_grad():
            self._cached_weights = self._weights()
        try:
            yield self
        finally:
            self._cached_weights = None

    def _weights(self) -> dict[str, Any]:
        name = self._adapter
        return {
            f"{path}.weight": layer.base_layer.weight
            + layer.scaling[name] * (layer.lora_B[name].weight @ layer.lora_A[name].weight)
            for path, layer in self._sources.items()
        }


def _lora_layers(model: Any, adapter: str) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    for name, module in model.get_base_model().named_modules():
        if isinstance(module, LoraLayer) and adapter in module.lora_A:
            yield name, module


def _without_lora(base: Any) -> Any:
    """Copy the model's structure on the same weights, each LoRA layer replaced by the layer it wraps."""
    from peft.tuners.lora import LoraLayer

    forward = base.__dict__.pop("forward", None)  # trainers put their own in front; it is bound to `base`
    tensors = {id(tensor): tensor for tensor in (*base.parameters(), *base.buffers())}
    plain = copy.deepcopy(base, tensors)  # as the memo: tensors are shared, not copied
    if forward is not None:
        base.forward = forward
    for name, module in list(plain.named_modules()):
        if isinstance(module, LoraLayer):
            parent, _, last = name.rpartition(".")
            setattr(plain.get_submodule(parent), last, module.base_layer)
    return plain.eval()

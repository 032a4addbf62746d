"""A LoRA model as one of dense weights, W + scale B A, made anew at each use. Knows no trainer.

For a model as narrow as the tiny student two thin products beside each layer cost more than one product
with the sum. Gradients reach A and B through the sum, so it trains the same adapter.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NARROW = 16
"""Where the layers are this many ranks wide or less, the dense form is the quicker one."""


def should_merge(model: Any, adapter: str) -> bool:
    """Whether the LoRA model is narrow, its layers are plain and unquantized, and so the dense form pays."""
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
    """The dense form of a peft model under one adapter, or under none; called like the model itself."""

    def __init__(self, model: Any, adapter: str | None) -> None:
        base = model.get_base_model()
        self._sources = dict(_lora_layers(model, adapter)) if adapter else {}
        self._adapter = adapter
        self._plain = _without_lora(base)
        self._cached_weights: dict[str, Any] | None = None
        self.config, self.device, self.dtype = base.config, base.device, base.dtype

    def __call__(self, **inputs: Any) -> Any:
        """What the model gives for these inputs."""
        from torch.func import functional_call

        weights = self._weights() if self._cached_weights is None else self._cached_weights
        return functional_call(self._plain, weights, (), inputs, tie_weights=False)

    @contextmanager
    def cache_weights(self) -> Iterator["MergedLora"]:
        """Make the weights once for several calls, without gradient."""
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
            f"{place}.weight": layer.base_layer.weight
            + layer.scaling[name] * (layer.lora_B[name].weight @ layer.lora_A[name].weight)
            for place, layer in self._sources.items()
        }


def _lora_layers(model: Any, adapter: str) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    for name, module in model.get_base_model().named_modules():
        if isinstance(module, LoraLayer) and adapter in module.lora_A:
            yield name, module


def _without_lora(base: Any) -> Any:
    """A copy of the model's structure on the same weights, each LoRA layer replaced by what it wraps."""
    from peft.tuners.lora import LoraLayer

    forward = base.__dict__.pop("forward", None)  # trainers put their own in front; it is bound to `base`
    kept = {id(one): one for one in (*base.parameters(), *base.buffers())}
    plain = copy.deepcopy(base, kept)
    if forward is not None:
        base.forward = forward
    for name, module in list(plain.named_modules()):
        if isinstance(module, LoraLayer):
            parent, _, last = name.rpartition(".")
            setattr(plain.get_submodule(parent), last, module.base_layer)
    return plain.eval()

"""How many sequences fit into the memory that is there."""

from typing import Any

_SHARE = 0.5
"""The part of the free memory that keys and values may take; the rest is for what the model computes with."""


def token_bytes(model: Any) -> int:
    """Return the bytes of keys and values that a model keeps for a token."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * model.dtype.itemsize)


def free_bytes(device: Any) -> int:
    """Return how much memory a device has left; of a processor, what the system says is available."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def rows_that_fit(model: Any, capacity: int, most: int) -> int:
    """Return how many sequences of `capacity` tokens fit, from 1 to `most`."""
    return max(1, min(most, int(free_bytes(model.device) * _SHARE) // (token_bytes(model) * capacity)))

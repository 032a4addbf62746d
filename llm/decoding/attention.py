"""Attention over cached keys and values that several query heads share, without a copy for each head."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAME = "closecall_grouped"


@contextmanager
def grouped_attention(model: Any) -> Iterator[None]:
    """Let a model attend by `attend` within the block, where it uses torch's fused attention by itself."""
    config = model.config.get_text_config()
    before = config._attn_implementation
    if before != "sdpa":
        yield
        return
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, attend)
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def attend(
    _module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    scaling: float | None = None,
    **_unused: Any,
) -> tuple[Any, None]:
    """Return the attended values, shape (rows, tokens, heads, size of a head), as transformers takes them.

    Args:
        query: Shape (rows, heads, tokens, size of a head).
        key: Shape (rows, heads of the cache, slots, size of a head).
        value: As `key`.
        attention_mask: Which slots each token sees, shape (rows, 1, tokens, slots).
        scaling: The factor of the products; None for that of the size of a head.
    """
    import torch

    shared = query.shape[1] != key.shape[1]
    output = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=shared
    )
    return output.transpose(1, 2).contiguous(), None

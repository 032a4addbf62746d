"""The keys and values of attention for several sequences, each in a row of its own.

A row's tokens lie in its first slots without holes, so that a row does not depend on its neighbours.
It is given no model: transformers calls `update` for each layer, and the masks from `RowCache.mask`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers.cache_utils import Cache, CacheLayerMixin

_SLOT_STEP = 32
"""Slots are looked at in multiples of this, so that shapes, and with them kernels, are few."""


@dataclass(slots=True)
class _Slots:
    """Where the computed rows write and read: what all layers share.

    Layers hold this, not their cache: a cycle would keep the keys of a batch until Python looks for cycles.
    `starts` are the first slots of the rows `first` to `last`; `slots` is None where all write to the same
    ones, else shape (rows, tokens); `seen` slots are read.
    """

    num_rows: int
    capacity: int
    starts: tuple[int, ...] = ()
    first: int = 0
    last: int = 0
    slots: Any = None
    seen: int = 0


class _Layer(CacheLayerMixin):
    """The keys and values of one layer, shape (rows, heads, capacity, size of a head)."""

    is_sliding = False

    def __init__(self, slots: _Slots) -> None:
        super().__init__()
        self.keys: Any = None
        self.values: Any = None
        self._slots = slots

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        rows, capacity = self._slots.num_rows, self._slots.capacity
        self.keys = key_states.new_zeros((rows, key_states.shape[1], capacity, key_states.shape[3]))
        self.values = value_states.new_zeros((rows, value_states.shape[1], capacity, value_states.shape[3]))
        self.is_initialized = True

    def update(self, key_states: Any, value_states: Any, *_args: Any, **_kwargs: Any) -> tuple[Any, Any]:
        """Write new states, shape (rows, heads, tokens, size of a head); return those of all slots in use."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        here = self._slots
        first, last = here.first, here.last
        for stored, states in ((self.keys, key_states), (self.values, value_states)):
            if here.slots is None:
                start = here.starts[0]
                stored[first:last, :, start : start + states.shape[2]] = states
            else:
                index = here.slots[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3])
                stored[first:last].scatter_(2, index, states)
        return self.keys[first:last, :, : here.seen], self.values[first:last, :, : here.seen]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002  # transformers' signature
        return self._slots.seen, 0

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return self._slots.capacity


class RowCache(Cache):
    """Keys and values of `num_rows` sequences with room for `capacity` tokens each."""

    def __init__(self, *, layers: int, num_rows: int, capacity: int) -> None:
        self._slots = _Slots(num_rows, -(-capacity // _SLOT_STEP) * _SLOT_STEP)
        self._layers = [_Layer(self._slots) for _ in range(layers)]
        super().__init__(layers=list(self._layers))

    @property
    def capacity(self) -> int:
        """How many tokens a row has room for."""
        return self._slots.capacity

    @property
    def seen(self) -> int:
        """How many slots of each row are read."""
        return self._slots.seen

    def place(self, starts: Sequence[int], tokens: int, device: Any, first: int = 0) -> Any:
        """Say where the next tokens go, and return their positions, shape (rows, tokens).

        Args:
            starts: The slot of the first token of each row.
            tokens: How many tokens each row gets, fillers at the end included.
            device: Where the positions are made.
            first: The first of the rows that are computed.
        """
        import torch

        here = self._slots
        here.starts, here.first, here.last = tuple(starts), first, first + len(starts)
        positions = torch.tensor(starts, device=device)[:, None] + torch.arange(tokens, device=device)
        here.seen = min(here.capacity, -(-(max(starts) + tokens) // _SLOT_STEP) * _SLOT_STEP)
        here.slots = None if len(set(starts)) == 1 else positions
        return positions

    def mask(self, positions: Any, sliding: int | None = None) -> Any:
        """Return which slots each position sees, shape (rows, 1, tokens, slots).

        Args:
            positions: What `place` returned.
            sliding: How many tokens back a position sees; None sees all.
        """
        import torch

        slots = torch.arange(self._slots.seen, device=positions.device)
        seen = slots <= positions[..., None]
        if sliding is not None:
            seen &= slots > positions[..., None] - sliding
        return seen[:, None]

    def copy_rows(self, source: "RowCache", row: int, count: int, tokens: int) -> None:
        """Copy the first tokens of the first row of another cache to `count` rows from `row` on."""
        for layer, other in zip(self._layers, source._layers, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(other.keys, other.values)
            layer.keys[row : row + count, :, :tokens] = other.keys[:1, :, :tokens]
            layer.values[row : row + count, :, :tokens] = other.values[:1, :, :tokens]

    def keep_rows(self, rows: Sequence[int]) -> None:
        """Move the named rows to the front, in their order, and forget the others."""
        for layer in self._layers:
            layer.keys = layer.keys[list(rows)]
            layer.values = layer.values[list(rows)]
        self._slots.num_rows = len(rows)

"""Compute answers: prompts one beginning after the other, answers in rows, shared tokens once.

Prompts are taken in the order of their tokens, so that neighbours share the longest beginnings; what a prompt
shares with the one before it is not computed again. Their answers are then decoded together, a row each.

Each row holds its own tokens in its own slots, and no matrix has fewer than `_LEAST_ROWS` rows, because below
that the matrix library computes in another order. So an answer does not depend on what else is asked: on a
processor the tests find it equal to the bit. On a GPU, and where kernels differ by shape, two logits may
differ in the last bits, and a choice between two tokens that are closer than that may flip.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from llm.decoding.attention import grouped_attention
from llm.decoding.cache import RowCache
from llm.decoding.programs import Program
from llm.memory import available_bytes, cached_per_token, weights_bytes

_LEAST_ROWS = 16
_LEAST_CACHE_BYTES = 2**29
_PREFILL_TOKENS = {"cpu": 512, "cuda": 8192}
_PREFILL_SHARE = 0.9
_PROBE_TOKENS = 40
_TOLERANCE = 0.02
"""Of the largest logit: types of 16 bits differ by as much between shapes."""
_CALL_FLOPS = 5e7
"""What a layer could compute in the time that calling it takes: some 2 ms at 25 GFLOPS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt that waits for its answer.

    Attributes:
        place: Its place among those that were given.
        tokens: Its tokens.
        create: Makes the program that takes the answer; called again if memory runs out midway.
        room: How many tokens may follow it.
    """

    place: int
    tokens: tuple[int, ...]
    create: Callable[[], Program]
    room: int


class _Row:
    """A prompt whose answer is being taken."""

    def __init__(self, prompt: Prompt) -> None:
        self.place = prompt.place
        self.program = prompt.create()
        self.sequence = (*prompt.tokens, *self.program.start)


@dataclass(slots=True)
class Meter:
    """What was computed so far: tokens and seconds of prompts, rounds and seconds of answers."""

    prompt_tokens: int = 0
    prompt_seconds: float = 0.0
    rounds: int = 0
    answer_tokens: int = 0
    answer_seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """All tokens that were computed."""
        return self.prompt_tokens + self.answer_tokens


class Decoder:
    """Runs programs on a model of transformers.

    Args:
        model: The model, in evaluation mode.
        batch: The most prompts whose answers are decoded together; fewer where memory is short.
    """

    def __init__(self, model: Any, *, batch: int) -> None:
        self._model = model
        self._batch = batch
        config = model.config.get_text_config()
        self._layers = int(config.num_hidden_layers)
        self._kinds = frozenset(getattr(config, "layer_types", None) or ())
        self._sliding = getattr(config, "sliding_window", None)
        if getattr(config, "use_sliding_window", True) is False:
            self._sliding = None
        weights = (
            sum(weight.numel() for weight in model.parameters()) - config.vocab_size * config.hidden_size
        )
        self._call_tokens = self._layers * _CALL_FLOPS / max(1, 2 * weights)
        self._trunk: RowCache | None = None
        self._trunk_tokens: tuple[int, ...] = ()
        self.meter = Meter()

    def run(
        self, prompts: Sequence[Prompt], on_progress: Callable[[float], None]
    ) -> Iterator[list[tuple[int, str]]]:
        """Take the answers, and yield them batch by batch with the places of their prompts.

        Args:
            prompts: The prompts.
            on_progress: Called with the share of the work that is done.

        Raises:
            MemoryError: Where not even one prompt fits.
        """
        import torch

        self._trunk = None  # weights may have been trained since the last call
        ordered = sorted(prompts, key=lambda prompt: prompt.tokens)
        longest = max((len(prompt.tokens) + prompt.room for prompt in ordered), default=0)
        capacity = longest + _LEAST_ROWS
        done = 0
        while done < len(ordered):
            some = ordered[done : done + self._rows_that_fit(capacity)]

            def report(share: float, before: int = done, count: int = len(some)) -> None:
                on_progress((before + share * count) / len(ordered))

            try:
                with torch.inference_mode():
                    rows = self._arrange([_Row(prompt) for prompt in some])
                    self._run_batch(rows, capacity, report)
            except (torch.OutOfMemoryError, MemoryError) as error:
                self._trunk = None
                if len(some) == 1:
                    raise MemoryError(f"no room for {capacity:,} tokens") from error
                self._batch = len(some) // 2
                continue
            done += len(some)
            report(1.0)
            yield [(row.place, row.program.answer) for row in rows]

    def _rows_that_fit(self, capacity: int) -> int:
        """Return how many prompts are taken together.

        Keys and values get half of the free memory; on a processor, which gains little from more rows,
        half of what the weights take at most.
        """
        # Keys and values have the type that is computed in, which quantized embeddings do not.
        size = max(part.element_size() for part in self._model.parameters() if part.is_floating_point())
        row = cached_per_token(self._model.config.get_text_config()) * size * capacity
        limit = available_bytes(str(self._model.device)) // 2
        if self._model.device.type == "cpu":
            limit = min(limit, max(_LEAST_CACHE_BYTES, weights_bytes(self._model) // 2))
        return max(1, min(self._batch, int(limit // row)))

    def agrees(self) -> bool:
        """Return whether it computes what the model does by itself; one of an unusual kind may not."""
        import torch

        vocabulary = self._model.config.get_text_config().vocab_size
        tokens = [token % vocabulary for token in range(5, 5 + _PROBE_TOKENS)]
        try:
            with torch.inference_mode():
                ids = torch.tensor([tokens], device=self._model.device)
                wanted = self._model(input_ids=ids, use_cache=False).logits[0, -1].float()
                self.logits(tokens[: _PROBE_TOKENS // 2])
                found = self.logits(tokens).float()
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):
            return (
                False  # a model that takes no cache, no positions or no mask of ours is asked in its own way
            )
        return bool((found - wanted).abs().max() <= _TOLERANCE * wanted.abs().max())

    def logits(self, tokens: Sequence[int]) -> Any:
        """Return the logits after some tokens, a tensor of shape (vocabulary,), as `run` computes them."""
        import torch

        with torch.inference_mode():
            self._extend_trunk(tuple(tokens), len(tokens) + _LEAST_ROWS)
        return self._trunk_logits

    def _run_batch(self, rows: Sequence[_Row], capacity: int, on_progress: Callable[[float], None]) -> None:
        cache = RowCache(layers=self._layers, num_rows=len(rows), capacity=capacity)
        started = time.perf_counter()
        steps: list[tuple[int, ...] | None] = []
        for group in self._groups([row.sequence for row in rows]):
            some = rows[len(steps) : len(steps) + len(group)]
            steps += _advance(some, self._prefill(cache, len(steps), group, capacity))
            on_progress(_PREFILL_SHARE * len(steps) / len(rows))
        self.meter.prompt_seconds += time.perf_counter() - started
        started = time.perf_counter()
        self._decode(cache, rows, steps)
        self.meter.answer_seconds += time.perf_counter() - started

    def _arrange(self, rows: list[_Row]) -> list[_Row]:
        """Return the rows by their length where a call costs more than what neighbours could share."""
        new = [len(row.sequence) - _shared(before.sequence, row.sequence) for before, row in pairwise(rows)]
        if new and sum(new) / len(new) < 2 * self._call_tokens:
            return sorted(rows, key=lambda row: len(row.sequence))
        return rows

    def _groups(self, sequences: Sequence[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
        """Split sequences into those that are computed together: too short to be worth a call each."""
        budget = _PREFILL_TOKENS.get(self._model.device.type, 512)
        groups: list[list[tuple[int, ...]]] = []
        alone = 0
        for before, sequence in zip(((), *sequences), sequences, strict=False):
            new = len(sequence) - _shared(before, sequence)
            if groups:
                group = [*groups[-1], sequence]
                size = len(group) * (max(map(len, group)) - _shared_by_all(group))
                if size <= budget and size <= alone + new + self._call_tokens * (len(group) - 1):
                    groups[-1] = group
                    alone += new
                    continue
            groups.append([sequence])
            alone = len(sequence) - min(_shared(before, sequence), len(sequence) - _LEAST_ROWS)
        return groups

    def _prefill(
        self, cache: RowCache, row: int, group: Sequence[tuple[int, ...]], capacity: int
    ) -> list[Any]:
        """Compute the sequences of a group into the rows from `row` on, and return the logits after each."""
        shortest = min(map(len, group))
        shared = min(_shared_by_all(group), shortest - _LEAST_ROWS) if len(group) > 1 else shortest
        if shared > 0:
            self._extend_trunk(group[0][:shared], capacity)
            if self._trunk is not None:
                cache.copy_rows(self._trunk, row, len(group), shared)
        if len(group) == 1:
            return [self._trunk_logits]
        rests = [sequence[max(shared, 0) :] for sequence in group]
        self.meter.prompt_tokens += sum(map(len, rests))
        return self._forward(cache, rests, [max(shared, 0)] * len(group), first=row)

    def _extend_trunk(self, sequence: tuple[int, ...], capacity: int) -> None:
        """Make the trunk hold a sequence; what it shares with the one before is kept."""
        if self._trunk is None or self._trunk.capacity < max(capacity, len(sequence)):
            self._trunk = RowCache(layers=self._layers, num_rows=1, capacity=max(capacity, len(sequence)))
            self._trunk_tokens = ()
        kept = _shared(self._trunk_tokens, sequence)
        if kept == len(sequence) == len(self._trunk_tokens):
            return
        kept = max(0, min(kept, len(sequence) - _LEAST_ROWS))
        self._trunk_tokens = ()  # an interruption midway must leave nothing that looks computed
        self.meter.prompt_tokens += len(sequence) - kept
        (self._trunk_logits,) = self._forward(self._trunk, [sequence[kept:]], [kept])
        self._trunk_tokens = sequence

    def _decode(self, cache: RowCache, rows: Sequence[_Row], steps: Sequence[tuple[int, ...] | None]) -> None:
        """Run the programs round by round, until all have ended."""
        starts = [len(row.sequence) for row in rows]
        while going := [place for place, step in enumerate(steps) if step is not None]:
            if len(going) < len(rows):
                cache.keep_rows(going)
                rows, starts = [rows[place] for place in going], [starts[place] for place in going]
            tokens = [step for step in steps if step is not None]
            logits = self._forward(cache, tokens, starts)
            steps = _advance(rows, logits)
            starts = [start + len(step) for start, step in zip(starts, tokens, strict=True)]
            self.meter.rounds += 1
            self.meter.answer_tokens += sum(map(len, tokens))

    def _forward(
        self, cache: RowCache, tokens: Sequence[tuple[int, ...]], starts: Sequence[int], first: int = 0
    ) -> list[Any]:
        """Compute tokens of some rows, and return the logits after the last of each, shape (vocabulary,)."""
        import torch

        # Fillers come after a row's own tokens: nothing sees them, and the next tokens take their slots.
        width = max(max(map(len, tokens)), -(-_LEAST_ROWS // len(tokens)))
        filled = [[*row, *(row[-1:] * (width - len(row)))] for row in tokens]
        device = self._model.device
        positions = cache.place(starts, width, device, first)
        ends = [len(row) - 1 for row in tokens]
        kept = sorted(set(ends))
        with grouped_attention(self._model):
            output = self._model(
                input_ids=torch.tensor(filled, device=device),
                attention_mask=self._mask(cache, positions),
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=torch.tensor(self._at_least(kept, width, len(tokens)), device=device),
            )
        places = {end: place for place, end in enumerate(self._at_least(kept, width, len(tokens)))}
        return [output.logits[row, places[end]] for row, end in enumerate(ends)]

    def _at_least(self, kept: list[int], width: int, rows: int) -> list[int]:
        """Return the places whose logits are computed: enough that the matrix has its least rows."""
        missing = -(-_LEAST_ROWS // rows) - len(kept)
        others = [place for place in range(width - 1, -1, -1) if place not in kept]
        return sorted(kept + others[: max(0, missing)])

    def _mask(self, cache: RowCache, positions: Any) -> Any:
        """Return the mask that the model's attention takes, or one for each kind of its layers."""
        masks = self._masks(cache, positions)
        if isinstance(masks, dict):
            return {kind: self._convert(mask) for kind, mask in masks.items()}
        return self._convert(masks)

    def _convert(self, mask: Any) -> Any:
        """Return a mask as it is, or as numbers to add, which attention written out in torch takes."""
        import torch

        if self._model.config._attn_implementation != "eager":
            return mask
        added = torch.zeros(mask.shape, dtype=self._model.dtype, device=mask.device)
        return added.masked_fill(~mask, torch.finfo(added.dtype).min)

    def _masks(self, cache: RowCache, positions: Any) -> Any:
        whole = cache.mask(positions)
        if self._sliding is None or cache.seen <= self._sliding:
            return whole
        sliding = cache.mask(positions, self._sliding)
        if len(self._kinds) > 1:
            return {"full_attention": whole, "sliding_attention": sliding}
        return whole if self._kinds == {"full_attention"} else sliding


def _advance(rows: Sequence[_Row], logits: Sequence[Any]) -> list[tuple[int, ...] | None]:
    """Give each program the logits of its choices; only those that any of them wants leave the device."""
    import torch

    choices = [row.program.choices for row in rows]
    if any(wanted is None for wanted in choices):
        table = torch.stack(list(logits)).float().cpu().numpy()
        columns = [... if wanted is None else list(wanted) for wanted in choices]
    else:
        tokens = sorted({token for wanted in choices for token in wanted or ()})
        places = {token: place for place, token in enumerate(tokens)}
        index = torch.tensor(tokens, device=logits[0].device)
        table = torch.stack([of_row.index_select(0, index) for of_row in logits]).float().cpu().numpy()
        columns = [[places[token] for token in wanted or ()] for wanted in choices]
    return [row.program.advance(table[n, columns[n]]) for n, row in enumerate(rows)]


def _shared_by_all(sequences: Sequence[Sequence[int]]) -> int:
    """Return how many first tokens all sequences share."""
    return min(_shared(sequences[0], sequence) for sequence in sequences)


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many first tokens two sequences share."""
    least = min(len(one), len(other))
    if one[:least] == other[:least]:
        return least
    low, high = 0, least
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low

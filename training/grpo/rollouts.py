"""Sampling several answers to each prompt, the prompt read once. Knows no reward and no training.

The answers to one prompt grow side by side in one row: at every step the row gains one token of each, and
the attention mask lets an answer see the prompt and itself only. So a prompt's keys and values are computed
once and kept once, whatever the number of answers (the tree attention of SpecInfer, Miao et al. 2024,
with a tree that branches at its root alone).

Some answers may be begun with given tokens. A student that is sure of a direction hardly ever samples the
other, so a group of its own answers cannot tell which is better, and the policy's gradient vanishes there.
Answers begun with either direction in turn explore both. They count in the loss as if they had been sampled:
a bias that moves the direction to the side of the better reward, whatever its present probability, and that
leaves everything after the opening on the policy.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


_MASKABLE = ("sdpa", "eager")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How answers are drawn: how many to a prompt, their most tokens, and the tokens that end one.

    The last of the answers to a prompt are begun with the token ids in `openings`, one each.
    """

    num_generations: int
    max_tokens: int
    ends: Collection[int]
    pad: int
    temperature: float = 1.0
    prefixes: Sequence[Sequence[int]] = ()


def can_share_prefix(model: Any) -> bool:
    """Whether every layer of the model attends to all of its past, under a mask that can be given."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        kinds == {"full_attention"}
        and not (getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True))
        and getattr(config, "_attn_implementation", None) in _MASKABLE
        and getattr(config, "num_local_experts", None) is None
        and getattr(config, "num_experts", None) is None
    )


def generate_answers(
    model: Any, prompts: Sequence[Sequence[int]], how: SamplingConfig, generator: "torch.Generator"
) -> list[list[list[int]]]:
    """For each prompt, `copies` answers as token ids, the ending token included where one was drawn."""
    import torch

    with torch.no_grad():
        growth = _Generation(model, prompts, how, generator)
        while growth.is_unfinished():
            growth.step()
    return growth.answers


class _Generation:
    """The rows that still grow: their cache, their mask and the answers so far."""

    def __init__(
        self, model: Any, prompts: Sequence[Sequence[int]], how: SamplingConfig, generator: "torch.Generator"
    ) -> None:
        import torch
        from transformers import DynamicCache

        self._model, self._how, self._generator = model, how, generator
        self.answers: list[list[list[int]]] = [[[] for _ in range(how.num_generations)] for _ in prompts]
        ids, mask = left_padded(prompts, how.pad, model.device)
        self._cache = DynamicCache(config=model.config.get_text_config())
        self._ends = torch.tensor(sorted(how.ends), device=model.device)
        self._rows = torch.arange(len(prompts), device=model.device)
        self._positions = mask.sum(1, keepdim=True)
        self._seen = mask[:, None, :].expand(-1, how.num_generations, -1).bool()
        self._done = torch.zeros(len(prompts), how.num_generations, dtype=torch.bool, device=model.device)
        self._steps = 0
        first = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        self._sample_tokens(first)

    def is_unfinished(self) -> bool:
        """Whether an answer may still grow."""
        return self._steps < self._how.max_tokens and not bool(self._done.all())

    def step(self) -> None:
        """One more token for each answer."""
        import torch

        self._leave_finished_rows()
        own = torch.eye(self._how.num_generations, dtype=torch.bool, device=self._seen.device)
        self._seen = torch.cat([self._seen, own.expand(len(self._rows), -1, -1)], dim=2)
        logits = self._model(
            input_ids=self._last,
            attention_mask=mask_for(self._model, self._seen),
            position_ids=(self._positions + self._steps - 1).expand(-1, self._how.num_generations),
            past_key_values=self._cache,
            use_cache=True,
        ).logits
        self._sample_tokens(logits)

    def _sample_tokens(self, logits: "torch.Tensor") -> None:
        import torch

        # By the inverse of the distribution function: a twentieth of the time of torch.multinomial.
        total = torch.softmax(logits.float() / self._how.temperature, dim=-1).cumsum(-1)
        luck = torch.rand(
            (len(logits), self._how.num_generations, 1), generator=self._generator, device=logits.device
        )
        below = luck * total[..., -1:]
        drawn = torch.searchsorted(total.expand(*below.shape[:2], -1).contiguous(), below, right=True)[..., 0]
        drawn = drawn.clamp(max=total.shape[-1] - 1)
        for copy, opening in enumerate(
            self._how.prefixes, start=self._how.num_generations - len(self._how.prefixes)
        ):
            if self._steps < len(opening):
                drawn[:, copy] = opening[self._steps]
        self._last = drawn.masked_fill(self._done, self._how.pad)
        for row, tokens, done in zip(
            self._rows.tolist(), self._last.tolist(), self._done.tolist(), strict=True
        ):
            for answer, token, finished in zip(self.answers[row], tokens, done, strict=True):
                if not finished:
                    answer.append(token)
        self._done = self._done | torch.isin(self._last, self._ends)
        self._steps += 1

    def _leave_finished_rows(self) -> None:
        """Go on with the unfinished rows only, once they are half of those carried."""
        kept = (~self._done.all(1)).nonzero()[:, 0]
        if 2 * len(kept) > len(self._rows):
            return
        self._cache.batch_select_indices(kept)
        self._rows, self._positions = self._rows[kept], self._positions[kept]
        self._seen, self._done, self._last = self._seen[kept], self._done[kept], self._last[kept]


def left_padded(
    rows: Sequence[Sequence[int]], pad: int, device: Any
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Token ids and their mask, (rows, longest), padded on the left."""
    import torch

    longest = max(len(row) for row in rows)
    ids = [[pad] * (longest - len(row)) + list(row) for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def mask_for(model: Any, seen: "torch.Tensor") -> "torch.Tensor":
    """What the model's attention takes for `seen`, (rows, queries, places): a mask of four dimensions."""
    import torch

    wide = seen[:, None]
    if model.config.get_text_config()._attn_implementation != "eager":
        return wide
    lowest = torch.finfo(model.dtype).min
    return torch.zeros(wide.shape, dtype=model.dtype, device=wide.device).masked_fill(~wide, lowest)


def log_probabilities(
    model: Any,
    prompts: "torch.Tensor",
    prompt_mask: "torch.Tensor",
    answers: "torch.Tensor",
    temperature: float = 1.0,
    *,
    entropy: bool = True,
) -> tuple["torch.Tensor", "torch.Tensor | None"]:
    """Log-probability of each answer token, and the entropy (without gradient) of what it was drawn from.

    `prompts` and `prompt_mask` are (n, length), padded on the left; `answers` is (n, copies, tokens), padded
    on the right. Both results are (n, copies, tokens); what stands at padding is to be masked by the caller.
    """
    import torch

    rows, copies, tokens = answers.shape
    logits = model(
        input_ids=_inputs(prompts, answers),
        attention_mask=mask_for(model, _attention_mask(prompt_mask, copies, tokens)),
        position_ids=_positions(prompt_mask, copies, tokens),
        use_cache=False,
        # As indices, not as a number: a slice would not be contiguous, and its product is three times slower.
        logits_to_keep=torch.arange(copies * tokens, device=prompts.device) + prompts.shape[1] - 1,
    ).logits
    logits = logits.float() if temperature == 1 else logits.float() / temperature
    scores = torch.log_softmax(logits, dim=-1)
    stated = scores.gather(-1, answers.flatten(1)[..., None])[..., 0].view(rows, copies, tokens)
    if not entropy:
        return stated, None
    with torch.no_grad():
        spread = -(scores.exp() * scores).sum(-1).view(rows, copies, tokens)
    return stated, spread


def _inputs(prompts: "torch.Tensor", answers: "torch.Tensor") -> "torch.Tensor":
    """(n, length - 1 + copies * tokens): the prompt, and each answer moved on by the prompt's last token."""
    import torch

    leads = prompts[:, -1:, None].expand(-1, answers.shape[1], 1)
    led = torch.cat([leads, answers[:, :, :-1]], dim=2)
    return torch.cat([prompts[:, :-1], led.flatten(1)], dim=1)


def _positions(prompt_mask: "torch.Tensor", copies: int, tokens: int) -> "torch.Tensor":
    import torch

    ahead = (prompt_mask.cumsum(1) - 1).clamp(min=0)
    own = torch.arange(tokens, device=prompt_mask.device).repeat(copies)
    return torch.cat([ahead[:, :-1], ahead[:, -1:] + own], dim=1)


def _attention_mask(prompt_mask: "torch.Tensor", copies: int, tokens: int) -> "torch.Tensor":
    """(n, places, places): which places each place attends to. Padding sees itself, so no row is empty."""
    import torch

    device = prompt_mask.device
    shared = prompt_mask.shape[1] - 1
    branch = torch.cat(
        [
            torch.full((shared,), -1, device=device),
            torch.arange(copies, device=device).repeat_interleave(tokens),
        ]
    )
    causal = torch.ones(len(branch), len(branch), dtype=torch.bool, device=device).tril()
    same = (branch[None, :] == -1) | (branch[None, :] == branch[:, None])
    real = torch.cat(
        [
            prompt_mask[:, :-1].bool(),
            torch.ones(len(prompt_mask), copies * tokens, dtype=torch.bool, device=device),
        ],
        dim=1,
    )
    itself = torch.eye(len(branch), dtype=torch.bool, device=device)
    return (causal & same & real[:, None, :]) | itself

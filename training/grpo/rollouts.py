"""Sample several answers to each prompt, with the prompt computed once.

The answers to one prompt grow side by side in one row: every step adds one token of each, and the attention
mask lets an answer see only the prompt and itself. So a prompt's keys and values are computed and stored
once, whatever the number of answers (the tree attention of SpecInfer, Miao et al. 2024, with a tree that
branches only at its root).

Some answers can have a forced prefix. A student that is sure of a direction hardly ever samples the other, so
a group of its own answers cannot tell which is better, and the policy gradient vanishes. Answers begun with
either direction explore both. They count in the loss as if they had been sampled: a bias that moves the
direction towards the better reward, whatever its present probability, and leaves all tokens after the prefix
on policy.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


_MASKABLE = ("sdpa", "eager")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How answers are sampled.

    Attributes:
        num_generations: Answers to each prompt.
        max_tokens: The most tokens of an answer.
        ends: The token ids that end an answer.
        pad: The token id of padding.
        prefixes: Token ids that the last answers to each prompt begin with, one list for each answer.
    """

    num_generations: int
    max_tokens: int
    ends: Collection[int]
    pad: int
    temperature: float = 1.0
    prefixes: Sequence[Sequence[int]] = ()


def can_share_prefix(model: Any) -> bool:
    """Return whether every layer attends to its whole past, under a mask that the caller gives."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        kinds == {"full_attention"}
        and not (getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True))
        and getattr(config, "_attn_implementation", None) in _MASKABLE
        and getattr(config, "num_local_experts", None) is None
        and getattr(config, "num_experts", None) is None
    )


def gives_equal_probabilities(model: Any) -> bool:
    """Return whether answers that share a prompt's row get the probabilities that they have alone.

    A model may take no mask from a caller (ALiBi), or attend to more than the mask allows (state space).
    """
    import torch

    prompt = torch.tensor([[1, 2, 3]], device=model.device)
    answers = torch.tensor([[[4, 5, 6], [6, 4, 1]]], device=model.device)
    others = torch.tensor([[[1, 1, 2], [6, 4, 1]]], device=model.device)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            first, second, alone = (
                compute_log_probs(model, prompt, torch.ones_like(prompt), some, entropy=False)[0][:, -1]
                for some in (answers, others, answers[:, 1:])
            )
    except Exception:  # whatever a model raises at such a mask: its answers are computed one by one
        return False
    finally:
        model.train(training)
    if model.dtype != torch.float32:  # half precision rounds by more than a place further on changes
        return torch.allclose(first, second, rtol=0, atol=0.05)
    return torch.equal(first, second) and torch.allclose(first, alone, rtol=0, atol=0.01)


def generate_answers(
    model: Any, prompts: Sequence[Sequence[int]], how: SamplingConfig, generator: "torch.Generator"
) -> list[list[list[int]]]:
    """Sample the answers to each prompt.

    Args:
        model: A causal language model that `can_share_prefix`.
        prompts: The token ids of each prompt.
        how: How answers are sampled.
        generator: The source of random numbers, on the model's device.

    Returns:
        Token ids, (prompts, num_generations, tokens), with the ending token where one was drawn.
    """
    import torch

    with torch.no_grad():
        generation = _Generation(model, prompts, how, generator)
        while generation.is_unfinished():
            generation.step()
    return generation.answers


class _Generation:
    """The unfinished rows of a batch: their cache, their mask and the answers so far."""

    def __init__(
        self, model: Any, prompts: Sequence[Sequence[int]], how: SamplingConfig, generator: "torch.Generator"
    ) -> None:
        import torch
        from transformers import DynamicCache

        self._model, self._how, self._generator = model, how, generator
        self.answers: list[list[list[int]]] = [[[] for _ in range(how.num_generations)] for _ in prompts]
        ids, mask = pad_left(prompts, how.pad, model.device)
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
        """Return whether an answer can still grow."""
        return self._steps < self._how.max_tokens and not bool(self._done.all())

    def step(self) -> None:
        """Sample one more token of each answer."""
        import torch

        self._drop_finished_rows()
        own = torch.eye(self._how.num_generations, dtype=torch.bool, device=self._seen.device)
        self._seen = torch.cat([self._seen, own.expand(len(self._rows), -1, -1)], dim=2)
        logits = self._model(
            input_ids=self._last,
            attention_mask=build_attention_mask(self._model, self._seen),
            position_ids=(self._positions + self._steps - 1).expand(-1, self._how.num_generations),
            past_key_values=self._cache,
            use_cache=True,
        ).logits
        self._sample_tokens(logits)

    def _sample_tokens(self, logits: "torch.Tensor") -> None:
        import torch

        # By the inverse of the distribution function: a twentieth of the time of torch.multinomial.
        how = self._how
        cdf = torch.softmax(logits.float() / how.temperature, dim=-1).cumsum(-1)
        uniform = torch.rand(
            (len(logits), how.num_generations, 1), generator=self._generator, device=logits.device
        )
        target = uniform * cdf[..., -1:]
        drawn = torch.searchsorted(cdf.expand(*target.shape[:2], -1).contiguous(), target, right=True)[..., 0]
        drawn = drawn.clamp(max=cdf.shape[-1] - 1)
        for copy, prefix in enumerate(how.prefixes, start=how.num_generations - len(how.prefixes)):
            if self._steps < len(prefix):
                drawn[:, copy] = prefix[self._steps]
        self._last = drawn.masked_fill(self._done, how.pad)
        for row, tokens, done in zip(
            self._rows.tolist(), self._last.tolist(), self._done.tolist(), strict=True
        ):
            for answer, token, finished in zip(self.answers[row], tokens, done, strict=True):
                if not finished:
                    answer.append(token)
        self._done = self._done | torch.isin(self._last, self._ends)
        self._steps += 1

    def _drop_finished_rows(self) -> None:
        """Keep only the unfinished rows, once they are at most half of the batch."""
        kept = (~self._done.all(1)).nonzero()[:, 0]
        if 2 * len(kept) > len(self._rows):
            return
        self._cache.batch_select_indices(kept)
        self._rows, self._positions = self._rows[kept], self._positions[kept]
        self._seen, self._done, self._last = self._seen[kept], self._done[kept], self._last[kept]


def pad_left(rows: Sequence[Sequence[int]], pad: int, device: Any) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Pad token ids on the left.

    Args:
        rows: The token ids of each row.
        pad: The token id of padding.
        device: The device of the result.

    Returns:
        Token ids and their mask, each (rows, longest).
    """
    import torch

    longest = max(len(row) for row in rows)
    ids = [[pad] * (longest - len(row)) + list(row) for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def build_attention_mask(model: Any, seen: "torch.Tensor") -> "torch.Tensor":
    """Return a boolean mask (rows, queries, keys) in the form that the model's attention takes."""
    import torch

    mask = seen[:, None]
    if model.config.get_text_config()._attn_implementation != "eager":
        return mask
    lowest = torch.finfo(model.dtype).min
    return torch.zeros(mask.shape, dtype=model.dtype, device=mask.device).masked_fill(~mask, lowest)


def compute_log_probs(
    model: Any,
    prompts: "torch.Tensor",
    prompt_mask: "torch.Tensor",
    answers: "torch.Tensor",
    temperature: float = 1.0,
    *,
    entropy: bool = True,
) -> tuple["torch.Tensor", "torch.Tensor | None"]:
    """Compute the log-probability of each answer token, and the entropy of its distribution.

    Args:
        model: A causal language model that `can_share_prefix`.
        prompts: Token ids, (n, length), padded on the left.
        prompt_mask: 1 at the tokens of the prompts, (n, length).
        answers: Token ids, (n, copies, tokens), padded on the right.
        temperature: Divides the logits.
        entropy: Whether to compute the entropy.

    Returns:
        Log-probabilities and entropies without gradient, each (n, copies, tokens); the caller masks padding.
    """
    import torch

    rows, copies, tokens = answers.shape
    logits = model(
        input_ids=_inputs(prompts, answers),
        attention_mask=build_attention_mask(model, _attention_mask(prompt_mask, copies, tokens)),
        position_ids=_positions(prompt_mask, copies, tokens),
        use_cache=False,
        # As indices, not as a number: a slice would not be contiguous, and its product is three times slower.
        logits_to_keep=torch.arange(copies * tokens, device=prompts.device) + prompts.shape[1] - 1,
    ).logits
    logits = logits.float() if temperature == 1 else logits.float() / temperature
    log_probs = torch.log_softmax(logits, dim=-1)
    answer_log_probs = log_probs.gather(-1, answers.flatten(1)[..., None])[..., 0].view(rows, copies, tokens)
    if not entropy:
        return answer_log_probs, None
    with torch.no_grad():
        entropies = -(log_probs.exp() * log_probs).sum(-1).view(rows, copies, tokens)
    return answer_log_probs, entropies


def _inputs(prompts: "torch.Tensor", answers: "torch.Tensor") -> "torch.Tensor":
    """Return (n, length - 1 + copies * tokens): the prompt, then each answer shifted by its last token."""
    import torch

    last = prompts[:, -1:, None].expand(-1, answers.shape[1], 1)
    shifted = torch.cat([last, answers[:, :, :-1]], dim=2)
    return torch.cat([prompts[:, :-1], shifted.flatten(1)], dim=1)


def _positions(prompt_mask: "torch.Tensor", copies: int, tokens: int) -> "torch.Tensor":
    import torch

    ahead = (prompt_mask.cumsum(1) - 1).clamp(min=0)
    own = torch.arange(tokens, device=prompt_mask.device).repeat(copies)
    return torch.cat([ahead[:, :-1], ahead[:, -1:] + own], dim=1)


def _attention_mask(prompt_mask: "torch.Tensor", copies: int, tokens: int) -> "torch.Tensor":
    """Return which positions each position attends to, (n, positions, positions); padding sees itself."""
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

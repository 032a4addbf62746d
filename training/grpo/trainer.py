"""TRL's GRPOTrainer with each prompt computed once for all its answers, and the time of each part measured.

It imports trl and torch, so only functions that train import it.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from trl import GRPOTrainer
from trl.trainer.utils import split_tensor_dict

from training.grpo.advantages import compute_advantages, segment_answer
from training.grpo.merged_lora import MergedLora, should_merge
from training.grpo.rollouts import (
    SamplingConfig,
    can_share_prefix,
    compute_log_probs,
    generate_answers,
    gives_equal_probabilities,
)

_NO_SPREAD = 1e-4
"""TRL adds this to the standard deviation that rewards are divided by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleGroup:
    """The completions sampled for one prompt, with their rewards.

    Attributes:
        index: Of the prompt's item.
        num_unforced: How many of the completions, the first ones, have no forced prefix.
    """

    index: int
    num_unforced: int
    completions: list[Any]
    rewards: list[float]


class SharedPromptTrainer(GRPOTrainer):  # type: ignore[misc]  # trl publishes no types
    """GRPO in one process, one generation for each optimizer step.

    With `share_prompt_prefix` (and a model that allows it), a prompt's answers are sampled and scored in one
    row, and each choice of an answer has its own advantage (see `training.grpo.advantages`); there are three
    reward functions, in the order of the choices. Without it everything is TRL's own.

    Args:
        arguments: For TRL's trainer.
        share_prompt_prefix: Whether a prompt is computed once for all of its answers.
        prefixes: Token ids that the last answers to each prompt begin with, one list for each answer. A row's
            column `anchor` has a number for each, which is added to the advantage of its last token.
        named: For TRL's trainer.

    Attributes:
        seconds: The time of each part since `pop_seconds`.
        drawn: The groups of the last generation.
    """

    def __init__(
        self,
        *arguments: Any,
        share_prompt_prefix: bool = True,
        prefixes: Sequence[Sequence[int]] = (),
        **named: Any,
    ) -> None:
        self.prefixes: Sequence[Sequence[int]] = ()
        self.seconds: dict[str, float] = defaultdict(float)
        self.drawn: list[SampleGroup] = []
        self._scored: dict[str, Any] = {}
        self._parts: torch.Tensor
        self._pieces: dict[int, str] = {}
        super().__init__(*arguments, **named)
        self.share = (
            share_prompt_prefix and can_share_prefix(self.model) and gives_equal_probabilities(self.model)
        )
        self.prefixes = prefixes if self.share else ()
        merged = self.share and should_merge(self.model, "default")
        self._policy = MergedLora(self.model, "default") if merged else None
        self._reference = MergedLora(self.model, "ref") if merged and self.beta else None
        self._generator = torch.Generator(device=self.accelerator.device).manual_seed(self.args.seed)

    def pop_seconds(self) -> Mapping[str, float]:
        """Return the seconds of each part since the last call."""
        seconds = dict(self.seconds)
        self.seconds.clear()
        return seconds

    @contextmanager
    def _time_part(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - started

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        # The prompts are complete: a tokenizer must not add its special tokens again.
        return self.processing_class(text=prompts, add_special_tokens=False)["input_ids"], None, {}

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *others: Any, **named: Any
    ) -> tuple[list[list[int]], None]:
        with self._time_part("generation"):
            if not self.share:
                return super()._generate_single_turn(prompt_ids, *others, **named)  # type: ignore[no-any-return]  # untyped
            how = SamplingConfig(
                num_generations=self.num_generations,
                max_tokens=self.max_completion_length,
                ends=self.eos_token_ids,
                pad=self._tokenizer.pad_token_id,
                temperature=self.temperature,
                prefixes=self.prefixes,
            )
            with nullcontext(self.model) if self._policy is None else self._policy.cache_weights() as model:
                groups = generate_answers(model, prompt_ids[:: self.num_generations], how, self._generator)
            return [answer for answers in groups for answer in answers], None

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: list[Any], completion_ids_list: Any
    ) -> torch.Tensor:
        with self._time_part("reward"):
            rewards: torch.Tensor = super()._calculate_rewards(
                inputs, prompts, completions, completion_ids_list
            )
        self._parts = rewards * self.reward_weights.to(rewards.device)
        totals = self._parts.nansum(dim=1).tolist()
        copies = self.num_generations
        self.drawn = [
            SampleGroup(
                index=inputs[i]["index"],
                num_unforced=copies - len(self.prefixes),
                completions=completions[i : i + copies],
                rewards=totals[i : i + copies],
            )
            for i in range(0, len(inputs), copies)
        ]
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.share:
            batch["advantages"] = self._assign_advantages(batch["completion_ids"])
            self._add_anchor(batch["advantages"], inputs)
        return batch

    def _assign_advantages(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the advantage of every token, (answers, tokens), scaled as TRL scales a batch."""
        segments = [segment_answer([self._piece(token) for token in row]) for row in ids.tolist()]
        parts, copies = self._parts.tolist(), self.num_generations
        by_choice = [
            row
            for i in range(0, len(parts), copies)
            for row in compute_advantages(
                parts[i : i + copies], [begun for _, begun in segments[i : i + copies]]
            )
        ]
        scale = self._parts.sum(dim=1).std() + _NO_SPREAD
        by_token = torch.tensor(by_choice, device=ids.device).gather(
            1, torch.tensor([choices for choices, _ in segments], device=ids.device)
        )
        return by_token / scale

    def _add_anchor(self, token_advantages: torch.Tensor, inputs: list[dict[str, Any]]) -> None:
        copies = self.num_generations
        for number, prefix in enumerate(self.prefixes):
            rows = slice(copies - len(self.prefixes) + number, None, copies)
            anchors = [row["anchor"][number] for row in inputs[rows]]
            token_advantages[rows, len(prefix) - 1] += torch.tensor(anchors, device=token_advantages.device)

    def _piece(self, token: int) -> str:
        if token not in self._pieces:
            self._pieces[token] = self._tokenizer.decode([token])
        return self._pieces[token]

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not self.share:
            return super()._prepare_inputs(generation_batch)
        # TRL shuffles the answers here; the answers to a prompt must stay together to share it.
        parts = self.args.steps_per_generation
        if self._step % parts == 0:
            batch = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = split_tensor_dict(batch, parts)
        return self._buffered_inputs[self._step % parts]

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._scored = inputs
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        return loss

    def _mask_forced_prefixes(self, log_probs: torch.Tensor) -> None:
        """Leave forced prefixes out of the KL divergence: the student did not choose them."""
        reference = self._scored.get("ref_per_token_logps")
        if reference is None:
            return
        for copy, prefix in enumerate(self.prefixes, start=self.num_generations - len(self.prefixes)):
            rows = slice(copy, None, self.num_generations)
            reference[rows, : len(prefix)] = log_probs[rows, : len(prefix)].detach()

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,  # noqa: FBT001, FBT002  # TRL's signature
        **named: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        updating = torch.is_grad_enabled()
        with self._time_part("update" if updating else "reference"):
            if not self.share:
                return super()._get_per_token_logps_and_entropies(  # type: ignore[no-any-return]  # untyped
                    model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **named
                )
            model = (self._policy if updating else self._reference) or model
            rows = batch_size or len(input_ids)
            parts = [
                self._score_shared(
                    model,
                    input_ids[i : i + rows],
                    attention_mask[i : i + rows],
                    logits_to_keep,
                    entropy=compute_entropy,
                )
                for i in range(0, len(input_ids), rows)
            ]
        log_probs = torch.cat([part[0] for part in parts])
        if updating:
            self._mask_forced_prefixes(log_probs)
        return log_probs, torch.cat([part[1] for part in parts]) if compute_entropy else None, None

    def _score_shared(
        self, model: Any, ids: torch.Tensor, mask: torch.Tensor, tokens: int, *, entropy: bool
    ) -> tuple[torch.Tensor, Any]:
        copies, length = self.num_generations, ids.shape[1] - tokens
        prompts, prompt_mask = ids[::copies, :length], mask[::copies, :length]
        unused = int(prompt_mask.any(0).int().argmax())
        with self.accelerator.autocast():
            log_probs, entropies = compute_log_probs(
                model,
                prompts[:, unused:],
                prompt_mask[:, unused:],
                ids[:, length:].view(-1, copies, tokens),
                self.temperature,
                entropy=entropy,
            )
        return log_probs.view(-1, tokens), None if entropies is None else entropies.view(-1, tokens)

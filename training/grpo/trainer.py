"""TRL's GRPOTrainer with the work on prompts shared among their answers, and the time of each part kept.

Knows no market: prompts, answers and rewards are those of its arguments. Imports trl and torch at once, so
it is imported by the functions that train only.
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

from training.grpo.advantages import advantages, segment_answer
from training.grpo.merged_lora import MergedLora, should_merge
from training.grpo.rollouts import SamplingConfig, can_share_prefix, generate_answers, log_probabilities

_NO_SPREAD = 1e-4
"""TRL's own, beside the standard deviation that rewards are divided by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleGroup:
    """The completions that were sampled for one prompt; `place` is that of the prompt's item.

    The first `free` of them were not begun for the student.
    """

    index: int
    num_unforced: int
    completions: list[Any]
    rewards: list[float]


class SharedPromptTrainer(GRPOTrainer):  # type: ignore[misc]  # trl publishes no types
    """GRPO on one process, one generation for each optimizer step.

    With `share` (and a model that allows it), a prompt's answers are sampled and scored in one row, and each
    choice in an answer is credited with what it decided (see `training.grpo.advantages`; the reward functions
    are three, in that order); without it everything is TRL's own, and every answer is the student's from its
    first token. `openings` are token ids, one list for each of the last answers to a prompt, that those are
    begun with; a row's column `hold` has a number for each opening, which is added to the advantage of its
    last token. `seconds` adds up the time of each part since it was last taken; `drawn` holds the groups of
    the last generation.
    """

    def __init__(
        self, *arguments: Any, share: bool = True, openings: Sequence[Sequence[int]] = (), **named: Any
    ) -> None:
        self.prefixes: Sequence[Sequence[int]] = ()
        self.seconds: dict[str, float] = defaultdict(float)
        self.drawn: list[SampleGroup] = []
        self._scored: dict[str, Any] = {}
        self._parts: torch.Tensor
        self._pieces: dict[int, str] = {}
        super().__init__(*arguments, **named)
        self.share = share and can_share_prefix(self.model)
        self.prefixes = openings if self.share else ()
        dense = self.share and should_merge(self.model, "default")
        self._policy = MergedLora(self.model, "default") if dense else None
        self._reference = MergedLora(self.model, "ref") if dense and self.beta else None
        self._drawing = torch.Generator(device=self.accelerator.device).manual_seed(self.args.seed)

    def pop_seconds(self) -> Mapping[str, float]:
        """Seconds by part since the last call."""
        taken = dict(self.seconds)
        self.seconds.clear()
        return taken

    @contextmanager
    def _time_part(self, part: str) -> Iterator[None]:
        clock = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - clock

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        # The prompts are whole: a tokenizer that leads texts with a token of its own must not do so again.
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
                drawn = generate_answers(model, prompt_ids[:: self.num_generations], how, self._drawing)
            return [answer for answers in drawn for answer in answers], None

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
                index=inputs[i]["place"],
                num_unforced=copies - len(self.prefixes),
                completions=completions[i : i + copies],
                rewards=totals[i : i + copies],
            )
            for i in range(0, len(inputs), copies)
        ]
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.share:
            made["advantages"] = self._assign_advantages(made["completion_ids"])
            self._add_anchor(made["advantages"], inputs)
        return made

    def _assign_advantages(self, ids: torch.Tensor) -> torch.Tensor:
        """The advantage of every token, scaled as TRL scales a batch; shape (answers, tokens)."""
        read = [segment_answer([self._piece(token) for token in row]) for row in ids.tolist()]
        parts, copies = self._parts.tolist(), self.num_generations
        by_choice = [
            one
            for i in range(0, len(parts), copies)
            for one in advantages(parts[i : i + copies], [begun for _, begun in read[i : i + copies]])
        ]
        scale = self._parts.sum(dim=1).std() + _NO_SPREAD
        found = torch.tensor(by_choice, device=ids.device).gather(
            1, torch.tensor([stages for stages, _ in read], device=ids.device)
        )
        return found / scale

    def _add_anchor(self, credited: torch.Tensor, inputs: list[dict[str, Any]]) -> None:
        copies = self.num_generations
        for number, opening in enumerate(self.prefixes):
            rows = slice(copies - len(self.prefixes) + number, None, copies)
            held = [row["hold"][number] for row in inputs[rows]]
            credited[rows, len(opening) - 1] += torch.tensor(held, device=credited.device)

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
            made = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = split_tensor_dict(made, parts)
        return self._buffered_inputs[self._step % parts]

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._scored = inputs
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        return loss

    def _mask_forced_prefixes(self, stated: torch.Tensor) -> None:
        """Take the tokens that answers were begun with out of the KL: the student did not choose them."""
        reference = self._scored.get("ref_per_token_logps")
        if reference is None:
            return
        free = self.num_generations - len(self.prefixes)
        for copy, opening in enumerate(self.prefixes, start=free):
            rows = slice(copy, None, self.num_generations)
            reference[rows, : len(opening)] = stated[rows, : len(opening)].detach()

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
                self._shared(
                    model,
                    input_ids[i : i + rows],
                    attention_mask[i : i + rows],
                    logits_to_keep,
                    entropy=compute_entropy,
                )
                for i in range(0, len(input_ids), rows)
            ]
        stated = torch.cat([part[0] for part in parts])
        if updating:
            self._mask_forced_prefixes(stated)
        return stated, torch.cat([part[1] for part in parts]) if compute_entropy else None, None

    def _shared(
        self, model: Any, ids: torch.Tensor, mask: torch.Tensor, tokens: int, *, entropy: bool
    ) -> tuple[torch.Tensor, Any]:
        copies, length = self.num_generations, ids.shape[1] - tokens
        prompts, prompt_mask = ids[::copies, :length], mask[::copies, :length]
        unused = int(prompt_mask.any(0).int().argmax())
        with self.accelerator.autocast():
            stated, spread = log_probabilities(
                model,
                prompts[:, unused:],
                prompt_mask[:, unused:],
                ids[:, length:].view(-1, copies, tokens),
                self.temperature,
                entropy=entropy,
            )
        return stated.view(-1, tokens), None if spread is None else spread.view(-1, tokens)

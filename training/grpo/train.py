"""One round of GRPO: a student, its outcomes and a recipe become an adapter.

Group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300) through TRL, LoRA through peft.
Knows no fold, no gate and no registry; it writes one adapter folder and says whether it can be trusted.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.journal.events.training import TrainingDone, TrainingStep
from engine.metrics.accuracy import is_hit
from engine.model import Abstention, Direction
from llm.answers import format_answer, parse_answer
from llm.backends import load_trainable_student
from llm.model_files import fingerprint
from llm.student import StudentSettings, TrainableStudent
from training.dataset.experience import Experience, TrainingSet
from training.grpo.advantages import direction_anchor
from training.grpo.config import GrpoConfig
from training.grpo.prompt_sampling import batch_part_size, draw_prompts, recency_weights, sort_by_length
from training.grpo.reward_functions import trl_rewards
from training.lora import add_adapter, trainable_student, write_adapter
from training.monitoring.monitor import OnEvent, TrainingMonitor, TrainingOutcome
from training.rewards import completion_text, observed_rise

if TYPE_CHECKING:
    from training.grpo.config import GrpoConfig
    from training.grpo.trainer import SharedPromptTrainer


OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, steps done and steps in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedAdapter:
    """An adapter that was written. `clean`: its weights passed all guards.

    `reason` says which guard stopped the training or had its weights rolled back, None where none did.
    """

    folder: Path
    fingerprint: str
    passed_guards: bool
    reason: str | None
    figures: Mapping[str, Any]


def train_grpo(
    start: StudentSettings,
    training: TrainingSet,
    held_out: TrainingSet,
    folder: Path,
    recipe: GrpoConfig,
    on_event: OnEvent,
    on_progress: OnProgress,
) -> TrainedAdapter:
    """Train from the student's adapter, or a new one on its base, and write the adapter as a whole.

    `on_event` gets a TrainingStep with `step_figures`, a TrainingLook with the metrics on `held_out`,
    TrainingGuards and TrainingDone. Equal arguments give equal weights on one machine.
    """
    import torch

    clock = time.perf_counter()
    start, student = trainable_student(start, load_trainable_student, on_event)
    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(recipe.seed)
        model = add_adapter(student, start, recipe.lora)
        trainer = create_trainer(student, model, training, recipe, Path(scratch))
        weights = {name: one for name, one in trainer.model.named_parameters() if one.requires_grad}
        watch = TrainingMonitor(
            student=student,
            held_out=held_out,
            weights=weights,
            limits=recipe.limits,
            every=recipe.eval_every,
            on_event=on_event,
        )

        def on_step(number: int, figures: Mapping[str, Any], last: bool) -> bool:  # noqa: FBT001  # called back
            on_event(TrainingStep(step=number, of=recipe.steps, figures=figures))
            on_progress("training", number, recipe.steps)
            return watch.step(number, figures, last=last)

        watch.begin()
        trainer.add_callback(create_reporter(trainer, training, on_step))
        trainer.train()
        settled = watch.finish()
        settings = {"prompt": student.template.name, "released": _last_day(training, held_out)}
        write_adapter(trainer.model, folder, start.student, settings)
    figures = _figures(settled, watch, time.perf_counter() - clock)
    on_event(TrainingDone(clean=settled.passed_guards, reason=settled.reason, figures=figures))
    return TrainedAdapter(
        folder=folder,
        fingerprint=fingerprint([folder]),
        passed_guards=settled.passed_guards,
        reason=settled.reason,
        figures=figures,
    )


def _last_day(training: TrainingSet, held_out: TrainingSet) -> str:
    return max(training.cutoff, held_out.cutoff).date().isoformat()


def _figures(settled: TrainingOutcome, watch: TrainingMonitor, seconds: float) -> dict[str, Any]:
    return {
        "steps": watch.history[-1].step,
        "held_out": settled.metrics.as_json(),
        "held_out_start": watch.history[0].as_json(),
        "held_out_accuracy": settled.accuracy,
        "seconds": seconds,
    }


_MAX_TOKENS_PER_BATCH = {"cpu": 4_096, "cuda": 16_384}


def create_trainer(
    student: TrainableStudent, model: Any, training: TrainingSet, recipe: "GrpoConfig", scratch: Path
) -> "SharedPromptTrainer":
    """A trainer for all steps of the recipe, silent and writing nothing outside `scratch`."""
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback

    from training.grpo.trainer import SharedPromptTrainer

    disable_progress_bars()  # they would write into our own progress
    texts = [student.prompt(item.observation) for item in training.items]
    lengths = [student.count_tokens(text) for text in texts]
    tokens = recipe.max_new_tokens or _longest_answer(student)
    part = batch_part_size(
        prompts=recipe.prompts_per_step,
        tokens=_tokens_of_a_prompt(max(lengths), tokens, recipe),
        budget=recipe.max_tokens_per_batch or _MAX_TOKENS_PER_BATCH.get(model.device.type, 4_096),
    )
    drawn = draw_prompts(
        recency_weights(training, recipe.recency_half_life_days),
        [_move_class(item) for item in training.items],
        steps=recipe.steps,
        prompts=recipe.prompts_per_step,
        seed=recipe.seed,
    )
    begun = recipe.forced_prefixes if recipe.share_prompt_prefix else 0
    ways = [(Direction.UP, Direction.DOWN)[number % 2] for number in range(begun)]
    held = _direction_anchors(student, texts, training.items, ways, recipe.direction_anchor)
    rows = [
        {"prompt": texts[place], "place": place, "hold": held[place]}
        for places in drawn
        for place in sort_by_length(places, lengths)
    ]
    trainer = SharedPromptTrainer(
        model=model,
        reward_funcs=list(trl_rewards(training, recipe.weights, recipe.direction)),
        args=_trainer_arguments(recipe, scratch, part=part, tokens=tokens, device=model.device.type),
        train_dataset=Dataset.from_list(rows),
        processing_class=student.tokenizer,
        share=recipe.share_prompt_prefix,
        openings=_forced_prefixes(student, ways),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _trainer_arguments(recipe: "GrpoConfig", scratch: Path, *, part: int, tokens: int, device: str) -> Any:
    """TRL's arguments; `part` prompts go through the model at once, answers have `tokens` tokens at most."""
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=str(scratch),
        seed=recipe.seed,
        data_seed=recipe.seed,
        max_steps=recipe.steps,
        per_device_train_batch_size=part * recipe.num_generations,
        gradient_accumulation_steps=recipe.prompts_per_step // part,
        num_generations=recipe.num_generations,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear" if recipe.decay else "constant",
        beta=recipe.beta,
        temperature=recipe.temperature,
        max_completion_length=tokens,
        scale_rewards="batch",
        # Every token weighs the same in every answer; the default weighs by the tokens of the batch.
        loss_type="dr_grpo",
        shuffle_dataset=False,
        activation_checkpointing=False,
        bf16=device == "cuda",
        use_cpu=device == "cpu",
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def create_reporter(
    trainer: "SharedPromptTrainer",
    training: TrainingSet,
    on_step: Callable[[int, Mapping[str, Any], bool], bool],
) -> Any:
    """A callback of transformers that tells each step's figures and stops the training where it is told to.

    `on_step` gets the step's number, its figures (see `step_figures`) and whether it is the last.
    """
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        clock = 0.0

        # The signatures are transformers'.
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            self.clock = time.perf_counter()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
            if not logs or "reward" not in logs:
                return
            seconds = {"total": time.perf_counter() - self.clock, **trainer.pop_seconds()}
            figures = step_figures(logs, trainer.drawn, training, seconds)
            last = state.global_step >= state.max_steps
            if not on_step(state.global_step, figures, last):
                control.should_training_stop = True

    return Reporter()


def step_figures(
    logs: Mapping[str, Any],
    drawn: Sequence[Any],
    training: TrainingSet,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """A step as JSON types: reward and its parts, entropy, KL, accuracy, shares, seconds by part.

    Accuracy, the shares of up and of invalid answers are of those that the student began itself. `drawn`
    holds TRL's groups: for each, the place of its item, its completions and their rewards. A group is dead if
    its rewards are all equal. (With rewards scaled by the batch, TRL's own `frac_reward_zero_std` looks at
    the whole batch and is of no use.)
    """
    calls = [
        (
            parse_answer(completion_text(text), training.items[group.index].observation),
            training.items[group.index],
        )
        for group in drawn
        for text in group.completions[: group.num_unforced]
    ]
    hits = [right for call, item in calls if (right := is_hit(call, item.outcome)) is not None]
    ways = [way for call, _ in calls if (way := getattr(call, "direction", None)) is not None]
    dead = sum(max(group.rewards) - min(group.rewards) < 1e-9 for group in drawn)
    parts = {name.removeprefix("outcome/"): value for name, value in logs.items() if "outcome/" in name}
    return {
        **parts,
        "invalid": sum(isinstance(call, Abstention) for call, _ in calls) / len(calls),
        "reward": logs["reward"],
        "reward_std": logs.get("reward_std"),
        "entropy": logs.get("entropy"),
        "kl": logs.get("kl"),
        "clipped": logs.get("completions/clipped_ratio"),
        "gradient": logs.get("grad_norm"),
        "accuracy": sum(hits) / len(hits) if hits else None,
        "up": sum(way is Direction.UP for way in ways) / len(ways) if ways else None,
        "dead_groups": dead / len(drawn),
        "seconds": dict(seconds),
    }


def _longest_answer(student: TrainableStudent) -> int:
    """Tokens of the longest canonical answer, and of its end."""
    longest = (format_answer(Direction.UP, 0.65, 123.45), format_answer(Direction.DOWN, 1.0, 100.0))
    return 1 + max(map(student.count_tokens, longest))


def _forced_prefixes(student: TrainableStudent, directions: Sequence[Direction]) -> list[list[int]]:
    """The first tokens of an answer of each of the directions, the direction's own last."""
    if not directions:
        return []
    begun = [f'{{"direction": "{way}' for way in directions]
    ids: list[list[int]] = student.tokenizer(begun, add_special_tokens=False)["input_ids"]
    return ids


def _direction_anchors(
    student: TrainableStudent,
    texts: Sequence[str],
    items: Sequence[Experience],
    directions: Sequence[Direction],
    strength: float,
) -> list[list[float]]:
    """What the answers begun for the student gain at each item; it is asked only where that matters."""
    if not directions or strength == 0:
        return [[0.0] * len(directions)] * len(items)
    said = student.answer(texts, lambda _done, _total: None)
    return direction_anchor(
        [parse_answer(text, item.observation) for text, item in zip(said, items, strict=True)],
        directions,
        strength,
    )


def _move_class(item: Experience) -> int:
    """Whether the price rose (2), fell (0) or neither (1)."""
    return int(2 * observed_rise(item.outcome))


def _tokens_of_a_prompt(prompt: int, answer: int, recipe: "GrpoConfig") -> int:
    if recipe.share_prompt_prefix:
        return prompt + recipe.num_generations * answer
    return recipe.num_generations * (prompt + answer)

"""Train an adapter by group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300).

GRPO through TRL, LoRA through peft.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.journal.events.training import TrainingStep
from engine.metrics.accuracy import is_hit
from engine.model import Abstention, Direction, Forecast
from llm.answers import format_answer, parse_answer
from llm.backends import load_trainable_student
from llm.loading import quiet_deprecations
from llm.student import TrainableStudent
from training.dataset.experience import Experience, TrainingSet
from training.grpo.advantages import compute_direction_anchors
from training.grpo.config import GrpoConfig
from training.grpo.prompt_sampling import (
    choose_batch_size,
    compute_recency_weights,
    draw_prompts,
    sort_by_length,
)
from training.grpo.reward_functions import create_reward_functions
from training.lora import add_adapter, load_student_to_train
from training.monitoring.monitor import TrainingMonitor
from training.rewards import get_completion_text, observed_rise
from training.trained_adapter import TrainedAdapter, TrainingJob, save_trained_adapter
from training.trl_runs import trainer_arguments

if TYPE_CHECKING:
    from training.grpo.trainer import SharedPromptTrainer


@quiet_deprecations()
def train_grpo(job: TrainingJob, *, recipe: GrpoConfig) -> TrainedAdapter:
    """Train the student's adapter, or a new one on its base model, and write it.

    Each TrainingStep has the figures of `build_step_figures`.
    """
    import torch

    started = time.perf_counter()
    start, student = load_student_to_train(job.start, load_trainable_student, job.on_event)
    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(recipe.seed)
        model = add_adapter(student, start, recipe.lora)
        trainer = create_trainer(student, model, job.training, recipe, Path(scratch))
        monitor = TrainingMonitor.of_model(
            student, trainer.model, job.held_out, recipe.limits, recipe.eval_every, job.on_event
        )

        def on_step(number: int, figures: Mapping[str, Any], last: bool) -> bool:  # noqa: FBT001  # called back
            job.on_event(TrainingStep(step=number, of=recipe.steps, figures=figures))
            job.on_progress("training", number, recipe.steps)
            return monitor.step(number, figures, last=last)

        monitor.begin()
        trainer.add_callback(create_reporter(trainer, job.training, on_step))
        trainer.train()
        return save_trained_adapter(trainer.model, job, monitor, started=started)


_MAX_TOKENS_PER_BATCH = {"cpu": 4_096, "cuda": 16_384}


def create_trainer(
    student: TrainableStudent, model: Any, training: TrainingSet, recipe: GrpoConfig, scratch: Path
) -> "SharedPromptTrainer":
    """Create a silent trainer for all steps of the recipe.

    Args:
        student: The student before the training.
        model: Its model with the adapter to train.
        training: The experiences to sample from.
        recipe: The settings of the training.
        scratch: The only folder that the trainer writes to.
    """
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback

    from training.grpo.trainer import SharedPromptTrainer

    disable_progress_bars()  # they would write into the command's own progress
    texts = [student.prompt(item.observation) for item in training.items]
    lengths = [student.count_tokens(text) for text in texts]
    tokens = recipe.max_new_tokens or _longest_answer(student)
    part = choose_batch_size(
        prompts=recipe.prompts_per_step,
        tokens=_tokens_per_prompt(max(lengths), tokens, recipe),
        budget=recipe.max_tokens_per_batch or _MAX_TOKENS_PER_BATCH.get(model.device.type, 4_096),
    )
    drawn = draw_prompts(
        compute_recency_weights(training, recipe.recency_half_life_days),
        [_move_class(item) for item in training.items],
        steps=recipe.steps,
        prompts=recipe.prompts_per_step,
        seed=recipe.seed,
    )
    num_forced = recipe.forced_prefixes if recipe.share_prompt_prefix else 0
    directions = [(Direction.UP, Direction.DOWN)[number % 2] for number in range(num_forced)]
    anchors = _direction_anchors(student, texts, training.items, directions, recipe.direction_anchor)
    rows = [
        {"prompt": texts[index], "index": index, "anchor": anchors[index]}
        for indices in drawn
        for index in sort_by_length(indices, lengths)
    ]
    trainer = SharedPromptTrainer(
        model=model,
        reward_funcs=list(create_reward_functions(training, recipe.weights, recipe.direction)),
        args=_trainer_arguments(recipe, scratch, part=part, tokens=tokens, device=model.device.type),
        train_dataset=Dataset.from_list(rows),
        processing_class=student.tokenizer,
        share_prompt_prefix=recipe.share_prompt_prefix,
        prefixes=_forced_prefixes(student, directions),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _trainer_arguments(recipe: GrpoConfig, scratch: Path, *, part: int, tokens: int, device: str) -> Any:
    """Return TRL's arguments: `part` prompts go through the model at once, an answer has at most `tokens`."""
    from trl import GRPOConfig

    return GRPOConfig(
        **trainer_arguments(str(scratch), seed=recipe.seed, steps=recipe.steps, device=device),
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
        logging_steps=1,
    )


def create_reporter(
    trainer: "SharedPromptTrainer",
    training: TrainingSet,
    on_step: Callable[[int, Mapping[str, Any], bool], bool],
) -> Any:
    """Create a transformers callback that reports each step and stops the training on request.

    Args:
        trainer: The trainer that the callback is added to.
        training: The experiences that its rows refer to.
        on_step: Gets the step's number, its `build_step_figures` and whether it is the last; False stops.
    """
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        started = 0.0

        # The signatures are transformers'.
        # The arguments are those of a callback of transformers.
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            self.started = time.perf_counter()

        # The arguments are those of a callback of transformers.
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
            if not logs or "reward" not in logs:
                return
            seconds = {"total": time.perf_counter() - self.started, **trainer.pop_seconds()}
            figures = build_step_figures(logs, trainer.drawn, training, seconds)
            last = state.global_step >= state.max_steps
            if not on_step(state.global_step, figures, last):
                control.should_training_stop = True

    return Reporter()


def build_step_figures(
    logs: Mapping[str, Any],
    drawn: Sequence[Any],
    training: TrainingSet,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Return the figures of a step as JSON types: reward and its parts, entropy, KL, accuracy, shares, times.

    Accuracy and the shares of up and of invalid answers are over the answers without a forced prefix. A group
    is dead if its rewards are all equal. (With rewards scaled by the batch, TRL's own `frac_reward_zero_std`
    is of the whole batch.)

    Args:
        logs: TRL's logs of the step.
        drawn: The groups of answers, as `training.grpo.trainer.SampleGroup`.
        training: The experiences that the groups refer to.
        seconds: The time of each part.
    """
    calls = [
        (parse_answer(get_completion_text(text), item.observation), item)
        for group in drawn
        for item in [training.items[group.index]]
        for text in group.completions[: group.num_unforced]
    ]
    hits = [right for call, item in calls if (right := is_hit(call, item.outcome)) is not None]
    directions = [call.direction for call, _ in calls if isinstance(call, Forecast)]
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
        "up": directions.count(Direction.UP) / len(directions) if directions else None,
        "dead_groups": dead / len(drawn),
        "seconds": dict(seconds),
    }


def _longest_answer(student: TrainableStudent) -> int:
    """Return the tokens of the longest canonical answer, with its end."""
    longest = (format_answer(Direction.UP, 0.65, 123.45), format_answer(Direction.DOWN, 1.0, 100.0))
    return 1 + max(map(student.count_tokens, longest))


def _forced_prefixes(student: TrainableStudent, directions: Sequence[Direction]) -> list[list[int]]:
    """Return the first tokens of an answer of each direction, up to the direction itself."""
    if not directions:
        return []
    beginnings = [f'{{"direction": "{direction}' for direction in directions]
    ids: list[list[int]] = student.tokenizer(beginnings, add_special_tokens=False)["input_ids"]
    return ids


def _direction_anchors(
    student: TrainableStudent,
    texts: Sequence[str],
    items: Sequence[Experience],
    directions: Sequence[Direction],
    strength: float,
) -> list[list[float]]:
    """Return the gain of each forced answer at each item; the student answers only where that matters."""
    if not directions or strength == 0:
        return [[0.0] * len(directions)] * len(items)
    answers = student.answer(texts, lambda *_: None)
    calls = [parse_answer(text, item.observation) for text, item in zip(answers, items, strict=True)]
    return compute_direction_anchors(calls, directions, strength)


def _move_class(item: Experience) -> int:
    """Return 2 if the price rose, 0 if it fell, 1 if neither."""
    return int(2 * observed_rise(item.outcome))


def _tokens_per_prompt(prompt: int, answer: int, recipe: GrpoConfig) -> int:
    if recipe.share_prompt_prefix:
        return prompt + recipe.num_generations * answer
    return recipe.num_generations * (prompt + answer)

"""Train an adapter by supervised fine-tuning on outcomes, through TRL's SFTTrainer and peft.

Each target answer states a recalibrated probability (`training.sft.calibration`) and the close it implies.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.journal.events.training import TrainingLabels, TrainingStep
from llm.answers import parse_answer
from llm.backends import load_trainable_student
from llm.loading import quiet_deprecations
from training.lora import LoraShape, add_adapter, load_student_to_train
from training.monitoring.guards import GuardLimits
from training.monitoring.monitor import TrainingMonitor
from training.sft.calibration import (
    CalibrationFit,
    build_calibration_rows,
    compute_daily_weights,
    fit_calibration,
    fit_move_multiplier,
    sample_examples,
)
from training.trained_adapter import TrainedAdapter, TrainingJob, save_trained_adapter
from training.trl_runs import train_supervised


@dataclass(frozen=True, slots=True, kw_only=True)
class SftConfig:
    """The settings of a supervised training, apart from the student and the data.

    Batches are small: many small updates reversed a student's direction where few large ones did not.
    """

    seed: int = 1
    steps: int = 120
    batch: int = 16
    learning_rate: float = 2e-3
    rank: int = 16
    alpha: int = 32
    recency_half_life_days: float | None = None
    limits: GuardLimits = field(default_factory=GuardLimits)
    eval_every: int = 40

    def stored(self) -> dict[str, Any]:
        """Return the recipe as the registry keeps it: under the names of the first version."""
        return {"look_every" if name == "eval_every" else name: value for name, value in asdict(self).items()}


@quiet_deprecations()
def train_sft(job: TrainingJob, *, recipe: SftConfig) -> TrainedAdapter:
    """Train the student's adapter, or a new one on its base model, and write it.

    TrainingLabels with the recalibration comes before the first step; each TrainingStep has its loss.
    """
    import torch

    started = time.perf_counter()
    start, student = load_student_to_train(job.start, load_trainable_student, job.on_event)
    items = job.training.items
    prompts = [student.prompt(item.observation) for item in items]
    answers = student.answer(
        prompts, lambda done, total, *_: job.on_progress("reading the student", done, total)
    )
    calls = [parse_answer(text, item.observation) for text, item in zip(answers, items, strict=True)]
    weights = compute_daily_weights(
        [item.outcome.known_at.date() for item in items], recipe.recency_half_life_days
    )
    fit = fit_calibration(build_calibration_rows(items, calls, weights))
    multiplier = fit_move_multiplier(items, fit.probabilities, weights)
    labels = {**_fit_figures(fit), "reach": multiplier}
    job.on_event(TrainingLabels(items=len(items), figures=labels))
    rows = sample_examples(
        items,
        prompts,
        fit.probabilities,
        weights,
        multiplier=multiplier,
        num_examples=recipe.steps * recipe.batch,
        seed=recipe.seed,
    )
    torch.manual_seed(recipe.seed)
    model = add_adapter(student, start, LoraShape(rank=recipe.rank, alpha=recipe.alpha))
    monitor = TrainingMonitor.of_model(
        student, model, job.held_out, recipe.limits, recipe.eval_every, job.on_event
    )
    monitor.begin()

    def on_step(number: int, loss: float) -> bool:
        job.on_event(TrainingStep(step=number, of=recipe.steps, figures={"loss": loss}))
        job.on_progress("training", number, recipe.steps)
        return monitor.step(number, {}, last=number == recipe.steps)

    train_supervised(
        model,
        student.tokenizer,
        rows,
        _create_reporter(on_step),
        seed=recipe.seed,
        steps=recipe.steps,
        device=model.device.type,
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, recipe.steps // 10),
        logging_steps=1,
    )
    return save_trained_adapter(model, job, monitor, started=started, figures=labels)


def _fit_figures(fit: CalibrationFit) -> dict[str, Any]:
    figures = {name: value for name, value in asdict(fit).items() if name != "probabilities"}
    return figures | {"significant": fit.significant}


def _create_reporter(on_step: Callable[[int, float], bool]) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        # The signature is transformers'.
        # The arguments are those of a callback of transformers.
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
            if not logs or "loss" not in logs:
                return
            model = kwargs["model"]
            model.eval()
            control.should_training_stop |= not on_step(state.global_step, float(logs["loss"]))
            model.train()

    return Reporter()

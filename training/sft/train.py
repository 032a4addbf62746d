"""One round of supervised training on outcomes: the other way to the same end as GRPO.

Each answer that is taught states a recalibrated probability (`training.sft.calibration`) and the close that
it implies. Through TRL's SFTTrainer, LoRA through peft. Knows no fold, no gate and no registry.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.journal.events.training import TrainingDone, TrainingLabels, TrainingStep
from engine.model import Prediction
from llm.answers import parse_answer
from llm.backends import load_trainable_student
from llm.model_files import fingerprint
from llm.student import StudentSettings, TrainableStudent
from training.dataset.experience import Experience, TrainingSet
from training.grpo.train import OnProgress, TrainedAdapter
from training.lora import LoraShape, add_adapter, trainable_student, write_adapter
from training.monitoring.guards import GuardLimits
from training.monitoring.monitor import OnEvent, TrainingMonitor
from training.sft.calibration import (
    CalibrationFit,
    build_calibration_rows,
    fit_calibration,
    fit_move_multiplier,
    recency_weights,
    sample_examples,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SftConfig:
    """Everything but the student and the data that decides what a round of supervised training does.

    Small batches, because many small updates turned a student round where few large ones did not.
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


def train_sft(
    start: StudentSettings,
    training: TrainingSet,
    held_out: TrainingSet,
    folder: Path,
    recipe: SftConfig,
    on_event: OnEvent,
    on_progress: OnProgress,
) -> TrainedAdapter:
    """Train from the student's adapter, or a new one on its base, and write the adapter as a whole.

    `on_event` gets TrainingLabels with the recalibration, a TrainingStep with the loss, a TrainingLook with
    the metrics on `held_out`, TrainingGuards and TrainingDone. Equal arguments give equal weights on one
    machine.
    """
    import torch

    began = time.perf_counter()
    start, student = trainable_student(start, load_trainable_student, on_event)
    weights = recency_weights(
        [one.outcome.known_at.date() for one in training.items], recipe.recency_half_life_days
    )
    stated = _generate_answers(student, training.items, lambda a, b: on_progress("reading the student", a, b))
    fit = fit_calibration(build_calibration_rows(training.items, stated, weights))
    reach = fit_move_multiplier(training.items, fit.probabilities, weights)
    said = {**_fit_figures(fit), "reach": reach}
    on_event(TrainingLabels(items=len(training.items), figures=said))
    rows = sample_examples(
        training.items,
        [student.prompt(one.observation) for one in training.items],
        fit.probabilities,
        weights,
        multiplier=reach,
        wanted=recipe.steps * recipe.batch,
        seed=recipe.seed,
    )
    torch.manual_seed(recipe.seed)
    model = add_adapter(student, start, LoraShape(rank=recipe.rank, alpha=recipe.alpha))
    watch = TrainingMonitor(
        student=student,
        held_out=held_out,
        weights={name: one for name, one in model.named_parameters() if one.requires_grad},
        limits=recipe.limits,
        every=recipe.eval_every,
        on_event=on_event,
    )
    watch.begin()

    def on_step(number: int, loss: float) -> bool:
        on_event(TrainingStep(step=number, of=recipe.steps, figures={"loss": loss}))
        on_progress("training", number, recipe.steps)
        return watch.step(number, {}, last=number == recipe.steps)

    _train(model, student, rows, recipe, on_step)
    settled = watch.finish()
    last_day = max(training.cutoff, held_out.cutoff).date().isoformat()
    settings = {"prompt": student.template.name, "released": last_day}
    write_adapter(model, folder, start.student, settings)
    figures = {
        **said,
        "steps": watch.history[-1].step,
        "held_out": settled.metrics.as_json(),
        "held_out_start": watch.history[0].as_json(),
        "held_out_accuracy": settled.accuracy,
        "seconds": time.perf_counter() - began,
    }
    on_event(TrainingDone(clean=settled.passed_guards, reason=settled.reason, figures=figures))
    return TrainedAdapter(
        folder=folder,
        fingerprint=fingerprint([folder]),
        passed_guards=settled.passed_guards,
        reason=settled.reason,
        figures=figures,
    )


def _generate_answers(
    student: TrainableStudent, items: Sequence[Experience], on_progress: Callable[[int, int], None]
) -> list[Prediction]:
    texts = student.answer([student.prompt(one.observation) for one in items], on_progress)
    return [parse_answer(text, one.observation) for text, one in zip(texts, items, strict=True)]


def _fit_figures(fit: CalibrationFit) -> dict[str, Any]:
    said = {name: value for name, value in asdict(fit).items() if name != "probabilities"}
    return said | {"significant": fit.significant}


def _train(
    model: Any,
    student: TrainableStudent,
    rows: Sequence[Mapping[str, str]],
    recipe: SftConfig,
    on_step: Callable[[int, float], bool],
) -> None:
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()  # they would write into our own progress
    on_gpu = model.device.type == "cuda"
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                output_dir=scratch,
                seed=recipe.seed,
                data_seed=recipe.seed,
                max_steps=recipe.steps,
                per_device_train_batch_size=recipe.batch,
                learning_rate=recipe.learning_rate,
                lr_scheduler_type="cosine",
                warmup_steps=max(1, recipe.steps // 10),
                completion_only_loss=True,
                max_length=None,
                activation_checkpointing=False,
                bf16=on_gpu,
                use_cpu=not on_gpu,
                report_to="none",
                save_strategy="no",
                logging_steps=1,
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=Dataset.from_list([dict(row) for row in rows]),
            processing_class=student.tokenizer,
            callbacks=[_create_reporter(on_step)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def _create_reporter(on_step: Callable[[int, float], bool]) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        # The signature is transformers'.
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
            if not logs or "loss" not in logs:
                return
            model = kwargs["model"]
            model.eval()
            control.should_training_stop |= not on_step(state.global_step, float(logs["loss"]))
            model.train()

    return Reporter()

"""The result of a training: the adapter that was written, with its figures."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.journal.events.training import TrainingDone
from llm.model_files import fingerprint
from llm.student import StudentSettings
from training.dataset.experience import TrainingSet
from training.lora import write_adapter
from training.monitoring.monitor import TrainingMonitor

OnProgress = Callable[[str, int, int], None]
"""Called with the current stage, the steps done and the steps in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedAdapter:
    """An adapter that was written.

    Attributes:
        passed_guards: Whether its weights passed all guards.
        reason: Which guard stopped the training or rolled its weights back; None if none did.
        figures: Figures of the training, as JSON types.
    """

    folder: Path
    fingerprint: str
    passed_guards: bool
    reason: str | None
    figures: Mapping[str, Any]


def save_trained_adapter(
    model: Any,
    folder: Path,
    start: StudentSettings,
    training: TrainingSet,
    monitor: TrainingMonitor,
    *,
    started: float,
    figures: Mapping[str, Any] | None = None,
) -> TrainedAdapter:
    """End a training: keep the weights that the monitor chooses, write them and report TrainingDone.

    Args:
        model: The trained peft model.
        folder: Where the adapter goes.
        start: The base model that the training started from.
        training: The experiences it learned from.
        monitor: The monitor of the training.
        started: When it started, by `time.perf_counter`.
        figures: Figures of the method, before those of all methods.
    """
    outcome = monitor.finish()
    last_day = max(training.cutoff, monitor.held_out.cutoff).date().isoformat()
    settings = {"prompt": monitor.student.template.name, "released": last_day}
    write_adapter(model, folder, start.student, settings)
    all_figures = {
        **(figures or {}),
        "steps": monitor.history[-1].step,
        "held_out": outcome.metrics.as_json(),
        "held_out_start": monitor.history[0].as_json(),
        "held_out_accuracy": outcome.accuracy,
        "seconds": time.perf_counter() - started,
    }
    monitor.on_event(TrainingDone(clean=outcome.passed_guards, reason=outcome.reason, figures=all_figures))
    return TrainedAdapter(
        folder=folder,
        fingerprint=fingerprint([folder]),
        passed_guards=outcome.passed_guards,
        reason=outcome.reason,
        figures=all_figures,
    )

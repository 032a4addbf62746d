"""A training as a value, whatever its method, and its result: the adapter with its figures."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from engine.journal.events.training import TrainingDone
from llm.model_files import fingerprint, latest_date, stated_release
from llm.student import StudentSettings
from training.dataset.experience import TrainingSet
from training.lora import write_adapter
from training.monitoring.monitor import OnEvent, TrainingMonitor

OnProgress = Callable[[str, int, int], None]
"""Called with the current stage, the steps done and the steps in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One training: what it starts from, what it learns from, and where its adapter and events go.

    Attributes:
        start: The base model and the adapter to start from.
        training: The experiences to learn from.
        held_out: The experiences that the guards evaluate.
        folder: Where the adapter goes; it appears as a whole or not at all.
        on_event: Gets a TrainingStep after each step, a TrainingLook after each evaluation, a TrainingGuard
            for each violation, and TrainingDone.
    """

    start: StudentSettings
    training: TrainingSet
    held_out: TrainingSet
    folder: Path
    on_event: OnEvent
    on_progress: OnProgress


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


Trainer = Callable[[TrainingJob], TrainedAdapter]
"""Does a training by a method of its own; equal jobs give equal weights on one machine."""


def find_release(job: TrainingJob) -> date | None:
    """Return the day from which nothing can be in the training data of a training's adapter.

    What the adapter that it starts from has learned stays in the weights, so that the later day counts; None
    where that of the start is not known.
    """
    last_day = max(job.training.cutoff, job.held_out.cutoff).date()
    start = job.start.adapter
    return last_day if start is None else latest_date(last_day, stated_release(start))


def save_trained_adapter(
    model: Any,
    job: TrainingJob,
    monitor: TrainingMonitor,
    *,
    started: float,
    figures: Mapping[str, Any] | None = None,
) -> TrainedAdapter:
    """End a training: keep the weights that the monitor chooses, write them and report TrainingDone.

    Args:
        model: The trained peft model.
        job: The training.
        monitor: Its monitor.
        started: When it started, by `time.perf_counter`.
        figures: Figures of the method, before those of all methods.
    """
    outcome = monitor.finish()
    settings = {"prompt": monitor.student.template.name}
    if (released := find_release(job)) is not None:
        settings["released"] = released.isoformat()
    write_adapter(model, job.folder, job.start.student, settings)
    all_figures = {
        **(figures or {}),
        "steps": monitor.history[-1].step,
        "held_out": outcome.metrics.as_json(),
        "held_out_start": monitor.history[0].as_json(),
        "held_out_accuracy": outcome.accuracy,
        "seconds": time.perf_counter() - started,
    }
    job.on_event(TrainingDone(clean=outcome.passed_guards, reason=outcome.reason, figures=all_figures))
    return TrainedAdapter(
        folder=job.folder,
        fingerprint=fingerprint([job.folder]),
        passed_guards=outcome.passed_guards,
        reason=outcome.reason,
        figures=all_figures,
    )

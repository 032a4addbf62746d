"""Progress of training from its journals: steps, evaluations on unseen days, guards, folds, verdicts."""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from engine.journal.events.training import (
    Entered,
    FoldGated,
    FoldTrained,
    Gated,
    Promotion,
    TrainedByHand,
    TrainingDone,
    TrainingEvent,
    TrainingGuard,
    TrainingLabels,
    TrainingLook,
    TrainingStep,
    WalkForwardStarted,
)
from strategies.monitor import fields
from strategies.monitor.views import EvaluationView, FoldView, TrainingView

TrainingPayload = (
    WalkForwardStarted | TrainingEvent | FoldTrained | FoldGated | Promotion | Gated | Entered | TrainedByHand
)

_MAX_STEPS, _MAX_FOLDS, _MAX_EVALUATIONS, _GUARDS = 600, 60, 200, 12


class TrainingTracker:
    """The progress of a walk-forward, or of all training on one run."""

    def __init__(self) -> None:
        self._steps: deque[Mapping[str, Any]] = deque(maxlen=_MAX_STEPS)
        self._looks: deque[EvaluationView] = deque(maxlen=_MAX_EVALUATIONS)
        self._folds: dict[tuple[str, int], FoldView] = {}
        self._planned = 0
        self._now = ""
        self._at: datetime | None = None
        self._settings: Mapping[str, Any] = {}

    def apply(self, stored: Mapping[str, Any], recorded_at: datetime, payload: TrainingPayload) -> None:
        """Apply one event of training, given as `stored` and as its decoded payload."""
        self._at = recorded_at
        match payload:
            case WalkForwardStarted():
                self._settings = payload.settings
                both = payload.settings.get("method") == "grpo" and payload.settings.get("compare")
                self._planned = len(payload.folds) * (2 if both else 1)
                self._now = "the plan is recorded; training the first fold"
            case TrainingLabels() | TrainingStep() | TrainingLook() | TrainingGuard() | TrainingDone():
                self._apply_progress(stored, payload)
            case FoldTrained() | Entered() | TrainedByHand():
                self._on_trained(stored, payload)
            case FoldGated() | Gated():
                self._on_gated(stored, payload)

    def _apply_progress(self, stored: Mapping[str, Any], event: TrainingEvent) -> None:
        place = f"fold {event.fold} {(event.arm or '')[:20]}: " if event.fold else ""
        match event:
            case TrainingLabels():
                self._now = f"{place}labels recalibrated, {event.items} examples"
            case TrainingStep():
                self._steps.append(stored)
                self._now = f"{place}training, step {event.step}" + (f" of {event.of}" if event.of else "")
            case TrainingLook():
                arm = (event.arm or "")[:20]
                look = EvaluationView(arm=arm, fold=event.fold or 0, step=event.step, figures=stored)
                self._looks.append(look)
            case TrainingGuard():
                self._on_guard(event)
            case TrainingDone():
                seconds = fields.get_number(event.figures, "seconds") or 0.0
                self._now = f"{place}trained in {seconds:.0f} s"

    def view(self) -> TrainingView:
        """Return the progress so far."""
        return TrainingView(
            steps=tuple(self._steps),
            looks=tuple(self._looks),
            folds=tuple(self._folds.values()),
            planned=self._planned,
            now=self._now,
            at=self._at,
            settings=self._settings,
        )

    def _on_guard(self, guard: TrainingGuard) -> None:
        """Add a violated guard to the last evaluation; a repeated guard replaces its earlier entry."""
        last = self._looks.pop() if self._looks else EvaluationView(arm="", fold=0, step=0, figures={})
        value, limit = guard.value, guard.limit
        figures = "" if value is None or limit is None else f" {value:.4g}, limit {limit:.4g}"
        name = guard.guard[:60]
        before = [line for line in last.guards if not line.startswith(name)]
        guards = (*before, f"{name}{figures}: {guard.done[:60]}")
        self._looks.append(replace(last, guards=guards[-_GUARDS:]))

    def _on_trained(self, stored: Mapping[str, Any], trained: FoldTrained | Entered | TrainedByHand) -> None:
        key = (
            (trained.arm[:20], trained.fold)
            if isinstance(trained, FoldTrained)
            else (trained.adapter[:60], 0)
        )
        known = self._folds.get(key) or FoldView(arm=key[0], number=key[1])
        self._put(key, replace(known, trained=stored))
        self._now = f"{_place(key)}trained; the challenger runs in shadow"

    def _on_gated(self, stored: Mapping[str, Any], gated: FoldGated | Gated) -> None:
        key = (gated.arm[:20], gated.fold) if isinstance(gated, FoldGated) else (gated.adapter[:60], 0)
        known = self._folds.get(key) or FoldView(arm=key[0], number=key[1])
        self._put(key, replace(known, gated=stored))
        self._now = f"{_place(key)}gated, {'promoted' if gated.promoted else 'not promoted'}"

    def _put(self, key: tuple[str, int], fold: FoldView) -> None:
        self._folds[key] = fold
        if len(self._folds) > _MAX_FOLDS:
            del self._folds[next(iter(self._folds))]


def _place(key: tuple[str, int]) -> str:
    return f"fold {key[1]} {key[0]}: " if key[1] else f"{key[0]}: "

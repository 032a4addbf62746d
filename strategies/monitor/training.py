"""Training as its journals tell it: steps, looks at unseen days, guards, folds, verdicts. Knows no model."""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from strategies.monitor import fields
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.views import EvaluationView, FoldView, TrainingView

KINDS = frozenset(
    {
        "walkforward_started",
        "training_labels",
        "training_step",
        "training_look",
        "training_guard",
        "training_done",
        "fold_trained",
        "fold_gated",
        "promotion",
        "gated",
        "entered",
        "trained_by_hand",
    }
)

_MAX_STEPS, _MAX_FOLDS, _MAX_EVALUATIONS, _GUARDS = 600, 60, 200, 12


class TrainingTracker:
    """What a walk-forward or the rounds on one run have done."""

    def __init__(self) -> None:
        self._steps: deque[Mapping[str, Any]] = deque(maxlen=_MAX_STEPS)
        self._looks: deque[EvaluationView] = deque(maxlen=_MAX_EVALUATIONS)
        self._folds: dict[tuple[str, int], FoldView] = {}
        self._planned = 0
        self._now = ""
        self._at: datetime | None = None
        self._settings: Mapping[str, Any] = {}

    def apply(self, row: EventRow) -> None:
        """One event of a training."""
        said, kind = row.payload, row.kind
        self._at = row.recorded_at
        arm, fold = fields.get_text(said, "arm", 20), int(fields.get_number(said, "fold") or 0)
        place = f"fold {fold} {arm}: " if fold else ""
        match kind:
            case "walkforward_started":
                self._settings = fields.get_mapping(said, "settings")
                both = fields.get_text(self._settings, "method", 8) == "grpo" and self._settings.get(
                    "compare"
                )
                self._planned = len(fields.get_list(said, "folds")) * (2 if both else 1)
                self._now = "plan on record; training the first fold"
            case "training_labels":
                self._now = f"{place}labels recalibrated, {fields.get_text(said, 'items')} lessons"
            case "training_step":
                self._steps.append(said)
                most = fields.get_number(said, "of")
                self._now = f"{place}training, step {fields.get_text(said, 'step', 12)}"
                self._now += f" of {most:.0f}" if most else ""
            case "training_look":
                step = int(fields.get_number(said, "step") or 0)
                self._looks.append(EvaluationView(arm=arm, fold=fold, step=step, figures=said))
            case "training_guard":
                self._on_guard(said)
            case "training_done":
                self._now = f"{place}trained in {fields.get_number(said, 'seconds') or 0:.0f} s"
            case _:
                self._on_gated(row, arm, fold, place)

    def view(self) -> TrainingView:
        """What is known."""
        return TrainingView(
            steps=tuple(self._steps),
            looks=tuple(self._looks),
            folds=tuple(self._folds.values()),
            planned=self._planned,
            now=self._now,
            at=self._at,
            settings=self._settings,
        )

    def _on_guard(self, payload: Mapping[str, Any]) -> None:
        """A guard spoke of the last look; one that speaks again tells what was done about it."""
        last = self._looks.pop() if self._looks else EvaluationView(arm="", fold=0, step=0, figures={})
        value, limit = (fields.get_number(payload, name) for name in ("value", "limit"))
        figures = "" if value is None or limit is None else f" {value:.4g}, limit {limit:.4g}"
        name = fields.get_text(payload, "guard", 60)
        before = [one for one in last.guards if not one.startswith(name)]
        spoken = (*before, f"{name}{figures}: {fields.get_text(payload, 'done', 60)}")
        self._looks.append(replace(last, guards=spoken[-_GUARDS:]))

    def _on_gated(self, row: EventRow, arm: str, fold: int, place: str) -> None:
        said = row.payload
        if row.kind in ("entered", "trained_by_hand", "gated"):
            arm, fold = fields.get_text(said, "adapter", 60), 0
        known = self._folds.get((arm, fold), FoldView(arm=arm, number=fold))
        if row.kind in ("fold_trained", "entered", "trained_by_hand"):
            self._folds[arm, fold] = FoldView(arm=arm, number=fold, trained=said, gated=known.gated)
            self._now = f"{place or arm + ': '}trained; the challenger is in the shadow"
        elif row.kind in ("fold_gated", "gated"):
            self._folds[arm, fold] = FoldView(arm=arm, number=fold, trained=known.trained, gated=said)
            outcome = "promoted" if said.get("promoted") else "not promoted"
            self._now = f"{place or arm + ': '}gated, {outcome}"
        while len(self._folds) > _MAX_FOLDS:
            del self._folds[next(iter(self._folds))]

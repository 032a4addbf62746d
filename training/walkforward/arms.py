"""Run one arm of a walk-forward: train a challenger per fold, run it in shadow, gate it, then trade it.

Every decision is journaled before it takes effect, and a journaled fold is not repeated.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from engine.errors import DataError
from engine.journal.events.training import FoldGated, FoldTrained
from engine.model import Bar, Observation, Prediction
from engine.outcomes import Scored, match_outcomes
from llm.answer_cache import AnswerCache
from llm.forecaster import forecast
from llm.model_files import fingerprint
from llm.student import Student, StudentSettings
from training.dataset.experience import Experience, require_past
from training.promotion.evidence import compute_net_returns
from training.promotion.rule import GateRule, GateVerdict, evaluate_challenger
from training.trained_adapter import OnProgress, Trainer, TrainingJob
from training.walkforward.config import Method
from training.walkforward.folds import Fold, split_fold
from training.walkforward.record import FoldJournal


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """LoRA weights by folder and fingerprint; both None for the base model."""

    folder: Path | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionPeriod:
    """The champion of all decisions after `since`, until the next period."""

    since: datetime
    champion: ModelRef


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardContext:
    """The data, the student and the rules that all arms of a walk-forward share."""

    student: StudentSettings
    load: Callable[[StudentSettings], Student]
    answer_cache: AnswerCache
    observed: Sequence[Observation]
    bars: Mapping[str, Sequence[Bar]]
    experiences: Sequence[Experience]
    folds: Sequence[Fold]
    embargo: timedelta
    rules: Sequence[GateRule]
    record: FoldJournal
    folder: Path
    on_progress: OnProgress

    @property
    def start(self) -> ModelRef:
        """Return the adapter that the walk-forward begins with."""
        folder = self.student.adapter
        return ModelRef(folder=folder, fingerprint=fingerprint([folder]) if folder else None)

    def predict(
        self, adapter: ModelRef, stage: str, after: datetime, until: datetime | None
    ) -> list[Prediction]:
        """Forecast every close after one instant and up to another.

        Args:
            adapter: The weights to forecast with.
            stage: The stage that `on_progress` shows.
            after: The instant before the first close.
            until: The last close; None: the end of the history.
        """
        window = [
            seen for seen in self.observed if after < seen.as_of and (until is None or seen.as_of <= until)
        ]
        student = self.load(replace(self.student, adapter=adapter.folder))
        forecasts = forecast(
            window, student, self.answer_cache, lambda a, b, *_: self.on_progress(stage, a, b)
        )
        return list(forecasts.calls)

    def score(self, calls: Sequence[Prediction], known_by: datetime) -> list[Scored]:
        """Pair calls with the outcomes known by an instant; a later outcome is None."""
        pairs = match_outcomes(calls, self.bars)
        return [(call, out if out and out.known_at <= known_by else None) for call, out in pairs]


def run_arm(
    context: WalkForwardContext, method: Method, trainer: Trainer, arms: int = 1
) -> list[ChampionPeriod]:
    """Train and gate one challenger for each fold.

    Args:
        context: What all arms share.
        method: The method of the arm.
        trainer: Trains a challenger by that method.
        arms: How many arms are trained, for the progress over all folds.

    Returns:
        The champions, oldest first.
    """
    periods = [ChampionPeriod(since=context.folds[0].cutoff, champion=context.start)]
    gates = len(context.folds) * arms
    context.on_progress("folds", len(context.record.gated), gates)
    for fold in context.folds:
        champion = periods[-1].champion
        challenger, trained = _load_or_train(context, method, trainer, fold, champion)
        if _gate_challenger(context, method, fold, champion, challenger, passed_guards=trained.clean):
            periods.append(ChampionPeriod(since=fold.gate_at, champion=challenger))
        context.on_progress("folds", len(context.record.gated), gates)
    return periods


def stitch_out_of_sample(
    context: WalkForwardContext, periods: Sequence[ChampionPeriod], name: str
) -> list[tuple[Prediction, ModelRef]]:
    """Join the forecasts of each day's champion, from the first test window to the end of the history.

    Args:
        context: What all arms share.
        periods: The champions, oldest first.
        name: The arm, for the progress.
    """
    joined: list[tuple[Prediction, ModelRef]] = []
    for number, period in enumerate(periods):
        until = periods[number + 1].since if number + 1 < len(periods) else None
        stage = f"{name}, champion {number + 1}/{len(periods)}: forecasting"
        calls = context.predict(period.champion, stage, period.since, until)
        joined += [(call, period.champion) for call in calls]
    return joined


def _load_or_train(
    context: WalkForwardContext, method: Method, trainer: Trainer, fold: Fold, champion: ModelRef
) -> tuple[ModelRef, FoldTrained]:
    folder = context.folder / "adapters" / f"{method.value}-{fold.number:02}"
    trained = context.record.trained.get((method.value, fold.number))
    if trained is None:
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed before it was journaled
        trained = _train(context, method, trainer, fold, champion, folder)
    elif not folder.is_dir() or fingerprint([folder]) != trained.challenger:
        raise DataError(f"{folder}: the adapter of fold {fold.number} was altered; start a new walk-forward")
    require_past(folder.name, trained.cutoff, fold.cutoff)
    return ModelRef(folder=folder, fingerprint=trained.challenger), trained


def _train(
    context: WalkForwardContext,
    method: Method,
    trainer: Trainer,
    fold: Fold,
    champion: ModelRef,
    folder: Path,
) -> FoldTrained:
    arm = method.value
    stage_prefix = f"fold {fold.number}/{len(context.folds)} {arm}"
    data = split_fold(context.experiences, fold, context.embargo)
    started = context.record.clock()
    job = TrainingJob(
        start=replace(context.student, adapter=champion.folder),
        training=data.training,
        held_out=data.held_out,
        folder=folder,
        on_event=lambda event: context.record.append(replace(event, arm=arm, fold=fold.number), fold.cutoff),
        on_progress=lambda stage, *counts: context.on_progress(f"{stage_prefix}: {stage}", *counts),
    )
    adapter = trainer(job)
    trained = FoldTrained(
        arm=arm,
        fold=fold.number,
        champion=champion.fingerprint,
        challenger=adapter.fingerprint,
        cutoff=fold.cutoff,
        trained_on=len(data.training.items),
        held_out=len(data.held_out.items),
        clean=adapter.passed_guards,
        reason=adapter.reason,
        figures=adapter.figures,
        seconds=(context.record.clock() - started).total_seconds(),
    )
    context.record.append_trained(trained, fold.cutoff)
    return trained


def _gate_challenger(
    context: WalkForwardContext,
    method: Method,
    fold: Fold,
    champion: ModelRef,
    challenger: ModelRef,
    *,
    passed_guards: bool,
) -> bool:
    gated = context.record.gated.get((method.value, fold.number))
    if gated is None:
        verdict = _verdict(context, method, fold, champion, challenger, passed_guards=passed_guards)
        scores = verdict.as_json()
        gated = FoldGated(
            arm=method.value,
            fold=fold.number,
            champion=champion.fingerprint,
            challenger=str(challenger.fingerprint),
            promoted=scores.pop("promoted"),
            verdict=scores,
        )
        context.record.append_gated(gated, fold.gate_at)
    return gated.promoted


def _verdict(
    context: WalkForwardContext,
    method: Method,
    fold: Fold,
    champion: ModelRef,
    challenger: ModelRef,
    *,
    passed_guards: bool,
) -> GateVerdict:
    calls = [
        context.predict(
            adapter,
            f"fold {fold.number}/{len(context.folds)} {method.value}: {role} forecasting",
            fold.cutoff,
            fold.gate_at,
        )
        for role, adapter in (("champion", champion), ("challenger", challenger))
    ]
    window = [
        item
        for item in context.experiences
        if item.observation.as_of > fold.cutoff and item.known_at <= fold.gate_at
    ]
    sides = [context.score(side, fold.gate_at) for side in calls]
    return evaluate_challenger(
        sides[0],
        sides[1],
        context.rules[fold.number - 1],
        passed_guards=passed_guards,
        net_returns=compute_net_returns(calls[0], calls[1], window),
    )

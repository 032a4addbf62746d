"""One arm of a walk-forward: who is champion when. A challenger is trained, shadows, is gated, then trades.

Knows no engine and no table. Everything that it decides goes to the record before it is acted on, and what
is on record is not done again.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from engine.errors import DataError
from engine.model import Bar, Call, Observation
from engine.outcomes import Scored, outcomes
from llm.answer_cache import Ledger
from llm.forecaster import forecast
from llm.model_files import fingerprint
from llm.student import Student, StudentSettings
from training.dataset.experience import Experience, TrainingSet, require_past
from training.grpo.train import OnProgress, Trained
from training.monitoring.monitor import OnEvent
from training.promotion.evidence import net_returns
from training.promotion.rule import GateRule, GateVerdict, judge
from training.walkforward.config import Method
from training.walkforward.folds import Fold, fold_data
from training.walkforward.record import FoldRecord


class Trainer(Protocol):
    """What makes an adapter in `folder` from a student and outcomes, by a recipe of its own."""

    def __call__(
        self,
        start: StudentSettings,
        training: TrainingSet,
        held_out: TrainingSet,
        folder: Path,
        on_event: OnEvent,
        on_progress: OnProgress,
    ) -> Trained:
        """Train from `start` (base model and adapter) and write the new adapter as a whole or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """LoRA weights by folder and fingerprint; both None is the student as it came."""

    folder: Path | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reign:
    """The champion of all decisions after `since`, until the next reign."""

    since: datetime
    champion: Contender


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every arm of a walk-forward stands on."""

    student: StudentSettings
    load: Callable[[StudentSettings], Student]
    ledger: Ledger
    observed: Sequence[Observation]
    bars: Mapping[str, Sequence[Bar]]
    experiences: Sequence[Experience]
    folds: Sequence[Fold]
    embargo: timedelta
    rules: Sequence[GateRule]
    record: FoldRecord
    folder: Path
    on_progress: OnProgress

    @property
    def start(self) -> Contender:
        """The adapter that the walk-forward begins with."""
        folder = self.student.adapter
        return Contender(folder=folder, fingerprint=fingerprint([folder]) if folder else None)

    def calls(self, adapter: Contender, stage: str, after: datetime, until: datetime | None) -> list[Call]:
        """What a student with this adapter says at every close after `after` and not after `until`."""
        wanted = [one for one in self.observed if after < one.as_of and (until is None or one.as_of <= until)]
        student = self.load(replace(self.student, adapter=adapter.folder))
        made = forecast(wanted, student, self.ledger, lambda a, b: self.on_progress(stage, a, b))
        return list(made.calls)

    def scored(self, calls: Sequence[Call], known_by: datetime) -> list[Scored]:
        """Calls with the outcomes that were known by an instant; a later one counts as not known."""
        pairs = outcomes(calls, self.bars)
        return [(call, out if out and out.known_at <= known_by else None) for call, out in pairs]


def walk(ground: Ground, method: Method, trainer: Trainer) -> list[Reign]:
    """Train and gate one challenger for each fold, and say who was champion when."""
    reigns = [Reign(since=ground.folds[0].cutoff, champion=ground.start)]
    for fold in ground.folds:
        champion = reigns[-1].champion
        challenger, said = _trained(ground, method, trainer, fold, champion)
        if _promoted(ground, method, fold, champion, challenger, clean=said["clean"]):
            reigns.append(Reign(since=fold.gate_at, champion=challenger))
    return reigns


def joined(ground: Ground, reigns: Sequence[Reign], name: str) -> list[tuple[Call, Contender]]:
    """What the champion of each day said, from the first test window to the end of the history."""
    said: list[tuple[Call, Contender]] = []
    for number, reign in enumerate(reigns):
        until = reigns[number + 1].since if number + 1 < len(reigns) else None
        stage = f"{name}, champion {number + 1}/{len(reigns)}: forecasting"
        said += [(call, reign.champion) for call in ground.calls(reign.champion, stage, reign.since, until)]
    return said


def _trained(
    ground: Ground, method: Method, trainer: Trainer, fold: Fold, champion: Contender
) -> tuple[Contender, Mapping[str, Any]]:
    key, folder = (method.value, fold.number), ground.folder / "adapters" / f"{method.value}-{fold.number:02}"
    said = ground.record.trained.get(key)
    if said is None:
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed before it was on record
        said = _train(ground, method, trainer, fold, champion, folder)
    elif not folder.is_dir() or fingerprint([folder]) != said["challenger"]:
        raise DataError(f"{folder}: the adapter of fold {fold.number} was altered; start a new walk-forward")
    require_past(folder.name, datetime.fromisoformat(said["cutoff"]), fold.cutoff)
    return Contender(folder=folder, fingerprint=said["challenger"]), said


def _train(
    ground: Ground, method: Method, trainer: Trainer, fold: Fold, champion: Contender, folder: Path
) -> Mapping[str, Any]:
    arm = method.value
    place = f"fold {fold.number}/{len(ground.folds)} {arm}"
    data = fold_data(ground.experiences, fold, ground.embargo)
    began = ground.record.clock()
    made = trainer(
        replace(ground.student, adapter=champion.folder),
        data.training,
        data.held_out,
        folder,
        lambda kind, said: ground.record.note(kind, fold.cutoff, {"arm": arm, "fold": fold.number, **said}),
        lambda stage, done, total: ground.on_progress(f"{place}: {stage}", done, total),
    )
    return ground.record.note_trained(
        (arm, fold.number),
        fold.cutoff,
        {
            "champion": champion.fingerprint,
            "challenger": made.fingerprint,
            "cutoff": fold.cutoff,
            "trained_on": len(data.training.items),
            "held_out": len(data.held_out.items),
            "clean": made.clean,
            "reason": made.reason,
            "figures": made.figures,
            "seconds": (ground.record.clock() - began).total_seconds(),
        },
    )


def _promoted(
    ground: Ground, method: Method, fold: Fold, champion: Contender, challenger: Contender, *, clean: bool
) -> bool:
    key = (method.value, fold.number)
    said = ground.record.gated.get(key)
    if said is None:
        verdict = _verdict(ground, method, fold, champion, challenger, clean=clean)
        both = {"champion": champion.fingerprint, "challenger": challenger.fingerprint}
        said = ground.record.note_gated(key, fold.gate_at, {**both, **verdict.as_json()})
    return bool(said["promoted"])


def _verdict(
    ground: Ground, method: Method, fold: Fold, champion: Contender, challenger: Contender, *, clean: bool
) -> GateVerdict:
    calls = [
        ground.calls(
            adapter,
            f"fold {fold.number}/{len(ground.folds)} {method.value}: {role} forecasting",
            fold.cutoff,
            fold.gate_at,
        )
        for role, adapter in (("champion", champion), ("challenger", challenger))
    ]
    lived = [
        one
        for one in ground.experiences
        if one.observation.as_of > fold.cutoff and one.known_at <= fold.gate_at
    ]
    sides = [ground.scored(side, fold.gate_at) for side in calls]
    rule = ground.rules[fold.number - 1]
    return judge(sides[0], sides[1], rule, clean=clean, net_returns=net_returns(calls[0], calls[1], lived))

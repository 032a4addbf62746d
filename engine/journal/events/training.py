"""What walk-forwards, training and the registry state. `arm` and `fold` are those of a walk-forward."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.journal.events.codec import Rest, may_lack
from engine.journal.events.kinds import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardStarted:
    """The plan of a walk-forward: settings, folds, gate rules and the digest of its data."""

    settings: Mapping[str, Any]
    folds: tuple[Mapping[str, Any], ...]
    plan: Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class _FoldEvent:
    arm: str
    fold: int
    champion: str | None
    challenger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTrained(_FoldEvent):
    """A challenger was trained; `figures` are those of its training."""

    cutoff: datetime
    trained_on: int
    held_out: int
    clean: bool
    reason: str | None
    seconds: float
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldGated(_FoldEvent):
    """The gate's verdict on a fold's challenger."""

    promoted: bool
    verdict: Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion(_FoldEvent):
    """A fold's challenger is champion from here on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _InFold:
    arm: str | None = may_lack()
    fold: int | None = may_lack()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLabels(_InFold):
    """SFT recalibrated the labels of so many examples."""

    items: int
    figures: Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStep(_InFold):
    """One optimizer step `of` so many, with its figures."""

    step: int
    of: int | None = may_lack()
    figures: Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLook(_InFold):
    """The student was evaluated on held-out days after a step."""

    step: int
    figures: Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingGuard(_InFold):
    """A guard was violated at a step, and what was `done` about it."""

    step: int
    guard: str
    value: float | None
    limit: float | None
    done: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDone(_InFold):
    """A training ended; `clean` says that it passed its guards, else `reason` says why not."""

    clean: bool
    reason: str | None
    figures: Rest


TrainingEvent = TrainingLabels | TrainingStep | TrainingLook | TrainingGuard | TrainingDone
"""What a trainer reports while it works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """The gate's verdict on a challenger of the registry."""

    adapter: str
    promoted: bool
    verdict: Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A challenger was trained and registered, to be gated from `gate_at` on.

    `scores` are the figures of its training; where they have none of that name, `held_out` is how many
    examples were held out.
    """

    adapter: str
    parent: str | None
    trained_on: int
    cutoff: datetime
    gate_at: datetime
    scores: Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedByHand:
    """An adapter was trained on a run or session and goes to no registry."""

    run: str
    method: str
    adapter: str
    fingerprint: str
    cutoff: datetime
    trained_on: int
    held_out: int
    clean: bool
    reason: str | None
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterEntered:
    """The registry has a new challenger; `identity` is the digest of what it is.

    `start` is the fingerprint of the adapter that its training started from, where that has no name here.
    """

    name: str
    parent: str | None
    start: str | None = may_lack()
    student: str
    base: str | None
    cutoff: datetime
    recipe: Mapping[str, Any]
    fingerprint: str
    scores: Mapping[str, Any]
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterPromoted:
    """An adapter is its student's champion; `before` was until then (None: the base model)."""

    name: str
    before: str | None
    by: str
    reason: str
    scores: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRejected:
    """An adapter was judged and not promoted."""

    name: str
    by: str
    reason: str
    scores: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterScored:
    """Scores that change nothing."""

    name: str
    by: str
    scores: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionRolledBack:
    """The champion before is champion again: `depth` champions are left, `passed_over` are damaged."""

    name: str
    to: str | None
    depth: int
    passed_over: tuple[str, ...]
    by: str
    reason: str


PAYLOADS: Mapping[str, type] = {
    Kind.WALKFORWARD_STARTED: WalkForwardStarted,
    Kind.FOLD_TRAINED: FoldTrained,
    Kind.FOLD_GATED: FoldGated,
    Kind.PROMOTION: Promotion,
    Kind.TRAINING_LABELS: TrainingLabels,
    Kind.TRAINING_STEP: TrainingStep,
    Kind.TRAINING_LOOK: TrainingLook,
    Kind.TRAINING_GUARD: TrainingGuard,
    Kind.TRAINING_DONE: TrainingDone,
    Kind.GATED: Gated,
    Kind.ENTERED: Entered,
    Kind.TRAINED_BY_HAND: TrainedByHand,
    Kind.ADAPTER_ENTERED: AdapterEntered,
    Kind.ADAPTER_PROMOTED: AdapterPromoted,
    Kind.ADAPTER_REJECTED: AdapterRejected,
    Kind.ADAPTER_SCORED: AdapterScored,
    Kind.CHAMPION_ROLLED_BACK: ChampionRolledBack,
}
"""The payload of each kind of trainings and of the registry."""

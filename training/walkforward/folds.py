"""Split a history into folds: when a challenger is trained, on what data, and when it is gated.

An instant T belongs to the time before it: training for a fold at T sees outcomes known before T, and the
decisions of its test window are those after T, up to and including T + test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.errors import DataError, UsageError
from training.dataset.experience import Experience, TrainingSet, require_disjoint
from training.walkforward.config import WalkForwardConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Training on (`train_from`, `held_from`], guards on (`held_from`, `cutoff`], shadow until `gate_at`."""

    number: int
    train_from: datetime
    held_from: datetime
    cutoff: datetime
    gate_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldData:
    """The experiences that a fold trains on, and those that its guards evaluate."""

    training: TrainingSet
    held_out: TrainingSet


def build_folds(first: datetime, last: datetime, settings: WalkForwardConfig) -> tuple[Fold, ...]:
    """Build all folds whose test window lies within the history.

    Test windows do not overlap; where `step` equals `test` they join without a gap.

    Args:
        first: The instant before the first decision.
        last: The last close.
        settings: The windows.

    Raises:
        UsageError: For a history of fewer than two folds: the first challenger could never trade.
    """
    folds: list[Fold] = []
    cutoff = first + settings.train
    while cutoff + settings.test <= last:
        held_out = max(timedelta(days=1), settings.train * settings.held_out)
        folds.append(
            Fold(
                number=len(folds) + 1,
                train_from=cutoff - settings.train,
                held_from=cutoff - held_out,
                cutoff=cutoff,
                gate_at=cutoff + settings.test,
            )
        )
        cutoff += settings.step
    if len(folds) < 2:
        needed = settings.train + settings.step + settings.test
        raise UsageError(
            f"the history has {(last - first).days} days and two folds need {needed.days} "
            f"({settings.train_days} to train, then {settings.step.days} and {settings.test_days} to test); "
            "give more history, or smaller --train-days and --test-days"
        )
    return tuple(folds)


def split_fold(experiences: Sequence[Experience], fold: Fold, embargo: timedelta) -> FoldData:
    """Return the fold's training and held-out sets; `TrainingSet` leaves out what is too recent.

    Args:
        experiences: All experiences.
        fold: The fold.
        embargo: How long before the end of a set an outcome must have been known.

    Raises:
        UsageError: If a set would be empty, or for an embargo shorter than a horizon.
    """
    require_disjoint(fold.train_from, fold.cutoff, fold.cutoff)
    within = [item for item in experiences if fold.train_from < item.observation.as_of <= fold.cutoff]
    early = [item for item in within if item.observation.as_of <= fold.held_from]
    late = [item for item in within if item.observation.as_of > fold.held_from]
    try:
        return FoldData(
            training=TrainingSet.select(early, cutoff=fold.held_from, embargo=embargo),
            held_out=TrainingSet.select(late, cutoff=fold.cutoff, embargo=embargo),
        )
    except DataError as error:
        raise UsageError(
            f"fold {fold.number}, trained to {fold.cutoff:%Y-%m-%d}, has too few outcomes ({error}); "
            "give a larger --train-days"
        ) from error

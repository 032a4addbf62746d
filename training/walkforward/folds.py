"""The folds of a history: when a challenger is trained, on what, and when it is judged. Knows no trainer.

An instant T belongs to what went before it: training for a fold at T sees outcomes known before T, and the
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
    """Train on (`train_from`, `held_from`], guard on (`held_from`, `cutoff`], shadow until `gate_at`."""

    number: int
    train_from: datetime
    held_from: datetime
    cutoff: datetime
    gate_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldData:
    """What a fold may train on, and what its guards are measured on."""

    training: TrainingSet
    held_out: TrainingSet


def build_folds(first: datetime, last: datetime, settings: WalkForwardConfig) -> tuple[Fold, ...]:
    """All folds whose test window ends by `last`, where decisions begin after `first`.

    Test windows do not overlap; where `step` is `test` they join without a gap. Raises UsageError, with the
    numbers, for a history of fewer than two folds: the first challenger could never trade.
    """
    made: list[Fold] = []
    cutoff = first + settings.train
    while cutoff + settings.test <= last:
        held = max(timedelta(days=1), settings.train * settings.held_out)
        made.append(
            Fold(
                number=len(made) + 1,
                train_from=cutoff - settings.train,
                held_from=cutoff - held,
                cutoff=cutoff,
                gate_at=cutoff + settings.test,
            )
        )
        cutoff += settings.step
    if len(made) < 2:
        needed = settings.train + settings.step + settings.test
        raise UsageError(
            f"the history has {(last - first).days} days and two folds need {needed.days} "
            f"({settings.train_days} to train, then {settings.step.days} and {settings.test_days} to test); "
            "give more history, or smaller --train-days and --test-days"
        )
    return tuple(made)


def split_fold(experiences: Sequence[Experience], fold: Fold, embargo: timedelta) -> FoldData:
    """The fold's training and held-out sets; what is too new for either is left out by `TrainingSet`.

    Raises UsageError where one of them would be empty, or for an embargo shorter than a horizon.
    """
    require_disjoint(fold.train_from, fold.cutoff, fold.cutoff)
    within = [one for one in experiences if fold.train_from < one.observation.as_of <= fold.cutoff]
    early = [one for one in within if one.observation.as_of <= fold.held_from]
    late = [one for one in within if one.observation.as_of > fold.held_from]
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

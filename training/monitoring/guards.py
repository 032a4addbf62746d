"""Whether a student in training is still sound: figures in, verdict out. Knows no model and no trainer.

A student whose world has just turned over begins in a bad state and has to be allowed to recover. So a
state in breach of a limit stops the training only after a time of grace, when it was in breach at the look
before as well and has not mended since. The state at the end is held against the same limits without mercy.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalMetrics:
    """The state of a student after `step` steps.

    Of the answers sampled since the last look: `invalid` and `dead_groups` (groups whose rewards are all
    equal), shares; `kl`, nats a token from the adapter before; `reward`, the mean. None before any step.
    Of greedy answers to held-out prompts: `abstentions`, a share; `one_class`, the share of the commoner
    direction; `confidence_spread`, the standard deviation of the stated probability of a rise; `brier`;
    `brier_over_base` and `brier_over_start`, its mean difference from that of the base rate and from that at
    the start, each with its standard error; `close_spread`, the standard deviation of the called return, and
    `close_error`, the root mean square of its error, both in daily standard deviations; and
    `close_over_still`, the mean difference of squared errors from a close that never moves, with its
    standard error.
    """

    step: int
    invalid: float | None = None
    dead_groups: float | None = None
    kl: float | None = None
    reward: float | None = None
    abstentions: float = 0.0
    one_class: float
    confidence_spread: float
    brier: float
    brier_over_base: tuple[float, float]
    brier_over_start: tuple[float, float]
    close_spread: float
    close_error: float
    close_over_still: tuple[float, float]

    def as_json(self) -> Mapping[str, object]:
        """All figures by name, as JSON types; a number that is not finite becomes None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """What a sound student keeps. A difference counts once it is `errors` standard errors above zero."""

    invalid: float = 0.02
    dead_groups: float = 0.5
    kl: float = 1.0
    abstentions: float = 0.02
    one_class: float = 0.9
    confidence_spread: float = 0.01
    close_spread: float = 0.01
    close_spread_most: float = 2.0
    errors: float = 2.0
    grace: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardViolation:
    """One guard that was not content: its name, the value it saw and its limit."""

    guard: str
    value: float
    limit: float

    def excess(self) -> float:
        """How far the value is on the wrong side, to be compared with the same guard at another look."""
        return math.inf if not math.isfinite(self.value) else abs(self.value - self.limit)


def find_violations(vitals: EvalMetrics, limits: GuardLimits) -> tuple[GuardViolation, ...]:
    """Every guard that a state is in breach of; a number that is not finite is a breach of any guard."""
    found = [
        _check_above("invalid answers", vitals.invalid, limits.invalid),
        _check_above("dead groups", vitals.dead_groups, limits.dead_groups),
        _check_above("KL", vitals.kl, limits.kl),
        None if vitals.reward is None or math.isfinite(vitals.reward) else _non_finite_violation("reward"),
        _check_above("abstentions", vitals.abstentions, limits.abstentions),
        _check_above("one class", vitals.one_class, limits.one_class),
        _check_below("spread of confidence", vitals.confidence_spread, limits.confidence_spread),
        _check_difference("Brier over base rate", vitals.brier_over_base, limits.errors),
        _check_difference("Brier over start", vitals.brier_over_start, limits.errors),
        _check_below("spread of close", vitals.close_spread, limits.close_spread)
        or _check_above("spread of close", vitals.close_spread, limits.close_spread_most),
        _check_difference("error of close", vitals.close_over_still, limits.errors),
    ]
    return tuple(breach for breach in found if breach is not None)


def find_alarms(history: Sequence[EvalMetrics], limits: GuardLimits) -> tuple[GuardViolation, ...]:
    """The breaches that have to stop the training now; `history` holds all looks so far, oldest first."""
    if not history:
        return ()
    now = find_violations(history[-1], limits)
    broken = tuple(breach for breach in now if not math.isfinite(breach.value))
    if broken or len(history) < 2 or history[-2].step < limits.grace:
        return broken
    before = {breach.guard: breach for breach in find_violations(history[-2], limits)}
    return tuple(
        breach
        for breach in now
        if breach.guard in before and breach.excess() >= before[breach.guard].excess()
    )


def _check_above(guard: str, value: float | None, limit: float) -> GuardViolation | None:
    if value is None or value <= limit:
        return None
    return GuardViolation(guard=guard, value=value, limit=limit)


def _check_below(guard: str, value: float, limit: float) -> GuardViolation | None:
    return None if value >= limit else GuardViolation(guard=guard, value=value, limit=limit)


def _non_finite_violation(guard: str) -> GuardViolation:
    return GuardViolation(guard=guard, value=math.nan, limit=math.inf)


def _check_difference(guard: str, difference: tuple[float, float], errors: float) -> GuardViolation | None:
    mean, error = difference
    return _check_above(guard, mean, errors * error)


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return [_plain(one) for one in value] if isinstance(value, tuple) else value

"""Guards: check a student's metrics during training against limits.

After a market reversal a student begins with bad metrics and must be allowed to recover. So a violated limit
stops the training only after a grace period, and only if the evaluation before violated it as well and it has
not improved since. The final evaluation is held to the same limits at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalMetrics:
    """Metrics of a student after `step` steps.

    The first four are of the answers sampled since the last evaluation, None before any step; the others are
    of greedy answers to held-out prompts. A difference is a mean with its standard error.

    Attributes:
        step: How many steps were made.
        invalid: Share of invalid answers.
        dead_groups: Share of groups whose rewards are all equal.
        kl: KL divergence from the adapter before, in nats a token.
        reward: Mean reward.
        abstentions: Share of abstentions.
        one_class: Share of the more frequent direction.
        confidence_spread: Standard deviation of the stated probability of a rise.
        brier: Mean squared error of that probability.
        brier_over_base: Difference of `brier` from that of the base rate.
        brier_over_start: Difference of `brier` from that before the training.
        close_spread: Standard deviation of the forecast return, in daily standard deviations.
        close_error: Root mean square error of the forecast return, in daily standard deviations.
        close_over_still: Difference of squared errors from a forecast of an unchanged close.
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
        """Return all metrics by name, as JSON types; a number that is not finite becomes None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """Limits of the metrics, and the `grace` steps before a violation stops the training.

    A difference violates its guard from `errors` standard errors above zero on.
    """

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
    """A guard that failed: its name, the value and the limit."""

    guard: str
    value: float
    limit: float

    def excess(self) -> float:
        """Return how far the value is beyond the limit; infinite for a value that is not finite."""
        return math.inf if not math.isfinite(self.value) else abs(self.value - self.limit)


def find_violations(metrics: EvalMetrics, limits: GuardLimits) -> tuple[GuardViolation, ...]:
    """Return every guard that the metrics violate; a number that is not finite violates any guard."""
    checks = [
        _check_above("invalid answers", metrics.invalid, limits.invalid),
        _check_above("dead groups", metrics.dead_groups, limits.dead_groups),
        _check_above("KL", metrics.kl, limits.kl),
        None if metrics.reward is None or math.isfinite(metrics.reward) else _non_finite_violation("reward"),
        _check_above("abstentions", metrics.abstentions, limits.abstentions),
        _check_above("one class", metrics.one_class, limits.one_class),
        _check_below("spread of confidence", metrics.confidence_spread, limits.confidence_spread),
        _check_difference("Brier over base rate", metrics.brier_over_base, limits.errors),
        _check_difference("Brier over start", metrics.brier_over_start, limits.errors),
        _check_below("spread of close", metrics.close_spread, limits.close_spread)
        or _check_above("spread of close", metrics.close_spread, limits.close_spread_most),
        _check_difference("error of close", metrics.close_over_still, limits.errors),
    ]
    return tuple(violation for violation in checks if violation is not None)


def find_alarms(history: Sequence[EvalMetrics], limits: GuardLimits) -> tuple[GuardViolation, ...]:
    """Return the violations that must stop the training now.

    Args:
        history: All evaluations so far, oldest first.
        limits: The limits, with the grace period.
    """
    if not history:
        return ()
    now = find_violations(history[-1], limits)
    not_finite = tuple(violation for violation in now if not math.isfinite(violation.value))
    if not_finite or len(history) < 2 or history[-2].step < limits.grace:
        return not_finite
    before = {violation.guard: violation for violation in find_violations(history[-2], limits)}
    return tuple(
        violation
        for violation in now
        if violation.guard in before and violation.excess() >= before[violation.guard].excess()
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
    return [_plain(item) for item in value] if isinstance(value, tuple) else value

"""The promotion rule, fixed before the run, and its verdict on a challenger.

Pure: predictions with their outcomes in, verdict out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.errors import UsageError
from engine.outcomes import Scored
from training.promotion.evidence import (
    MIN_P_VALUE,
    Evidence,
    collect_measures,
    measure_evidence,
    mirrored_control,
    pair_decisions,
)

TOTAL_ALPHA = 0.05
MAX_ALPHA_PER_GATE = 0.002


def alpha_spent(
    number: int, *, planned: int | None = None, total: float = TOTAL_ALPHA, most: float = MAX_ALPHA_PER_GATE
) -> float:
    """Return the significance level of a gate, such that all gates together spend at most `total`.

    A promotion without a lead then happens in any of the gates with at most that probability, however the
    gates depend on each other (Bonferroni's inequality; spending it in unequal parts over an open number of
    looks is the idea of Lan and DeMets 1983).

    No level is below the smallest p-value that the tests can give, or the gate would be closed for ever.
    Gates beyond that point, the 1,072nd of an open number, spend that millionth each in excess of `total`.

    Args:
        number: Which gate it is, from 1.
        planned: How many gates there will be; each gets min(most, total / planned). None: open, and gate k
            gets total c / ((k + c - 1) (k + c)) with c = total / most - 1, which is `most` at the first,
            total k / (k + c) after k gates, and never all of it.
        total: The probability that all gates may spend.
        most: The largest level of one gate.

    Raises:
        UsageError: For a number below 1 or above `planned`.
    """
    if number < 1 or (planned is not None and number > planned):
        raise UsageError(f"gate {number} of {planned or 'an open number'}: plan more gates before the run")
    if planned is not None:
        return max(MIN_P_VALUE, min(most, total / planned))
    c = total / most - 1.0
    # The first is `most`, which rounding must not lift above itself.
    return max(MIN_P_VALUE, min(most, total * c / ((number + c - 1.0) * (number + c))))


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """What a challenger must show; write it to the journal (`as_json`) before the first gate.

    Attributes:
        level: Level at which its Brier score must be better than the champion's, one-sided; see
            `alpha_spent`.
        coin_level: Level at which its forecasts must be better than their own reverse; None: not required.
            Forecasts without information are as good as their reverse: a student that has only learned to be
            less sure beats one that is sure and wrong, without any skill.
        min_days: How many days must be scored at least.
        accuracy_margin: How much lower its accuracy may be than the champion's, a difference of shares.
        close_margin: How much larger its error of the close may be, relative to the champion's.
        abstention_margin: How many more abstentions it may have, a difference of shares.
        return_margin: How much lower its mean daily return may be.
        seed: Of the break-even test.
    """

    level: float = MAX_ALPHA_PER_GATE
    coin_level: float | None = MAX_ALPHA_PER_GATE
    min_days: int = 20
    accuracy_margin: float = 0.02
    close_margin: float = 0.10
    abstention_margin: float = 0.01
    return_margin: float = 0.001
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.level <= MAX_ALPHA_PER_GATE:
            raise UsageError(f"gate level {self.level}: give one above 0 and up to {MAX_ALPHA_PER_GATE}")
        if self.coin_level is not None and not 0.0 < self.coin_level < 1.0:
            raise UsageError(f"gate coin_level {self.coin_level}: give one between 0 and 1, or none")
        if self.min_days < 2:
            raise UsageError(f"gate min_days {self.min_days}: give at least 2; one day has no standard error")

    def as_json(self) -> dict[str, Any]:
        """Return the rule as JSON types; `GateRule(**rule.as_json())` restores it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """What the gate decided and why.

    Attributes:
        promoted: Whether the challenger becomes champion.
        level: The level of the test.
        p_value: Of the challenger's lead; None below two days, as `brier_difference`.
        brier_difference: Champion minus challenger, the mean over days.
        coin_p_value: Of the challenger's forecasts against their reverse.
        days: How many days were scored.
        decisions: How many decisions were scored.
        against: Parts of the rule that failed: guards, days, brier, coin, or a measure.
        reasons: Why, in words; for a promotion, what supported it.
        measures: (champion, challenger) by name of the measure.
    """

    promoted: bool
    level: float
    p_value: float | None
    brier_difference: float | None
    coin_p_value: float | None
    days: int
    decisions: int
    against: tuple[str, ...]
    reasons: tuple[str, ...]
    measures: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as JSON types, for the registry and the journals."""
        return asdict(self) | {
            "against": list(self.against),
            "reasons": list(self.reasons),
            "measures": {name: list(values) for name, values in self.measures.items()},
        }


def evaluate_challenger(
    champion: Sequence[Scored],
    challenger: Sequence[Scored],
    rule: GateRule,
    *,
    passed_guards: bool,
    net_returns: tuple[float, float] | None = None,
) -> GateVerdict:
    """Evaluate a challenger on a window that neither student was trained on.

    A decision counts for the test where its outcome is known and no tie; an abstention is scored as one half.

    Args:
        champion: Its calls with their outcomes, in any order.
        challenger: Its calls on the same decisions.
        rule: What it must show.
        passed_guards: Whether all guards of its training passed.
        net_returns: Mean daily net returns of (champion, challenger), see `training.promotion.evidence`.
            Without them the mean return of the forecast direction from open to open, before costs, is held to
            the margin instead.

    Raises:
        DataError: If the sides hold different decisions.
    """
    pairs = pair_decisions(champion, challenger)
    measures = collect_measures(champion, challenger)
    if net_returns is not None:
        measures = {name: pair for name, pair in measures.items() if name != "open_return"}
        measures["net_return"] = net_returns
    days = len({pair.day for pair in pairs})
    evidence = coin = None
    if days >= 2:
        evidence = measure_evidence(pairs, rule.level, seed=rule.seed)
        if rule.coin_level is not None:
            coin = measure_evidence(mirrored_control(pairs), rule.coin_level, seed=rule.seed)
    objections = {
        **({} if passed_guards else {"guards": "a guard of the training did not pass"}),
        **_evidence_objections(rule, days, evidence, coin),
        **_measure_objections(rule, measures),
    }
    return GateVerdict(
        promoted=not objections,
        level=rule.level,
        p_value=None if evidence is None else evidence.p_value,
        brier_difference=None if evidence is None else evidence.difference,
        coin_p_value=None if coin is None else coin.p_value,
        days=days,
        decisions=len(pairs),
        against=tuple(objections),
        reasons=tuple(objections.values()) or (_supporting_reasons(rule, evidence),),
        measures=measures,
    )


def _evidence_objections(
    rule: GateRule, days: int, evidence: Evidence | None, coin: Evidence | None
) -> dict[str, str]:
    objections = {}
    if days < rule.min_days:
        objections["days"] = f"{days} days are scored and the rule wants {rule.min_days}"
    if evidence is not None and evidence.p_value > rule.level:
        objections["brier"] = (
            f"a Brier score better by {evidence.difference:+.4f} has p = {evidence.p_value:.2g}, "
            f"above the level of {rule.level:.2g}"
        )
    if coin is not None and rule.coin_level is not None and coin.p_value > rule.coin_level:
        objections["coin"] = (
            f"the challenger is not shown to know more than a coin: p = {coin.p_value:.2g}, "
            f"above {rule.coin_level:.2g}"
        )
    return objections


def _measure_objections(rule: GateRule, measures: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    objections = {}
    for name, (old, new) in measures.items():
        limit = _limit(rule, name, old)
        lower_is_better = name in ("close_mae_bps", "abstentions")
        if new > limit if lower_is_better else new < limit:
            objections[name] = (
                f"{name.replace('_', ' ')} is {new:.4g} and the champion's {old:.4g} allows "
                f"{limit:.4g} at {'most' if lower_is_better else 'least'}"
            )
    return objections


def _limit(rule: GateRule, name: str, old: float) -> float:
    if name == "close_mae_bps":
        return old * (1.0 + rule.close_margin)
    margins = {"accuracy": -rule.accuracy_margin, "abstentions": rule.abstention_margin}
    return old + margins.get(name, -rule.return_margin)


def _supporting_reasons(rule: GateRule, evidence: Evidence | None) -> str:
    difference, days, p_value = (
        (evidence.difference, evidence.days, evidence.p_value) if evidence else (0.0, 0, 1.0)
    )
    return (
        f"the Brier score is better by {difference:.4f} over {days} days, p = {p_value:.2g} at a level of "
        f"{rule.level:.2g}; no other measure is worse beyond its margin, and the guards passed"
    )

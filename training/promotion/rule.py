"""Whether a challenger replaces the champion: a rule fixed before the run, and the verdict in words.

Pure: calls with their outcomes in, verdict out. It knows no adapter, no registry and no clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.errors import UsageError
from engine.outcomes import Scored
from training.promotion.evidence import (
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
    """The level of the `number`-th gate (from 1), such that all gates together spend at most `total`.

    The levels add up to at most `total`, so a promotion without a lead happens in any of the gates with at
    most that probability, however the gates depend on each other (Bonferroni's inequality; spending it
    in unequal parts over looks whose number is open is the idea of Lan and DeMets 1983). Where the number of
    gates is `planned`, each gets an equal part: min(most, total / planned). Where it is open, gate k gets
    total c / ((k + c - 1) (k + c)) with c = total / most - 1: `most` at the first, total k / (k + c) spent
    after k, and never all of it. Raises UsageError for a number below 1 or above `planned`.
    """
    if number < 1 or (planned is not None and number > planned):
        raise UsageError(f"gate {number} of {planned or 'an open number'}: plan more gates before the run")
    if planned is not None:
        return min(most, total / planned)
    c = total / most - 1.0
    # The first is `most`, which rounding must not lift above itself.
    return min(most, total * c / ((number + c - 1.0) * (number + c)))


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """What a challenger must show; write it to the journal (`as_json`) before the first gate is held.

    Its Brier score must be better than the champion's at `level` (one-sided; `alpha_spent` gives it). At
    `coin_level` (None: not asked) the closes must follow its own leanings rather than their reverse, which
    for a coin are equally good: a student that has only learned to say less is better than one that is
    sure and wrong, and knows nothing. It must not be worse than the champion
    by more than the margins: `accuracy_margin` and `abstention_margin` are differences of shares,
    `close_margin` is relative, `return_margin` a difference of mean returns of a day. At least `min_days`
    days must be scored. `seed` is that of the break-even test.
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
            raise UsageError(
                f"gate min_days {self.min_days}: give at least 2, without which nothing is known"
            )

    def as_json(self) -> dict[str, Any]:
        """The rule as JSON types; `GateRule(**rule.as_json())` is the rule again."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """What the gate decided and why.

    `p_value` and `brier_difference` (champion minus challenger, the mean of days) are None below two days;
    `coin_p_value` is that of the challenger against the coin. `against` names the parts of the rule that
    stood against promotion (guards, days, brier, coin, or a measure), and `reasons` says so in words, or
    else what spoke for it. `measures` holds (champion, challenger).
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
        """The verdict as JSON types, for the registry and the journals."""
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
    """Judge a challenger on a window that neither student was trained on.

    Both sides hold the same decisions (see `engine.outcomes`; DataError otherwise), in any order. A decision
    counts for the test where its outcome is known and no tie; an abstention is scored as one half. `clean` is
    whether all guards of the training passed. `net_returns` are the mean net returns of a day of (champion,
    challenger) over the window (see `training.promotion.evidence`); without them the mean return of the
    called direction from open to open, before costs, is held to the margin instead.
    """
    pairs = pair_decisions(champion, challenger)
    measures = collect_measures(champion, challenger)
    if net_returns is not None:
        measures = {name: pair for name, pair in measures.items() if name != "open_return"}
        measures["net_return"] = net_returns
    days = len({pair.day for pair in pairs})
    found = coin = None
    if days >= 2:
        found = measure_evidence(pairs, rule.level, seed=rule.seed)
        if rule.coin_level is not None:
            coin = measure_evidence(mirrored_control(pairs), rule.coin_level, seed=rule.seed)
    against = {
        **({} if passed_guards else {"guards": "a guard of the training did not pass"}),
        **_evidence_objections(rule, days, found, coin),
        **_measure_objections(rule, measures),
    }
    return GateVerdict(
        promoted=not against,
        level=rule.level,
        p_value=None if found is None else found.p_value,
        brier_difference=None if found is None else found.difference,
        coin_p_value=None if coin is None else coin.p_value,
        days=days,
        decisions=len(pairs),
        against=tuple(against),
        reasons=tuple(against.values()) or (_supporting_reasons(rule, found),),
        measures=measures,
    )


def _evidence_objections(
    rule: GateRule, days: int, found: Evidence | None, coin: Evidence | None
) -> dict[str, str]:
    said = {}
    if days < rule.min_days:
        said["days"] = f"{days} days are scored and the rule wants {rule.min_days}"
    if found is not None and found.p_value > rule.level:
        said["brier"] = (
            f"a Brier score better by {found.difference:+.4f} has p = {found.p_value:.2g}, "
            f"above the level of {rule.level:.2g}"
        )
    if coin is not None and rule.coin_level is not None and coin.p_value > rule.coin_level:
        said["coin"] = (
            f"the challenger is not shown to know more than a coin: p = {coin.p_value:.2g}, "
            f"above {rule.coin_level:.2g}"
        )
    return said


def _measure_objections(rule: GateRule, measures: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    said = {}
    for name, (old, new) in measures.items():
        limit = _limit(rule, name, old)
        lower_is_better = name in ("close_mae_bps", "abstentions")
        if new > limit if lower_is_better else new < limit:
            said[name] = (
                f"{name.replace('_', ' ')} is {new:.4g} and the champion's {old:.4g} allows "
                f"{limit:.4g} at {'most' if lower_is_better else 'least'}"
            )
    return said


def _limit(rule: GateRule, name: str, old: float) -> float:
    if name == "close_mae_bps":
        return old * (1.0 + rule.close_margin)
    margins = {"accuracy": -rule.accuracy_margin, "abstentions": rule.abstention_margin}
    return old + margins.get(name, -rule.return_margin)


def _supporting_reasons(rule: GateRule, found: Evidence | None) -> str:
    difference, days, p_value = (found.difference, found.days, found.p_value) if found else (0.0, 0, 1.0)
    return (
        f"the Brier score is better by {difference:.4f} over {days} days, p = {p_value:.2g} at a level of "
        f"{rule.level:.2g}; no other measure is worse beyond its margin, and the guards passed"
    )

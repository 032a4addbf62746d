"""What a walk-forward's result adds to a backtest's: folds, promotions, arms side by side, claims.

Knows no model and runs nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from engine.journal.canonical import to_jsonable
from engine.model import Prediction
from engine.outcomes import match_outcomes
from strategies.results import SimulationResult, edge_captured
from training.walkforward.arms import ChampionPeriod, ModelRef
from training.walkforward.comparison import adjust_claims, compare_arms, compare_scores
from training.walkforward.folds import Fold
from training.walkforward.plan import WalkForwardPlan
from training.walkforward.record import FoldJournal

STATIC, BASE_RATE = "static", "base rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """One arm's joined calls, the contender that made each, and who reigned when."""

    predictions_by_model: Sequence[tuple[Prediction, ModelRef]]
    periods: Sequence[ChampionPeriod]

    @property
    def calls(self) -> list[Prediction]:
        """What the champion of each day said, in the order of the decisions."""
        return [call for call, _ in self.predictions_by_model]


def build_report(
    plan: WalkForwardPlan,
    arms: Mapping[str, ArmResult],
    played: Mapping[str, SimulationResult],
    record: FoldJournal,
) -> dict[str, Any]:
    """The added part, as JSON types; the first of `arms` is the one that traded."""
    scored = {name: match_outcomes(arm.calls, plan.facts.bars) for name, arm in reversed(list(arms.items()))}
    traded = next(iter(arms))
    base = match_outcomes(played["majority"].calls, plan.facts.bars)
    rivals = ({STATIC: scored[STATIC]} if traded != STATIC else {}) | {BASE_RATE: base}
    said = {
        "method": plan.settings.method,
        "walkforward": asdict(plan.settings) | {"embargo_days": plan.embargo / timedelta(days=1)},
        "folds": [_fold_line(fold, arms, record) for fold in plan.folds],
        "promotions": {name: len(arm.periods) - 1 for name, arm in arms.items()},
        "edges": {
            name: edge_captured(arm.calls, plan.facts.oracle) if plan.facts.oracle else None
            for name, arm in arms.items()
        },
        "comparison": compare_arms(scored),
        "claims": adjust_claims(
            [
                one
                for other, theirs in rivals.items()
                for one in compare_scores(traded, scored[traded], other, theirs)
            ]
        ),
    }
    result: dict[str, Any] = to_jsonable(said)
    return result


def _fold_line(fold: Fold, arms: Mapping[str, ArmResult], record: FoldJournal) -> dict[str, Any]:
    keys = ("champion", "challenger", "trained_on", "held_out", "clean", "reason", "seconds")
    verdict = ("p_value", "brier_difference", "reasons")
    return asdict(fold) | {
        "arms": {
            name: {key: getattr(record.trained[name, fold.number], key) for key in keys}
            | {"promoted": record.gated[name, fold.number].promoted}
            | {key: record.gated[name, fold.number].verdict[key] for key in verdict}
            for name in arms
            if (name, fold.number) in record.gated
        }
    }

"""Report a walk-forward in addition to a backtest: folds, promotions, comparison of arms, claims."""

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
    """One arm's joined calls with the model that made each, and its champions."""

    predictions_by_model: Sequence[tuple[Prediction, ModelRef]]
    periods: Sequence[ChampionPeriod]

    @property
    def calls(self) -> list[Prediction]:
        """Return the calls of each day's champion, in the order of the decisions."""
        return [call for call, _ in self.predictions_by_model]


def build_report(
    plan: WalkForwardPlan,
    arms: Mapping[str, ArmResult],
    simulations: Mapping[str, SimulationResult],
    record: FoldJournal,
) -> dict[str, Any]:
    """Build the report, as JSON types.

    Args:
        plan: The plan of the walk-forward.
        arms: Every arm by name; the first one traded.
        simulations: The simulated forecasters by name.
        record: The folds that were trained and gated.
    """
    bars, calendars = plan.data.bars, plan.data.symbol_calendars
    scored = {name: match_outcomes(arm.calls, bars, calendars) for name, arm in reversed(list(arms.items()))}
    traded = next(iter(arms))
    base = match_outcomes(simulations["majority"].calls, bars, calendars)
    rivals = ({STATIC: scored[STATIC]} if traded != STATIC else {}) | {BASE_RATE: base}
    report = {
        "method": plan.settings.method,
        "walkforward": asdict(plan.settings) | {"embargo_days": plan.embargo / timedelta(days=1)},
        "folds": [_fold_line(fold, arms, record) for fold in plan.folds],
        "promotions": {name: len(arm.periods) - 1 for name, arm in arms.items()},
        "edges": {
            name: edge_captured(arm.calls, plan.data.oracle) if plan.data.oracle else None
            for name, arm in arms.items()
        },
        "comparison": compare_arms(scored),
        "claims": adjust_claims(
            [
                difference
                for other, theirs in rivals.items()
                for difference in compare_scores(traded, scored[traded], other, theirs)
            ]
        ),
    }
    result: dict[str, Any] = to_jsonable(report)
    return result


def _fold_line(fold: Fold, arms: Mapping[str, ArmResult], record: FoldJournal) -> dict[str, Any]:
    keys = ("champion", "challenger", "trained_on", "held_out", "clean", "reason", "seconds")
    verdict = ("level", "p_value", "brier_difference", "reasons")
    return asdict(fold) | {
        "arms": {
            name: {key: getattr(record.trained[name, fold.number], key) for key in keys}
            | {"promoted": record.gated[name, fold.number].promoted}
            | {key: record.gated[name, fold.number].verdict[key] for key in verdict}
            for name in arms
            if (name, fold.number) in record.gated
        }
    }

"""What a walk-forward's result adds to a backtest's: folds, promotions, arms side by side, claims.

Knows no model and runs nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from engine.journal.canonical import plain
from engine.model import Call
from engine.outcomes import outcomes
from strategies.results import Played, edge_captured
from training.walkforward.arms import Contender, Reign
from training.walkforward.comparison import claims, compare, side_by_side
from training.walkforward.folds import Fold
from training.walkforward.plan import Plan
from training.walkforward.record import FoldRecord

STATIC, BASE_RATE = "static", "base rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm's joined calls, the contender that made each, and who reigned when."""

    said: Sequence[tuple[Call, Contender]]
    reigns: Sequence[Reign]

    @property
    def calls(self) -> list[Call]:
        """What the champion of each day said, in the order of the decisions."""
        return [call for call, _ in self.said]


def report_of(
    plan: Plan, arms: Mapping[str, Arm], played: Mapping[str, Played], record: FoldRecord
) -> dict[str, Any]:
    """The added part, as JSON types; the first of `arms` is the one that traded."""
    scored = {name: outcomes(arm.calls, plan.facts.bars) for name, arm in reversed(list(arms.items()))}
    traded = next(iter(arms))
    base = outcomes(played["majority"].calls, plan.facts.bars)
    rivals = ({STATIC: scored[STATIC]} if traded != STATIC else {}) | {BASE_RATE: base}
    said = {
        "method": plan.settings.method,
        "walkforward": asdict(plan.settings) | {"embargo_days": plan.embargo / timedelta(days=1)},
        "folds": [_fold_line(fold, arms, record) for fold in plan.folds],
        "promotions": {name: len(arm.reigns) - 1 for name, arm in arms.items()},
        "edges": {
            name: edge_captured(arm.calls, plan.facts.oracle) if plan.facts.oracle else None
            for name, arm in arms.items()
        },
        "comparison": side_by_side(scored),
        "claims": claims(
            [
                one
                for other, theirs in rivals.items()
                for one in compare(traded, scored[traded], other, theirs)
            ]
        ),
    }
    result: dict[str, Any] = plain(said)
    return result


def _fold_line(fold: Fold, arms: Mapping[str, Arm], record: FoldRecord) -> dict[str, Any]:
    keys = ("champion", "challenger", "trained_on", "held_out", "clean", "reason", "seconds")
    verdict = ("promoted", "p_value", "brier_difference", "reasons")
    return asdict(fold) | {
        "arms": {
            name: {key: record.trained[name, fold.number][key] for key in keys}
            | {key: record.gated[name, fold.number][key] for key in verdict}
            for name in arms
            if (name, fold.number) in record.gated
        }
    }

"""What a walk-forward fixes before anything is trained: facts, folds, embargo and the rules of its gates.

Knows no trainer and no run.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.journal.canonical import row_digest
from engine.model import Observation
from engine.timeline import build_observations
from llm.student import Student, StudentSettings
from strategies.config import BacktestConfig, student_settings
from strategies.market_data import MarketData, build_costs, load_market_data
from strategies.sizing import build_sizing
from training.dataset.experience import Experience, build_experiences, longest_horizon
from training.promotion.rule import GateRule, alpha_spent
from training.walkforward.config import WalkForwardConfig
from training.walkforward.folds import Fold, build_folds


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardPlan:
    """What is fixed before anything is trained."""

    config: BacktestConfig
    settings: WalkForwardConfig
    facts: MarketData
    student: Student
    wanted: StudentSettings
    observed: Sequence[Observation]
    experiences: Sequence[Experience]
    folds: Sequence[Fold]
    embargo: timedelta
    rules: Sequence[GateRule]

    @property
    def header(self) -> dict[str, Any]:
        """What the journal says of it before the first fold."""
        return {
            "settings": asdict(self.settings),
            "student": self.student.fingerprint,
            "folds": [asdict(fold) for fold in self.folds],
            "embargo_days": self.embargo / timedelta(days=1),
            "rules": [rule.as_json() for rule in self.rules],
            "facts": _data_digest(self.facts),
        }


def build_plan(
    config: BacktestConfig,
    settings: WalkForwardConfig,
    data_dir: Path,
    load: Callable[[StudentSettings], Student],
    data: MarketData | None = None,
) -> WalkForwardPlan:
    """Gather the facts and cut them into folds. Raises ClosecallError for what the user can mend."""
    facts = data or load_market_data(config, data_dir)
    wanted = student_settings(config)
    student = load(wanted)
    observed = build_observations(facts.bars, facts.news, window=student.window, start=facts.start)
    lived = build_experiences(
        observed,
        facts.bars,
        instruments=facts.instruments,
        calendars=facts.calendars,
        costs=build_costs(config, facts.instruments),
        sizing=build_sizing(config, facts.instruments),
        rates=facts.rates,
        equity=config.cash,
    )
    last = max(series[-1].closes_at for series in facts.bars.values())
    made = build_folds(facts.start, last, settings)
    stated = settings.embargo_days
    return WalkForwardPlan(
        config=config,
        settings=settings,
        facts=facts,
        student=student,
        wanted=wanted,
        observed=observed,
        experiences=lived,
        folds=made,
        embargo=longest_horizon(lived) if stated is None else timedelta(days=stated),
        rules=build_gate_rules(len(made)),
    )


def build_gate_rules(gates: int) -> list[GateRule]:
    """The rule of each of so many gates, which together spend the level."""
    return [GateRule(level=alpha_spent(number, planned=gates)) for number in range(1, gates + 1)]


def _data_digest(facts: MarketData) -> str:
    """So that a run never goes on with other data than it began with."""
    bars = ((b.symbol, b.closes_at, b.open, b.high, b.low, b.close, b.volume) for b in facts.traded_bars)
    news = ((item.id, item.available_at, item.title) for item in facts.news)
    return row_digest([*bars, *news])

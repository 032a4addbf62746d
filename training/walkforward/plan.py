"""What a walk-forward fixes before anything is trained: facts, folds, embargo and the rules of its gates.

Knows no trainer and no run.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.journal.canonical import digest
from engine.model import Observation
from engine.timeline import observations
from llm.student import Student, StudentSettings
from strategies.config import BacktestConfig
from strategies.market_data import Facts, costs_of, gather
from strategies.sizing import sizing_of
from training.dataset.experience import Experience, experiences, horizon
from training.promotion.rule import GateRule, spent_level
from training.walkforward.config import WalkForward
from training.walkforward.folds import Fold, folds


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is fixed before anything is trained."""

    config: BacktestConfig
    settings: WalkForward
    facts: Facts
    student: Student
    wanted: StudentSettings
    observed: Sequence[Observation]
    lived: Sequence[Experience]
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
            "facts": _facts_digest(self.facts),
        }


def make_plan(
    config: BacktestConfig,
    settings: WalkForward,
    data_dir: Path,
    load: Callable[[StudentSettings], Student],
) -> Plan:
    """Gather the facts and cut them into folds. Raises ClosecallError for what the user can mend."""
    facts = gather(config, data_dir)
    wanted = StudentSettings(
        student=config.student,
        adapter=config.adapter,
        quantization=config.quantization,
        prompt=config.prompt,
        batch=config.batch,
    )
    student = load(wanted)
    observed = observations(facts.bars, facts.news, window=student.window, start=facts.start)
    lived = experiences(
        observed,
        facts.bars,
        instruments=facts.instruments,
        calendars=facts.calendars,
        costs=costs_of(config, facts.instruments),
        sizing=sizing_of(config, facts.instruments),
        rates=facts.rates,
        equity=config.cash,
    )
    last = max(series[-1].closes_at for series in facts.bars.values())
    made = folds(facts.start, last, settings)
    stated = settings.embargo_days
    return Plan(
        config=config,
        settings=settings,
        facts=facts,
        student=student,
        wanted=wanted,
        observed=observed,
        lived=lived,
        folds=made,
        embargo=horizon(lived) if stated is None else timedelta(days=stated),
        rules=rules_for(len(made)),
    )


def rules_for(gates: int) -> list[GateRule]:
    """The rule of each of so many gates, which together spend the level."""
    return [GateRule(level=spent_level(number, planned=gates)) for number in range(1, gates + 1)]


def _facts_digest(facts: Facts) -> str:
    """So that a run never goes on with other data than it began with."""
    bars = ((b.symbol, b.closes_at, b.open, b.high, b.low, b.close, b.volume) for b in facts.traded_bars)
    news = ((item.id, item.available_at, item.title) for item in facts.news)
    return digest([*bars, *news])

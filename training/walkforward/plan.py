"""The plan of a walk-forward, fixed before any training: market data, folds, embargo and gate rules."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.journal.canonical import row_digest
from engine.model import Observation
from engine.timeline import build_observations
from llm.registry.training_end import describe_unknown_end, find_training_end
from llm.student import Student, StudentSettings
from strategies.config import BacktestConfig
from strategies.instrument_settings import build_costs
from strategies.market_data import MarketData, load_market_data
from strategies.sizing import build_sizing
from strategies.students import recorded_settings, settle_student
from training.dataset.experience import Experience, build_experiences, find_longest_horizon
from training.promotion.rule import GateRule, alpha_spent
from training.walkforward.config import WalkForwardConfig
from training.walkforward.folds import Fold, build_folds


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardPlan:
    """What a walk-forward fixes before any training."""

    config: BacktestConfig
    settings: WalkForwardConfig
    data: MarketData
    student: Student
    student_settings: StudentSettings
    observed: Sequence[Observation]
    experiences: Sequence[Experience]
    folds: Sequence[Fold]
    embargo: timedelta
    rules: Sequence[GateRule]

    @property
    def header(self) -> dict[str, Any]:
        """Return what is journaled before the first fold."""
        # A simulated market and recorded days are known by the configuration, frames are not.
        frames = not (self.data.is_simulated or self.config.bars or self.config.store)
        return {
            "settings": asdict(self.settings),
            "student": self.student.fingerprint,
            "folds": [asdict(fold) for fold in self.folds],
            "embargo_days": self.embargo / timedelta(days=1),
            "rules": [rule.as_json() for rule in self.rules],
            "facts": _data_digest(self.data),
            **({"simulated": False} if frames else {}),
        }


def build_plan(
    config: BacktestConfig,
    settings: WalkForwardConfig,
    data_dir: Path,
    load: Callable[[StudentSettings], Student],
    data: MarketData | None = None,
) -> WalkForwardPlan:
    """Load the market data and split it into folds.

    Args:
        config: The backtest that the walk-forward runs on.
        settings: Its windows and its training.
        data_dir: The data folder.
        load: Loads the student.
        data: The market data; None loads what the configuration names.

    Raises:
        ClosecallError: For data or settings that the user can correct.
    """
    data = data or load_market_data(config, data_dir)
    config, data, student = settle_student(config, data, load)
    start = recorded_settings(config, data.instruments)
    observed = build_observations(data.bars, data.news, window=student.window, start=data.start)
    experiences = build_experiences(
        observed,
        data.bars,
        instruments=data.instruments,
        calendars=data.calendars,
        costs=build_costs(config, data.instruments),
        sizing=build_sizing(config, data.instruments),
        rates=data.rates,
        equity=config.cash,
    )
    last = max(series[-1].closes_at for series in data.bars.values())
    folds = build_folds(data.start, last, settings)
    if config.adapter is not None and not data.is_simulated:
        # On a simulated market its days mean nothing: there the result says that it may know the answers.
        _require_earlier_data(config.adapter, data_dir, folds[0].cutoff)
    return WalkForwardPlan(
        config=config,
        settings=settings,
        data=data,
        student=student,
        student_settings=start,
        observed=observed,
        experiences=experiences,
        folds=folds,
        embargo=choose_embargo(settings, experiences),
        rules=build_gate_rules(len(folds)),
    )


def _require_earlier_data(adapter: Path, data_dir: Path, start: datetime) -> None:
    """Refuse an adapter that may have learned days on which it and its children are tested.

    Raises:
        UsageError: Where its training data reach beyond `start`, or it is not known how far.
    """
    end = find_training_end(adapter, data_dir)
    if end is None:
        raise UsageError(describe_unknown_end(adapter))
    if end > start:
        raise UsageError(
            f"adapter {adapter}: its training data reach to {end.date()}, and the first test window begins "
            f"on {start.date()}; begin with the base model or an earlier adapter, or set --start later"
        )


def choose_embargo(settings: WalkForwardConfig, experiences: Sequence[Experience]) -> timedelta:
    """Return the embargo of the settings, or the longest horizon where they have none."""
    days = settings.embargo_days
    return find_longest_horizon(experiences) if days is None else timedelta(days=days)


def build_gate_rules(gates: int) -> list[GateRule]:
    """Return the rule of each of so many gates, which together spend the total level."""
    return [GateRule(level=alpha_spent(number, planned=gates)) for number in range(1, gates + 1)]


def _data_digest(data: MarketData) -> str:
    """Return a digest of the market data: a run is resumed only with the data it was started with."""
    bars = ((b.symbol, b.closes_at, b.open, b.high, b.low, b.close, b.volume) for b in data.traded_bars)
    news = ((item.id, item.available_at, item.title) for item in data.news)
    return row_digest([*bars, *news])

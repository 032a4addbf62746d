"""The one object that a backtest prints, journals and exports. Knows no screen and runs nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from engine.accuracy import accuracy
from engine.outcomes import outcomes
from engine.performance import deflated_sharpe, performance
from engine.trials import Trial, distinct, on_record, record, sharpe_variance
from engine.values import Forecast, Observation
from llm.student import Student
from strategies.config import BacktestConfig
from strategies.facts import Facts, costs_of
from strategies.runs import plain
from strategies.scorecard import STUDENT, Played, scorecard


def result_of(
    name: str,
    config: BacktestConfig,
    facts: Facts,
    observed: Sequence[Observation],
    student: Student,
    asked: int,
    played: Mapping[str, Played],
) -> dict[str, Any]:
    """Everything about a run but its place in the record of trials, as JSON types."""
    traded = facts.traded_bars
    calls = played[STUDENT].calls
    forecasts = [call for call in calls if isinstance(call, Forecast)]
    made = {
        "run": name,
        "simulated": facts.simulated,
        "symbols": sorted(facts.instruments),
        "start": min(bar.opens_at for bar in traded).date(),
        "end": max(bar.opens_at for bar in traded).date(),
        "bars": len(traded),
        "news": len(facts.news),
        "forecasts": len(forecasts),
        "forecasts_with_news": sum(bool(one.news) for one in observed),
        "abstentions": len(calls) - len(forecasts),
        "asked": asked,
        "student": student.name,
        "student_fingerprint": student.fingerprint,
        "student_released": student.released,
        **_contamination(config, forecasts, facts, student.released),
        "days_per_year": facts.days_per_year,
        "currency": facts.currency,
        "cash": config.cash,
        "costs": {symbol: asdict(costs) for symbol, costs in costs_of(config, facts.instruments).items()},
        "notes": facts.notes,
        **scorecard(played, facts),
    }
    plain_made: dict[str, Any] = plain(made)
    return plain_made


def count_trial(
    name: str, facts: Facts, result: Mapping[str, Any], student: Played, path: Path, now: datetime
) -> dict[str, Any]:
    """Put the run on the record of trials; how many are on it for these data, and the Sharpe ratio deflated.

    The deflation counts distinct forecasts: the same ones run again are no second draw of luck.
    """
    engine = student.engine
    earned = performance([(m.at, m.value) for m in engine.marks], engine.starting_cash, facts.days_per_year)
    trial = Trial(
        run=name,
        at=now,
        data=facts.source,
        symbols=tuple(result["symbols"]),
        start=date.fromisoformat(result["start"]),
        end=date.fromisoformat(result["end"]),
        forecasts_digest=result["digests"]["forecasts"],
        daily_sharpe=earned.daily_sharpe,
    )
    record(path, trial)
    known = on_record(path, trial.data, trial.symbols, trial.start, trial.end)
    different = distinct(known)
    return {
        "trials": len(known),
        "distinct_trials": len(different),
        "deflated_sharpe": deflated_sharpe(earned.returns, len(different), sharpe_variance(different)),
    }


def _contamination(
    config: BacktestConfig, forecasts: Sequence[Forecast], facts: Facts, released: date | None
) -> dict[str, Any]:
    """How many forecasts the model may have known the answer to, and the accuracy on the others.

    A simulated market's dates mean nothing; there it is the training seeds that a student knows, and an
    adapter may have been trained on any market.
    """
    if facts.simulated:
        known = len(forecasts) if facts.rehearsed else None if config.adapter else 0
        return {"contaminated_n": known, "after_release": None}
    if released is None:
        return {"contaminated_n": None, "after_release": None}
    release = datetime.combine(released, time(0), tzinfo=UTC)
    clean = [call for call in forecasts if call.as_of >= release]
    scored = accuracy(outcomes(clean, facts.bars))
    return {
        "contaminated_n": len(forecasts) - len(clean),
        "after_release": {
            "n": scored.n,
            "accuracy": scored.accuracy,
            "accuracy_low": scored.accuracy_low,
            "accuracy_high": scored.accuracy_high,
        },
    }

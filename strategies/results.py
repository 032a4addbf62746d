"""The one object that a backtest prints, journals and exports. Knows no screen and runs nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from engine.journal.canonical import row_digest, to_jsonable
from engine.metrics.accuracy import compute_accuracy
from engine.metrics.performance import compute_performance, deflated_sharpe
from engine.metrics.registry import compute_metrics
from engine.metrics.significance import compute_verdict
from engine.metrics.trials import Trial, append_trial, distinct_trials, find_trials, sharpe_variance
from engine.model import Abstention, Direction, Forecast, Observation, Prediction
from engine.outcomes import match_outcomes
from engine.trading.records import EngineResult
from feeds.simulated.market import OracleView
from llm.student import Student
from strategies.config import BacktestConfig
from strategies.market_data import MarketData, build_costs

STUDENT, ORACLE = "student", "oracle"

BASELINES = ("buy_and_hold", "persistence", "majority", "random")

Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """One caller's calls and what they came to in backtrader."""

    calls: Sequence[Prediction]
    engine: EngineResult


def scorecard(played: Mapping[str, SimulationResult], facts: MarketData) -> dict[str, Any]:
    """Scores by caller, verdict, digests and, on a simulated market, the share of the edge captured."""
    scored = {name: match_outcomes(one.calls, facts.bars) for name, one in played.items()}
    judged = compute_verdict(scored[STUDENT], {name: scored[name] for name in BASELINES})
    student = played[STUDENT]
    return {
        "scores": {
            name: compute_metrics(scored[name], one.engine, facts.days_per_year)
            for name, one in played.items()
        },
        "verdict": judged.result,
        "verdict_detail": asdict(judged),
        "edge_captured": edge_captured(student.calls, facts.oracle) if facts.oracle else None,
        "digests": output_digests(student),
    }


def edge_captured(calls: Sequence[Prediction], oracle: Mapping[Key, OracleView]) -> float | None:
    """The share of the oracle's edge that the calls captured; None where there is none.

    With q the oracle's probability of up: the mean of (q or 1 - q, by the called direction) - 1/2, over the
    mean of max(q, 1 - q) - 1/2. An abstention captures nothing.
    """
    captured = available = 0.0
    for call in calls:
        q = oracle[call.symbol, call.as_of].probability_up
        available += abs(q - 0.5)
        if isinstance(call, Forecast):
            captured += (q - 0.5) * call.direction.sign
    return captured / available if available > 0 else None


def oracle_predictions(calls: Sequence[Prediction], oracle: Mapping[Key, OracleView]) -> list[Forecast]:
    """What the oracle would have said at the same closes."""
    return [_oracle_call(call, oracle[call.symbol, call.as_of]) for call in calls]


def output_digests(student: SimulationResult) -> dict[str, str]:
    """SHA-256 over the canonical rows of the student's forecasts, orders, fills and equity."""
    engine = student.engine
    return {
        "forecasts": row_digest(forecast_row(call) for call in student.calls),
        "orders": row_digest(
            (o.number, o.decided_at, o.due_at, o.at, o.symbol, o.size, o.status, o.reason)
            for o in engine.orders
        ),
        "fills": row_digest((f.at, f.symbol, f.size, f.price, f.cost) for f in engine.fills),
        "equity": row_digest((m.at, m.value, m.cash) for m in engine.marks),
    }


def forecast_row(call: Prediction) -> tuple[object, ...]:
    """as_of, symbol, direction, confidence, close, last close, abstention."""
    if isinstance(call, Abstention):
        return call.as_of, call.symbol, None, None, None, call.last_close, call.reason
    return call.as_of, call.symbol, call.direction, call.confidence, call.close, call.last_close, None


def _oracle_call(call: Prediction, view: OracleView) -> Forecast:
    up = view.probability_up >= 0.5
    limit = max if up else min
    return Forecast(
        symbol=call.symbol,
        as_of=call.as_of,
        direction=Direction.UP if up else Direction.DOWN,
        confidence=max(view.probability_up, 1 - view.probability_up),
        close=limit(view.close, call.last_close),
        last_close=call.last_close,
    )


def build_result(
    name: str,
    config: BacktestConfig,
    facts: MarketData,
    observed: Sequence[Observation],
    student: Student,
    num_generated: int,
    simulations: Mapping[str, SimulationResult],
) -> dict[str, Any]:
    """Everything about a run but its place in the record of trials, as JSON types."""
    traded = facts.traded_bars
    calls = simulations[STUDENT].calls
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
        "asked": num_generated,
        "student": student.name,
        "student_fingerprint": student.fingerprint,
        "student_released": student.released,
        **_measure_contamination(config, forecasts, facts, student.released),
        "days_per_year": facts.days_per_year,
        "currency": facts.currency,
        "cash": config.cash,
        "costs": {symbol: asdict(costs) for symbol, costs in build_costs(config, facts.instruments).items()},
        "notes": facts.notes,
        **scorecard(simulations, facts),
    }
    plain_made: dict[str, Any] = to_jsonable(made)
    return plain_made


def record_trial(
    name: str,
    facts: MarketData,
    result: Mapping[str, Any],
    student: SimulationResult,
    path: Path,
    now: datetime,
) -> dict[str, Any]:
    """Put the run on the record of trials; how many are on it for these data, and the Sharpe ratio deflated.

    The deflation counts distinct forecasts: the same ones run again are no second draw of luck.
    """
    engine = student.engine
    earned = compute_performance(
        [(m.at, m.value) for m in engine.marks], engine.starting_cash, facts.days_per_year
    )
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
    append_trial(path, trial)
    known = find_trials(path, trial.data, trial.symbols, trial.start, trial.end)
    different = distinct_trials(known)
    return {
        "trials": len(known),
        "distinct_trials": len(different),
        "deflated_sharpe": deflated_sharpe(earned.returns, len(different), sharpe_variance(different)),
    }


def _measure_contamination(
    config: BacktestConfig, forecasts: Sequence[Forecast], facts: MarketData, released: date | None
) -> dict[str, Any]:
    """How many forecasts the model may have known the answer to, and the accuracy on the others.

    A simulated market's dates mean nothing; there it is the training seeds that a student knows, and an
    adapter may have been trained on any market.
    """
    if facts.simulated:
        known = len(forecasts) if facts.is_training_market else None if config.adapter else 0
        return {"contaminated_n": known, "after_release": None}
    if released is None:
        return {"contaminated_n": None, "after_release": None}
    release = datetime.combine(released, time(0), tzinfo=UTC)
    clean = [call for call in forecasts if call.as_of >= release]
    scored = compute_accuracy(match_outcomes(clean, facts.bars))
    return {
        "contaminated_n": len(forecasts) - len(clean),
        "after_release": {
            "n": scored.n,
            "accuracy": scored.accuracy,
            "accuracy_low": scored.accuracy_low,
            "accuracy_high": scored.accuracy_high,
        },
    }

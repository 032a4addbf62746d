"""The scored table of a run: every caller's figures, the verdict, the edge and the digests.

Knows no file, no model and no screen; it turns calls, outcomes and engine results into one mapping.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from engine.accuracy import accuracy
from engine.digests import digest
from engine.outcomes import Scored, outcomes
from engine.performance import performance
from engine.records import EngineResult, OrderStatus
from engine.values import Abstention, Call, Direction, Forecast
from engine.verdict import verdict
from feeds.simulated import OracleView
from strategies.facts import Facts

STUDENT, ORACLE = "student", "oracle"
BASELINES = ("buy_and_hold", "persistence", "majority", "random")
Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One caller's calls and what they came to in backtrader."""

    calls: Sequence[Call]
    engine: EngineResult


def scorecard(played: Mapping[str, Played], facts: Facts) -> dict[str, Any]:
    """Scores by caller, verdict, digests and, on a simulated market, the share of the edge captured."""
    scored = {name: outcomes(one.calls, facts.bars) for name, one in played.items()}
    judged = verdict(scored[STUDENT], {name: scored[name] for name in BASELINES})
    student = played[STUDENT]
    return {
        "scores": {
            name: _scores(scored[name], one.engine, facts.days_per_year) for name, one in played.items()
        },
        "verdict": judged.result,
        "verdict_detail": asdict(judged),
        "edge_captured": edge_captured(student.calls, facts.oracle) if facts.oracle else None,
        "digests": digests(student),
    }


def edge_captured(calls: Sequence[Call], oracle: Mapping[Key, OracleView]) -> float | None:
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


def oracle_calls(calls: Sequence[Call], oracle: Mapping[Key, OracleView]) -> list[Forecast]:
    """What the oracle would have said at the same closes."""
    return [_oracle_call(call, oracle[call.symbol, call.as_of]) for call in calls]


def digests(student: Played) -> dict[str, str]:
    """SHA-256 over the canonical rows of the student's forecasts, orders, fills and equity."""
    engine = student.engine
    return {
        "forecasts": digest(forecast_row(call) for call in student.calls),
        "orders": digest(
            (o.number, o.decided_at, o.due_at, o.at, o.symbol, o.size, o.status, o.reason)
            for o in engine.orders
        ),
        "fills": digest((f.at, f.symbol, f.size, f.price, f.cost) for f in engine.fills),
        "equity": digest((m.at, m.value, m.cash) for m in engine.marks),
    }


def forecast_row(call: Call) -> tuple[object, ...]:
    """as_of, symbol, direction, confidence, close, last close, abstention."""
    if isinstance(call, Abstention):
        return call.as_of, call.symbol, None, None, None, call.last_close, call.reason
    return call.as_of, call.symbol, call.direction, call.confidence, call.close, call.last_close, None


def _oracle_call(call: Call, view: OracleView) -> Forecast:
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


def _scores(scored: Sequence[Scored], engine: EngineResult, days_per_year: int) -> dict[str, Any]:
    right = accuracy(scored)
    earned = performance([(m.at, m.value) for m in engine.marks], engine.starting_cash, days_per_year)
    return {
        **asdict(right),
        "total_return": earned.total_return,
        "sharpe": earned.sharpe,
        "max_drawdown": earned.max_drawdown,
        "trades": len(engine.fills),
        "rejected": sum(order.status is OrderStatus.REJECTED for order in engine.orders),
        "expired": sum(order.status is OrderStatus.EXPIRED for order in engine.orders),
        "costs_paid": sum(fill.cost for fill in engine.fills) + sum(step.borrow for step in engine.steps),
    }

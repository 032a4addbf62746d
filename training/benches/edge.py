"""How much of a simulated market's edge a student captures, on seeds that training never saw.

Knows no trading: it compares calls with the oracle's. The markets differ in one thing at a time: which
headline templates they use, headlines shuffled between days, or no edge at all.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.metrics.accuracy import compute_accuracy
from engine.metrics.significance import Conclusion, compute_verdict
from engine.model import Abstention, Observation, Prediction
from engine.outcomes import match_outcomes
from engine.timeline import build_observations
from feeds.simulated.headlines import HeadlineSet
from feeds.simulated.market import MarketSettings, SimulatedMarket, simulate
from llm.answer_cache import AnswerCache
from llm.forecaster import forecast
from llm.student import Student
from strategies import baselines
from strategies.results import edge_captured, oracle_predictions

Progress = Callable[[str, int, int], None]

_START = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeBenchConfig:
    """Which markets a student is measured on; none of the seeds may be a training seed."""

    seeds: tuple[int, ...] = (101, 102, 103, 104, 105)
    days: int = 250


def measure_edge(
    student: Student, exam: EdgeBenchConfig, data_dir: Path, on_progress: Progress
) -> dict[str, Any]:
    """The student's figures on every kind of market, as JSON types; see `_figures` for the keys."""
    kinds = {
        "familiar": [_make_market(seed, exam) for seed in exam.seeds],
        "all": [_make_market(seed, exam, headlines=HeadlineSet.ALL) for seed in exam.seeds],
        "withheld": [_make_market(seed, exam, headlines=HeadlineSet.WITHHELD) for seed in exam.seeds],
        "shuffled": [_shuffle_headlines(_make_market(seed, exam), seed) for seed in exam.seeds],
        "no_edge": [_make_market(seed, exam, edge=False) for seed in exam.seeds],
    }
    with AnswerCache(data_dir / "ledger.sqlite") as ledger:
        measured = {}
        for kind, markets in kinds.items():
            sat = []
            for number, market in enumerate(markets):
                on_progress(f"{kind} headlines", number, len(markets))
                sat.append(_run_student(student, market, ledger))
            on_progress(f"{kind} headlines", len(markets), len(markets))
            measured[kind] = _figures(sat)
    return {"student": student.name, "seeds": list(exam.seeds), "days": exam.days, **measured}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    market: SimulatedMarket
    observed: Sequence[Observation]
    calls: Sequence[Prediction]


def _make_market(seed: int, exam: EdgeBenchConfig, **changes: Any) -> SimulatedMarket:
    return simulate(MarketSettings(seed=seed, days=exam.days, **changes))


def _shuffle_headlines(market: SimulatedMarket, seed: int) -> SimulatedMarket:
    """The same market with each symbol's headlines dealt out anew over its days."""
    groups: dict[frozenset[str], list[int]] = {}
    for place, item in enumerate(market.news):
        groups.setdefault(item.symbols, []).append(place)
    news = list(market.news)
    rng = random.Random(seed)  # noqa: S311  # a shuffle, not a secret
    for places in groups.values():
        dealt = rng.sample(places, len(places))
        for place, source in zip(places, dealt, strict=True):
            news[place] = replace(market.news[place], title=market.news[source].title)
    return replace(market, news=tuple(news))


def _run_student(student: Student, market: SimulatedMarket, ledger: AnswerCache) -> _Result:
    observed = build_observations(market.bars, market.news, window=student.window, start=_START)
    made = forecast(observed, student, ledger, lambda _done, _total: None)
    return _Result(market=market, observed=observed, calls=made.calls)


def _figures(sat: Sequence[_Result]) -> dict[str, Any]:
    """Pooled over markets: accuracy and Brier of student and oracle, edge captured, verdicts."""
    ours = compute_accuracy([one for s in sat for one in match_outcomes(s.calls, s.market.bars)])
    best = compute_accuracy(
        [
            one
            for s in sat
            for one in match_outcomes(oracle_predictions(s.calls, s.market.oracle), s.market.bars)
        ]
    )
    edges = [edge_captured(s.calls, s.market.oracle) for s in sat]
    known = [edge for edge in edges if edge is not None]
    verdicts = [_verdict(s) for s in sat]
    return {
        "n": ours.n,
        "abstentions": sum(isinstance(call, Abstention) for s in sat for call in s.calls),
        "accuracy": ours.accuracy,
        "oracle_accuracy": best.accuracy,
        "brier": ours.brier,
        "oracle_brier": best.brier,
        "close_mae_bps": ours.close_mae_bps,
        "oracle_close_mae_bps": best.close_mae_bps,
        "edge_captured": sum(known) / len(known) if known else None,
        "edge_captured_least": min(known, default=None),
        "verdicts_better": sum(v is Conclusion.BETTER for v in verdicts),
        "markets": len(sat),
    }


def _verdict(sat: _Result) -> Conclusion:
    bars = sat.market.bars
    callers: dict[str, Sequence[Prediction]] = {
        "buy_and_hold": baselines.buy_and_hold(sat.observed, bars),
        "persistence": baselines.persistence(sat.observed, bars),
        "majority": baselines.majority(sat.observed, bars),
        "random": baselines.random_baseline(sat.observed, 0),
    }
    theirs = {name: match_outcomes(calls, bars) for name, calls in callers.items()}
    return compute_verdict(match_outcomes(sat.calls, bars), theirs).result

"""The edge bench: how much of a simulated market's edge does a student capture, on seeds unseen in training?

It compares calls with the oracle's, without trading. The markets differ in one respect at a time: which
headline templates they use, headlines shuffled between days, or no edge at all.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.metrics.accuracy import compute_accuracy
from engine.metrics.differences import DEFAULT_COMPARATORS, Forecaster, compute_differences
from engine.metrics.verdicts import Claim, Conclusion, conclude
from engine.model import Abstention, Observation, Prediction
from engine.outcomes import match_outcomes
from engine.timeline import build_observations
from feeds.simulated.headlines import HeadlineSet
from feeds.simulated.market import MarketSettings, SimulatedMarket, simulate
from llm.answer_cache import AnswerCache
from llm.forecaster import forecast
from llm.student import Student
from strategies.results import edge_captured, oracle_predictions

Progress = Callable[[str, int, int], None]
_START = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeBenchConfig:
    """Which markets a student is measured on; none of the seeds may be a training seed."""

    seeds: tuple[int, ...] = (101, 102, 103, 104, 105)
    days: int = 250


def measure_edge(
    student: Student, bench: EdgeBenchConfig, data_dir: Path, on_progress: Progress
) -> dict[str, Any]:
    """Measure a student on every kind of market.

    Args:
        student: The student.
        bench: The markets.
        data_dir: Where answers are cached.
        on_progress: Called after each market.

    Returns:
        Figures by kind of market, as JSON types; see `_figures` for the keys.
    """
    kinds = {
        "familiar": [_make_market(seed, bench) for seed in bench.seeds],
        "all": [_make_market(seed, bench, headlines=HeadlineSet.ALL) for seed in bench.seeds],
        "withheld": [_make_market(seed, bench, headlines=HeadlineSet.WITHHELD) for seed in bench.seeds],
        "shuffled": [_shuffle_headlines(_make_market(seed, bench), seed) for seed in bench.seeds],
        "no_edge": [_make_market(seed, bench, edge=False) for seed in bench.seeds],
    }
    with AnswerCache(data_dir / "ledger.sqlite") as cache:
        figures = {}
        for kind, markets in kinds.items():
            results = []
            for number, market in enumerate(markets):
                on_progress(f"{kind} headlines", number, len(markets))
                results.append(_run_student(student, market, cache))
            on_progress(f"{kind} headlines", len(markets), len(markets))
            figures[kind] = _figures(results)
    return {"student": student.name, "seeds": list(bench.seeds), "days": bench.days, **figures}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    market: SimulatedMarket
    observed: Sequence[Observation]
    calls: Sequence[Prediction]


def _make_market(seed: int, bench: EdgeBenchConfig, **changes: Any) -> SimulatedMarket:
    return simulate(MarketSettings(seed=seed, days=bench.days, **changes))


def _shuffle_headlines(market: SimulatedMarket, seed: int) -> SimulatedMarket:
    """Return the same market with each symbol's headlines shuffled over its days."""
    groups: dict[frozenset[str], list[int]] = {}
    for index, item in enumerate(market.news):
        groups.setdefault(item.symbols, []).append(index)
    news = list(market.news)
    rng = random.Random(seed)  # noqa: S311  # a shuffle, not a secret
    for indices in groups.values():
        shuffled = rng.sample(indices, len(indices))
        for index, source in zip(indices, shuffled, strict=True):
            news[index] = replace(market.news[index], title=market.news[source].title)
    return replace(market, news=tuple(news))


def _run_student(student: Student, market: SimulatedMarket, cache: AnswerCache) -> _Result:
    observed = build_observations(market.bars, market.news, window=student.window, start=_START)
    forecasts = forecast(observed, student, cache, lambda *_: None)
    return _Result(market=market, observed=observed, calls=forecasts.calls)


def _figures(results: Sequence[_Result]) -> dict[str, Any]:
    """Return figures pooled over markets: accuracy and Brier of student and oracle, edge, verdicts."""
    ours = compute_accuracy([pair for r in results for pair in match_outcomes(r.calls, r.market.bars)])
    best = compute_accuracy(
        [
            pair
            for r in results
            for pair in match_outcomes(oracle_predictions(r.calls, r.market.oracle), r.market.bars)
        ]
    )
    edges = [edge_captured(r.calls, r.market.oracle) for r in results]
    known = [edge for edge in edges if edge is not None]
    verdicts = [_conclude_direction(result) for result in results]
    return {
        "n": ours.n,
        "abstentions": sum(isinstance(call, Abstention) for r in results for call in r.calls),
        "accuracy": ours.accuracy,
        "oracle_accuracy": best.accuracy,
        "brier": ours.brier,
        "oracle_brier": best.brier,
        "close_mae_bps": ours.close_mae_bps,
        "oracle_close_mae_bps": best.close_mae_bps,
        "edge_captured": sum(known) / len(known) if known else None,
        "edge_captured_least": min(known, default=None),
        "verdicts_better": sum(v is Conclusion.BETTER for v in verdicts),
        "markets": len(results),
    }


def _conclude_direction(result: _Result) -> Conclusion:
    bars = result.market.bars
    student = Forecaster(scored=match_outcomes(result.calls, bars), marks=(), cash=1.0)
    nobody = {"buy_and_hold": Forecaster(scored=(), marks=(), cash=1.0)}
    differences = compute_differences(student, nobody, bars, DEFAULT_COMPARATORS, can_short=False)
    return conclude(differences)[Claim.DIRECTION].result

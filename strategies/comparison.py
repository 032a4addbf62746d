"""Compare runs: settings that differ, whether their data are the same, scores, and paired tests.

A test takes one number a day: the mean difference over the decisions that both runs made at the same closes
of the same symbols, or the difference of the day's returns. It is the paired t test, two-sided at 5%; a run
that is looked at again and again needs the verdicts of its own result, which hold on any day.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from engine.metrics.accuracy import is_hit
from engine.metrics.registry import MetricTable, table_metrics
from engine.model import Forecast
from engine.outcomes import Outcome
from strategies.conclusions import direction_verdict
from strategies.recorded_run import RecordedRun
from strategies.report.series import daily_values, trading_day
from strategies.results import STUDENT
from strategies.settings_difference import find_differences

TEST = "paired t test over days, two-sided 5%"
_FEWEST_DAYS = 5
Key = tuple[str, datetime]
_Score = Callable[[Forecast, Outcome], float | None]


def _score_direction(call: Forecast, outcome: Outcome) -> float | None:
    hit = is_hit(call, outcome)
    return None if hit is None else float(hit)


def _score_probability(call: Forecast, outcome: Outcome) -> float | None:
    """Return the Brier score, its sign turned so that more is better."""
    return None if outcome.tie else -((call.probability_up - (outcome.close_return > 0)) ** 2)


def _score_close(call: Forecast, outcome: Outcome) -> float:
    """Return the error of the close in basis points of the last close, its sign turned."""
    return -abs(call.close - outcome.next_close) / outcome.last_close * 1e4


_SCORES: Mapping[str, _Score] = {
    "direction": _score_direction,
    "probability": _score_probability,
    "close": _score_close,
}


def compare_runs(runs: Sequence[RecordedRun]) -> dict[str, Any]:
    """Return runs side by side as JSON types; every test compares one with the first.

    Args:
        runs: At least two.
    """
    settings = find_differences([run.config for run in runs])
    first, *others = runs
    data = [_compare_data(first, other) for other in others]
    students = [run.result["scores"][STUDENT] for run in runs]
    scores = {
        metric.key: [student.get(metric.key) for student in students]
        for metric in table_metrics(MetricTable.RESULT)
    }
    return {
        "runs": [_describe(run) for run in runs],
        "settings": {key: [row[key] for row in settings] for key in settings[0]},
        "data": data,
        "scores": {key: values for key, values in scores.items() if any(v is not None for v in values)},
        "test": TEST,
        "tests": [
            test
            for other, pair in zip(others, data, strict=True)
            for test in _test_pair(first, other, same_data=not pair["differing_closes"])
        ],
    }


def _describe(run: RecordedRun) -> dict[str, Any]:
    result = run.result
    return {
        "run": run.name,
        "kind": run.kind.value,
        "trader": result.get("strategy") or result.get("student"),
        "symbols": result["symbols"],
        "start": result["start"],
        "end": result["end"],
        "simulated": result["simulated"],
        "verdict": direction_verdict(result),
    }


def _compare_data(first: RecordedRun, other: RecordedRun) -> dict[str, Any]:
    """Return how many closes both runs traded on, and at how many of them the prices differ."""
    closes = [
        {(bar.symbol, bar.closes_at): bar.close for bars in run.bars.values() for bar in bars}
        for run in (first, other)
    ]
    shared = closes[0].keys() & closes[1].keys()
    differing = [key for key in shared if not math.isclose(closes[0][key], closes[1][key], rel_tol=1e-9)]
    example = min(differing, default=None)
    return {
        "run": other.name,
        "against": first.name,
        "shared_closes": len(shared),
        "differing_closes": len(differing),
        "first_difference": None if example is None else f"{example[0]} at {example[1]:%Y-%m-%d}",
        "only_first": len(closes[0].keys() - shared),
        "only_other": len(closes[1].keys() - shared),
        "news": [first.result["news"], other.result["news"]],
    }


def _test_pair(first: RecordedRun, other: RecordedRun, *, same_data: bool) -> list[dict[str, Any]]:
    scored = [
        {
            (call.symbol, call.as_of): (call, outcome)
            for call, outcome in run.match_outcomes()
            if isinstance(call, Forecast) and outcome is not None
        }
        for run in (first, other)
    ]
    pair = {"run": other.name, "against": first.name}
    tests = [
        pair | {"claim": claim} | _test_days(_daily_differences(scored[0], scored[1], score))
        for claim, score in _SCORES.items()
    ]
    # Returns on other prices are those of another market.
    returns, days = _return_differences(first, other) if same_data else ([], 0)
    return [*tests, pair | {"claim": "return", "decisions": days} | _test_days((returns, days))]


def _daily_differences(
    first: Mapping[Key, tuple[Forecast, Outcome]],
    other: Mapping[Key, tuple[Forecast, Outcome]],
    score: _Score,
) -> tuple[list[float], int]:
    """Return the mean difference of each day, other less first, and the number of shared decisions.

    Decisions are shared where both runs had the same closes before and after.
    """
    by_day: dict[date, list[float]] = {}
    for key in sorted(first.keys() & other.keys()):
        if not math.isclose(first[key][1].close_return, other[key][1].close_return, abs_tol=1e-12):
            continue
        values = score(*first[key]), score(*other[key])
        if values[0] is not None and values[1] is not None:
            by_day.setdefault(trading_day(key[1]), []).append(values[1] - values[0])
    means = [math.fsum(values) / len(values) for _, values in sorted(by_day.items())]
    return means, sum(map(len, by_day.values()))


def _return_differences(first: RecordedRun, other: RecordedRun) -> tuple[list[float], int]:
    """Return the differences of the students' returns between the days that both have."""
    curves = [run.curves.get(STUDENT) for run in (first, other)]
    if curves[0] is None or curves[1] is None:
        return [], 0
    values = [daily_values(curve) for curve in curves if curve is not None]
    days = sorted(values[0].keys() & values[1].keys())
    differences = [
        values[1][now] / values[1][before] - values[0][now] / values[0][before]
        for before, now in pairwise(days)
        if values[0][before] > 0 and values[1][before] > 0
    ]
    return differences, len(differences)


def _test_days(daily: tuple[Sequence[float], int]) -> dict[str, Any]:
    """Return the test of daily differences; no bounds where there are too few days, or none differs."""
    differences, decisions = daily
    days = len(differences)
    blank = {"difference": None, "low": None, "high": None, "p_value": None, "winner": "inconclusive"}
    if not days:
        return {"decisions": 0, "days": 0} | blank
    mean = math.fsum(differences) / days
    counts = {"decisions": decisions, "days": days}
    spread = math.fsum((value - mean) ** 2 for value in differences)
    if days < _FEWEST_DAYS or spread <= 0:
        same = not any(differences)
        return counts | blank | {"difference": mean} | ({"winner": "same"} if same else {})
    from scipy.stats import ttest_1samp

    tested = ttest_1samp(differences, 0.0)
    low, high = tested.confidence_interval(0.95)
    winner = "inconclusive" if low <= 0 <= high else "run" if mean > 0 else "against"
    return counts | {
        "difference": mean,
        "low": float(low),
        "high": float(high),
        "p_value": float(tested.pvalue),
        "winner": winner,
    }

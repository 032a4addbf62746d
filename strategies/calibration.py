"""Calibrate stated confidences walk-forward: each by a model of the outcomes known when it was made.

The three methods map the stated log-odds x of the called direction to the probability that it is right:
`platt` 1 / (1 + exp(-(a x + b))) (Platt 1999), `temperature` the same with b = 0 (Guo et al. 2017), and
`isotonic` a step function that never falls (Zadrozny and Elkan 2002).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.metrics.accuracy import is_hit
from engine.model import Forecast, Prediction
from engine.outcomes import Outcome, Scored
from strategies.baselines.fitting import MIN_OUTCOMES, Label, Predict, predict_walk_forward
from strategies.config import CalibrationMethod

_CERTAIN = 0.995
_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How well confidences agree with what came: of forecasts that were a hit or a miss.

    Attributes:
        n: Their number.
        brier: The mean squared error of the confidence.
        log_loss: The mean negative log-likelihood.
        ece: The expected calibration error: |hit rate - mean confidence| over ten bins, by their size.
        bins: For each bin that is not empty its number, mean confidence and hit rate.
    """

    n: int
    brier: float | None
    log_loss: float | None
    ece: float | None
    bins: tuple[Mapping[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """The predictions with calibrated confidences, and what that did to their reliability."""

    calls: tuple[Prediction, ...]
    report: Mapping[str, Any]


def calibrate(scored: Sequence[Scored], method: CalibrationMethod) -> Calibrated:
    """Return the predictions with the confidence that the past gives their stated one.

    Direction and close stay. A model is fitted at most every 20 days, on the outcomes known by then. A
    direction that the past finds wrong more often than right gets a confidence of 0.50, which bets nothing.

    Args:
        scored: The predictions with their outcomes, in any order.
        method: How.

    Returns:
        The predictions in the order given. The report has the reliability `before` and `after` of those that
        were calibrated, and how many there are.
    """
    import numpy as np

    forecasts = {place: call for place, (call, _) in enumerate(scored) if isinstance(call, Forecast)}
    fitted = predict_walk_forward(
        np.array([_log_odds(call.confidence) for call in forecasts.values()]),
        [call.as_of for call in forecasts.values()],
        [_label(call, scored[place][1]) for place, call in forecasts.items()],
        lambda stated, hits: _fit(stated, hits, method),
        max_outcomes=None,
    )
    result = {
        place: replace(call, confidence=min(1.0, max(0.5, probability)))
        for (place, call), probability in zip(forecasts.items(), fitted.probabilities, strict=True)
        if probability is not None
    }
    changed = [(scored[place], after) for place, after in sorted(result.items())]
    report = {
        "method": method,
        "refits": fitted.refits,
        "calibrated": len(result),
        "before": asdict(measure_reliability([before for before, _ in changed])),
        "after": asdict(measure_reliability([(after, before[1]) for before, after in changed])),
    }
    calls = tuple(result.get(place, call) for place, (call, _) in enumerate(scored))
    return Calibrated(calls=calls, report=report)


def measure_reliability(scored: Sequence[tuple[Prediction, Outcome | None]]) -> Reliability:
    """Return how well the confidences of forecasts agree with their hits and misses."""
    pairs = [
        (call.confidence, float(right))
        for call, outcome in scored
        if isinstance(call, Forecast) and (right := is_hit(call, outcome)) is not None
    ]
    binned: dict[int, list[tuple[float, float]]] = {}
    for confidence, hit in pairs:
        place = min(_BINS - 1, int((confidence - 0.5) * 2 * _BINS + 1e-9))
        binned.setdefault(place, []).append((confidence, hit))
    bins = tuple(
        {
            "n": len(rows),
            "confidence": math.fsum(p for p, _ in rows) / len(rows),
            "hits": math.fsum(hit for _, hit in rows) / len(rows),
        }
        for _, rows in sorted(binned.items())
    )
    n = len(pairs)
    if not n:
        return Reliability(n=0, brier=None, log_loss=None, ece=None, bins=())
    losses = (-math.log(min(_CERTAIN, p) if hit else 1 - min(_CERTAIN, p)) for p, hit in pairs)
    return Reliability(
        n=n,
        brier=math.fsum((p - hit) ** 2 for p, hit in pairs) / n,
        log_loss=math.fsum(losses) / n,
        ece=math.fsum(each["n"] * abs(each["hits"] - each["confidence"]) for each in bins) / n,
        bins=bins,
    )


def describe_calibration(report: Mapping[str, Any]) -> str:
    """Return what was traded and what it did, as a sentence or two."""
    before, after = report["before"], report["after"]
    how = f"Calibration by {report['method']}"
    if not report["calibrated"]:
        few = f"fewer than {MIN_OUTCOMES} outcomes were known in time"
        return f"{how}: {few}; the stated confidences were traded."
    return (
        f"{how}: {report['calibrated']:,} forecasts were traded with a confidence fitted on outcomes known "
        "by then, the earlier ones with their stated one. Direction and close stay. Brier score of the "
        f"confidence {before['brier']:.4f} before and {after['brier']:.4f} after, "
        f"calibration error {before['ece']:.1%} and {after['ece']:.1%}."
    )


def _label(call: Forecast, outcome: Outcome | None) -> Label | None:
    hit = is_hit(call, outcome)
    return None if outcome is None or hit is None else (outcome.known_at, hit)


def _fit(x: Any, hits: Sequence[bool], method: CalibrationMethod) -> Predict:
    import numpy as np

    y = np.array(hits, dtype=int)
    if method is CalibrationMethod.ISOTONIC:
        from sklearn.isotonic import IsotonicRegression

        isotonic = IsotonicRegression(y_min=1 - _CERTAIN, y_max=_CERTAIN, out_of_bounds="clip").fit(x, y)
        return lambda values: list(map(float, isotonic.predict(values)))
    from sklearn.linear_model import LogisticRegression

    intercept = method is CalibrationMethod.PLATT
    logistic = LogisticRegression(C=1e6, fit_intercept=intercept).fit(x.reshape(-1, 1), y)
    return lambda values: list(map(float, logistic.predict_proba(values.reshape(-1, 1))[:, 1]))


def _log_odds(confidence: float) -> float:
    inside = min(_CERTAIN, confidence)
    return math.log(inside / (1 - inside))

"""Recalibrate stated confidences against outcomes: the labels of supervised fine-tuning.

A raw outcome as label teaches a confidence of 1.00. So the student's stated log-odds of up, and the momentum
that it could see, are fitted to the outcomes by a logistic regression (Platt 1999, "Probabilistic Outputs for
Support Vector Machines"), and each day's labels come from a fit on other days. A student that has become
wrong gets a negative slope, which reverses its direction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from engine.metrics.accuracy import decision_day
from engine.model import Direction, Forecast, Observation, Prediction
from llm.answers import format_answer
from llm.prompts import BASE, rebase_price
from strategies.sizing import volatility
from training.dataset.experience import Experience

_FOLDS = 5
_LEVEL = 0.05
_MOMENTUM_BARS = 3
_T_DEGREES = 5
_T_SCALE = math.sqrt((_T_DEGREES - 2) / _T_DEGREES)
_PRIOR = 5.0
_LEAST, _MOST = 0.02, 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow:
    """A row of the regression: one decision with its outcome.

    Attributes:
        day: UTC date of the decision.
        probability_up: As the student stated it; 0.5 for an abstention.
        momentum: In [-1, 1], see `compute_momentum`.
        went_up: Whether the next close was higher; None for a tie.
        weight: Above 0.
    """

    day: date
    probability_up: float
    momentum: float
    went_up: bool | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFit:
    """The labels, in the order of the rows, and the fit on all days.

    Attributes:
        probabilities: The label of each row: a probability of up.
        base_rate: Weighted share of rises.
        intercept: In log-odds.
        slope: Per unit of stated log-odds, after shrinkage.
        momentum: Per unit of momentum, after shrinkage.
        shrinkage: The factor that slopes were shrunk by, 0 to 1.
        p_value: Of the improvement over the base rate; unless below 5%, the labels are the base rate.
    """

    probabilities: tuple[float, ...]
    base_rate: float
    intercept: float
    slope: float
    momentum: float
    shrinkage: float
    p_value: float

    @property
    def significant(self) -> bool:
        """Return whether the labels are better than the base rate."""
        return self.p_value < _LEVEL


def compute_momentum(observation: Observation) -> float:
    """Return the return of the last three bars over its standard deviation, by tanh; 0 with fewer bars."""
    bars = observation.bars
    if len(bars) < _MOMENTUM_BARS + 1:
        return 0.0
    spread = volatility(bars) * math.sqrt(_MOMENTUM_BARS)
    change = math.log(bars[-1].close / bars[-1 - _MOMENTUM_BARS].close)
    return math.tanh(change / spread) if spread > 0 else 0.0


def fit_calibration(rows: Sequence[CalibrationRow]) -> CalibrationFit:
    """Fit a label to each row.

    Slopes are shrunk by (LR - 2) / LR, where LR is the likelihood ratio against the base rate at the
    effective number of decisions (Van Houwelingen and Le Cessie 1990, "Predictive value of statistical
    models"; Kish 1965 for the number). They are used only if the labels fitted on other days have a better
    Brier score than the base rate, by a one-sided t test over days.
    """
    import numpy as np

    inputs = np.array([[_log_odds(row.probability_up), row.momentum] for row in rows], dtype=float)
    up = np.array([bool(row.went_up) for row in rows], dtype=float)
    weights = np.array([0.0 if row.went_up is None else row.weight for row in rows], dtype=float)
    days = np.array([row.day.toordinal() for row in rows])
    base = _base_rate(up, weights)
    shrinkage, line = _fit(inputs, up, weights)
    labels = np.full(len(rows), base)
    for part in np.array_split(np.unique(days), _FOLDS):
        in_part = np.isin(days, part)
        if in_part.any():
            _, line_elsewhere = _fit(inputs[~in_part], up[~in_part], weights[~in_part])
            labels[in_part] = _probability(inputs[in_part], line_elsewhere)
    p_value = _improvement_p_value(labels, up, weights, days)
    if p_value >= _LEVEL:
        labels, line, shrinkage = np.full(len(rows), base), (_log_odds(base), 0.0, 0.0), 0.0
    return CalibrationFit(
        probabilities=tuple(float(label) for label in labels),
        base_rate=base,
        intercept=line[0],
        slope=line[1],
        momentum=line[2],
        shrinkage=shrinkage,
        p_value=p_value,
    )


def target_close(
    last_close: float, probability_up: float, daily_volatility: float, multiplier: float = 1.0
) -> float:
    """Return the median next close at a probability of up: last * exp(multiplier * sigma * q(p)).

    q is the quantile of Student's t with five degrees of freedom, scaled to unit variance: daily returns
    have its tails (Blattberg and Gonedes 1974, "A Comparison of the Stable and Student Distributions").

    Args:
        last_close: The last close, in the quote currency.
        probability_up: The stated probability of a rise.
        daily_volatility: Standard deviation of a day's return, a fraction.
        multiplier: See `move_multiplier`.
    """
    return last_close * math.exp(multiplier * daily_volatility * return_quantile(probability_up))


def return_quantile(probability_up: float) -> float:
    """Return the median return at a probability of up, in daily standard deviations."""
    from scipy.special import stdtrit

    return _T_SCALE * float(stdtrit(_T_DEGREES, min(_MOST, max(_LEAST, probability_up))))


def move_multiplier(implied: Sequence[float], actual: Sequence[float], weights: Sequence[float]) -> float:
    """Fit the ratio of actual to implied returns, in [0, 1.5].

    Weighted least squares through the origin, with a prior at 1 worth five implied returns of one sigma. The
    measured volatility includes the spread of the drift, so the labels alone would imply too large a move.

    Args:
        implied: The returns that the labels imply, in daily standard deviations.
        actual: The actual returns, likewise; winsorised at 3.
        weights: The weight of each.
    """
    total = math.fsum(weights)
    scale = len(weights) / total if total > 0 else 1.0
    clipped = [max(-3.0, min(3.0, value)) for value in actual]
    covariance = math.fsum(scale * w * x * y for w, x, y in zip(weights, implied, clipped, strict=True))
    variance = math.fsum(scale * w * x * x for w, x in zip(weights, implied, strict=True))
    return min(1.5, max(0.0, (covariance + _PRIOR) / (variance + _PRIOR)))


def compute_daily_weights(days: Sequence[date], half_life: float | None) -> list[float]:
    """Return a weight of 1 on the last day, halved every `half_life` days before it; all 1 if None."""
    if half_life is None or not days:
        return [1.0] * len(days)
    last = max(days)
    return [0.5 ** ((last - day).days / half_life) for day in days]


_Line = tuple[float, float, float]


def _fit(inputs: Any, up: Any, weights: Any) -> tuple[float, _Line]:
    """Return the shrinkage, and the intercept and slopes of the weighted logistic regression after it."""
    base = _log_odds(_base_rate(up, weights))
    known = weights > 0
    if known.sum() < 10 or len(set(up[known])) < 2:
        return 0.0, (base, 0.0, 0.0)
    from sklearn.linear_model import LogisticRegression

    x, y = inputs[known], up[known]
    effective = weights[known].sum() ** 2 / (weights[known] ** 2).sum()
    w = weights[known] / weights[known].sum() * effective
    model = LogisticRegression(C=10.0).fit(x, y, sample_weight=w)
    slopes = model.coef_[0]
    centre = (x * w[:, None]).sum(axis=0) / w.sum()
    ratio = 2 * (
        _log_likelihood(x @ slopes + model.intercept_[0], y, w) - _log_likelihood(0 * y + base, y, w)
    )
    shrinkage = max(0.0, (ratio - len(slopes)) / ratio) if ratio > 0 else 0.0
    # Shrunk about the centre, so that the mean label does not change.
    middle = shrinkage * (model.intercept_[0] + centre @ slopes) + (1 - shrinkage) * base
    slopes = shrinkage * slopes
    return shrinkage, (float(middle - centre @ slopes), float(slopes[0]), float(slopes[1]))


def _log_likelihood(log_odds: Any, up: Any, weights: Any) -> float:
    import numpy as np

    return float((weights * (up * log_odds - np.logaddexp(0.0, log_odds))).sum())


def _probability(inputs: Any, line: _Line) -> Any:
    from scipy.special import expit

    return expit(line[0] + inputs @ line[1:])


def _improvement_p_value(labels: Any, up: Any, weights: Any, days: Any) -> float:
    """Return the one-sided p-value that labels beat a Brier score of 0.25, each day one observation."""
    import numpy as np
    from scipy.special import stdtr

    gain = 0.25 - (labels - up) ** 2
    daily = [
        float(np.average(gain[here], weights=weights[here]))
        for day in np.unique(days)
        if weights[here := days == day].sum() > 0
    ]
    count = len(daily)
    if count < 3 or not (spread := float(np.std(daily, ddof=1))) > 0:
        return 1.0
    return float(stdtr(count - 1, -np.mean(daily) / (spread / math.sqrt(count))))


def _base_rate(up: Any, weights: Any) -> float:
    """Return the weighted share of rises, by Laplace's rule of succession."""
    total = weights.sum()
    effective = total**2 / (weights**2).sum() if total > 0 else 0.0
    share = float((weights * up).sum() / total) if total > 0 else 0.5
    return float((share * effective + 1) / (effective + 2))


def _log_odds(probability: float) -> float:
    kept = min(_MOST, max(_LEAST, probability))
    return math.log(kept / (1 - kept))


def build_target_answer(item: Experience, probability_up: float, multiplier: float) -> str:
    """Return the answer that states a probability of up and the median close that it implies.

    Args:
        item: The experience that is answered.
        probability_up: The label.
        multiplier: See `move_multiplier`.
    """
    last = item.observation.last_close
    direction = Direction.UP if probability_up >= 0.5 else Direction.DOWN
    close = rebase_price(target_close(last, probability_up, item.trade_context.sigma, multiplier), last)
    close = max(BASE, close) if direction is Direction.UP else min(BASE, close)
    return format_answer(direction, max(probability_up, 1 - probability_up), min(max(close, 10.0), 999.99))


def fit_move_multiplier(
    items: Sequence[Experience], probabilities: Sequence[float], weights: Sequence[float]
) -> float:
    """Fit the `move_multiplier` of some items.

    Args:
        items: The experiences.
        probabilities: The label of each.
        weights: The weight of each.
    """
    actual = [math.log1p(item.outcome.close_return) / item.trade_context.sigma for item in items]
    return move_multiplier([return_quantile(p) for p in probabilities], actual, weights)


def build_calibration_rows(
    items: Sequence[Experience], calls: Sequence[Prediction], weights: Sequence[float]
) -> list[CalibrationRow]:
    """Build the rows of the regression.

    Args:
        items: The experiences.
        calls: The student's call on each.
        weights: The weight of each.
    """
    return [
        CalibrationRow(
            day=decision_day(call),
            probability_up=call.probability_up if isinstance(call, Forecast) else 0.5,
            momentum=compute_momentum(item.observation),
            went_up=None if item.outcome.tie else item.outcome.next_close > item.outcome.last_close,
            weight=weight,
        )
        for item, call, weight in zip(items, calls, weights, strict=True)
    ]


def sample_examples(
    items: Sequence[Experience],
    prompts: Sequence[str],
    probabilities: Sequence[float],
    weights: Sequence[float],
    *,
    multiplier: float,
    num_examples: int,
    seed: int,
) -> list[dict[str, str]]:
    """Sample rows of prompt and completion: by weight, or every item once before any is repeated.

    Args:
        items: The experiences.
        prompts: The prompt of each.
        probabilities: The label of each.
        weights: The weight of each; all equal: items are shuffled instead.
        multiplier: See `move_multiplier`.
        num_examples: How many rows to return.
        seed: Of the random draw.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    examples = [
        {"prompt": prompt, "completion": build_target_answer(item, probability, multiplier)}
        for item, prompt, probability in zip(items, prompts, probabilities, strict=True)
    ]
    count = len(examples)
    if len(set(weights)) > 1:
        share = np.array(weights) / sum(weights)
        return [examples[index] for index in rng.choice(count, size=num_examples, p=share)]
    indices = [index for _ in range(-(-num_examples // count)) for index in rng.permutation(count)]
    return [examples[index] for index in indices[:num_examples]]

"""The confidence labels of supervised training: what was stated, set right by what came of it.

A raw outcome as label teaches a confidence of 1.00. So the student's own stated log-odds of up, and the
momentum that it could see, are fitted to the outcomes by a logistic regression (Platt 1999, "Probabilistic
Outputs for Support Vector Machines"), each day's labels by a fit on other days. A student that has come to
be wrong gets a negative slope, which turns its direction round. Knows no model and no text.
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
    """One decision with what came of it: a row of the regression.

    `probability_up` is what the student stated (0.5 for an abstention), `momentum` is in [-1, 1], `went_up`
    is None for a tie, `weight` is above 0.
    """

    day: date
    probability_up: float
    momentum: float
    went_up: bool | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFit:
    """Labels in the order of the statements, and the fit on all days that stands for them.

    `slope` and `momentum` are per unit of stated log-odds and of momentum, after shrinkage. `p_value` is
    that of the improvement over the base rate; where it is not below 5% the labels are the base rate.
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
        """Whether the statements and the momentum said more than the base rate."""
        return self.p_value < _LEVEL


def squashed_momentum(observation: Observation) -> float:
    """The return of the last three bars over its standard deviation, squashed by tanh; 0 with few bars."""
    bars = observation.bars
    if len(bars) < _MOMENTUM_BARS + 1:
        return 0.0
    spread = volatility(bars) * math.sqrt(_MOMENTUM_BARS)
    change = math.log(bars[-1].close / bars[-1 - _MOMENTUM_BARS].close)
    return math.tanh(change / spread) if spread > 0 else 0.0


def fit_calibration(statements: Sequence[CalibrationRow]) -> CalibrationFit:
    """Labels for all statements, fitted on their outcomes.

    Slopes are shrunk by (LR - 2) / LR, where LR is the likelihood ratio against the base rate at the
    effective number of decisions (Van Houwelingen and Le Cessie 1990, "Predictive value of statistical
    models"; Kish 1965 for the number). They are used only if the labels made on other days have a
    better Brier score than the base rate, by a one-sided t test over days.
    """
    import numpy as np

    inputs = np.array([[_log_odds(s.probability_up), s.momentum] for s in statements], dtype=float)
    up = np.array([bool(s.went_up) for s in statements], dtype=float)
    weights = np.array([0.0 if s.went_up is None else s.weight for s in statements], dtype=float)
    days = np.array([s.day.toordinal() for s in statements])
    base = _base_rate(up, weights)
    shrinkage, whole = _fit(inputs, up, weights)
    labels = np.full(len(statements), base)
    for part in np.array_split(np.unique(days), _FOLDS):
        here = np.isin(days, part)
        if here.any():
            _, others = _fit(inputs[~here], up[~here], weights[~here])
            labels[here] = _probability(inputs[here], others)
    p_value = _improvement_p_value(labels, up, weights, days)
    if p_value >= _LEVEL:
        labels, whole, shrinkage = np.full(len(statements), base), (_log_odds(base), 0.0, 0.0), 0.0
    return CalibrationFit(
        probabilities=tuple(float(label) for label in labels),
        base_rate=base,
        intercept=whole[0],
        slope=whole[1],
        momentum=whole[2],
        shrinkage=shrinkage,
        p_value=p_value,
    )


def target_close(
    last_close: float, probability_up: float, daily_volatility: float, multiplier: float = 1.0
) -> float:
    """The median next close at a probability of up: last * exp(reach * sigma * q(p)).

    q is the quantile of Student's t with five degrees of freedom, scaled to unit variance: daily returns
    have its tails (Blattberg and Gonedes 1974, "A Comparison of the Stable and Student Distributions").
    """
    return last_close * math.exp(multiplier * daily_volatility * quantile(probability_up))


def quantile(probability_up: float) -> float:
    """The median return at a probability of up, in standard deviations of a day."""
    from scipy.special import stdtrit

    return _T_SCALE * float(stdtrit(_T_DEGREES, min(_MOST, max(_LEAST, probability_up))))


def move_multiplier(implied: Sequence[float], came: Sequence[float], weights: Sequence[float]) -> float:
    """How far returns went for each unit that their labels implied, in [0, 1.5]; both in daily sigmas.

    Weighted least squares through the origin, held to 1 by as much as five implied returns of one sigma; a
    return that came is read at most 3 sigma away. The volatility that is known holds the drift's own spread
    as well, so the labels alone would reach too far.
    """
    total = math.fsum(weights)
    scale = len(weights) / total if total > 0 else 1.0
    met = [max(-3.0, min(3.0, one)) for one in came]
    across = math.fsum(scale * w * x * y for w, x, y in zip(weights, implied, met, strict=True))
    along = math.fsum(scale * w * x * x for w, x in zip(weights, implied, strict=True))
    return min(1.5, max(0.0, (across + _PRIOR) / (along + _PRIOR)))


def recency_weights(days: Sequence[date], half_life: float | None) -> list[float]:
    """A weight of 1 on the last day, halved every `half_life` days before it; all 1 where it is None."""
    if half_life is None or not days:
        return [1.0] * len(days)
    last = max(days)
    return [0.5 ** ((last - day).days / half_life) for day in days]


_Line = tuple[float, float, float]


def _fit(inputs: Any, up: Any, weights: Any) -> tuple[float, _Line]:
    """The shrinkage, and intercept and slopes of the weighted logistic regression after it."""
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
    # Shrunk about the centre, so that the mean label stays where it was.
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
    """The one-sided p-value that labels beat a coin's Brier score, with a day's mean as one observation."""
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
    """The weighted share of rises, by Laplace's rule of succession."""
    total = weights.sum()
    effective = total**2 / (weights**2).sum() if total > 0 else 0.0
    share = float((weights * up).sum() / total) if total > 0 else 0.5
    return float((share * effective + 1) / (effective + 2))


def _log_odds(probability: float) -> float:
    kept = min(_MOST, max(_LEAST, probability))
    return math.log(kept / (1 - kept))


def build_target_answer(item: Experience, probability_up: float, multiplier: float) -> str:
    """The answer that states a probability of up and the median close that it implies."""
    seen = item.observation
    direction = Direction.UP if probability_up >= 0.5 else Direction.DOWN
    close = rebase_price(
        target_close(seen.last_close, probability_up, _daily_volatility(item), multiplier), seen.last_close
    )
    close = max(BASE, close) if direction is Direction.UP else min(BASE, close)
    return format_answer(direction, max(probability_up, 1 - probability_up), min(max(close, 10.0), 999.99))


def fit_move_multiplier(
    items: Sequence[Experience], probabilities: Sequence[float], weights: Sequence[float]
) -> float:
    """How far the closes of these items went for each unit that their labels imply."""
    came = [math.log1p(one.outcome.close_return) / _daily_volatility(one) for one in items]
    return move_multiplier([quantile(p) for p in probabilities], came, weights)


def build_calibration_rows(
    items: Sequence[Experience], stated: Sequence[Prediction], weights: Sequence[float]
) -> list[CalibrationRow]:
    """What the student stated for each item and what came of it, as rows of the recalibration."""
    return [
        CalibrationRow(
            day=decision_day(call),
            probability_up=call.probability_up if isinstance(call, Forecast) else 0.5,
            momentum=squashed_momentum(one.observation),
            went_up=None if one.outcome.tie else one.outcome.next_close > one.outcome.last_close,
            weight=weight,
        )
        for one, call, weight in zip(items, stated, weights, strict=True)
    ]


def sample_examples(
    items: Sequence[Experience],
    prompts: Sequence[str],
    probabilities: Sequence[float],
    weights: Sequence[float],
    *,
    multiplier: float,
    wanted: int,
    seed: int,
) -> list[dict[str, str]]:
    """So many rows of prompt and completion: by weight, or each item once before any comes again."""
    import numpy as np

    rng = np.random.default_rng(seed)
    taught = [
        {"prompt": prompt, "completion": build_target_answer(one, probability, multiplier)}
        for one, prompt, probability in zip(items, prompts, probabilities, strict=True)
    ]
    if len(set(weights)) > 1:
        share = np.array(weights) / sum(weights)
        return [taught[place] for place in rng.choice(len(taught), size=wanted, p=share)]
    places = [place for _ in range(-(-wanted // len(taught))) for place in rng.permutation(len(taught))]
    return [taught[place] for place in places[:wanted]]


def _daily_volatility(item: Experience) -> float:
    """The standard deviation of a day's return, above zero."""
    return max(item.trade_context.volatility, 0.001)

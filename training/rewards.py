"""Compute the reward of an answer from its outcome: pure functions and the registry of the reward's parts.

A reward is the weighted sum of the parts in `PARTS`, each highest in expectation for the truth:

- `brier_score`, 1 - (p - y)^2 (Brier 1950), in [0, 1]: the stated probability of a rise against the outcome.
- `close`, -((f - r) / sigma)^2, in [-64, 0]: the forecast return f against the actual return r. The label
  r is winsorised at 3 sigma, so that one extreme day does not outweigh a month; the score is not, because
  a clipped score has no gradient that corrects an answer. f is clipped at 5 sigma, beyond any label, which
  bounds the part.
- `pnl`, lambda (R - lambda/2 w^2 sigma^2), in [-3, 3]: the net return R of the step that the strategy would
  have taken, minus a charge for risk (Markowitz 1952). The weight that the strategy takes is the one that
  maximises the expectation before cost (see `strategies.sizing`), and times lambda the loss of a wrong
  probability, 4/pi (c - p)^2, is the same for every sigma and lambda and near the Brier part's own.

An invalid answer gets `MARGIN` less than the worst valid one could have: no format is rewarded by itself.
"""

import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.errors import UsageError, suggest
from engine.metrics.accuracy import is_hit
from engine.model import Abstention, Direction, Forecast, Prediction
from engine.outcomes import Outcome
from llm.answers import parse_answer, parse_answer_text
from training.dataset.counterfactual import StepResult, simulate_step
from training.dataset.experience import MIN_VOLATILITY, Experience

LABEL_LIMIT = 3.0
"""The actual return is winsorised at this many standard deviations."""

CALL_LIMIT = 5.0
"""The forecast return is clipped at this many standard deviations."""

PNL_LIMIT = 3.0
"""The largest size of the PnL part: some four standard deviations at full confidence."""

MARGIN = 0.1
"""How much less than the worst valid answer an invalid one gets."""


class Choice(StrEnum):
    """The choices of an answer, in order; a part of the reward belongs to the choice that decides it."""

    CONFIDENCE = "confidence"
    CLOSE = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardPart:
    """One part of the reward; `closecall.add_reward_part` adds one.

    Attributes:
        weight: Its weight by default.
        low: Its least value, and `high` its largest, before the weight.
        choice: The choice of an answer that decides it (see `training.grpo.advantages`).
        score: Its value for a forecast and the step that it led to.
        worst: The least value that a valid answer to an observation could have.
        help: What it rewards.

    Example:
        >>> from training.rewards import PARTS
        >>> PARTS["brier"].low, PARTS["brier"].high
        (0.0, 1.0)
    """

    weight: float
    low: float
    high: float
    choice: Choice
    score: Callable[[Forecast, Experience, StepResult], float]
    worst: Callable[[Experience], float]
    help: str


class Weights(Mapping[str, float]):
    """The weight of each part, by its name; 0 leaves it out, and a part that is not given has its default.

    The defaults keep the best answer within 0.02 of the true probability, and the worst answers close enough
    to the rest that a few invalid ones do not dominate a batch.

    Raises:
        UsageError: For a name that is no part of the reward.
        ValueError: For a weight that is negative or not finite.
    """

    __slots__ = ("_values",)

    def __init__(self, **weights: float) -> None:
        for name, value in weights.items():
            if name not in PARTS:
                raise UsageError(
                    f"weights: unknown part of the reward {name!r}; {suggest(name, PARTS, show=repr)}"
                )
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"weight {name} = {value} is not a number of zero or more")
        self._values = {name: weights.get(name, part.weight) for name, part in PARTS.items()}

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def total(self, parts: Mapping[str, float], choice: Choice | None = None) -> float:
        """Return the weighted sum of the parts, or of those that one choice decides."""
        # Added one after the other: a compensated sum would differ in the last digit.
        return functools.reduce(
            operator.add,
            (
                self[name] * value
                for name, value in parts.items()
                if choice is None or PARTS[name].choice is choice
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """The reward of one answer.

    An invalid answer has the worst value of each part, a `total` that is `MARGIN` below theirs, and the net
    return of an abstention.

    Attributes:
        total: Weighted sum of the parts.
        parts: The parts before their weights.
        brier_gain: The Brier part minus that of the base rate known at the decision; among answers to one
            prompt it differs from `brier_score` by a constant.
        net_return: Of the simulated step.
        valid: Whether the answer is a forecast.
        call: The parsed answer.
    """

    total: float
    parts: Mapping[str, float]
    brier_gain: float
    net_return: float
    valid: bool
    call: Prediction

    @property
    def brier(self) -> float:
        """Return the Brier part."""
        return self.parts["brier"]

    @property
    def close(self) -> float:
        """Return the part of the close."""
        return self.parts["close"]

    def as_json(self) -> dict[str, float | bool | str | None]:
        """Return the figures by name, and why an answer was invalid."""
        reason = self.call.reason if isinstance(self.call, Abstention) else None
        return {
            "total": self.total,
            **self.parts,
            "brier_gain": self.brier_gain,
            "net_return": self.net_return,
            "valid": self.valid,
            "reason": reason,
        }


def observed_rise(outcome: Outcome) -> float:
    """Return 1 for a rise from close to close, 0 for a fall, 0.5 for a tie."""
    return 0.5 if outcome.tie else float(outcome.next_close > outcome.last_close)


def brier_score(probability_up: float, rose: float) -> float:
    """Return 1 - (p - y)^2, in [0, 1], highest in expectation for the true p (Brier 1950); `rose` is y."""
    return 1.0 - (probability_up - rose) ** 2


def close_score(called: float, actual: float, volatility: float) -> float:
    """Return -((f - r) / sigma)^2, in [-64, 0], highest in expectation for the mean of the label.

    Args:
        called: The forecast return f, a fraction; clipped at `CALL_LIMIT` sigma.
        actual: The actual return r, a fraction; winsorised at `LABEL_LIMIT` sigma.
        volatility: Standard deviation of a day's return; sigma is at least `MIN_VOLATILITY`.
    """
    sigma = max(volatility, MIN_VOLATILITY)
    return 0.0 - (_clip(called / sigma, CALL_LIMIT) - _clip(actual / sigma, LABEL_LIMIT)) ** 2


def pnl_score(step: StepResult, volatility: float, risk_aversion: float) -> float:
    """Return lambda (R - lambda/2 w^2 sigma^2), in [-3, 3] (Markowitz 1952).

    Args:
        step: The step, with its net return R and its weight w.
        volatility: Standard deviation of a day's return; sigma is at least `MIN_VOLATILITY`.
        risk_aversion: lambda.
    """
    sigma = max(volatility, MIN_VOLATILITY)
    charge = risk_aversion / 2 * (step.weight * sigma) ** 2
    return _clip(risk_aversion * (step.net_return - charge), PNL_LIMIT)


def compute_reward(text: str, experience: Experience, weights: Weights) -> Reward:
    """Compute the reward of an answer to an observation.

    Args:
        text: The answer, valid or not.
        experience: The observation with its outcome.
        weights: The weights of the parts.
    """
    symbol, as_of = experience.key
    return compute_call_reward(
        parse_answer_text(text, symbol, as_of, experience.observation.last_close), experience, weights
    )


def compute_call_reward(call: Prediction, experience: Experience, weights: Weights) -> Reward:
    """Compute the reward of a prediction; an abstention counts as an invalid answer.

    Args:
        call: The prediction.
        experience: The observation with its outcome.
        weights: The weights of the parts.
    """
    step = simulate_step(call, experience.outcome, experience.trade_context)
    if isinstance(call, Forecast):
        parts = {name: part.score(call, experience, step) for name, part in PARTS.items()}
        total = weights.total(parts)
    else:
        parts = compute_worst_parts(experience)
        total = weights.total(parts) - MARGIN
    return Reward(
        total=total,
        parts=parts,
        brier_gain=parts["brier"] - brier_score(experience.base_rate, observed_rise(experience.outcome)),
        net_return=step.net_return,
        valid=isinstance(call, Forecast),
        call=call,
    )


def compute_worst_parts(experience: Experience) -> dict[str, float]:
    """Return the least value of each part that a valid answer to this observation could have."""
    return {name: part.worst(experience) for name, part in PARTS.items()}


def _score_brier(call: Forecast, experience: Experience, _step: StepResult) -> float:
    return brier_score(call.probability_up, observed_rise(experience.outcome))


def _worst_brier(experience: Experience) -> float:
    rose = observed_rise(experience.outcome)
    return min(brier_score(0.0, rose), brier_score(1.0, rose))


def _score_close(call: Forecast, experience: Experience, _step: StepResult) -> float:
    volatility = experience.trade_context.volatility
    return close_score(call.close / call.last_close - 1, experience.outcome.close_return, volatility)


def _worst_close(experience: Experience) -> float:
    sigma = experience.trade_context.sigma
    return -((CALL_LIMIT + abs(_clip(experience.outcome.close_return / sigma, LABEL_LIMIT))) ** 2)


def _score_pnl(_call: Prediction, experience: Experience, step: StepResult) -> float:
    context = experience.trade_context
    return pnl_score(step, context.volatility, context.sizing.risk_aversion)


def _worst_pnl(experience: Experience) -> float:
    """Return the least PnL part of a valid answer.

    The part is concave in the position: least at the largest one either way, at none, or at the one already
    held (where the market refuses an order).
    """
    (symbol, as_of), last = experience.key, experience.observation.last_close
    context = experience.trade_context
    calls: list[Prediction] = [
        Forecast(symbol=symbol, as_of=as_of, direction=way, confidence=sure, close=last, last_close=last)
        for way in Direction
        for sure in (0.5, 1.0)
    ]
    calls.append(Abstention(symbol=symbol, as_of=as_of, reason="", last_close=last))
    return min(
        _score_pnl(call, experience, simulate_step(call, experience.outcome, context)) for call in calls
    )


PARTS: dict[str, RewardPart] = {
    "brier": RewardPart(
        weight=1.0,
        low=0.0,
        high=1.0,
        choice=Choice.CONFIDENCE,
        score=_score_brier,
        worst=_worst_brier,
        help="1 - (p - y)^2: the stated probability of a rise against the outcome",
    ),
    "close": RewardPart(
        weight=0.03,
        low=-((LABEL_LIMIT + CALL_LIMIT) ** 2),
        high=0.0,
        choice=Choice.CLOSE,
        score=_score_close,
        worst=_worst_close,
        help="-((f - r) / sigma)^2: the forecast return against the actual one, in daily deviations",
    ),
    "pnl": RewardPart(
        weight=0.02,
        low=-PNL_LIMIT,
        high=PNL_LIMIT,
        choice=Choice.CONFIDENCE,
        score=_score_pnl,
        worst=_worst_pnl,
        help="lambda (R - lambda/2 w^2 sigma^2): the net return of the step, minus a charge for risk",
    ),
}
"""The parts by name, in the order in which they are added up and shown."""

_RESERVED = {"total", "invalid", "brier_gain", "net_return", "valid", "reason", *PARTS}


def add_reward_part(name: str, part: RewardPart) -> None:
    """Add a part of your own to the reward, or replace one that was added.

    It counts in this process, for training that starts after it; its weight is given like any other.

    Args:
        name: An identifier that no part or figure of a reward has.
        part: Its bounds, its functions and its default weight.

    Raises:
        UsageError: For a name that cannot be used.

    Example:
        >>> import closecall as cc
        >>> from training.rewards import Choice
        >>> modest = cc.RewardPart(
        ...     weight=0.1, low=-0.5, high=0.0, choice=Choice.CONFIDENCE, help="modesty",
        ...     score=lambda forecast, experience, step: 0.5 - forecast.confidence,
        ...     worst=lambda experience: -0.5,
        ... )
        >>> cc.add_reward_part("modest", modest)
        >>> from training.rewards import PARTS, Weights
        >>> Weights(modest=0.2)["modest"], PARTS.pop("modest") is modest
        (0.2, True)
    """
    if not name.isidentifier() or name in _RESERVED:
        raise UsageError(f"part of the reward {name!r}: not a free identifier; choose another name")
    PARTS[name] = part


def average_rewards(rewards: Sequence[Reward]) -> dict[str, float | None]:
    """Return the mean figures of a batch, as JSON types; None where there is nothing to average.

    `total` and `invalid` (a share) are over all answers, the others over the valid ones.
    """
    valid = [reward for reward in rewards if reward.valid]
    return {
        "total": _mean([reward.total for reward in rewards]),
        "invalid": _mean([float(not reward.valid) for reward in rewards]),
        **{name: _mean([reward.parts[name] for reward in valid]) for name in PARTS},
        "brier_gain": _mean([reward.brier_gain for reward in valid]),
        "net_return": _mean([reward.net_return for reward in valid]),
    }


def get_completion_text(completion: object) -> str:
    """Return the text of a TRL completion: a string, or chat messages of which the last one counts."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Sequence) and completion and isinstance(completion[-1], Mapping):
        return str(completion[-1].get("content", ""))
    raise TypeError(f"{type(completion).__name__} is neither text nor chat messages")


def _clip(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def direction_score(text: str, experience: Experience) -> float:
    """Return 1 for an answer with the right direction, 0 for a wrong or invalid one, 0.5 for any at a tie."""
    if experience.outcome.tie:
        return 0.5
    return float(is_hit(parse_answer(text, experience.observation), experience.outcome) is True)

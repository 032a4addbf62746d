"""The reward of an answer once its outcome is known: small pure functions and the registry of its parts.

A reward is the weighted sum of the parts in `PARTS`, each highest in expectation for the truth:

- `brier`, 1 - (p - y)^2 (Brier 1950), in [0, 1]: the stated probability of a rise against what happened.
- `close`, -((f - r) / sigma)^2, in [-64, 0]: the return called against the one that came. The label r is
  winsorised at 3 sigma, so that one wild day does not outweigh a month; the score is not, because one that is
  cut off has no slope to lead an answer back. The return called, f, is read at most 5 sigma away, beyond
  any label, and that bounds the part.
- `pnl`, lambda (R - lambda/2 w^2 sigma^2), in [-3, 3]: the net return R of the step that the strategy would
  have taken, less its charge for risk (Markowitz 1952). The weight that the strategy takes is the one that
  maximises the expectation before cost (see `strategies.sizing`), and times lambda the loss of a wrong
  probability, 4/pi (c - p)^2, is the same for every sigma and lambda and near the Brier part's own.

An answer that cannot be read is worth `MARGIN` less than the worst one that could have been: no format earns
anything by itself.
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
from training.dataset.experience import Experience

LABEL_LIMIT = 3.0
"""The return that came is winsorised at this many standard deviations."""

CALL_LIMIT = 5.0
"""The return that was called is read at most this many standard deviations away."""

PNL_LIMIT = 3.0
"""The largest size of the PnL part: some four standard deviations at full confidence."""

MARGIN = 0.1
"""How much less than the worst valid answer an invalid one is worth."""

_LEAST_VOLATILITY = 0.001


class Choice(StrEnum):
    """What an answer decides, in order; a part of the reward counts from the choice that settles it."""

    CONFIDENCE = "confidence"
    CLOSE = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardPart:
    """One part of the reward; `closecall.add_reward_part` has an example.

    Attributes:
        weight: Its weight by default.
        low: Its least value, and `high` its largest, before the weight.
        choice: The choice of an answer that settles it (see `training.grpo.advantages`).
        score: Its value for a forecast and the step that was taken on it.
        worst: The least value that a valid answer to an observation could have had.
        help: What it rewards.
    """

    weight: float
    low: float
    high: float
    choice: Choice
    score: Callable[[Forecast, Experience, StepResult], float]
    worst: Callable[[Experience], float]
    help: str


class Weights(Mapping[str, float]):
    """How much each part counts, by its name; 0 leaves it out, and what is not given has its default.

    The defaults keep the best answer within 0.02 of the true probability, and the worst answers near enough
    to the rest that a few unreadable ones do not drown a batch.

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
        """Return the weighted sum of the parts, or of those that one choice settles."""
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
    """What one answer was worth: `total`, and the `parts` before their weights.

    `brier_gain` is the Brier part less that of the base rate known at the decision, for the reader: among
    answers to one prompt it differs from `brier` by a constant. `net_return` is that of the step taken. An
    invalid answer has the worst value of each part, a `total` that is `MARGIN` below theirs, and the return
    of the step that an abstention leaves.
    """

    total: float
    parts: Mapping[str, float]
    brier_gain: float
    net_return: float
    valid: bool
    call: Prediction

    @property
    def brier(self) -> float:
        """The Brier part."""
        return self.parts["brier"]

    @property
    def close(self) -> float:
        """The part of the close."""
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
    """1 for a rise from close to close, 0 for a fall, 0.5 for a tie."""
    return 0.5 if outcome.tie else float(outcome.next_close > outcome.last_close)


def brier(probability_up: float, rose: float) -> float:
    """1 - (p - y)^2, in [0, 1]: best in expectation for the true probability (Brier 1950; `rose` is y)."""
    return 1.0 - (probability_up - rose) ** 2


def close_score(called: float, actual: float, volatility: float) -> float:
    """-((f - r) / sigma)^2, in [-64, 0], of two returns as fractions; best for the mean of the label.

    The label is winsorised at `LABEL_LIMIT` and the call read at most `CALL_LIMIT` standard deviations away;
    `volatility` is that of a day's return, at least 0.001.
    """
    sigma = max(volatility, _LEAST_VOLATILITY)
    return 0.0 - (_clip(called / sigma, CALL_LIMIT) - _clip(actual / sigma, LABEL_LIMIT)) ** 2


def pnl_score(step: StepResult, volatility: float, risk_aversion: float) -> float:
    """lambda (R - lambda/2 w^2 sigma^2), in [-3, 3], of a step that was taken (Markowitz 1952)."""
    sigma = max(volatility, _LEAST_VOLATILITY)
    charge = risk_aversion / 2 * (step.weight * sigma) ** 2
    return _clip(risk_aversion * (step.net_return - charge), PNL_LIMIT)


def compute_reward(text: str, experience: Experience, weights: Weights) -> Reward:
    """What the answer `text`, whatever it is, was worth as an answer to `experience.observation`."""
    symbol, as_of = experience.key
    return compute_call_reward(
        parse_answer_text(text, symbol, as_of, experience.observation.last_close), experience, weights
    )


def compute_call_reward(call: Prediction, experience: Experience, weights: Weights) -> Reward:
    """Return what a prediction was worth; an abstention counts as an invalid answer."""
    taken = simulate_step(call, experience.outcome, experience.trade_context)
    if isinstance(call, Forecast):
        parts = {name: part.score(call, experience, taken) for name, part in PARTS.items()}
        total = weights.total(parts)
    else:
        parts = worst_parts(experience)
        total = weights.total(parts) - MARGIN
    return Reward(
        total=total,
        parts=parts,
        brier_gain=parts["brier"] - brier(experience.base_rate, observed_rise(experience.outcome)),
        net_return=taken.net_return,
        valid=isinstance(call, Forecast),
        call=call,
    )


def worst_parts(experience: Experience) -> dict[str, float]:
    """Return the least value of each part that a valid answer to this very observation could have had."""
    return {name: part.worst(experience) for name, part in PARTS.items()}


def _score_brier(call: Forecast, experience: Experience, _taken: StepResult) -> float:
    return brier(call.probability_up, observed_rise(experience.outcome))


def _worst_brier(experience: Experience) -> float:
    rose = observed_rise(experience.outcome)
    return min(brier(0.0, rose), brier(1.0, rose))


def _score_close(call: Forecast, experience: Experience, _taken: StepResult) -> float:
    volatility = experience.trade_context.volatility
    return close_score(call.close / call.last_close - 1, experience.outcome.close_return, volatility)


def _worst_close(experience: Experience) -> float:
    sigma = max(experience.trade_context.volatility, _LEAST_VOLATILITY)
    return -((CALL_LIMIT + abs(_clip(experience.outcome.close_return / sigma, LABEL_LIMIT))) ** 2)


def _score_pnl(_call: Prediction, experience: Experience, taken: StepResult) -> float:
    context = experience.trade_context
    return pnl_score(taken, context.volatility, context.sizing.risk_aversion)


def _worst_pnl(experience: Experience) -> float:
    """Concave in the position: least at the largest one either way, at none, or at the one already held.

    The last is where the market refuses an order.
    """
    calls = [*_extremes(experience), _abstention_reward(experience)]
    steps = (simulate_step(call, experience.outcome, experience.trade_context) for call in calls)
    return min(_score_pnl(call, experience, step) for call, step in zip(calls, steps, strict=True))


PARTS: dict[str, RewardPart] = {
    "brier": RewardPart(
        weight=1.0,
        low=0.0,
        high=1.0,
        choice=Choice.CONFIDENCE,
        score=_score_brier,
        worst=_worst_brier,
        help="1 - (p - y)^2: the stated probability of a rise against what happened",
    ),
    "close": RewardPart(
        weight=0.03,
        low=-((LABEL_LIMIT + CALL_LIMIT) ** 2),
        high=0.0,
        choice=Choice.CLOSE,
        score=_score_close,
        worst=_worst_close,
        help="-((f - r) / sigma)^2: the forecast return against the one that came, in daily deviations",
    ),
    "pnl": RewardPart(
        weight=0.02,
        low=-PNL_LIMIT,
        high=PNL_LIMIT,
        choice=Choice.CONFIDENCE,
        score=_score_pnl,
        worst=_worst_pnl,
        help="lambda (R - lambda/2 w^2 sigma^2): the net return of the step taken, less its charge for risk",
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


def mean_rewards(rewards: Sequence[Reward]) -> dict[str, float | None]:
    """Figures of a batch for journal and screen, as JSON types; None where nothing can be averaged.

    `total` and `invalid` (a share) are over all, the others over the valid answers.
    """
    valid = [reward for reward in rewards if reward.valid]
    return {
        "total": _mean([reward.total for reward in rewards]),
        "invalid": _mean([float(not reward.valid) for reward in rewards]),
        **{name: _mean([reward.parts[name] for reward in valid]) for name in PARTS},
        "brier_gain": _mean([reward.brier_gain for reward in valid]),
        "net_return": _mean([reward.net_return for reward in valid]),
    }


def completion_text(completion: object) -> str:
    """The text of a completion as TRL gives it: a string, or chat messages of which the last one counts."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Sequence) and completion and isinstance(completion[-1], Mapping):
        return str(completion[-1].get("content", ""))
    raise TypeError(f"{type(completion).__name__} is neither text nor chat messages")


def _extremes(experience: Experience) -> list[Prediction]:
    symbol, as_of = experience.key
    last = experience.observation.last_close
    return [
        Forecast(symbol=symbol, as_of=as_of, direction=way, confidence=sure, close=last, last_close=last)
        for way in Direction
        for sure in (0.5, 1.0)
    ]


def _abstention_reward(experience: Experience) -> Prediction:
    symbol, as_of = experience.key
    last = experience.observation.last_close
    return Abstention(symbol=symbol, as_of=as_of, reason="", last_close=last)


def _clip(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def direction_score(text: str, experience: Experience) -> float:
    """1 for an answer with the direction that came, 0 for another or an invalid one, 0.5 for any at a tie."""
    if experience.outcome.tie:
        return 0.5
    return float(is_hit(parse_answer(text, experience.observation), experience.outcome) is True)

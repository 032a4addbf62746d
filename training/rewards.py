"""What an answer was worth once its outcome is known. Small pure functions; knows no model and no trainer.

A reward is the weighted sum of three parts, each highest in expectation for the truth:

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

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from engine.metrics.accuracy import hit
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much each part counts; 0 leaves it out. Raises ValueError for one that is negative or not finite.

    The defaults keep the best answer within 0.02 of the true probability, and the worst answers near enough
    to the rest that a few unreadable ones do not drown a batch.
    """

    brier: float = 1.0
    close: float = 0.03
    pnl: float = 0.02

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"weight {name} = {value} is not a number of zero or more")

    def total(self, brier: float, close: float, pnl: float) -> float:
        """The weighted sum of the parts."""
        return self.brier * brier + self.close * close + self.pnl * pnl


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """What one answer was worth: `total`, and the parts before their weights.

    `brier_gain` is the Brier part less that of the base rate known at the decision, for the reader: among
    answers to one prompt it differs from `brier` by a constant. `net_return` is that of the step taken. An
    invalid answer has the worst value of each part, a `total` that is `MARGIN` below theirs, and the return
    of the step that an abstention leaves.
    """

    total: float
    brier: float
    close: float
    pnl: float
    brier_gain: float
    net_return: float
    valid: bool
    call: Prediction

    def as_json(self) -> dict[str, float | bool | str | None]:
        """The figures by name, and why an answer was invalid."""
        figures = {name: getattr(self, name) for name in ("total", *PARTS, "brier_gain", "net_return")}
        reason = self.call.reason if isinstance(self.call, Abstention) else None
        return figures | {"valid": self.valid, "reason": reason}


PARTS = ("brier", "close", "pnl")


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
    """What a call was worth; an abstention counts as an invalid answer."""
    out, situation = experience.outcome, experience.trade_context
    rose, taken = observed_rise(out), simulate_step(call, out, situation)
    if isinstance(call, Forecast):
        parts = (
            brier(call.probability_up, rose),
            close_score(call.close / call.last_close - 1, out.close_return, situation.volatility),
            pnl_score(taken, situation.volatility, situation.sizing.risk_aversion),
        )
        total = weights.total(*parts)
    else:
        parts = worst_parts(experience)
        total = weights.total(*parts) - MARGIN
    return Reward(
        total=total,
        brier=parts[0],
        close=parts[1],
        pnl=parts[2],
        brier_gain=parts[0] - brier(experience.base_rate, rose),
        net_return=taken.net_return,
        valid=isinstance(call, Forecast),
        call=call,
    )


def worst_parts(experience: Experience) -> tuple[float, float, float]:
    """The least value of each part that a valid answer to this very observation could have had.

    The PnL part is concave in the position, so its least value is at the largest one either way, at none, or,
    where the market refuses an order, at the one already held.
    """
    out, situation = experience.outcome, experience.trade_context
    rose = observed_rise(out)
    sigma = max(situation.volatility, _LEAST_VOLATILITY)
    came = _clip(out.close_return / sigma, LABEL_LIMIT)
    calls = [*_extremes(experience), _abstention_reward(experience)]
    return (
        min(brier(0.0, rose), brier(1.0, rose)),
        -((CALL_LIMIT + abs(came)) ** 2),
        min(
            pnl_score(
                simulate_step(call, out, situation), situation.volatility, situation.sizing.risk_aversion
            )
            for call in calls
        ),
    )


def mean_rewards(rewards: Sequence[Reward]) -> dict[str, float | None]:
    """Figures of a batch for journal and screen, as JSON types; None where nothing can be averaged.

    `total` and `invalid` (a share) are over all, the others over the valid answers.
    """
    valid = [one for one in rewards if one.valid]
    figures = {
        name: _mean([getattr(one, name) for one in valid]) for name in (*PARTS, "brier_gain", "net_return")
    }
    return {
        "total": _mean([one.total for one in rewards]),
        "invalid": _mean([float(not one.valid) for one in rewards]),
        **figures,
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
    return float(hit(parse_answer(text, experience.observation), experience.outcome) is True)

"""Compute the weight of a position from a forecast.

The weight w maximises the expected return less a charge for risk, w E[r] - lambda/2 w^2 sigma^2 (Markowitz
1952), where E[r] = (2p - 1) E|r| and E|r| = sigma sqrt(2/pi) for a normal return (the mean of the
half-normal distribution). So w = (2p - 1) sqrt(2/pi) / (lambda sigma).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.instruments import Instrument
from engine.model import Bar, Forecast
from llm.student import Task
from strategies.config import BacktestConfig

_MEAN_ABSOLUTE = math.sqrt(2 / math.pi)
_MIN_VOLATILITY = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSizing:
    """The rule and its limits.

    `cap` bounds the weight of one symbol, a fraction of equity; only symbols in `shortable` go below zero.
    """

    risk_aversion: float
    cap: float
    shortable: frozenset[str] = frozenset()

    def weight(self, forecast: Forecast, volatility: float) -> float:
        """Return the signed weight for a forecast; `volatility` is that of a day's return."""
        edge = (2 * forecast.confidence - 1) * _MEAN_ABSOLUTE
        wanted = edge / (self.risk_aversion * max(volatility, _MIN_VOLATILITY))
        return self._clip_weight(forecast, forecast.direction.sign * min(wanted, self.cap))

    def full(self, forecast: Forecast) -> float:
        """Return the cap in the forecast direction, for baselines, whose confidence is not traded."""
        return self._clip_weight(forecast, forecast.direction.sign * self.cap)

    def _clip_weight(self, forecast: Forecast, weight: float) -> float:
        return weight if forecast.symbol in self.shortable else max(weight, 0.0)


def volatility(bars: Sequence[Bar]) -> float:
    """Return the sample standard deviation of the log returns between closes, of at least three bars."""
    returns = [math.log(b.close / a.close) for a, b in pairwise(bars)]
    mean = sum(returns) / len(returns)
    return math.sqrt(sum((r - mean) ** 2 for r in returns) / (len(returns) - 1))


def build_sizing(config: BacktestConfig, instruments: Mapping[str, Instrument]) -> PositionSizing:
    """Return the sizing rule of a run over these symbols; its cap is 0 for a task that is not traded."""
    shortable = (symbol for symbol, item in instruments.items() if config.allow_short and item.shortable)
    return PositionSizing(
        risk_aversion=config.risk_aversion,
        cap=config.max_gross_exposure / len(instruments) if config.task is Task.NEXT else 0.0,
        shortable=frozenset(shortable),
    )

"""Compute the weight of a position from a forecast.

The weight w maximises the expected return less a charge for risk, w E[r] - lambda/2 w^2 sigma^2 (Markowitz
1952), where E[r] = (2p - 1) E|r| and E|r| = sigma sqrt(2/pi) for a normal return (the mean of the
half-normal distribution). So w = (2p - 1) sqrt(2/pi) / (lambda sigma).
"""

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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
    return _deviation([math.log(b.close / a.close) for a, b in pairwise(bars)])


def _deviation(returns: Collection[float]) -> float:
    mean = sum(returns) / len(returns)
    return math.sqrt(sum((r - mean) ** 2 for r in returns) / (len(returns) - 1))


VOLATILITY_BARS = 20
"""Bars of the volatility by which volatility-targeted buy and hold is sized."""


def volatility_shares(bars: Mapping[str, Sequence[Bar]]) -> dict[tuple[str, datetime], float]:
    """Return the part of a symbol's full weight that keeps its risk constant, by symbol and close.

    It is the mean so far of the volatility of 20 bars over that of the last 20, at most 1; 1 until there is
    one (Moreira and Muir 2017, whose constant is taken from the whole sample, which is not known in time).

    Args:
        bars: The bars of each symbol, oldest first.
    """
    shares = {}
    for symbol, series in bars.items():
        returns = deque[float](maxlen=VOLATILITY_BARS)
        total, count = 0.0, 0
        for before, bar in pairwise(series):
            returns.append(math.log(bar.close / before.close))
            if len(returns) == VOLATILITY_BARS:
                spread = max(_deviation(returns), _MIN_VOLATILITY)
                total, count = total + spread, count + 1
                shares[symbol, bar.closes_at] = min(1.0, total / count / spread)
    return shares


def build_sizing(config: BacktestConfig, instruments: Mapping[str, Instrument]) -> PositionSizing:
    """Return the sizing rule of a run over these symbols; its cap is 0 for a task that is not traded."""
    shortable = (symbol for symbol, item in instruments.items() if config.allow_short and item.shortable)
    return PositionSizing(
        risk_aversion=config.risk_aversion,
        cap=config.max_gross_exposure / len(instruments) if config.task is Task.NEXT else 0.0,
        shortable=frozenset(shortable),
    )

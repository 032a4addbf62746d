"""Baselines that count past moves and need no model. They see only bars that have closed.

Unless stated otherwise the confidence of each is how often its kind of forecast has been right so far
(Laplace's rule of succession), and its close is the last close, the forecast of a random walk.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist
from typing import Self

from engine.model import Bar, Direction, Forecast, Observation
from engine.trading.record_table import RecordTable


@dataclass(slots=True, kw_only=True)
class _ClosedBars(ABC):
    """The bars of `series` that have closed, and what a subclass keeps of them."""

    series: Sequence[Bar]
    known: int = 0

    def advance(self, until: datetime) -> Self:
        """Add the bars that closed by an instant, which is never before the one of the last call."""
        series = self.series
        while self.known < len(series) and series[self.known].closes_at <= until:
            if self.known:
                self._add(series[self.known - 1].close, series[self.known].close)
            self.known += 1
        return self

    @abstractmethod
    def _add(self, before: float, close: float) -> None:
        """Add a close and the one before it; `known` does not count it yet."""


@dataclass(slots=True, kw_only=True)
class _MoveCounts(_ClosedBars):
    """Counts of days of `series`: rises, falls, and how often a move had the sign of the previous one."""

    ups: int = 0
    downs: int = 0
    repeats: int = 0
    last: int = 0

    def _add(self, before: float, close: float) -> None:
        sign = (close > before) - (close < before)
        if sign:
            self.ups += sign > 0
            self.downs += sign < 0
            self.repeats += sign == self.last
            self.last = sign

    @property
    def moves(self) -> int:
        return self.ups + self.downs


MOMENTUM_BARS = 60


@dataclass(slots=True, kw_only=True)
class _Momentum(_ClosedBars):
    """How often the sign of the return over `MOMENTUM_BARS` bars was that of the next move of `series`."""

    hits: int = 0
    tries: int = 0

    def _add(self, before: float, close: float) -> None:
        self.tries += close != before
        self.hits += (close - before) * self.direction.sign > 0

    @property
    def direction(self) -> Direction:
        before = self.series[max(0, self.known - 1 - MOMENTUM_BARS)].close
        return Direction.UP if self.series[self.known - 1].close >= before else Direction.DOWN


@dataclass(slots=True, kw_only=True)
class _LogReturns(_ClosedBars):
    """Mean and sum of squared deviations of the log returns of `series` so far (Welford 1962)."""

    mean: float = 0.0
    squares: float = 0.0

    def _add(self, before: float, close: float) -> None:
        change = math.log(close / before)
        above = change - self.mean
        self.mean += above / self.known
        self.squares += above * (change - self.mean)

    @property
    def confidence(self) -> float:
        """The probability of the mean's side if log returns are normal with this mean and sample variance."""
        returns = self.known - 1
        if returns < 2 or self.squares <= 0:
            return 0.5
        return NormalDist().cdf(abs(self.mean) / math.sqrt(self.squares / (returns - 1)))


def buy_and_hold(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> Sequence[Forecast]:
    """Forecast up each time; the confidence is the share of rising days so far."""
    return _predict_each(observed, bars, lambda seen: (Direction.UP, _laplace_share(seen.ups, seen.moves)))


def persistence(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> Sequence[Forecast]:
    """Forecast the last day's direction; the confidence is how often that was right so far."""
    return _predict_each(
        observed,
        bars,
        lambda seen: (
            Direction.DOWN if seen.last < 0 else Direction.UP,
            _laplace_share(seen.repeats, max(0, seen.moves - 1)),
        ),
    )


def majority(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> Sequence[Forecast]:
    """Forecast the direction that was more frequent so far; the confidence is its share."""
    return _predict_each(
        observed,
        bars,
        lambda seen: (
            Direction.UP if seen.ups >= seen.downs else Direction.DOWN,
            _laplace_share(max(seen.ups, seen.downs), seen.moves),
        ),
    )


def momentum(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> Sequence[Forecast]:
    """Forecast the sign of the return over the last 60 bars, or all there are.

    It is the time-series momentum of Moskowitz, Ooi and Pedersen (2012), over a shorter time.
    """
    running = {symbol: _Momentum(series=series) for symbol, series in bars.items()}
    states = (running[seen.symbol].advance(seen.as_of) for seen in observed)
    return tabulate(
        observed, ((state.direction, _laplace_share(state.hits, state.tries)) for state in states)
    )


def random_walk(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> Sequence[Forecast]:
    """Forecast a random walk with drift: the last close, moved by the mean past log return.

    The confidence is the probability of that side if log returns are normal with their past mean and
    variance.
    """
    running = {symbol: _LogReturns(series=series) for symbol, series in bars.items()}
    calls, closes = [], array("d")
    for seen in observed:
        state = running[seen.symbol].advance(seen.as_of)
        calls.append((Direction.UP if state.mean >= 0 else Direction.DOWN, state.confidence))
        closes.append(seen.last_close * math.exp(state.mean))
    return tabulate(observed, calls, closes)


def random_baseline(observed: Sequence[Observation], seed: int) -> Sequence[Forecast]:
    """Forecast by a fair coin, drawn from the seed, the symbol and the instant alone."""
    flips = (_coin_flip(f"{seed} {seen.symbol} {seen.as_of.isoformat()}") for seen in observed)
    return tabulate(observed, ((Direction.UP if heads else Direction.DOWN, 0.5) for heads in flips))


def _predict_each(
    observed: Sequence[Observation],
    bars: Mapping[str, Sequence[Bar]],
    call: Callable[[_MoveCounts], tuple[Direction, float]],
) -> Sequence[Forecast]:
    running = {symbol: _MoveCounts(series=series) for symbol, series in bars.items()}
    return tabulate(observed, (call(running[seen.symbol].advance(seen.as_of)) for seen in observed))


def call_probability(probability_up: float) -> tuple[Direction, float]:
    """Return the likelier direction and its probability."""
    up = probability_up >= 0.5
    return (Direction.UP, probability_up) if up else (Direction.DOWN, 1.0 - probability_up)


def share_of_rises(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> list[float]:
    """Return the share of rises among each symbol's past moves, by Laplace's rule of succession."""
    running = {symbol: _MoveCounts(series=series) for symbol, series in bars.items()}
    counts = (running[seen.symbol].advance(seen.as_of) for seen in observed)
    return [_laplace_share(seen.ups, seen.moves) for seen in counts]


def tabulate(
    observed: Sequence[Observation],
    calls: Iterable[tuple[Direction, float]],
    closes: "array[float] | None" = None,
) -> RecordTable[Forecast]:
    """Return forecasts as columns: a run has one of each baseline for every bar.

    Args:
        observed: What is forecast.
        calls: The direction and confidence of each.
        closes: The close of each, in the quote currency; None for the last closes.
    """
    directions: list[Direction] = []
    confidences = array("d")
    for direction, confidence in calls:
        directions.append(direction)
        confidences.append(min(1.0, max(0.5, confidence)))
    last = array("d", [seen.last_close for seen in observed])
    return RecordTable.from_columns(
        Forecast,
        symbol=[seen.symbol for seen in observed],
        as_of=[seen.as_of for seen in observed],
        direction=directions,
        confidence=confidences,
        close=last if closes is None else closes,
        last_close=last,
    )


def _laplace_share(hits: int, tries: int) -> float:
    return (hits + 1) / (tries + 2)


def _coin_flip(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 0

"""Baselines, which need no model. They see only bars that have closed.

The confidence of each is how often its kind of forecast has been right so far (Laplace's rule of succession),
its close is the last close, the forecast of a random walk.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from operator import attrgetter

from engine.model import Bar, Direction, Forecast, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class _MoveCounts:
    """Counts of days up to a close: rises, falls, and how often a move had the sign of the previous one."""

    ups: int = 0
    downs: int = 0
    repeats: int = 0
    last: int = 0

    def after(self, change: float) -> "_MoveCounts":
        sign = (change > 0) - (change < 0)
        if not sign:
            return self
        return replace(
            self,
            ups=self.ups + (sign > 0),
            downs=self.downs + (sign < 0),
            repeats=self.repeats + (sign == self.last),
            last=sign,
        )

    @property
    def moves(self) -> int:
        return self.ups + self.downs


def buy_and_hold(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> list[Forecast]:
    """Forecast up each time; the confidence is the share of rising days so far."""
    return _predict_each(observed, bars, lambda seen: (Direction.UP, _laplace_share(seen.ups, seen.moves)))


def persistence(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> list[Forecast]:
    """Forecast the last day's direction; the confidence is how often that was right so far."""
    return _predict_each(
        observed,
        bars,
        lambda seen: (
            Direction.DOWN if seen.last < 0 else Direction.UP,
            _laplace_share(seen.repeats, max(0, seen.moves - 1)),
        ),
    )


def majority(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> list[Forecast]:
    """Forecast the direction that was more frequent so far; the confidence is its share."""
    return _predict_each(
        observed,
        bars,
        lambda seen: (
            Direction.UP if seen.ups >= seen.downs else Direction.DOWN,
            _laplace_share(max(seen.ups, seen.downs), seen.moves),
        ),
    )


def random_baseline(observed: Sequence[Observation], seed: int) -> list[Forecast]:
    """Forecast by a fair coin, drawn from the seed, the symbol and the instant alone."""
    return [
        _forecast(
            observation,
            Direction.UP
            if _coin_flip(f"{seed} {observation.symbol} {observation.as_of.isoformat()}")
            else Direction.DOWN,
            0.5,
        )
        for observation in observed
    ]


def _predict_each(
    observed: Sequence[Observation],
    bars: Mapping[str, Sequence[Bar]],
    call: Callable[[_MoveCounts], tuple[Direction, float]],
) -> list[Forecast]:
    tallies = {
        symbol: list(
            accumulate(
                (b.close - a.close for a, b in pairwise(series)), _MoveCounts.after, initial=_MoveCounts()
            )
        )
        for symbol, series in bars.items()
    }
    calls = []
    for observation in observed:
        known = bisect_right(bars[observation.symbol], observation.as_of, key=attrgetter("closes_at"))
        calls.append(_forecast(observation, *call(tallies[observation.symbol][known - 1])))
    return calls


def _forecast(observation: Observation, direction: Direction, confidence: float) -> Forecast:
    return Forecast(
        symbol=observation.symbol,
        as_of=observation.as_of,
        direction=direction,
        confidence=min(1.0, max(0.5, confidence)),
        close=observation.last_close,
        last_close=observation.last_close,
    )


def _laplace_share(hits: int, tries: int) -> float:
    return (hits + 1) / (tries + 2)


def _coin_flip(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 0

"""Baselines, which need no model. They see only bars that have closed.

The confidence of each is how often its kind of forecast has been right so far (Laplace's rule of succession),
its close is the last close, the forecast of a random walk.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.model import Bar, Direction, Forecast, Observation
from engine.trading.record_table import RecordTable


@dataclass(slots=True, kw_only=True)
class _MoveCounts:
    """Counts of days of `series`: rises, falls, and how often a move had the sign of the previous one."""

    series: Sequence[Bar]
    known: int = 0
    ups: int = 0
    downs: int = 0
    repeats: int = 0
    last: int = 0

    def advance(self, until: datetime) -> "_MoveCounts":
        """Count the bars that closed by an instant, which is never before the one of the last call."""
        series, known = self.series, self.known
        while known < len(series) and series[known].closes_at <= until:
            if known:
                self._add(series[known].close - series[known - 1].close)
            known += 1
        self.known = known
        return self

    def _add(self, change: float) -> None:
        sign = (change > 0) - (change < 0)
        if sign:
            self.ups += sign > 0
            self.downs += sign < 0
            self.repeats += sign == self.last
            self.last = sign

    @property
    def moves(self) -> int:
        return self.ups + self.downs


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


def random_baseline(observed: Sequence[Observation], seed: int) -> Sequence[Forecast]:
    """Forecast by a fair coin, drawn from the seed, the symbol and the instant alone."""
    flips = (_coin_flip(f"{seed} {seen.symbol} {seen.as_of.isoformat()}") for seen in observed)
    return _tabulate(observed, ((Direction.UP if heads else Direction.DOWN, 0.5) for heads in flips))


def _predict_each(
    observed: Sequence[Observation],
    bars: Mapping[str, Sequence[Bar]],
    call: Callable[[_MoveCounts], tuple[Direction, float]],
) -> Sequence[Forecast]:
    running = {symbol: _MoveCounts(series=series) for symbol, series in bars.items()}
    return _tabulate(observed, (call(running[seen.symbol].advance(seen.as_of)) for seen in observed))


def _tabulate(
    observed: Sequence[Observation], calls: Iterable[tuple[Direction, float]]
) -> RecordTable[Forecast]:
    """Return the forecasts as columns: a run has one of each baseline for every bar."""
    directions: list[Direction] = []
    confidences = array("d")
    for direction, confidence in calls:
        directions.append(direction)
        confidences.append(min(1.0, max(0.5, confidence)))
    closes = array("d", [seen.last_close for seen in observed])
    return RecordTable.from_columns(
        Forecast,
        symbol=[seen.symbol for seen in observed],
        as_of=[seen.as_of for seen in observed],
        direction=directions,
        confidence=confidences,
        close=closes,
        last_close=closes,
    )


def _laplace_share(hits: int, tries: int) -> float:
    return (hits + 1) / (tries + 2)


def _coin_flip(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 0

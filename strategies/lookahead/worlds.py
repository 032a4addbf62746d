"""Markets that differ from the real one in what comes later, or in every price.

A `World` says what is done to data. Real, nothing is. Cut, they end at an instant. Turned, all that follows
it moves the other way and three times as far, and later news are those of other days. Scrambled, each day
rises or falls by a coin, from the first one on, by as much as it moved in truth, and there is no news.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from math import exp, log
from random import Random

from engine.model import Bar, Direction, Forecast, NewsItem, Prediction
from strategies.market_data import MarketData

_AMPLIFIED = 3.0
_FURTHEST = 12.0
"""The farthest log-price from the last known one: prices stay far from zero and from infinity."""


class Alteration(StrEnum):
    """What is done to data."""

    REAL = "real"
    CUT = "cut"
    TURNED = "turned"
    SCRAMBLED = "scrambled"


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A market that is the real one up to a close, `at`, and another one after it.

    Attributes:
        alteration: What is done to the data after `at`; scrambled ones are other ones from the beginning.
        at: The last instant of which all is known.
        seed: Of what is drawn.
        market: The real market.
    """

    alteration: Alteration
    at: datetime = _LONG_AGO
    seed: int
    market: MarketData

    def apply(self, market: MarketData) -> MarketData:
        """Return the market as it is in this world. The oracle, which knows the real one, is left out."""
        if self.alteration is Alteration.REAL:
            return market
        bars = {symbol: changed for symbol, s in market.bars.items() if (changed := self.change_bars(s))}
        return replace(market, bars=bars, news=self.change_news(market.news), oracle={})

    def change_bars(self, series: Sequence[Bar]) -> list[Bar]:
        """Return the bars of one symbol, oldest first, as they are in this world."""
        if self.alteration is Alteration.REAL:
            return list(series)
        if self.alteration is Alteration.SCRAMBLED:
            return _scramble(series, self.coin)
        known = [bar for bar in series if bar.closes_at <= self.at]
        rest = series[len(known) :]
        if self.alteration is Alteration.CUT:
            # Of a day that has begun the open is known.
            return known + [bar.at_open() for bar in rest if bar.opens_at < self.at]
        if not rest:
            return known
        anchor = known[-1].close if known else rest[0].open
        return known + [_turn(bar, anchor, keep_open=bar.opens_at < self.at) for bar in rest]

    def change_news(self, news: Sequence[NewsItem]) -> list[NewsItem]:
        """Return the news as they are in this world."""
        if self.alteration is Alteration.REAL:
            return list(news)
        if self.alteration is Alteration.SCRAMBLED:
            return []
        known = [item for item in news if item.available_at <= self.at]
        later = [item for item in news if item.available_at > self.at]
        if self.alteration is Alteration.CUT:
            return known
        others = later[:]
        Random(f"{self.seed} news").shuffle(others)  # noqa: S311  # no secret
        return known + [
            replace(
                item,
                id=f"altered {item.id}",
                title=f"{other.title} (altered)" if other.title else "",
                text=f"{other.text} (altered)" if other.text else "",
            )
            for item, other in zip(later, others, strict=True)
        ]

    def coin(self, name: str, day: datetime) -> int:
        """Return 1 or -1: whether a day of a symbol goes its real way in a scrambled world."""
        return Random(f"{self.seed} {name} {day:%Y-%m-%d}").choice((1, -1))  # noqa: S311  # no secret


def turn_predictions(calls: Sequence[Prediction], market: MarketData) -> list[Prediction]:
    """Return predictions as they would be in a turned market: from its closes, and the other way."""
    closes = {(symbol, bar.closes_at): bar.close for symbol, series in market.bars.items() for bar in series}
    return [_turn_prediction(call, closes.get((call.symbol, call.as_of), call.last_close)) for call in calls]


def _turn_prediction(call: Prediction, close: float) -> Prediction:
    if not isinstance(call, Forecast):
        return replace(call, last_close=close)
    side = Direction.DOWN if call.direction is Direction.UP else Direction.UP
    # The quotient first: that of equal closes is exactly 1, so that rounding never contradicts the side.
    return replace(call, last_close=close, direction=side, close=close * (call.last_close / call.close))


def turn_price(price: float, anchor: float) -> float:
    """Return the price that is three times as far from the anchor, on its other side."""
    moved = -_AMPLIFIED * log(price / anchor)
    return anchor * exp(min(_FURTHEST, max(-_FURTHEST, moved)))


def _turn(bar: Bar, anchor: float, *, keep_open: bool) -> Bar:
    opening = bar.open if keep_open else turn_price(bar.open, anchor)
    close = turn_price(bar.close, anchor)
    return replace(
        bar,
        open=opening,
        high=max(opening, close, turn_price(bar.low, anchor)),
        low=min(opening, close, turn_price(bar.high, anchor)),
        close=close,
        volume=bar.volume * 2 + 1,
    )


def _scramble(series: Sequence[Bar], coin: Callable[[str, datetime], int]) -> list[Bar]:
    scrambled: list[Bar] = []
    before = close = series[0].open if series else 0.0
    for bar in series:
        side = coin(bar.symbol, bar.opens_at)

        def move(price: float, side: int = side, before: float = before, close: float = close) -> float:
            return close * (price / before if side > 0 else before / price)

        prices = [move(bar.open), move(bar.close)]
        range_ = [move(bar.high), move(bar.low)]
        scrambled.append(
            replace(
                bar,
                open=prices[0],
                high=max(*prices, *range_),
                low=min(*prices, *range_),
                close=prices[1],
            )
        )
        before, close = bar.close, prices[1]
    return scrambled

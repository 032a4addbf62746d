"""The values of the domain: bars, news, slices, observations and predictions, validated when created.

Times are timezone-aware UTC, prices are in the quote currency, returns are fractions, probabilities are in
[0, 1].
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType


class Phase(StrEnum):
    """The part of a bar that a slice carries: its open, or its high, low, close and volume."""

    CLOSE = "close"
    OPEN = "open"


class Direction(StrEnum):
    """Whether the next close will be above or below the last one."""

    UP = "up"
    DOWN = "down"

    @property
    def sign(self) -> int:
        """+1 for up, -1 for down."""
        return 1 if self is Direction.UP else -1


class Precision(StrEnum):
    """How exactly the time of a news item is known."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


def require_utc(moment: datetime, what: str) -> None:
    """Raise ValueError unless `moment` is timezone-aware and in UTC."""
    if moment.tzinfo is not UTC:
        raise ValueError(f"{what} must be in UTC, not {moment!r}")


_RANGE_TOLERANCE = 0.001
_CENT = 0.01


def widen_range(open_: float, high: float, low: float, close: float) -> tuple[float, float]:
    """Return high and low, moved to an open or close that lies no further outside than rounding explains.

    That is 0.1% of the close or, from a close of 1 on, 0.01: vendors round and adjust the four prices apart.

    Args:
        open_: Prices of one bar, in the quote currency.
        high: See `open_`.
        low: See `open_`.
        close: See `open_`.
    """
    tolerance = max(_RANGE_TOLERANCE * close, _CENT if close >= 1 else 0.0)
    above, below = max(open_, close), min(open_, close)
    # The margin is for 100.01 - 100.0, which is more than 0.01 in binary.
    if max(above - high, low - below) > tolerance * (1 + 1e-9):
        return high, low
    return max(high, above), min(low, below)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One trading day of one symbol; the open is known at `opens_at`, the rest at `closes_at`.

    Raises ValueError for a price that is not finite and above zero, a negative volume, a high below any
    other price, a low above any other price, or a close that is not after the open.
    """

    symbol: str
    timeframe: str = "1d"
    opens_at: datetime
    closes_at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float

    def __post_init__(self) -> None:
        require_utc(self.opens_at, "opens_at")
        require_utc(self.closes_at, "closes_at")
        if self.closes_at <= self.opens_at:
            raise ValueError(f"closes_at {self.closes_at} is not after opens_at {self.opens_at}")
        for name in ("open", "high", "low", "close"):
            price = getattr(self, name)
            if not (math.isfinite(price) and price > 0):
                raise ValueError(f"{name} {price} is not a price above zero")
        if not (math.isfinite(self.volume) and self.volume >= 0):
            raise ValueError(f"volume {self.volume} is not a number of zero or more")
        if self.high < self.low:
            raise ValueError(f"high {self.high} is below low {self.low}")
        for name in ("open", "close"):
            price = getattr(self, name)
            if not self.low <= price <= self.high:
                raise ValueError(f"{name} {price} is outside low {self.low} to high {self.high}")

    def at_open(self) -> "Bar":
        """Return what is known of this bar at its open: a flat bar without volume."""
        flat = object.__new__(
            Bar
        )  # of a valid bar; every backtest flattens each bar once for each forecaster
        for name in ("symbol", "timeframe", "opens_at", "closes_at", "open"):
            object.__setattr__(flat, name, getattr(self, name))
        for name in ("high", "low", "close"):
            object.__setattr__(flat, name, self.open)
        object.__setattr__(flat, "volume", 0.0)
        return flat


_HALF_PAIR = re.compile("[\ud800-\udfff]")


def _remove_half_pairs(text: str) -> str:
    return text if text.isascii() else _HALF_PAIR.sub("", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsItem:
    """A dated text. Without symbols it concerns the whole market.

    `available_at` is the first instant at which a decision may use it; feeds compute it. Halves of surrogate
    pairs are removed from all texts: UTF-8 has no bytes for them, so that no journal could hold the item.
    """

    id: str
    source: str
    title: str
    text: str
    published_at: datetime
    precision: Precision
    zone_known: bool
    first_seen_at: datetime | None
    available_at: datetime
    symbols: frozenset[str]

    def __post_init__(self) -> None:
        for name in ("id", "source", "title", "text"):
            object.__setattr__(self, name, _remove_half_pairs(getattr(self, name)))
        if not all(map(str.isascii, self.symbols)):
            object.__setattr__(self, "symbols", frozenset(map(_remove_half_pairs, self.symbols)))
        require_utc(self.published_at, "published_at")
        require_utc(self.available_at, "available_at")
        if self.first_seen_at is not None:
            require_utc(self.first_seen_at, "first_seen_at")
        if self.available_at < self.published_at:
            raise ValueError(f"available_at {self.available_at} is before published_at {self.published_at}")

    @property
    def headline(self) -> str:
        """The title, or the text where the source gave no title."""
        return self.title or self.text

    def is_about(self, symbol: str) -> bool:
        """Return whether the item is about `symbol` or about the whole market."""
        return not self.symbols or symbol in self.symbols


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Everything that became known at one instant. An OPEN slice carries flat bars (see `Bar.at_open`).

    Example:
        >>> import closecall as cc
        >>> from datetime import UTC, datetime
        >>> cc.Slice(as_of=datetime(2024, 1, 2, tzinfo=UTC), phase="close", bars={}).news
        ()
    """

    as_of: datetime
    phase: Phase
    bars: Mapping[str, Bar]
    news: tuple[NewsItem, ...] = ()

    def __post_init__(self) -> None:
        require_utc(self.as_of, "as_of")
        object.__setattr__(self, "bars", MappingProxyType(dict(sorted(self.bars.items()))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the student may see at `as_of`: closed bars, oldest first, and the news available by then.

    `news` holds only items that became available after the previous close of this symbol, oldest first.
    """

    symbol: str
    as_of: datetime
    bars: tuple[Bar, ...]
    news: tuple[NewsItem, ...]

    def __post_init__(self) -> None:
        require_utc(self.as_of, "as_of")
        if not self.bars:
            raise ValueError("an observation needs at least one closed bar")
        if any(bar.closes_at > self.as_of for bar in self.bars):
            raise ValueError(f"a bar of {self.symbol} closes after {self.as_of}")
        if any(item.available_at > self.as_of for item in self.news):
            raise ValueError(f"a news item for {self.symbol} is from after {self.as_of}")

    @property
    def last_close(self) -> float:
        """The close of the newest bar, in the quote currency."""
        return self.bars[-1].close


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A prediction of the next close of one symbol.

    Raises ValueError for a value out of range and for a contradiction: a close strictly on the other side of
    `last_close` than the direction.

    Attributes:
        symbol: The symbol.
        as_of: The close at which it was made, in UTC.
        direction: Up or down from `last_close`.
        confidence: The probability, 0.5 to 1, that the direction is right.
        close: The predicted close, in the quote currency.
        last_close: The close at `as_of`, in the quote currency.
        token_probability_up: The probability of the token "up" against "down" in the model's distribution,
            where it is known; the stated one is `probability_up`.
        text: The raw output that it was parsed from.

    Example:
        >>> import closecall as cc
        >>> forecast = cc.simulate(days=30).simulations["student"].calls[0]
        >>> isinstance(forecast, cc.Forecast), 0.5 <= forecast.confidence <= 1
        (True, True)
    """

    symbol: str
    as_of: datetime
    direction: Direction
    confidence: float
    close: float
    last_close: float
    token_probability_up: float | None = None
    text: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        require_utc(self.as_of, "as_of")
        if self.token_probability_up is not None and not 0.0 <= self.token_probability_up <= 1.0:
            raise ValueError(f"token_probability_up {self.token_probability_up} is outside 0 to 1")
        if not 0.5 <= self.confidence <= 1.0:
            raise ValueError(f"confidence {self.confidence} is outside 0.5 to 1")
        if not (math.isfinite(self.close) and self.close > 0):
            raise ValueError(f"close {self.close} is not a price above zero")
        if (self.close - self.last_close) * self.direction.sign < 0:
            raise ValueError(
                f"direction {self.direction} contradicts close {self.close} after {self.last_close}"
            )

    @property
    def probability_up(self) -> float:
        """The stated probability that the next close is above the last one."""
        return self.confidence if self.direction is Direction.UP else 1.0 - self.confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstention:
    """No forecast, and why. It never trades; it is counted and shown."""

    symbol: str
    as_of: datetime
    reason: str
    last_close: float
    text: str = field(default="", compare=False)


Prediction = Forecast | Abstention

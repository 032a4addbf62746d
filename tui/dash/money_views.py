"""What the dashboard knows of an account: equity, positions, prices. Amounts in the account's currency."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A value at an instant."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionView:
    """What is held of a symbol: `price` is the newest known, at `price_at`; `entry` the mean price paid."""

    symbol: str
    size: float
    entry: float | None
    price: float | None
    price_at: datetime | None
    rate: float = 1.0
    waiting: float = 0.0

    @property
    def value(self) -> float | None:
        """Size times price in the account's currency."""
        return None if self.price is None else self.size * self.price * self.rate

    @property
    def gain(self) -> float | None:
        """What the position has gained since it was entered, before costs."""
        if self.price is None or self.entry is None:
            return None
        return self.size * (self.price - self.entry) * self.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyView:
    """Equity, and what buying all symbols at once and holding them would have made of the cash."""

    start: float | None = None
    value: float | None = None
    cash: float | None = None
    at: datetime | None = None
    today: float | None = None
    equity: tuple[Point, ...] = ()
    hold: tuple[Point, ...] = ()
    drawdown: float = 0.0
    costs: float = 0.0
    fills: int = 0

    @property
    def gained(self) -> float | None:
        """The return since the start."""
        return self.value / self.start - 1 if self.value is not None and self.start else None

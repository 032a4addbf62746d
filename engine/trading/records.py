"""What the engine states about a run: orders, fills, marks and steps, each at its true instant.

Knows no backtrader: these are values that can be journaled, compared and shown. Sizes and positions are
signed units, the prices of a fill are in the quote currency, all other prices and amounts are in the base
currency, which is the same one unless the run has rates; returns are fractions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from engine.trading.risk import RiskState


class OrderStatus(StrEnum):
    """What became of an order. Each order is `pending` once at most and then gets one of the others."""

    PENDING = "pending"
    FILLED = "filled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """One order in one status.

    `at` is when the status came, `decided_at` the slice that gave the order and `due_at` the open at
    which it is to be filled, by the calendar (None: refused before one was looked up, or the next one
    that comes, where the calendar ends before it). `forced` marks an order that the margin limit gave.
    `number` counts the orders of a run from 1.
    """

    number: int
    at: datetime
    decided_at: datetime
    due_at: datetime | None
    symbol: str
    size: float
    status: OrderStatus
    reason: str = ""
    forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One executed order. `price` is what was paid, `open` the official open, both in the quote currency.

    `slippage` is the amount between the two prices, `commission` the fee, and `cost` their sum, in the base
    currency; `rate` is what one unit of the quote currency was worth in it.
    """

    number: int
    at: datetime
    decided_at: datetime
    symbol: str
    size: float
    price: float
    open: float
    commission: float
    slippage: float
    cost: float
    rate: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityPoint:
    """The portfolio's value and its cash after a slice in which a bar closed, at the last known prices."""

    at: datetime
    value: float
    cash: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingPeriod:
    """From one OPEN of a symbol to its next, while a position was held or changed.

    `position` is held after the fill at the start, `change` what that fill traded. `cost` is
    `commission`, `slippage` and `borrow`; `pnl` is position × price change − cost + `income`, which is
    dividends and what a split paid out. A split restates sizes and prices in its new units. `equity` is the
    portfolio's value at the opening, before any cost of it, and `net_return` is pnl over equity. A step
    with `is_open` has no next OPEN yet: `end_price` and `ended_at` are those of the last known price.
    """

    symbol: str
    started_at: datetime
    ended_at: datetime
    position: float
    change: float
    start_price: float
    end_price: float
    price_change: float
    commission: float
    slippage: float
    borrow: float
    cost: float
    pnl: float
    equity: float
    net_return: float
    is_open: bool
    income: float = 0.0


Record = OrderRecord | Fill | EquityPoint | HoldingPeriod


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineResult:
    """All that a run stated, in the order of its statements; `orders` by number, each in its last status.

    The PnL summed over `steps` is `value` − `starting_cash`. `analyses` are the results of backtrader
    analyzers by the name they were given.
    """

    starting_cash: float
    cash: float
    value: float
    orders: tuple[OrderRecord, ...]
    fills: tuple[Fill, ...]
    marks: tuple[EquityPoint, ...]
    steps: tuple[HoldingPeriod, ...]
    analyses: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Valuation:
    """What the portfolio is worth at the last traded prices, in the base currency; no mark, no fill."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSnapshot:
    """Where a session stands after an input: state and cause, value and cash, positions and waiting orders.

    Positions and orders are in signed units by symbol; value and cash in the base currency.
    """

    at: datetime
    state: RiskState
    cause: str
    value: float
    cash: float
    positions: Mapping[str, float]
    waiting: Mapping[str, float]

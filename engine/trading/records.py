"""The records of a run: orders, fills, equity points and holding periods, each at its true instant.

Sizes and positions are signed units, the prices of a fill are in the quote currency, all other prices and
amounts are in the base currency, which is the same one unless the run has rates; returns are fractions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from engine.trading.risk import RiskState


class OrderStatus(StrEnum):
    """The status of an order. It is `pending` at most once and then gets one of the others."""

    PENDING = "pending"
    FILLED = "filled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """One order in one status.

    Attributes:
        number: Counts the orders of a run from 1.
        at: When it got this status.
        decided_at: The slice at which it was given.
        due_at: The open at which it is to be filled, by the calendar; None where it was refused before, or
            where the calendar ends and the next open will do.
        symbol: The symbol.
        size: Signed units.
        status: The status.
        reason: Why it was given or got this status.
        forced: Whether the margin limit, or the end of the symbol's bars, gave it.
        requested: The size that was ordered where cash covered less of it and `size` is what was filled; else
            None, and not stored.
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
    requested: float | None = field(default=None, metadata={"lacks": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One executed order. `price` is the price paid, `open` the official open, both in the quote currency.

    `slippage` is the amount between the two prices, `commission` the fee, and `cost` their sum, in the base
    currency; `rate` is the value of one unit of the quote currency in it.
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
    """The portfolio's value and cash after a slice in which a bar closed, at the last known prices."""

    at: datetime
    value: float
    cash: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingPeriod:
    """The time from one OPEN of a symbol to its next, while a position was held or changed.

    `position` is held after the fill at the start, `change` is the size of that fill. `cost` is `commission`,
    `slippage` and `borrow`; `pnl` is position × price change − cost + `income`, which is dividends and the
    payout of a split. A split restates sizes and prices in its new units. `equity` is the portfolio's value
    at the opening, before any cost of it, and `net_return` is pnl over equity. A period with `is_open` has no
    next OPEN yet: `end_price` and `ended_at` are those of the last known price.
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
    """All records of a run, in order of time; `orders` by number, each in its last status.

    The PnL summed over `steps` is `value` − `starting_cash`; a run of a baseline keeps none, but the sum of
    their borrowing costs, `borrow_paid`. `analyses` are the results of backtrader analyzers by name.
    """

    starting_cash: float
    cash: float
    value: float
    orders: Sequence[OrderRecord]
    fills: Sequence[Fill]
    marks: Sequence[EquityPoint]
    steps: Sequence[HoldingPeriod]
    borrow_paid: float
    analyses: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Valuation:
    """The portfolio's value at the last traded prices, in the base currency, without a mark or a fill."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSnapshot:
    """The state of a session after an input: state and cause, value and cash, positions and waiting orders.

    Positions and orders are in signed units by symbol; value and cash in the base currency.
    """

    at: datetime
    state: RiskState
    cause: str
    value: float
    cash: float
    positions: Mapping[str, float]
    waiting: Mapping[str, float]

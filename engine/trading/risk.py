"""Risk limits of a session, and the three states that follow from them and from an operator's commands.

ACTIVE trades; REDUCING takes no new risk; HALTED gives no order at all, and only an operator ends it.

The daily loss, the abstentions and stale prices reduce for as long as their cause lasts; the drawdown halts.
An operator who resumes or reduces has seen the causes: each counts again only once it arises again.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from engine.model import require_utc

_MAX_LENGTH = 500


class CommandKind(StrEnum):
    """The five commands. `pause` and `halt` stop all orders; `flatten` also closes all positions."""

    PAUSE = "pause"
    RESUME = "resume"
    REDUCE = "reduce"
    HALT = "halt"
    FLATTEN = "flatten"

    @property
    def blocks_orders(self) -> bool:
        """Whether the strategy may give no order after it."""
        return self in (CommandKind.PAUSE, CommandKind.HALT, CommandKind.FLATTEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command at an instant. `author` is who gave it and `text` why, in that person's words.

    Raises ValueError without an author, for a time that is not UTC, and for more than 500 characters.
    """

    at: datetime
    kind: CommandKind
    author: str
    text: str = ""

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
        if not self.author.strip():
            raise ValueError("a command needs an author")
        if len(self.author) + len(self.text) > _MAX_LENGTH:
            raise ValueError(f"author and text of a command are longer than {_MAX_LENGTH} characters")


RISK = "risk"


class RiskState(StrEnum):
    """What a session is allowed to do."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


_RANK = {RiskState.ACTIVE: 0, RiskState.REDUCING: 1, RiskState.HALTED: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits:
    """The limits of a session. Raises ValueError for values that make no sense.

    Attributes:
        symbol_exposure: The most absolute value of a position with its waiting order, as a fraction of
            equity; an order that would exceed it is refused.
        total_exposure: The same over all symbols.
        daily_loss: The most loss since the last value before the UTC day began, as a fraction of it.
        drawdown: The most loss since the highest value so far, as a fraction of it.
        orders_per_day: The most orders in a UTC day; reducing a position is always allowed.
        stale_after: A held symbol is stale once its next open or close by its calendar is overdue by this.
        abstention_rate: The most abstentions, as a fraction of the last predictions.
        abstention_window: How many predictions that is.
    """

    symbol_exposure: float = 1.0
    total_exposure: float = 1.2
    daily_loss: float = 0.10
    drawdown: float = 0.30
    orders_per_day: int = 200
    stale_after: timedelta = timedelta(hours=6)
    abstention_rate: float = 0.5
    abstention_window: int = 20

    def __post_init__(self) -> None:
        for name in ("symbol_exposure", "total_exposure", "daily_loss", "drawdown", "abstention_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value} is not a fraction above zero")
        if self.orders_per_day < 1 or self.abstention_window < 1 or self.stale_after <= timedelta(0):
            raise ValueError("orders_per_day, abstention_window and stale_after must be above zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskChange:
    """A change of a session's state or its cause. `author` is a person, or "risk"."""

    at: datetime
    was: RiskState
    now: RiskState
    cause: str
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order that a strategy asks for: sizes in signed units, price and amounts in the base currency.

    `other_exposure` is the absolute value of all other symbols' positions with their waiting orders filled.
    """

    at: datetime
    symbol: str
    position: float
    size: float
    price: float
    equity: float
    other_exposure: float


@dataclass(slots=True, kw_only=True)
class _Restriction:
    state: RiskState
    text: str


@dataclass(slots=True)
class RiskEngine:
    """The risk state of one session. Starts ACTIVE."""

    limits: RiskLimits
    flattening: bool = False
    _operator: _Restriction = field(default_factory=lambda: _Restriction(state=RiskState.ACTIVE, text=""))
    _restrictions: dict[str, _Restriction] = field(default_factory=dict)
    _reported: tuple[RiskState, str] = (RiskState.ACTIVE, "")
    _day: date | None = None
    _day_start: float = 0.0
    _peak: float = 0.0
    _last: float = 0.0
    _order_times: int = 0
    _recent_abstentions: deque[bool] = field(default_factory=deque)
    _stale_symbols: frozenset[str] = frozenset()

    @property
    def state(self) -> RiskState:
        """The strictest state that an operator or a limit demands."""
        return self._strictest().state

    @property
    def cause(self) -> str:
        """The reason for the state; empty while nothing has happened."""
        return self._strictest().text

    def on_command(self, command: Command) -> list[RiskChange]:
        """Execute an operator's command."""
        cause = f"{command.kind}: {command.text}" if command.text else str(command.kind)
        match command.kind:
            case CommandKind.RESUME | CommandKind.REDUCE:
                self._reset_limits()
                to = RiskState.ACTIVE if command.kind is CommandKind.RESUME else RiskState.REDUCING
            case _:
                self.flattening = self.flattening or command.kind is CommandKind.FLATTEN
                to = RiskState.HALTED
        self._operator = _Restriction(state=to, text=cause)
        return self._state_changes(command.at, command.author, always=True)

    def on_equity(self, at: datetime, equity: float) -> list[RiskChange]:
        """Check the daily loss and the drawdown of a portfolio that is worth `equity` at `at`."""
        self._roll_day(at)
        self._peak = max(self._peak, equity)
        self._last = equity
        limits = self.limits
        if self._day_start > 0 and equity <= self._day_start * (1 - limits.daily_loss):
            text = f"daily loss {1 - equity / self._day_start:.1%} reached the limit {limits.daily_loss:.1%}"
            self._restrictions.setdefault("daily loss", _Restriction(state=RiskState.REDUCING, text=text))
        if self._peak > 0 and equity <= self._peak * (1 - limits.drawdown):
            text = f"drawdown {1 - equity / self._peak:.1%} reached the limit {limits.drawdown:.1%}"
            self._restrictions.setdefault("drawdown", _Restriction(state=RiskState.HALTED, text=text))
        return self._state_changes(at)

    def on_stale_prices(self, at: datetime, symbols: Iterable[str]) -> list[RiskChange]:
        """Reduce while held `symbols` are overdue at `at`."""
        now = frozenset(symbols)
        if now - self._stale_symbols:
            text = f"no price in time for {', '.join(sorted(now))}"
            self._restrictions["stale"] = _Restriction(state=RiskState.REDUCING, text=text)
        elif not now:
            self._restrictions.pop("stale", None)
        self._stale_symbols = now
        return self._state_changes(at)

    def on_predictions(self, at: datetime, abstained: Iterable[bool]) -> list[RiskChange]:
        """Check the rate of abstentions after new predictions; True stands for an abstention."""
        window = self.limits.abstention_window
        self._recent_abstentions.extend(abstained)
        while len(self._recent_abstentions) > window:
            self._recent_abstentions.popleft()
        rate = sum(self._recent_abstentions) / window
        if rate >= self.limits.abstention_rate:
            text = f"{sum(self._recent_abstentions)} of the last {window} calls were abstentions"
            self._restrictions.setdefault("abstentions", _Restriction(state=RiskState.REDUCING, text=text))
        else:
            self._restrictions.pop("abstentions", None)
        return self._state_changes(at)

    def on_order(self, at: datetime) -> None:
        """Count an order given at `at`."""
        self._roll_day(at)
        self._order_times += 1

    def halt_reason(self) -> str:
        """Return why no order may be given; empty if some may."""
        strictest = self._strictest()
        return f"halted ({strictest.text})" if strictest.state is RiskState.HALTED else ""

    def check_order(self, order: OrderRequest) -> tuple[float, str]:
        """Return how much of the order may be given, in signed units, and why not all of it."""
        if forbidden := self.halt_reason():
            return 0.0, forbidden
        after = order.position + order.size
        if 0 <= after <= order.position or order.position <= after <= 0:
            return order.size, ""
        if refusal := self._refusal(order, after):
            flips = order.position * after < 0
            return (-order.position if flips else 0.0), refusal
        return order.size, ""

    def on_flat(self) -> None:
        """End flattening: no position is held any longer."""
        self.flattening = False

    def _refusal(self, order: OrderRequest, after: float) -> str:
        """Return why an order that enlarges or flips a position may not be given whole."""
        limits = self.limits
        strictest = self._strictest()
        if strictest.state is RiskState.REDUCING:
            return f"no new risk while reducing ({strictest.text})"
        self._roll_day(order.at)
        if self._order_times >= limits.orders_per_day:
            return f"the limit of {limits.orders_per_day} orders a day is reached"
        own = abs(after) * order.price / order.equity
        if own > limits.symbol_exposure:
            return f"{order.symbol} would be {own:.1%} of equity, the limit is {limits.symbol_exposure:.1%}"
        total = own + order.other_exposure / order.equity
        if total > limits.total_exposure:
            return f"exposure would be {total:.1%} of equity, the limit is {limits.total_exposure:.1%}"
        return ""

    def _strictest(self) -> _Restriction:
        strictest = self._operator
        for restriction in self._restrictions.values():
            if _RANK[restriction.state] > _RANK[strictest.state]:
                strictest = restriction
        return strictest

    def _roll_day(self, at: datetime) -> None:
        day = at.date()
        if self._day is not None and day <= self._day:
            return
        self._day, self._day_start, self._order_times = day, self._last, 0
        self._restrictions.pop("daily loss", None)

    def _reset_limits(self) -> None:
        self._restrictions.clear()
        self._recent_abstentions.clear()
        self.flattening = False
        self._day_start = self._peak = self._last

    def _state_changes(self, at: datetime, author: str = "risk", *, always: bool = False) -> list[RiskChange]:
        strictest = self._strictest()
        now, was = (strictest.state, strictest.text), self._reported
        if now[0] == was[0] and not always:
            return []
        self._reported = now
        return [RiskChange(at=at, was=was[0], now=now[0], cause=now[1] or "the cause is gone", author=author)]

"""Limits on what a session may do, and the three states that follow from them and from a person's commands.

ACTIVE trades; REDUCING takes no new risk; HALTED gives no order at all, and only a person leads out of it.
Numbers go in, changes with their cause and author come out. Knows no strategy, no model and no journal.

The daily loss, the abstentions and stale prices reduce for as long as their cause lasts; the drawdown halts.
A person who resumes or reduces has seen the causes: each counts again only once it arises anew.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from engine.model import require_utc

_LONGEST = 500


class CommandKind(StrEnum):
    """The five commands. `pause` and `halt` stop all orders; `flatten` does too, and closes what is held."""

    PAUSE = "pause"
    RESUME = "resume"
    REDUCE = "reduce"
    HALT = "halt"
    FLATTEN = "flatten"

    @property
    def stops(self) -> bool:
        """Whether no order of the strategy's may follow."""
        return self in (CommandKind.PAUSE, CommandKind.HALT, CommandKind.FLATTEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command at an instant. `author` is who gave it and `text` why, in that person's words.

    Raises ValueError without an author, for a time that is not UTC, and for a text of more than 500
    characters.
    """

    at: datetime
    kind: CommandKind
    author: str
    text: str = ""

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
        if not self.author.strip():
            raise ValueError("a command needs an author")
        if len(self.author) + len(self.text) > _LONGEST:
            raise ValueError(f"author and text of a command are longer than {_LONGEST} characters")


RISK = "risk"


class RiskState(StrEnum):
    """What a session may do."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


_RANK = {RiskState.ACTIVE: 0, RiskState.REDUCING: 1, RiskState.HALTED: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits:
    """The limits, as fractions of equity unless another unit is named. Raises ValueError for nonsense.

    `symbol_exposure` and `total_exposure` bound the absolute value of positions and waiting orders; an order
    that would lead beyond one is refused. `daily_loss` is measured from the last value before the UTC day
    began, `drawdown` from the highest value yet. `orders_per_day` counts orders by UTC day; what only makes a
    position smaller is always allowed. A held symbol is stale once its next open or close by its calendar is
    overdue by `stale_after`. `abstention_rate` is the share among the last `abstention_window` calls.
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
    """The session went from one state to another, or its cause changed. `author` is a person, or "risk"."""

    at: datetime
    was: RiskState
    now: RiskState
    cause: str
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An order that a strategy would give: sizes in signed units, `price` and amounts in the base currency.

    `others` is the absolute value of all other symbols' positions with their waiting orders filled.
    """

    at: datetime
    symbol: str
    held: float
    size: float
    price: float
    equity: float
    others: float


@dataclass(slots=True, kw_only=True)
class _Cause:
    state: RiskState
    text: str


@dataclass(slots=True)
class RiskGuard:
    """The state of one session. Starts ACTIVE."""

    limits: RiskLimits
    flattening: bool = False
    _person: _Cause = field(default_factory=lambda: _Cause(state=RiskState.ACTIVE, text=""))
    _causes: dict[str, _Cause] = field(default_factory=dict)
    _told: tuple[RiskState, str] = (RiskState.ACTIVE, "")
    _day: date | None = None
    _day_start: float = 0.0
    _peak: float = 0.0
    _last: float = 0.0
    _ordered: int = 0
    _calls: deque[bool] = field(default_factory=deque)
    _stale: frozenset[str] = frozenset()

    @property
    def state(self) -> RiskState:
        """The strictest state that a person or a limit asks for."""
        return self._strictest().state

    @property
    def cause(self) -> str:
        """Why the state is what it is; empty while nothing ever happened."""
        return self._strictest().text

    def command(self, command: Command) -> list[RiskChange]:
        """Do what a person says."""
        said = f"{command.kind}: {command.text}" if command.text else str(command.kind)
        match command.kind:
            case CommandKind.RESUME | CommandKind.REDUCE:
                self._acknowledge()
                to = RiskState.ACTIVE if command.kind is CommandKind.RESUME else RiskState.REDUCING
            case _:
                self.flattening = self.flattening or command.kind is CommandKind.FLATTEN
                to = RiskState.HALTED
        self._person = _Cause(state=to, text=said)
        return self._changes(command.at, command.author, always=True)

    def value(self, at: datetime, equity: float) -> list[RiskChange]:
        """The portfolio is worth `equity` at `at`: check the daily loss and the drawdown."""
        self._turn_day(at)
        self._peak = max(self._peak, equity)
        self._last = equity
        limits = self.limits
        if self._day_start > 0 and equity <= self._day_start * (1 - limits.daily_loss):
            text = f"daily loss {1 - equity / self._day_start:.1%} reached the limit {limits.daily_loss:.1%}"
            self._causes.setdefault("daily loss", _Cause(state=RiskState.REDUCING, text=text))
        if self._peak > 0 and equity <= self._peak * (1 - limits.drawdown):
            text = f"drawdown {1 - equity / self._peak:.1%} reached the limit {limits.drawdown:.1%}"
            self._causes.setdefault("drawdown", _Cause(state=RiskState.HALTED, text=text))
        return self._changes(at)

    def stale(self, at: datetime, symbols: Iterable[str]) -> list[RiskChange]:
        """These held symbols are overdue at `at`."""
        now = frozenset(symbols)
        if now - self._stale:
            text = f"no price in time for {', '.join(sorted(now))}"
            self._causes["stale"] = _Cause(state=RiskState.REDUCING, text=text)
        elif not now:
            self._causes.pop("stale", None)
        self._stale = now
        return self._changes(at)

    def called(self, at: datetime, abstained: Iterable[bool]) -> list[RiskChange]:
        """The student made these calls; True stands for an abstention."""
        window = self.limits.abstention_window
        self._calls.extend(abstained)
        while len(self._calls) > window:
            self._calls.popleft()
        rate = sum(self._calls) / window
        if rate >= self.limits.abstention_rate:
            text = f"{sum(self._calls)} of the last {window} calls were abstentions"
            self._causes.setdefault("abstentions", _Cause(state=RiskState.REDUCING, text=text))
        else:
            self._causes.pop("abstentions", None)
        return self._changes(at)

    def ordered(self, at: datetime) -> None:
        """An order was given at `at`."""
        self._turn_day(at)
        self._ordered += 1

    def forbids_all(self) -> str:
        """Why no order may be given; empty if some may."""
        strictest = self._strictest()
        return f"halted ({strictest.text})" if strictest.state is RiskState.HALTED else ""

    def permit(self, order: Proposal) -> tuple[float, str]:
        """How much of the order may be given, in signed units, and why not all of it."""
        if forbidden := self.forbids_all():
            return 0.0, forbidden
        after = order.held + order.size
        if 0 <= after <= order.held or order.held <= after <= 0:
            return order.size, ""
        if refusal := self._refusal(order, after):
            turns = order.held * after < 0
            return (-order.held if turns else 0.0), refusal
        return order.size, ""

    def flat(self) -> None:
        """Nothing is held any longer."""
        self.flattening = False

    def _refusal(self, order: Proposal, after: float) -> str:
        """Why an order that makes a position larger, or turns it, may not be given whole."""
        limits = self.limits
        strictest = self._strictest()
        if strictest.state is RiskState.REDUCING:
            return f"no new risk while reducing ({strictest.text})"
        self._turn_day(order.at)
        if self._ordered >= limits.orders_per_day:
            return f"the limit of {limits.orders_per_day} orders a day is reached"
        own = abs(after) * order.price / order.equity
        if own > limits.symbol_exposure:
            return f"{order.symbol} would be {own:.1%} of equity, the limit is {limits.symbol_exposure:.1%}"
        total = own + order.others / order.equity
        if total > limits.total_exposure:
            return f"exposure would be {total:.1%} of equity, the limit is {limits.total_exposure:.1%}"
        return ""

    def _strictest(self) -> _Cause:
        found = self._person
        for cause in self._causes.values():
            if _RANK[cause.state] > _RANK[found.state]:
                found = cause
        return found

    def _turn_day(self, at: datetime) -> None:
        day = at.date()
        if self._day is not None and day <= self._day:
            return
        self._day, self._day_start, self._ordered = day, self._last, 0
        self._causes.pop("daily loss", None)

    def _acknowledge(self) -> None:
        self._causes.clear()
        self._calls.clear()
        self.flattening = False
        self._day_start = self._peak = self._last

    def _changes(self, at: datetime, author: str = "risk", *, always: bool = False) -> list[RiskChange]:
        strictest = self._strictest()
        now, was = (strictest.state, strictest.text), self._told
        if now[0] == was[0] and not always:
            return []
        self._told = now
        return [RiskChange(at=at, was=was[0], now=now[0], cause=now[1] or "the cause is gone", author=author)]

"""The state of each journal at one moment: frozen values, ready to be shown.

Prices are in the quote currency, amounts in the account's, shares and returns are fractions, sizes signed
units, instants UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from strategies.monitor.catalog import JournalPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """One forecast, or an abstention with its reason, and its outcome once that is known.

    `came` is the next close, at `came_at`. `seq` is the number of its event.
    """

    seq: int
    symbol: str
    as_of: datetime
    direction: str | None
    confidence: float | None
    close: float | None
    last_close: float | None
    abstention: str | None
    adapter: str | None = None
    came: float | None = None
    came_at: datetime | None = None

    @property
    def hit(self) -> bool | None:
        """Return whether the direction was right; None for an abstention, a tie and a pending outcome."""
        if self.direction is None or self.came is None or self.last_close is None:
            return None
        return None if self.tie else (self.came > self.last_close) == (self.direction == "up")

    @property
    def tie(self) -> bool:
        """Return whether the next close was equal to the last one."""
        return self.came is not None and self.came == self.last_close

    @property
    def error_bps(self) -> float | None:
        """Return |forecast close - next close| over the last close, in basis points."""
        if self.close is None or self.came is None or not self.last_close:
            return None
        return abs(self.close - self.came) / self.last_close * 1e4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Forecasts with a confidence from `low` to `high`: their number and hits."""

    low: float
    high: float
    n: int
    hits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreView:
    """Accuracy close to close with its 95% interval, days as clusters; None where there is none yet."""

    n: int = 0
    hits: int = 0
    ties: int = 0
    pending: int = 0
    abstentions: int = 0
    low: float | None = None
    high: float | None = None
    error_bps: float | None = None
    buckets: tuple[Bucket, ...] = ()
    reasons: tuple[tuple[str, int], ...] = ()

    @property
    def accuracy(self) -> float | None:
        """Return the share of hits."""
        return self.hits / self.n if self.n else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A value at an instant."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleView:
    """One bar, closed at `at`; prices in the quote currency, in the symbol's newest units."""

    at: datetime
    open: float
    high: float
    low: float
    close: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionView:
    """A position: `price` is the newest known, at `price_at`; `entry` the mean price paid."""

    symbol: str
    size: float
    entry: float | None
    price: float | None
    price_at: datetime | None
    rate: float = 1.0
    waiting: float = 0.0

    @property
    def market_value(self) -> float | None:
        """Return size times price in the account's currency."""
        return None if self.price is None else self.size * self.price * self.rate

    @property
    def unrealized_pnl(self) -> float | None:
        """Return the gain since entry, before costs, in the account's currency."""
        if self.price is None or self.entry is None:
            return None
        return self.size * (self.price - self.entry) * self.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """Equity, and the mean of all prices in shares of their first closes, times the starting cash."""

    start: float | None = None
    value: float | None = None
    cash: float | None = None
    at: datetime | None = None
    today: float | None = None
    equity: tuple[Point, ...] = ()
    mean_price: tuple[Point, ...] = ()
    drawdown: float = 0.0
    costs: float = 0.0
    fills: int = 0

    @property
    def total_return(self) -> float | None:
        """Return the return since the start."""
        return self.value / self.start - 1 if self.value is not None and self.start else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One line for an event: instant, kind, text, and the event's number."""

    seq: int
    at: datetime
    kind: str
    text: str
    symbol: str = ""
    good: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandView:
    """A command and the session's answer, empty where there is none yet."""

    seq: int
    at: datetime
    recorded_at: datetime
    command: str
    author: str
    text: str
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskView:
    """The risk state, its cause and author, since when it holds, and the limits."""

    state: str = ""
    cause: str = ""
    author: str = ""
    at: datetime | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsView:
    """An item that the student could read from `available_at` on."""

    at: datetime
    title: str
    source: str
    symbols: tuple[str, ...]
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldView:
    """One fold of a walk-forward, or one round of retraining: trained, then gated."""

    arm: str
    number: int
    trained: Mapping[str, Any] | None = None
    gated: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationView:
    """One evaluation on unseen days: its figures, and the guards that were violated."""

    arm: str
    fold: int
    step: int
    figures: Mapping[str, Any]
    guards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingView:
    """Steps as journaled, newest last, and the folds so far of `planned` over all arms."""

    steps: tuple[Mapping[str, Any], ...] = ()
    looks: tuple[EvaluationView, ...] = ()
    folds: tuple[FoldView, ...] = ()
    planned: int = 0
    now: str = ""
    at: datetime | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthView:
    """Sources, clock, gaps and faults, by the journal."""

    sources: tuple[tuple[str, str, str, datetime], ...] = ()
    parts: tuple[tuple[str, str, str, datetime], ...] = ()
    clock: tuple[tuple[str, float, datetime], ...] = ()
    gaps: tuple[EventLine, ...] = ()
    gap_count: int = 0
    refused: int = 0
    corrections: int = 0
    faulty: int = 0
    latency: float | None = None
    thinking: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalView:
    """The state of one journal. `trouble` says why it cannot be read now, since `trouble_at`; `notice` is the
    last change of its file.

    `simulated` says that the market is simulated, `own_time` that time is that of the inputs. `counted` of
    `newest` events are folded; the last ones always are. For a running backtest `asked` is the number of
    closes that are forecast and their total, and `done` the share traded, or forecast before trading begins.
    """

    place: JournalPlace
    state: str = "unknown"
    simulated: bool = False
    own_time: bool = False
    title: str = ""
    student: str = ""
    symbols: tuple[str, ...] = ()
    currency: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    last_at: datetime | None = None
    reached: datetime | None = None
    waiting_for: str = ""
    waiting_until: datetime | None = None
    reason: str = ""
    held: bool = False
    newest: int = 0
    counted: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)
    rate: float = 0.0
    money: AccountView = field(default_factory=AccountView)
    score: ScoreView = field(default_factory=ScoreView)
    calls: tuple[CallView, ...] = ()
    candles: Mapping[str, tuple[CandleView, ...]] = field(default_factory=dict)
    positions: tuple[PositionView, ...] = ()
    orders: tuple[EventLine, ...] = ()
    fills: tuple[EventLine, ...] = ()
    commands: tuple[CommandView, ...] = ()
    risk: RiskView = field(default_factory=RiskView)
    news: tuple[NewsView, ...] = ()
    training: TrainingView = field(default_factory=TrainingView)
    health: HealthView = field(default_factory=HealthView)
    result: Mapping[str, Any] = field(default_factory=dict)
    done: float | None = None
    asked: tuple[int, int] = (0, 0)
    registry: "RegistryView | None" = None
    lines: tuple[EventLine, ...] = ()
    trouble: str = ""
    trouble_at: datetime | None = None
    notice: str = ""
    notice_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterView:
    """A registered adapter, its latest verdict, and the guard that its training violated, if any."""

    name: str
    status: str
    student: str
    parent: str | None
    cutoff: datetime
    created_at: datetime
    method: str
    verdict: str
    guard: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryView:
    """The registered adapters, the champion of each student, and the last changes."""

    adapters: tuple[AdapterView, ...] = ()
    champions: tuple[tuple[str, str], ...] = ()
    changes: tuple[EventLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of all journals. `disk_free` and `memory`, that of this process, are in bytes."""

    at: datetime
    data_dir: str
    journals: tuple[JournalView, ...] = ()
    disk_free: int | None = None
    memory: int | None = None
    poll_seconds: float = 0.0
    problem: str = ""

    def get(self, key: str) -> JournalView | None:
        """Return the journal of that key."""
        return next((journal for journal in self.journals if journal.place.key == key), None)

    @property
    def registry(self) -> RegistryView | None:
        """Return the registry, where there is one."""
        return next((journal.registry for journal in self.journals if journal.registry is not None), None)

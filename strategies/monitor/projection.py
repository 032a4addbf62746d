"""Folds the events of one journal, in order, into the view that every reader shows.

Pure: events in, `JournalView` out, without files and clocks; unreadable events are counted as faulty.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from engine.corporate_actions import ActionKind, Dividend, Split
from engine.errors import JournalError
from engine.journal.events import Kind, input_seq
from engine.journal.events.inputs import ModelAdopted, Quotes, SessionFinished, SliceRecord
from engine.journal.events.outputs import PredictionRecord
from engine.journal.events.sessions import (
    ActionAnnounced,
    Forecasting,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    SessionResumed,
    SessionStarted,
    SessionStopped,
    Waiting,
)
from engine.journal.events.training import WalkForwardStarted
from engine.model import NewsItem
from engine.trading.records import EquityPoint, Fill, OrderRecord, SessionSnapshot, Valuation
from engine.trading.risk import Command, RiskChange
from strategies.monitor import fields
from strategies.monitor.account import AccountTracker
from strategies.monitor.candles import CandleTracker
from strategies.monitor.catalog import JournalPlace, JournalType
from strategies.monitor.descriptions import decode_or_none, describe, fill_line, order_line
from strategies.monitor.forecasts import ForecastTracker
from strategies.monitor.health import HealthEvent, HealthTracker
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.registry import RegistryTracker
from strategies.monitor.training import TrainingPayload, TrainingTracker
from strategies.monitor.views import CommandView, EventLine, JournalView, NewsView, RiskView

_ENDS: Mapping[type, str] = {
    RunFinished: "finished",
    RunInterrupted: "interrupted",
    RunFailed: "failed",
    SessionFinished: "finished",
    SessionStopped: "stopped",
}


class StatusTracker:
    """The state of a journal's process and its settings, by its events: fields of `JournalView`."""

    def __init__(self) -> None:
        self.state = "begun"
        self.title = self.student = self.currency = self.reason = ""
        self.simulated = self.own_time = False
        self.symbols: tuple[str, ...] = ()
        self.started_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.last_at: datetime | None = None
        self.reached: datetime | None = None
        self.waiting_for = ""
        self.waiting_until: datetime | None = None
        self.result: Mapping[str, Any] = {}

    def apply(self, row: EventRow, payload: object) -> None:
        """Apply the next event, of any kind."""
        if self.last_at is None or row.recorded_at > self.last_at:
            self.last_at = row.recorded_at
        match payload:
            case SliceRecord() | EquityPoint() | Quotes():
                self.reached = max(self.reached or row.as_of, row.as_of)
            case RunFinished() | RunInterrupted() | RunFailed() | SessionFinished() | SessionStopped():
                self._on_end(row, payload)
            case RunStarted():
                self._on_run_started(row, payload.config)
            case SessionStarted():
                self._on_session_started(row, payload)
            case SessionResumed() if self.state != "finished":
                self.state = "begun"  # a finished session that is opened again does nothing more
            case Waiting():
                self.waiting_for, self.waiting_until = payload.awaited[:300], payload.until
            case WalkForwardStarted():
                self.title = f"walk-forward, {fields.get_text(payload.settings, 'method', 12)}"
                self.simulated = self.simulated and payload.plan.get("simulated", True) is not False
            case ModelAdopted():
                self.student = (payload.name or payload.fingerprint[:12])[:60]

    def _on_end(self, row: EventRow, payload: object) -> None:
        # A run's last event is dated when it ended; it is recorded with the instant of its start.
        ended_at = (
            row.as_of if isinstance(payload, RunFinished | RunInterrupted | RunFailed) else row.recorded_at
        )
        self.state, self.ended_at = _ENDS[type(payload)], ended_at
        self.reason = str(getattr(payload, "reason", ""))[:300]
        self.waiting_for, self.waiting_until = "", None
        if isinstance(payload, RunFinished):
            result = payload.result
            self.result = result
            self.simulated = bool(result.get("simulated"))
            self.currency = fields.get_text(result, "currency", 8)
            self.symbols = tuple(str(symbol)[:20] for symbol in fields.get_list(result, "symbols"))

    def _on_run_started(self, row: EventRow, config: Mapping[str, Any]) -> None:
        self.started_at = row.recorded_at
        self.student = fields.get_text(config, "student", 60)
        self.simulated = not (config.get("bars") or config.get("store"))
        self.symbols = tuple(str(symbol)[:20] for symbol in fields.get_list(config, "symbols"))
        self.title = "backtest"
        self.own_time = True

    def _on_session_started(self, row: EventRow, started: SessionStarted) -> None:
        self.currency = _account_currency(started)
        if row.kind != Kind.SESSION_STARTED:  # the settings of a run
            # A simulated market is named in the notes.
            self.simulated = self.simulated and any("SIMULATED" in note for note in started.notes)
            return
        self.own_time = started.simulated
        self.started_at = row.recorded_at
        self.student = started.student[:60]
        # A replay's time is simulated, and so is its market unless it names real bars.
        replayed = fields.get_text(started.about, "replay", 60)
        self.simulated = replayed.startswith("simulated")
        self.title = f"replay of {replayed}" if "replay" in started.about else "paper session"
        self.symbols = tuple(symbol[:20] for symbol in started.instruments)


def _account_currency(started: SessionStarted) -> str:
    """Return the base currency, or the one that all instruments are quoted in; empty where there is none."""
    currencies = {instrument.currency for instrument in started.instruments.values()}
    return (started.base or (currencies.pop() if len(currencies) == 1 else ""))[:8]


HEAVY = (
    Kind.SLICE,
    Kind.QUOTE,
    Kind.VALUATION,
    Kind.PROGRESS,
    Kind.STEP,
    Kind.HISTORY,
    Kind.RATE,
    Kind.NEWS,
)
"""Kinds of which only the last events are read; older ones change nothing that is shown."""

_LINES, _NEWS, _ORDERS, _COMMANDS = 400, 120, 120, 60


class JournalProjection:
    """The view of one journal, by the events folded so far.

    `started`, `snapshot`, `risk_change`, `waiting` and `retrained` are the newest of their kind.
    """

    def __init__(self, place: JournalPlace) -> None:
        self._place = place
        self._status = StatusTracker()
        self.calls = ForecastTracker()
        self.account = AccountTracker()
        self._candles = CandleTracker()
        self.health = HealthTracker()
        self._trainings = TrainingTracker()
        self._registrations = (
            RegistryTracker(place.path.parent) if place.type is JournalType.REGISTRY else None
        )
        self._kinds: Counter[str] = Counter()
        self._lines: deque[EventLine] = deque(maxlen=_LINES)
        self._orders: OrderedDict[int, EventLine] = OrderedDict()
        self._fills: deque[EventLine] = deque(maxlen=_ORDERS)
        self._commands: OrderedDict[int, CommandView] = OrderedDict()
        self._risk = RiskView()
        self._news: OrderedDict[tuple[str, str], NewsView] = OrderedDict()
        self._instants = 0
        self._forecast_progress = (0, 0)
        self._called_at: datetime | None = None
        self._valued = 0
        self.started: SessionStarted | None = None
        self.snapshot: SessionSnapshot | None = None
        self.risk_change: RiskChange | None = None
        self.announced: dict[tuple[ActionKind, str, datetime], ActionAnnounced] = {}
        self.waiting: Waiting | None = None
        self.retrained: Mapping[str, Any] | None = None
        self._handlers: dict[type, Callable[[EventRow, Any], None]] = {
            PredictionRecord: self._on_prediction,
            Forecasting: self._on_forecasting,
            EquityPoint: self._on_valuation,
            Valuation: self._on_valuation,
            SessionSnapshot: self._on_snapshot,
            OrderRecord: self._on_order,
            Fill: self._on_fill,
            SliceRecord: self._on_slice,
            Quotes: lambda row, quotes: self.account.on_quotes(row.as_of, quotes),
            NewsItem: lambda row, item: self._add_news(row.seq, item),
            Command: self._on_command,
            RiskChange: self._on_risk_change,
            Split: self._on_split,
            Dividend: self._on_dividend,
            ActionAnnounced: self._on_announced,
            Waiting: self._on_waiting,
            SessionStarted: self._on_started,
            RunStarted: lambda _row, run: self._set_start(fields.get_number(run.config, "cash"), {}),
        }

    @property
    def student(self) -> str:
        """Return the student in use."""
        return self._status.student

    @property
    def currency(self) -> str:
        """Return the account's currency; empty where that is not known."""
        return self._status.currency

    @property
    def finished(self) -> bool:
        """Return whether the journal has ended for good."""
        return self._status.state == "finished"

    @property
    def unanswered(self) -> list[CommandView]:
        """Return the commands that the session has not applied yet."""
        return [command for command in self._commands.values() if not command.answer]

    def count(self, kinds: dict[str, int]) -> None:
        """Add the numbers of events by kind, folded or not."""
        self._kinds.update(kinds)

    def fold(self, row: EventRow, *, listed: bool) -> None:
        """Apply the next event; with `listed` its line is kept."""
        payload = decode_or_none(row)
        if listed:
            self._lines.append(describe(row, payload))
        if payload is None:
            self.health.faulty += 1
            return
        try:
            self._apply(row, payload)
        except (JournalError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError):
            self.health.faulty += 1

    def _apply(self, row: EventRow, payload: object) -> None:
        self._status.apply(row, payload)
        if (handle := self._handlers.get(type(payload))) is not None:
            handle(row, payload)
        elif isinstance(payload, HealthEvent):
            self.health.apply(row, payload)
        elif isinstance(payload, TrainingPayload):
            self._trainings.apply(row.payload, row.recorded_at, payload)
        elif self._registrations is not None:
            self._registrations.apply(row)
        elif row.kind == Kind.RETRAINED:
            self.retrained = row.payload

    def view(self, **rest: Any) -> JournalView:
        """Return the view; `rest` are fields that a journal does not state."""
        return JournalView(
            place=self._place,
            kinds=dict(self._kinds),
            money=self.account.view(),
            score=self.calls.view(),
            calls=self.calls.last(),
            candles=self._candles.view(),
            positions=self.account.positions(),
            orders=tuple(self._orders.values()),
            fills=tuple(self._fills),
            commands=tuple(self._commands.values()),
            risk=self._risk,
            news=tuple(self._news.values()),
            training=self._trainings.view(),
            health=self.health.view(),
            registry=self._registrations.view() if self._registrations else None,
            lines=tuple(self._lines),
            asked=self._forecast_progress,
            done=self._share_done(),
            **(vars(self._status) | rest),
        )

    def _share_done(self) -> float | None:
        """Return the share of a run's closes that were traded, or, as long as none is journaled, forecast."""
        if self._place.type is not JournalType.RUN or self._status.result:
            return None
        done, total = (self._valued, self._instants) if self._instants else self._forecast_progress
        return min(1.0, done / total) if total else None

    def _on_started(self, row: EventRow, started: SessionStarted) -> None:
        if row.kind == Kind.SESSION_STARTED:
            self.started = started
            self._set_start(started.cash, fields.get_mapping(row.payload, "limits"))

    def _set_start(self, cash: float | None, limits: Mapping[str, Any]) -> None:
        self.account.start = cash
        self._risk = replace(self._risk, limits=limits)

    def _on_prediction(self, row: EventRow, record: PredictionRecord) -> None:
        if row.as_of != self._called_at:
            self._called_at = row.as_of
            self._instants += 1
        self.calls.add(row.seq, record)
        self.account.on_prediction(record.call)
        self.health.on_prediction(row.recorded_at)

    def _on_forecasting(self, _row: EventRow, progress: Forecasting) -> None:
        self._forecast_progress = progress.done, progress.total

    def _on_valuation(self, row: EventRow, valued: EquityPoint | Valuation) -> None:
        self._valued += isinstance(valued, EquityPoint)
        self.account.on_valuation(row.as_of, valued)

    def _on_snapshot(self, _row: EventRow, snapshot: SessionSnapshot) -> None:
        self.snapshot = snapshot
        self.account.on_snapshot(snapshot)
        if (snapshot.state, snapshot.cause[:300]) != (self._risk.state, self._risk.cause):
            limits, cause = self._risk.limits, snapshot.cause[:300]
            self._risk = RiskView(state=snapshot.state, cause=cause, at=snapshot.at, limits=limits)

    def _on_order(self, row: EventRow, order: OrderRecord) -> None:
        self.account.on_order(order)
        self._orders.pop(order.number, None)
        self._orders[order.number] = order_line(row.seq, order)
        if len(self._orders) > _ORDERS:
            self._orders.popitem(last=False)

    def _on_fill(self, row: EventRow, fill: Fill) -> None:
        self.account.on_fill(fill)
        self._fills.append(fill_line(row.seq, fill))

    def _on_announced(self, _row: EventRow, announced: ActionAnnounced) -> None:
        self.announced[announced.action, announced.symbol, announced.effective_at] = announced

    def _on_dividend(self, _row: EventRow, dividend: Dividend) -> None:
        self.announced.pop((ActionKind.DIVIDEND, dividend.symbol, dividend.at), None)
        self.account.on_dividend(dividend)

    def _on_split(self, _row: EventRow, split: Split) -> None:
        self.announced.pop((ActionKind.SPLIT, split.symbol, split.at), None)
        self.account.on_split(split)
        self.calls.split(split)
        self._candles.on_split(split)

    def _on_slice(self, row: EventRow, record: SliceRecord) -> None:
        self.account.on_slice(record.slice)
        self._candles.on_slice(record.slice)
        self.health.on_slice(row.as_of, row.recorded_at)
        for item in record.slice.news:
            self._add_news(row.seq, item)

    def _add_news(self, seq: int, item: NewsItem) -> None:
        key = item.source[:60], item.id[:200]
        self._news.pop(key, None)
        self._news[key] = NewsView(
            at=item.available_at,
            title=item.title[:300],
            source=key[0],
            symbols=tuple(symbol[:20] for symbol in sorted(item.symbols)[:8]),
            seq=seq,
        )
        if len(self._news) > _NEWS:
            self._news.popitem(last=False)

    def _on_waiting(self, row: EventRow, waiting: Waiting) -> None:
        self.waiting = waiting
        self.health.on_waiting(waiting, row.recorded_at)

    def _on_command(self, row: EventRow, command: Command) -> None:
        self._commands[row.seq] = CommandView(
            seq=row.seq,
            at=row.as_of,
            recorded_at=row.recorded_at,
            command=command.kind,
            author=command.author[:60],
            text=command.text[:300],
        )
        if len(self._commands) > _COMMANDS:
            self._commands.popitem(last=False)

    def _on_risk_change(self, row: EventRow, change: RiskChange) -> None:
        self.risk_change = change
        self._risk = RiskView(
            state=change.now,
            cause=change.cause[:300],
            author=change.author[:300],
            at=change.at,
            limits=self._risk.limits,
        )
        number = input_seq(row)
        if (asked := self._commands.get(number)) is not None:
            self._commands[number] = replace(asked, answer=f"{change.was} → {change.now}")

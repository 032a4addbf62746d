"""Folds the events of one journal, in order, into what the dashboard shows of it.

Pure: events in, `JournalView` out; whatever an event holds, it is folded or counted as faulty. Knows no file,
no clock and no screen.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from strategies.monitor import fields
from strategies.monitor.account import AccountTracker
from strategies.monitor.catalog import JournalPlace, JournalType
from strategies.monitor.descriptions import describe_row, fill_line, order_line
from strategies.monitor.forecasts import ForecastTracker
from strategies.monitor.health import KINDS as HEALTH
from strategies.monitor.health import HealthTracker
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.registry import RegistryTracker
from strategies.monitor.training import KINDS as TRAINING
from strategies.monitor.training import TrainingTracker
from strategies.monitor.views import CommandView, EventLine, JournalView, NewsView, RiskView

_ENDS = {
    "run_finished": "finished",
    "run_interrupted": "interrupted",
    "run_failed": "failed",
    "session_finished": "finished",
    "session_stopped": "stopped",
}


class StatusTracker:
    """Where a journal's own process stands, as far as its events tell."""

    def __init__(self, sort: JournalType) -> None:
        self._type = sort
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

    def apply(self, row: EventRow) -> None:
        """The next event, of any kind."""
        if self.last_at is None or row.recorded_at > self.last_at:
            self.last_at = row.recorded_at
        if row.kind in ("slice", "mark", "quote"):
            self.reached = max(self.reached or row.as_of, row.as_of)
        if row.kind in _ENDS:
            self._on_end(row)
        elif row.kind == "run_started":
            self._on_run_started(row)
        elif row.kind == "session_started":
            self._on_session_started(row)
        elif row.kind == "session_resumed":
            # One that has finished and is opened again does nothing more.
            self.state = self.state if self.state == "finished" else "begun"
        elif row.kind == "waiting":
            self.waiting_for = fields.get_text(row.payload, "for")
            self.waiting_until = fields.get_instant(row.payload, "until")
        elif row.kind == "walkforward_started":
            self.title = (
                f"walk-forward, {fields.get_text(fields.get_mapping(row.payload, 'settings'), 'method', 12)}"
            )
        elif row.kind == "adopted":
            self.student = fields.get_text(row.payload, "name", 60) or fields.get_text(
                row.payload, "fingerprint", 12
            )

    def _on_end(self, row: EventRow) -> None:
        self.state, self.ended_at = _ENDS[row.kind], row.recorded_at
        self.reason = fields.get_text(row.payload, "reason")
        self.waiting_for, self.waiting_until = "", None
        if row.kind == "run_finished":
            self.result = row.payload
            self.simulated = bool(row.payload.get("simulated"))
            self.currency = fields.get_text(row.payload, "currency", 8)
            self.symbols = tuple(str(one)[:20] for one in fields.get_list(row.payload, "symbols"))

    def _on_run_started(self, row: EventRow) -> None:
        said = row.payload
        self.started_at = row.recorded_at
        self.student = fields.get_text(said, "student", 60)
        self.simulated = not (said.get("bars") or said.get("store"))
        self.symbols = tuple(str(one)[:20] for one in fields.get_list(said, "symbols"))
        self.title = "backtest"
        self.own_time = True

    def _on_session_started(self, row: EventRow) -> None:
        said = row.payload
        about = fields.get_mapping(said, "about")
        self.own_time = bool(said.get("simulated"))
        self.started_at = row.recorded_at
        self.student = fields.get_text(said, "student", 60)
        # A replay's time is simulated, and so is its market unless it names real bars.
        self.simulated = str(about.get("replay", "")).startswith("simulated")
        self.title = (
            f"replay of {fields.get_text(about, 'replay', 60)}" if "replay" in about else "paper session"
        )
        self.symbols = tuple(str(one)[:20] for one in fields.get_mapping(said, "instruments"))
        quotes = {
            fields.get_text(one, "quote_currency", 8)
            for one in fields.get_mapping(said, "instruments").values()
            if isinstance(one, dict)
        }
        self.currency = fields.get_text(said, "base", 8) or (quotes.pop() if len(quotes) == 1 else "")


HEAVY = ("slice", "quote", "valuation", "progress", "step", "history", "rate", "news")
"""Kinds of which the past is not read: only the last of them say anything now."""

_LINES, _NEWS, _ORDERS = 400, 120, 120


class JournalProjection:
    """All that one journal's events came to so far."""

    def __init__(self, place: JournalPlace) -> None:
        self._place = place
        self._status = StatusTracker(place.type)
        self._calls = ForecastTracker()
        self._money = AccountTracker()
        self._health = HealthTracker()
        self._trainings = TrainingTracker()
        self._registrations = (
            RegistryTracker(place.path.parent) if place.type is JournalType.REGISTRY else None
        )
        self._kinds: Counter[str] = Counter()
        self._lines: deque[EventLine] = deque(maxlen=_LINES)
        self._orders: OrderedDict[str, EventLine] = OrderedDict()
        self._fills: deque[EventLine] = deque(maxlen=_ORDERS)
        self._commands: OrderedDict[int, CommandView] = OrderedDict()
        self._risk = RiskView()
        self._risks: deque[EventLine] = deque(maxlen=60)
        self._news: OrderedDict[tuple[str, str], NewsView] = OrderedDict()
        self._instants = 0
        self._forecast_progress = (0, 0)
        self._called_at: datetime | None = None
        self._valued = 0
        self._do: dict[str, Callable[[EventRow], None]] = {
            "forecast": self._forecast,
            "forecasting": self._forecasting,
            "mark": self._valuation,
            "valuation": self._valuation,
            "progress": self._progress,
            "order": self._order,
            "fill": self._fill,
            "slice": self._slice,
            "quote": self._money.on_quotes,
            "news": lambda row: self._add_news(row, row.payload),
            "command": self._command,
            "risk": self._risk_changed,
            "split": self._split,
        }

    def count(self, kinds: dict[str, int]) -> None:
        """So many events of each kind were passed, folded or not."""
        self._kinds.update(kinds)

    def fold(self, row: EventRow, *, listed: bool) -> None:
        """Take in the next event; `listed` keeps a line of it."""
        if listed:
            self._lines.append(describe_row(row))
        if row.faulty:
            self._health.faulty += 1
            return
        try:
            self._status.apply(row)
            if row.kind in HEALTH:
                self._health.apply(row)
            elif row.kind in TRAINING:
                self._trainings.apply(row)
            elif self._registrations is not None:
                self._registrations.apply(row)
            elif (do := self._do.get(row.kind)) is not None:
                do(row)
            elif row.kind == "waiting":
                self._health.on_waiting(row)
            elif row.kind in ("session_started", "run_started"):
                self._on_started(row)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError):
            self._health.faulty += 1

    def view(self, **rest: Any) -> JournalView:
        """What is known now; `rest` are the fields that a journal does not tell."""
        standing = self._status
        return JournalView(
            place=self._place,
            simulated=standing.simulated,
            own_time=standing.own_time,
            title=standing.title,
            student=standing.student,
            symbols=standing.symbols,
            currency=standing.currency,
            started_at=standing.started_at,
            ended_at=standing.ended_at,
            last_at=standing.last_at,
            reached=standing.reached,
            waiting_for=standing.waiting_for,
            waiting_until=standing.waiting_until,
            reason=standing.reason,
            result=standing.result,
            kinds=dict(self._kinds),
            money=self._money.view(),
            score=self._calls.view(),
            calls=self._calls.last(),
            positions=self._money.positions(),
            orders=tuple(self._orders.values()),
            fills=tuple(self._fills),
            commands=tuple(self._commands.values()),
            risk=self._risk,
            risks=tuple(self._risks),
            news=tuple(self._news.values()),
            training=self._trainings.view(),
            health=self._health.view(),
            registry=self._registrations.view() if self._registrations else None,
            lines=tuple(self._lines),
            asked=self._forecast_progress,
            done=self._share_done(),
            **({"state": standing.state} | rest),
        )

    def _share_done(self) -> float | None:
        """The share of a run's closes that were traded, or, as long as none is journaled, forecast."""
        if self._place.type is not JournalType.RUN or self._status.result:
            return None
        done, total = (self._valued, self._instants) if self._instants else self._forecast_progress
        return min(1.0, done / total) if total else None

    def _on_started(self, row: EventRow) -> None:
        said = row.payload
        self._money.start = fields.get_number(said, "cash")
        self._risk = RiskView(state=self._risk.state, limits=fields.get_mapping(said, "limits"))

    def _forecast(self, row: EventRow) -> None:
        if row.as_of != self._called_at:
            self._called_at = row.as_of
            self._instants += 1
        self._calls.forecast(row)
        self._money.on_close(row)
        self._health.on_forecast(row)

    def _forecasting(self, row: EventRow) -> None:
        done, total = (fields.get_number(row.payload, name) or 0 for name in ("done", "total"))
        self._forecast_progress = int(done), int(total)

    def _valuation(self, row: EventRow) -> None:
        self._valued += row.kind == "mark"
        self._money.on_valuation(row.as_of, row.payload)

    def _progress(self, row: EventRow) -> None:
        said = row.payload
        self._money.on_progress(said)
        state, cause = fields.get_text(said, "state", 12), fields.get_text(said, "cause")
        if (state, cause) != (self._risk.state, self._risk.cause):
            at = _event_instant(row)
            self._risk = RiskView(state=state, cause=cause, at=at, limits=self._risk.limits)

    def _order(self, row: EventRow) -> None:
        number = fields.get_text(row.payload, "number", 20)
        self._money.on_order(row.payload)
        self._orders.pop(number, None)
        self._orders[number] = order_line(row)
        if len(self._orders) > _ORDERS:
            self._orders.popitem(last=False)

    def _fill(self, row: EventRow) -> None:
        self._money.on_fill(row.payload)
        self._fills.append(fill_line(row))

    def _split(self, row: EventRow) -> None:
        self._money.on_split(row.payload)
        self._calls.split(row.payload)

    def _slice(self, row: EventRow) -> None:
        self._money.on_slice(row)
        self._health.on_slice(row)
        for item in fields.get_list(row.payload, "news"):
            if isinstance(item, dict):
                self._add_news(row, item)

    def _add_news(self, row: EventRow, item: dict[str, Any]) -> None:
        key = fields.get_text(item, "source", 60), fields.get_text(item, "id", 200)
        self._news.pop(key, None)
        self._news[key] = NewsView(
            at=fields.get_instant(item, "available_at") or row.as_of,
            title=fields.get_text(item, "title"),
            source=key[0],
            symbols=tuple(str(one)[:20] for one in fields.get_list(item, "symbols")[:8]),
            seq=row.seq,
        )
        if len(self._news) > _NEWS:
            self._news.popitem(last=False)

    def _command(self, row: EventRow) -> None:
        said = row.payload
        self._commands[row.seq] = CommandView(
            seq=row.seq,
            at=row.as_of,
            recorded_at=row.recorded_at,
            command=fields.get_text(said, "command", 20),
            author=fields.get_text(said, "author", 60),
            text=fields.get_text(said, "text"),
        )
        if len(self._commands) > 60:
            self._commands.popitem(last=False)

    def _risk_changed(self, row: EventRow) -> None:
        said = row.payload
        state, cause, author = (fields.get_text(said, name) for name in ("now", "cause", "author"))
        self._risk = RiskView(
            state=state[:12], cause=cause, author=author, at=_event_instant(row), limits=self._risk.limits
        )
        self._risks.append(describe_row(row))
        asked = self._commands.get(int(fields.get_number(said, "input") or -1))
        if asked is not None:
            answer = f"{fields.get_text(said, 'was', 12)} → {state[:12]}"
            self._commands[asked.seq] = CommandView(
                seq=asked.seq,
                at=asked.at,
                recorded_at=asked.recorded_at,
                command=asked.command,
                author=asked.author,
                text=asked.text,
                answer=answer,
            )


def _event_instant(row: EventRow) -> datetime:
    """The instant that an effect states: where time is simulated, a command's event has the wall clock's."""
    return fields.get_instant(row.payload, "at") or row.as_of

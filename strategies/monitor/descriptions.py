"""One line of text for each event: on the dashboard, in the session log, for the webhook and the terminal."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.corporate_actions import ActionKind, Dividend, Split
from engine.errors import JournalError
from engine.journal.events import PAYLOADS, Kind, StoredEvent, decode
from engine.journal.events.inputs import (
    CalendarExtended,
    ClockMeasured,
    Collecting,
    Correction,
    Gap,
    History,
    ModelAdopted,
    Quotes,
    Rate,
    Refused,
    SessionFinished,
    SliceRecord,
    SourceState,
)
from engine.journal.events.outputs import PredictionRecord
from engine.journal.events.sessions import (
    ActionAnnounced,
    Fault,
    Forecasting,
    RegistryChanged,
    Retrained,
    RunFailed,
    RunFinished,
    RunInterrupted,
    SessionResumed,
    SessionStarted,
    SessionStopped,
    Waiting,
)
from engine.model import Forecast, NewsItem, Prediction
from engine.trading.records import (
    EquityPoint,
    Fill,
    HoldingPeriod,
    OrderRecord,
    OrderStatus,
    SessionSnapshot,
    Valuation,
)
from engine.trading.risk import Command, RiskChange
from strategies.console import pluralize
from strategies.monitor import fields
from strategies.monitor.views import EventLine

NOTIFIED_KINDS = (
    Kind.SESSION_STARTED,
    Kind.SESSION_RESUMED,
    Kind.SESSION_STOPPED,
    Kind.SESSION_FINISHED,
    Kind.RISK,
    Kind.FAULT,
    Kind.ADOPTED,
    Kind.RETRAINED,
    Kind.SPLIT,
    Kind.DIVIDEND,
)
"""Kinds that are posted to a webhook."""

COLLECTOR_KINDS = (
    Kind.SLICE,
    Kind.GAP,
    Kind.CORRECTION,
    Kind.REFUSED,
    Kind.SOURCE,
    Kind.CLOCK,
    Kind.COLLECTING,
)
"""Kinds that a collector prints and a live session logs."""

LOGGED_KINDS = (
    *NOTIFIED_KINDS,
    *COLLECTOR_KINDS,
    Kind.REGISTRY_CHANGED,
    Kind.COMMAND,
    Kind.ACTION_ANNOUNCED,
    Kind.FILL,
)
"""Kinds that the session log and the terminal show."""

FOLLOWED_KINDS = (*LOGGED_KINDS, Kind.FORECAST, Kind.PROGRESS, Kind.WAITING, Kind.VALUATION)
"""Kinds that a supervisor reads: those that are logged, and those behind the figures on the terminal."""

_MAX_LENGTH, _MAX_SYMBOL, _MAX_PRICES = 300, 40, 8

_GOOD: Mapping[OrderStatus, bool] = {
    OrderStatus.FILLED: True,
    OrderStatus.REJECTED: False,
    OrderStatus.EXPIRED: False,
}


def describe(event: StoredEvent, payload: object = None) -> EventLine:
    """Return one line of text for an event, whose `payload` may be decoded already.

    An event that cannot be read is described as such, one of an unknown kind by its short values.
    """
    seq = getattr(event, "seq", 0)
    payload = payload or decode_or_none(event)
    if payload is None:
        return EventLine(seq=seq, at=event.as_of, kind=event.kind, text="cannot be read", good=False)
    text_of = _TEXTS.get(type(payload))
    at = getattr(payload, "at", None)
    symbol = str(event.payload.get("symbol", ""))
    return EventLine(
        seq=seq,
        at=at if isinstance(at, datetime) else event.as_of,  # a command has the wall clock's in a replay
        kind=event.kind,
        text=(text_of(payload) if text_of else fields.summarize_payload(event.payload))[:_MAX_LENGTH],
        symbol=symbol[:_MAX_SYMBOL],
        good=payload.size > 0 if isinstance(payload, Fill) else None,
    )


def decode_or_none(event: StoredEvent) -> object | None:
    """Return the payload of an event, None where it cannot be read; of an unknown kind the mapping itself."""
    if getattr(event, "faulty", False):
        return None
    if event.kind not in PAYLOADS:
        return event.payload
    try:
        payload: object = decode(event)
    except JournalError:
        return None
    return payload


def log_line(event: StoredEvent) -> str | None:
    """Return the line of the log, the terminal and the webhook; None for events that they leave out."""
    collected = event.kind != Kind.SLICE or "late" in event.payload
    return format_line(describe(event)) if event.kind in LOGGED_KINDS and collected else None


def format_line(line: EventLine) -> str:
    """Return a line with its instant and symbol."""
    seconds = ":%S" if line.at.second else ""
    return " ".join(filter(None, (f"{line.at:%Y-%m-%d %H:%M{seconds}}", line.symbol, line.text)))[
        :_MAX_LENGTH
    ]


def order_line(seq: int, order: OrderRecord) -> EventLine:
    """Return an order in its newest status, which is the line's kind."""
    size = f"{order.size:+,.6g}" if order.size else ""
    return EventLine(
        seq=seq,
        at=order.at,
        kind=order.status,
        text="  ".join(filter(None, (size, order.reason[:_MAX_LENGTH]))),
        symbol=order.symbol[:_MAX_SYMBOL],
        good=_GOOD.get(order.status),
    )


def fill_line(seq: int, fill: Fill) -> EventLine:
    """Return a fill with its size, price and cost."""
    return EventLine(
        seq=seq,
        at=fill.at,
        kind="buy" if fill.size > 0 else "sell",
        text=f"{fill.size:+,.6g} at {fill.price:,.6g}  cost {fill.cost:,.2f}",
        symbol=fill.symbol[:_MAX_SYMBOL],
        good=fill.size > 0,
    )


def prediction_text(call: Prediction) -> str:
    """Return a forecast or an abstention in a few words."""
    if not isinstance(call, Forecast):
        return f"abstained ({call.reason})"
    change = f" ({call.close / call.last_close - 1:+.1%})" if call.last_close else ""
    arrow = "▲" if call.direction.sign > 0 else "▼"
    return f"{arrow} {call.direction} {call.confidence:.0%}, close {call.close:,.6g}{change}"


def call_text(stated: Mapping[str, Any]) -> str:
    """Return a forecast or an abstention, as `paper status --json` states it, in a few words."""
    if stated["abstention"] is not None:
        return f"{stated['symbol']} abstained ({stated['abstention']})"
    arrow = {"up": "▲", "down": "▼"}.get(stated["direction"], "=")
    change = stated["close"] / stated["last_close"] - 1
    return f"{stated['symbol']} {arrow} {stated['direction']} {stated['confidence']:.0%}, close {change:+.1%}"


def waiting_text(awaited: str, until: datetime, now: datetime) -> str:
    """Return what is waited for, and for how long."""
    if until <= now:
        return f"working on {awaited}"
    return f"waiting for {awaited} until {until:%H:%M:%S} UTC ({span_text(until - now)})"


def decision_text(close: datetime, now: datetime) -> str:
    """Return when the next decision falls."""
    return f"next decision at the close of {close:%Y-%m-%d %H:%M} UTC (in {span_text(close - now)})"


def is_taken_back(action: str, value: float) -> bool:
    """Return whether an announcement of this value takes an earlier one back."""
    return value == (1.0 if action == ActionKind.SPLIT else 0.0)


def action_text(action: str, value: float) -> str:
    """Return a split or dividend in a few words."""
    if is_taken_back(action, value):
        return f"no {action}"
    if action == ActionKind.SPLIT:
        return f"split, {value:g} for 1" if value >= 1 else f"reverse split, 1 for {1 / value:g}"
    return f"dividend of {value:,.6g}"


def announcement_line(announced: Mapping[str, Any]) -> str:
    """Return the outcome of `strategies.paper_runtime.control.announce_action`."""
    action, value = announced["action"], announced["value"]
    what = f"session {announced['session']}: {announced['symbol']}, {action_text(action, value)}"
    when = f"the open of {announced['effective_at']:%Y-%m-%d %H:%M} UTC"
    if is_taken_back(action, value):
        return f"{what} at {when} is journaled; what was announced before is taken back"
    done = "restated" if action == ActionKind.SPLIT else "paid for"
    how = f"; {when} is past, so what was held before it is {done}" if announced["late"] else f" for {when}"
    idle = "" if announced["running"] else "; the session is not running and does so when it is started"
    return f"{what}, is journaled{how}{idle}"


def span_text(span: timedelta) -> str:
    """Return a span of time in two units."""
    left = int(max(0.0, span.total_seconds()))
    if left >= 86_400:
        return f"{left // 86_400} d {left // 3600 % 24} h"
    if left >= 3600:
        return f"{left // 3600} h {left // 60 % 60:02d} min"
    return f"{left // 60} min {left % 60:02d} s"


def answer_line(sent: Mapping[str, Any]) -> str:
    """Return the outcome of a command, as `strategies.paper_runtime.control.send_command` reports it."""
    name = sent["session"]
    journaled = f"session {name}: {sent['command']} by {sent['author']} is journaled"
    if sent["answer"] is not None:
        return f"{journaled}, and done: {sent['answer']['was']} → {sent['answer']['now']}"
    if sent["running"]:
        return f"{journaled}; the session has not answered yet, to see it: closecall paper status {name}"
    return f"{journaled}; the session is not running and applies it when it is started"


def _describe_slice(record: SliceRecord) -> str:
    bars = record.slice.bars
    prices = [f"{symbol[:_MAX_SYMBOL]} {bar.close:g}" for symbol, bar in bars.items()][:_MAX_PRICES]
    more = f" and {len(bars) - _MAX_PRICES} more" if len(bars) > _MAX_PRICES else ""
    news = f"; {pluralize(len(record.slice.news), 'news item')}" if record.slice.news else ""
    late = ", late" if record.late else ""
    return f"{record.slice.phase}{late}: {', '.join(prices)}{more}{news}"


def _describe_fault(fault: Fault) -> str:
    match fault.state:
        case "down":
            return f"{fault.part} is down: {fault.reason}"
        case "up":
            return f"{fault.part} recovered from: {fault.reason}"
    return f"{fault.part} had a fault: {fault.reason}"


def _describe_retrained(retrained: Retrained) -> str:
    if retrained.failed is not None:
        return f"retraining failed: {retrained.failed}"
    report = retrained.report or {}
    done = [
        f"{gated.get('adapter')} was {'promoted' if gated.get('promoted') else 'not promoted'}"
        for gated in fields.get_list(report, "gated")
        if isinstance(gated, dict)
    ]
    if trained := fields.get_mapping(report, "trained"):
        day = fields.get_text(trained, "gate_at", 10)
        done.append(f"{trained.get('adapter')} was trained and is to be judged from {day} on")
    return f"retrained: {'; '.join(done) or 'nothing was due'}"


def _describe_verdicts(result: Mapping[str, Any]) -> str:
    verdicts = fields.get_mapping(result, "verdicts")
    if not verdicts:  # the result of an earlier version
        return f"verdict {fields.get_text(result, 'verdict', 20)}"
    direction = fields.get_mapping(verdicts, "direction")
    return f"verdict {fields.get_text(direction, 'result', 20)}"


_FAILURES = {"Unanswered": "it gives no answer", "TimeoutError": "it does not answer in time"}

_TEXTS: Mapping[type, Callable[[Any], str]] = {
    SessionStarted: lambda e: f"session started with {', '.join(sorted(e.instruments))}; student {e.student}",
    SessionResumed: lambda e: f"session resumed after {e.events:,} events; all outputs matched",
    SessionStopped: lambda e: f"session stopped: {e.reason}",
    SessionFinished: lambda _: "session finished",
    Waiting: lambda e: f"for {e.awaited} until {e.until:%Y-%m-%d %H:%M:%S}",
    ActionAnnounced: lambda e: (
        f"{action_text(e.action, e.value)} from {e.effective_at:%Y-%m-%d %H:%M} on, stated by {e.author}"
    ),
    Fault: _describe_fault,
    ModelAdopted: lambda e: f"student {e.name or e.fingerprint[:12]} is used from here on",
    Retrained: _describe_retrained,
    RegistryChanged: lambda e: f"registry: {e.change.replace('_', ' ')} {e.name}",
    Command: lambda e: f"{e.kind} by {e.author}{': ' * bool(e.text)}{e.text}",
    RiskChange: lambda e: f"{e.was} → {e.now}: {e.cause} (by {e.author})",
    SliceRecord: _describe_slice,
    Gap: lambda e: f"gap: lacks {e.lacks}; {e.reason}",
    Correction: lambda e: f"correction: {e.phase} was {list(e.was)}, is {list(e.now)}",
    Refused: lambda e: f"refused: {e.opens_at:%Y-%m-%d %H:%M}; {e.reason}",
    SourceState: lambda e: f"{e.source} is {e.state}: {_FAILURES.get(e.reason, e.reason)}",
    ClockMeasured: lambda e: (
        f"clock of {e.source} {'agrees with' if e.agrees else 'differs from'} this machine's, "
        f"{e.offset_seconds:+.1f} s"
    ),
    Collecting: lambda e: "collecting from " + "; ".join(e.sources.values()),
    NewsItem: lambda e: f"{e.source}: {e.title}",
    Quotes: lambda e: pluralize(len(e.quotes), "price"),
    History: lambda e: f"{pluralize(len(e.bars), 'bar')} from before the start",
    Rate: lambda e: f"one {e.currency} is worth {e.value:,.6g}",
    CalendarExtended: lambda e: f"calendar {e.code} is known to {e.last}",
    Split: lambda e: f"split: one share is {e.ratio:g}",
    Dividend: lambda e: f"dividend of {e.amount:,.6g}",
    PredictionRecord: lambda e: prediction_text(e.call),
    OrderRecord: lambda e: f"{e.status} {e.size:+,.6g}{': ' * bool(e.reason)}{e.reason}",
    Fill: lambda e: (
        f"{'bought' if e.size > 0 else 'sold'} {abs(e.size):,.6g} at {e.price:,.6g}, cost {e.cost:,.2f}"
    ),
    EquityPoint: lambda e: f"value {e.value:,.2f}, cash {e.cash:,.2f}",
    Valuation: lambda e: f"value {e.value:,.2f}",
    HoldingPeriod: lambda e: f"pnl {e.pnl:+,.2f}, return {e.net_return:+.3%}",
    SessionSnapshot: lambda e: (
        f"{e.state}, {len(e.positions)} held, {len(e.waiting)} orders waiting, "
        f"value {e.value:,.2f}, cash {e.cash:,.2f}"
    ),
    Forecasting: lambda e: f"{e.done:,} of {e.total:,} forecast",
    RunFinished: lambda e: _describe_verdicts(e.result),
    RunInterrupted: lambda e: f"interrupted: {e.reason}",
    RunFailed: lambda e: f"failed: {e.reason}",
}

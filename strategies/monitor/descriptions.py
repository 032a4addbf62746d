"""A session's events in one line each, for the screen and the log. Reads and decides nothing."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.journal.events import Kind
from engine.journal.journal import Row
from strategies.console import pluralize
from strategies.monitor import fields
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.views import EventLine

STATES = ("session_started", "session_resumed", "session_stopped", "session_finished")

CHANGES = (*STATES, "risk", "fault", "adopted", Kind.RETRAINED)
"""What a webhook is told of."""

DESCRIBED_KINDS = (
    *CHANGES,
    Kind.REGISTRY_CHANGED,
    "command",
    "fill",
    "forecast",
    "progress",
    "waiting",
    "valuation",
)

LIVE = ("slice", "gap", "correction", "refused", "source", "clock", "collecting")

_LONGEST = 300


def describe_event(row: Row) -> str | None:
    """What happened, or None for what only moves a figure on the screen."""
    if row.kind in LIVE:
        return describe(row) if "late" in row.payload or row.kind != "slice" else None
    if row.kind == "forecast":
        return None
    said = _describe_kind(row.kind, row.payload)
    return None if said is None else f"{event_instant(row):%Y-%m-%d %H:%M} {said}"[:_LONGEST]


def event_instant(row: Row) -> datetime:
    """When something was done: in a replay a person's command has another time than what it acts on."""
    said = row.payload.get("at")
    return datetime.fromisoformat(said) if isinstance(said, str) else row.as_of


def call_text(payload: Mapping[str, Any]) -> str:
    """A forecast or an abstention in a few words."""
    if payload["abstention"] is not None:
        return f"{payload['symbol']} abstained ({payload['abstention']})"
    arrow = {"up": "▲", "down": "▼"}.get(payload["direction"], "=")
    change = payload["close"] / payload["last_close"] - 1
    return (
        f"{payload['symbol']} {arrow} {payload['direction']} {payload['confidence']:.0%}, close {change:+.1%}"
    )


def waiting_text(payload: Mapping[str, Any], now: datetime) -> str:
    """What is waited for, and for how long."""
    until = datetime.fromisoformat(payload["until"])
    if until <= now:
        return f"working on {payload['for']}"
    return f"waiting for {payload['for']} until {until:%H:%M:%S} UTC ({span_text(until - now)})"


def decision_text(close: datetime, now: datetime) -> str:
    """When the next decision falls."""
    return f"next decision at the close of {close:%Y-%m-%d %H:%M} UTC (in {span_text(close - now)})"


def span_text(span: timedelta) -> str:
    """A span of time, in two units."""
    left = int(max(0.0, span.total_seconds()))
    if left >= 86_400:
        return f"{left // 86_400} d {left // 3600 % 24} h"
    return (
        f"{left // 3600} h {left // 60 % 60:02d} min"
        if left >= 3600
        else f"{left // 60} min {left % 60:02d} s"
    )


def _describe_kind(kind: str, payload: Mapping[str, Any]) -> str | None:
    match kind:
        case "session_started":
            return f"begun with {', '.join(sorted(payload['instruments']))}; student {payload['student']}"
        case "session_resumed":
            return f"goes on after {payload['events']:,} events, all of which came out the same again"
        case "session_stopped":
            return f"stopped: {payload['reason']}"
        case "session_finished":
            return "finished"
        case "risk":
            return f"{payload['was']} → {payload['now']}: {payload['cause']} (by {payload['author']})"
        case "command":
            text = f": {payload['text']}" if payload["text"] else ""
            return f"{payload['author']} says {payload['command']}{text}"
        case "fault":
            states = {"down": "is down", "up": "is right again after", "was": "was at fault"}
            return f"{payload['part']} {states[payload['state']]}: {payload['reason']}"
        case "adopted":
            return f"the student is {payload['name']} from here on"
    return _describe_learning(kind, payload) or _describe_trading(kind, payload)


def _describe_trading(kind: str, payload: Mapping[str, Any]) -> str | None:
    if kind == "fill":
        done = "bought" if payload["size"] > 0 else "sold"
        return (
            f"{done} {abs(payload['size']):g} {payload['symbol']} at {payload['price']:,.6g}, "
            f"cost {payload['cost']:,.2f}"
        )
    return None


def _describe_learning(kind: str, payload: Mapping[str, Any]) -> str | None:
    if kind == Kind.REGISTRY_CHANGED:
        return f"registry: {payload['change'].replace('_', ' ')} {payload['name']}"
    if kind != Kind.RETRAINED:
        return None
    if "failed" in payload:
        return f"retraining failed: {payload['failed']}"
    report = payload["report"]
    done = [
        f"{one['adapter']} was judged and {'promoted' if one['promoted'] else 'not promoted'}"
        for one in report["gated"]
    ]
    if made := report["trained"]:
        done.append(f"{made['adapter']} was trained and is to be judged from {made['gate_at'][:10]} on")
    return f"retrained: {'; '.join(done) or 'nothing was to be trained or judged'}"


def answer_line(done: Mapping[str, Any]) -> str:
    """What became of a command."""
    said = f"session {done['session']}: {done['command']} by {done['author']} is journaled"
    if done["answer"] is not None:
        return f"{said}, and done: {done['answer']['was']} → {done['answer']['now']}"
    if done["running"]:
        return (
            f"{said}; the session has not come to it yet, closecall paper status {done['session']} shows it"
        )
    return f"{said}; the session does not run, and obeys when it is started"


_GOOD = {"filled": True, "rejected": False, "expired": False, "promoted": True}


def describe_row(row: EventRow) -> EventLine:
    """An event in a line."""
    said = (
        "cannot be read" if row.faulty else _DESCRIBERS.get(row.kind, fields.summarize_payload)(row.payload)
    )
    return EventLine(
        seq=row.seq,
        at=row.as_of,
        kind=row.kind,
        text=said,
        symbol=fields.get_text(row.payload, "symbol", 40),
        good=False if row.faulty else None,
    )


def order_line(row: EventRow) -> EventLine:
    """An order in its newest status."""
    said, status = row.payload, fields.get_text(row.payload, "status", 12)
    reason, size = fields.get_text(said, "reason"), fields.get_number(said, "size")
    return EventLine(
        seq=row.seq,
        at=fields.get_instant(said, "at") or row.as_of,  # a command's own event has the wall clock's
        kind=status,
        text="  ".join(filter(None, (f"{size:+,.6g}" if size else "", reason))),
        symbol=fields.get_text(said, "symbol", 40),
        good=_GOOD.get(status),
    )


def fill_line(row: EventRow) -> EventLine:
    """A fill: size, price, cost."""
    said = row.payload
    size, price, cost = (fields.get_number(said, name) or 0.0 for name in ("size", "price", "cost"))
    return EventLine(
        seq=row.seq,
        at=row.as_of,
        kind="buy" if size > 0 else "sell",
        text=f"{size:+,.6g} at {price:,.6g}  cost {cost:,.2f}",
        symbol=fields.get_text(said, "symbol", 40),
        good=size > 0,
    )


def _describe_slice(payload: Mapping[str, Any]) -> str:
    bars, news = fields.get_mapping(payload, "bars"), fields.get_list(payload, "news")
    late = ", late" if payload.get("late") else ""
    return f"{fields.get_text(payload, 'phase', 8)}, {len(bars)} symbols, {len(news)} news{late}"


def _describe_forecast(payload: Mapping[str, Any]) -> str:
    if payload.get("abstention") is not None:
        return f"abstained: {fields.get_text(payload, 'abstention')}"
    way = {"up": "▲ up", "down": "▼ down"}.get(fields.get_text(payload, "direction", 8), "?")
    confidence, close = (
        fields.get_number(payload, "confidence") or 0.0,
        fields.get_number(payload, "close") or 0.0,
    )
    return (
        f"{way} {confidence:.0%}, close {close:,.6g} after "
        f"{fields.get_number(payload, 'last_close') or 0:,.6g}"
    )


def _describe_mark(payload: Mapping[str, Any]) -> str:
    return (
        f"value {fields.get_number(payload, 'value') or 0:,.2f}, cash "
        f"{fields.get_number(payload, 'cash') or 0:,.2f}"
    )


def _describe_order(payload: Mapping[str, Any]) -> str:
    size, reason = fields.get_number(payload, "size") or 0.0, fields.get_text(payload, "reason")
    return f"{fields.get_text(payload, 'status', 12)} {size:+,.6g}" + (f": {reason}" if reason else "")


def _describe_fill(payload: Mapping[str, Any]) -> str:
    size, price, cost = (fields.get_number(payload, name) or 0.0 for name in ("size", "price", "cost"))
    return f"{size:+,.6g} at {price:,.6g}, cost {cost:,.2f}"


def _describe_step(payload: Mapping[str, Any]) -> str:
    pnl, back = fields.get_number(payload, "pnl") or 0.0, fields.get_number(payload, "net_return") or 0.0
    return f"pnl {pnl:+,.2f}, return {back:+.3%}"


def _describe_risk(payload: Mapping[str, Any]) -> str:
    return (
        f"{fields.get_text(payload, 'was', 12)} → {fields.get_text(payload, 'now', 12)}: "
        f"{fields.get_text(payload, 'cause')}"
    )


def _describe_command(payload: Mapping[str, Any]) -> str:
    text = fields.get_text(payload, "text")
    return f"{fields.get_text(payload, 'command', 20)} by {fields.get_text(payload, 'author', 40)}" + (
        f": {text}" if text else ""
    )


def _describe_waiting(payload: Mapping[str, Any]) -> str:
    return f"for {fields.get_text(payload, 'for')} until {fields.get_text(payload, 'until', 20)}"


def _describe_progress(payload: Mapping[str, Any]) -> str:
    held, waits = fields.get_mapping(payload, "positions"), fields.get_mapping(payload, "waiting")
    return (
        f"{fields.get_text(payload, 'state', 12)}, {len(held)} held, {len(waits)} orders "
        f"waiting, {_describe_mark(payload)}"
    )


_DESCRIBERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "slice": _describe_slice,
    "forecast": _describe_forecast,
    "mark": _describe_mark,
    "valuation": lambda said: f"value {fields.get_number(said, 'value') or 0:,.2f}",
    "order": _describe_order,
    "fill": _describe_fill,
    "step": _describe_step,
    "risk": _describe_risk,
    "command": _describe_command,
    "waiting": _describe_waiting,
    "progress": _describe_progress,
    "news": lambda said: f"{fields.get_text(said, 'source', 40)}: {fields.get_text(said, 'title')}",
    "quote": lambda said: f"{len(fields.get_mapping(said, 'quotes'))} prices",
    "run_finished": lambda said: f"verdict {fields.get_text(said, 'verdict', 20)}",
    "history": lambda said: f"{len(fields.get_list(said, 'bars'))} bars from before the start",
}


_REASONS = {"Unanswered": "it gives no answer", "TimeoutError": "it does not answer in time"}


def describe(event: Any) -> str | None:
    """What a collector has journaled, in one line; None for what comes every minute."""
    told = event.payload
    match event.kind:
        case "slice":
            late = ", late" if told["late"] else ""
            prices = ", ".join(
                f"{symbol} {bar[min(3, len(bar) - 1)]:g}" for symbol, bar in told["bars"].items()
            )
            what = f"{told['phase']}{late}: {prices}" + (
                f"; {pluralize(len(told['news']), 'news item')}" if told["news"] else ""
            )
        case "gap":
            what = f"gap: {told['symbol']} lacks {told['lacks']}; {told['reason']}"
        case "correction":
            what = f"correction: {told['symbol']} {told['phase']} was {told['was']}, is {told['now']}"
        case "refused":
            what = f"refused: {told['symbol']} {told['opens_at']}; {told['reason']}"
        case "source":
            what = f"{told['source']} is {told['state']}: {_REASONS.get(told['reason'], told['reason'])}"
        case "clock":
            agrees = "agrees with" if told["agrees"] else "differs from"
            what = f"clock of {told['source']} {agrees} this machine's, {told['offset_seconds']:+.1f} s"
        case "collecting":
            what = "collecting from " + "; ".join(told["sources"].values())
        case _:
            return None
    return f"{event.as_of:%Y-%m-%d %H:%M:%S} {what}"

"""A session's events in one line each, for the screen and the log. Reads and decides nothing."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.journal.events import CHANGED, RETRAINED
from engine.journal.journal import Row
from strategies.console import counted
from strategies.monitor import fields
from strategies.monitor.journal_reader import Seen
from strategies.monitor.views import Line

STATES = ("session_started", "session_resumed", "session_stopped", "session_finished")

CHANGES = (*STATES, "risk", "fault", "adopted", RETRAINED)
"""What a webhook is told of."""

TOLD = (*CHANGES, CHANGED, "command", "fill", "forecast", "progress", "waiting", "valuation")

LIVE = ("slice", "gap", "correction", "refused", "source", "clock", "collecting")

_LONGEST = 300


def log_line(row: Row) -> str | None:
    """What happened, or None for what only moves a figure on the screen."""
    if row.kind in LIVE:
        return event_line(row) if "late" in row.payload or row.kind != "slice" else None
    if row.kind == "forecast":
        return None
    said = _sentence(row.kind, row.payload)
    return None if said is None else f"{instant_of(row):%Y-%m-%d %H:%M} {said}"[:_LONGEST]


def instant_of(row: Row) -> datetime:
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


def _sentence(kind: str, said: Mapping[str, Any]) -> str | None:
    match kind:
        case "session_started":
            return f"begun with {', '.join(sorted(said['instruments']))}; student {said['student']}"
        case "session_resumed":
            return f"goes on after {said['events']:,} events, all of which came out the same again"
        case "session_stopped":
            return f"stopped: {said['reason']}"
        case "session_finished":
            return "finished"
        case "risk":
            return f"{said['was']} → {said['now']}: {said['cause']} (by {said['author']})"
        case "command":
            text = f": {said['text']}" if said["text"] else ""
            return f"{said['author']} says {said['command']}{text}"
        case "fault":
            states = {"down": "is down", "up": "is right again after", "was": "was at fault"}
            return f"{said['part']} {states[said['state']]}: {said['reason']}"
        case "adopted":
            return f"the student is {said['name']} from here on"
    return _learning(kind, said) or _trading(kind, said)


def _trading(kind: str, said: Mapping[str, Any]) -> str | None:
    if kind == "fill":
        done = "bought" if said["size"] > 0 else "sold"
        return (
            f"{done} {abs(said['size']):g} {said['symbol']} at {said['price']:,.6g}, cost {said['cost']:,.2f}"
        )
    return None


def _learning(kind: str, said: Mapping[str, Any]) -> str | None:
    if kind == CHANGED:
        return f"registry: {said['change'].replace('_', ' ')} {said['name']}"
    if kind != RETRAINED:
        return None
    if "failed" in said:
        return f"retraining failed: {said['failed']}"
    report = said["report"]
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


def journal_line(row: Seen) -> Line:
    """An event in a line."""
    said = "cannot be read" if row.faulty else _SAID.get(row.kind, fields.brief)(row.payload)
    return Line(
        seq=row.seq,
        at=row.as_of,
        kind=row.kind,
        said=said,
        symbol=fields.text(row.payload, "symbol", 40),
        good=False if row.faulty else None,
    )


def order_line(row: Seen) -> Line:
    """An order in its newest status."""
    said, status = row.payload, fields.text(row.payload, "status", 12)
    reason, size = fields.text(said, "reason"), fields.number(said, "size")
    return Line(
        seq=row.seq,
        at=fields.moment(said, "at") or row.as_of,  # a command's own event has the wall clock's
        kind=status,
        said="  ".join(filter(None, (f"{size:+,.6g}" if size else "", reason))),
        symbol=fields.text(said, "symbol", 40),
        good=_GOOD.get(status),
    )


def fill_line(row: Seen) -> Line:
    """A fill: size, price, cost."""
    said = row.payload
    size, price, cost = (fields.number(said, name) or 0.0 for name in ("size", "price", "cost"))
    return Line(
        seq=row.seq,
        at=row.as_of,
        kind="buy" if size > 0 else "sell",
        said=f"{size:+,.6g} at {price:,.6g}  cost {cost:,.2f}",
        symbol=fields.text(said, "symbol", 40),
        good=size > 0,
    )


def _slice(said: Mapping[str, Any]) -> str:
    bars, news = fields.mapping(said, "bars"), fields.items(said, "news")
    late = ", late" if said.get("late") else ""
    return f"{fields.text(said, 'phase', 8)}, {len(bars)} symbols, {len(news)} news{late}"


def _forecast(said: Mapping[str, Any]) -> str:
    if said.get("abstention") is not None:
        return f"abstained: {fields.text(said, 'abstention')}"
    way = {"up": "▲ up", "down": "▼ down"}.get(fields.text(said, "direction", 8), "?")
    confidence, close = fields.number(said, "confidence") or 0.0, fields.number(said, "close") or 0.0
    return f"{way} {confidence:.0%}, close {close:,.6g} after {fields.number(said, 'last_close') or 0:,.6g}"


def _mark(said: Mapping[str, Any]) -> str:
    return f"value {fields.number(said, 'value') or 0:,.2f}, cash {fields.number(said, 'cash') or 0:,.2f}"


def _order(said: Mapping[str, Any]) -> str:
    size, reason = fields.number(said, "size") or 0.0, fields.text(said, "reason")
    return f"{fields.text(said, 'status', 12)} {size:+,.6g}" + (f": {reason}" if reason else "")


def _fill(said: Mapping[str, Any]) -> str:
    size, price, cost = (fields.number(said, name) or 0.0 for name in ("size", "price", "cost"))
    return f"{size:+,.6g} at {price:,.6g}, cost {cost:,.2f}"


def _step(said: Mapping[str, Any]) -> str:
    pnl, back = fields.number(said, "pnl") or 0.0, fields.number(said, "net_return") or 0.0
    return f"pnl {pnl:+,.2f}, return {back:+.3%}"


def _risk(said: Mapping[str, Any]) -> str:
    return f"{fields.text(said, 'was', 12)} → {fields.text(said, 'now', 12)}: {fields.text(said, 'cause')}"


def _command(said: Mapping[str, Any]) -> str:
    text = fields.text(said, "text")
    return f"{fields.text(said, 'command', 20)} by {fields.text(said, 'author', 40)}" + (
        f": {text}" if text else ""
    )


def _waiting(said: Mapping[str, Any]) -> str:
    return f"for {fields.text(said, 'for')} until {fields.text(said, 'until', 20)}"


def _progress(said: Mapping[str, Any]) -> str:
    held, waits = fields.mapping(said, "positions"), fields.mapping(said, "waiting")
    return f"{fields.text(said, 'state', 12)}, {len(held)} held, {len(waits)} orders waiting, {_mark(said)}"


_SAID: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "slice": _slice,
    "forecast": _forecast,
    "mark": _mark,
    "valuation": lambda said: f"value {fields.number(said, 'value') or 0:,.2f}",
    "order": _order,
    "fill": _fill,
    "step": _step,
    "risk": _risk,
    "command": _command,
    "waiting": _waiting,
    "progress": _progress,
    "news": lambda said: f"{fields.text(said, 'source', 40)}: {fields.text(said, 'title')}",
    "quote": lambda said: f"{len(fields.mapping(said, 'quotes'))} prices",
    "run_finished": lambda said: f"verdict {fields.text(said, 'verdict', 20)}",
    "history": lambda said: f"{len(fields.items(said, 'bars'))} bars from before the start",
}


_REASONS = {"Unanswered": "it gives no answer", "TimeoutError": "it does not answer in time"}


def event_line(event: Any) -> str | None:
    """What a collector has journaled, in one line; None for what comes every minute."""
    told = event.payload
    match event.kind:
        case "slice":
            late = ", late" if told["late"] else ""
            prices = ", ".join(
                f"{symbol} {bar[min(3, len(bar) - 1)]:g}" for symbol, bar in told["bars"].items()
            )
            what = f"{told['phase']}{late}: {prices}" + (
                f"; {counted(len(told['news']), 'news item')}" if told["news"] else ""
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

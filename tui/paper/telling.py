"""A session's events in one line each, for the screen and the log. Reads and decides nothing."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.journal import Row
from tui.data_tables import event_line
from tui.paper.champions import CHANGED
from tui.paper.retraining import RETRAINED

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

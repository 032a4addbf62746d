"""Each kind of event in one line, for the list of events. Knows payloads, no colour and no width."""

from collections.abc import Callable, Mapping
from typing import Any

from tui.dash import told
from tui.dash.journal_file import Seen
from tui.dash.views import Line

_GOOD = {"filled": True, "rejected": False, "expired": False, "promoted": True}


def journal_line(row: Seen) -> Line:
    """An event in a line."""
    said = "cannot be read" if row.faulty else _SAID.get(row.kind, told.brief)(row.payload)
    return Line(
        seq=row.seq,
        at=row.as_of,
        kind=row.kind,
        said=said,
        symbol=told.text(row.payload, "symbol", 40),
        good=False if row.faulty else None,
    )


def order_line(row: Seen) -> Line:
    """An order in its newest status."""
    said, status = row.payload, told.text(row.payload, "status", 12)
    reason, size = told.text(said, "reason"), told.number(said, "size")
    return Line(
        seq=row.seq,
        at=told.moment(said, "at") or row.as_of,  # a command's own event has the wall clock's
        kind=status,
        said="  ".join(filter(None, (f"{size:+,.6g}" if size else "", reason))),
        symbol=told.text(said, "symbol", 40),
        good=_GOOD.get(status),
    )


def fill_line(row: Seen) -> Line:
    """A fill: size, price, cost."""
    said = row.payload
    size, price, cost = (told.number(said, name) or 0.0 for name in ("size", "price", "cost"))
    return Line(
        seq=row.seq,
        at=row.as_of,
        kind="buy" if size > 0 else "sell",
        said=f"{size:+,.6g} at {price:,.6g}  cost {cost:,.2f}",
        symbol=told.text(said, "symbol", 40),
        good=size > 0,
    )


def _slice(said: Mapping[str, Any]) -> str:
    bars, news = told.mapping(said, "bars"), told.items(said, "news")
    late = ", late" if said.get("late") else ""
    return f"{told.text(said, 'phase', 8)}, {len(bars)} symbols, {len(news)} news{late}"


def _forecast(said: Mapping[str, Any]) -> str:
    if said.get("abstention") is not None:
        return f"abstained: {told.text(said, 'abstention')}"
    way = {"up": "▲ up", "down": "▼ down"}.get(told.text(said, "direction", 8), "?")
    confidence, close = told.number(said, "confidence") or 0.0, told.number(said, "close") or 0.0
    return f"{way} {confidence:.0%}, close {close:,.6g} after {told.number(said, 'last_close') or 0:,.6g}"


def _mark(said: Mapping[str, Any]) -> str:
    return f"value {told.number(said, 'value') or 0:,.2f}, cash {told.number(said, 'cash') or 0:,.2f}"


def _order(said: Mapping[str, Any]) -> str:
    size, reason = told.number(said, "size") or 0.0, told.text(said, "reason")
    return f"{told.text(said, 'status', 12)} {size:+,.6g}" + (f": {reason}" if reason else "")


def _fill(said: Mapping[str, Any]) -> str:
    size, price, cost = (told.number(said, name) or 0.0 for name in ("size", "price", "cost"))
    return f"{size:+,.6g} at {price:,.6g}, cost {cost:,.2f}"


def _step(said: Mapping[str, Any]) -> str:
    pnl, back = told.number(said, "pnl") or 0.0, told.number(said, "net_return") or 0.0
    return f"pnl {pnl:+,.2f}, return {back:+.3%}"


def _risk(said: Mapping[str, Any]) -> str:
    return f"{told.text(said, 'was', 12)} → {told.text(said, 'now', 12)}: {told.text(said, 'cause')}"


def _command(said: Mapping[str, Any]) -> str:
    text = told.text(said, "text")
    return f"{told.text(said, 'command', 20)} by {told.text(said, 'author', 40)}" + (
        f": {text}" if text else ""
    )


def _waiting(said: Mapping[str, Any]) -> str:
    return f"for {told.text(said, 'for')} until {told.text(said, 'until', 20)}"


def _progress(said: Mapping[str, Any]) -> str:
    held, waits = told.mapping(said, "positions"), told.mapping(said, "waiting")
    return f"{told.text(said, 'state', 12)}, {len(held)} held, {len(waits)} orders waiting, {_mark(said)}"


_SAID: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "slice": _slice,
    "forecast": _forecast,
    "mark": _mark,
    "valuation": lambda said: f"value {told.number(said, 'value') or 0:,.2f}",
    "order": _order,
    "fill": _fill,
    "step": _step,
    "risk": _risk,
    "command": _command,
    "waiting": _waiting,
    "progress": _progress,
    "news": lambda said: f"{told.text(said, 'source', 40)}: {told.text(said, 'title')}",
    "quote": lambda said: f"{len(told.mapping(said, 'quotes'))} prices",
    "run_finished": lambda said: f"verdict {told.text(said, 'verdict', 20)}",
    "history": lambda said: f"{len(told.items(said, 'bars'))} bars from before the start",
}

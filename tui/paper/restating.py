"""A session's events as training can learn from them: in the units of today, with foreign steps marked.

Training holds the net return of a call against that of the engine's step. Where a split, a dividend or a
person's `flatten` had a part in a step, the step is not the call's own; such a call is marked as one whose
order was refused, so that it is learned from by the prices alone. Knows no trainer.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from engine.commands import CommandKind
from engine.journal import Event, Journal, Row
from engine.records import OrderRecord, OrderStatus
from engine.splits import SPLIT
from strategies.paper.effects import FILL, FORECAST, ORDER, STEP
from strategies.paper.world import SLICE

_PRICES: Mapping[str, tuple[str, ...]] = {FORECAST: ("close", "last_close"), FILL: ("price", "open")}
_INSTANT = {FORECAST: "as_of", FILL: "at", ORDER: "decided_at"}


class Restating:
    """Takes the events of a session in the order of `in_order`. Splits after `until` are not known yet."""

    def __init__(self, session: Journal, until: datetime) -> None:
        self._splits: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
        for row in session.read(kinds=(SPLIT,)):
            if row.as_of <= until:
                self._splits[row.payload["symbol"]].append((row.as_of, row.payload["ratio"]))
        self._called: dict[str, list[datetime]] = defaultdict(list)

    def events(self, row: Row) -> Iterator[Event]:
        """The event as a run would have it, and a mark after it where one is due."""
        said = self._slice(row.payload) if row.kind == SLICE else self._effect(row.kind, row.payload)
        yield Event(kind=row.kind, as_of=row.as_of, payload=said)
        if (whose := self._foreign(row)) is not None:
            yield _mark(*whose)

    def _ratio(self, symbol: str, at: datetime) -> float:
        """What one unit of `symbol` at that instant has become."""
        ratio = 1.0
        for when, times in self._splits.get(symbol, ()):
            ratio *= times if at < when else 1.0
        return ratio

    def _slice(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        bars = dict(payload["bars"])
        for symbol, values in bars.items():
            ratio = self._ratio(symbol, datetime.fromisoformat(payload["sessions"][symbol][0]))
            if ratio != 1.0:
                prices, volume = values[:4], values[4:]
                bars[symbol] = [*(price / ratio for price in prices), *(size * ratio for size in volume)]
        return {**payload, "bars": bars}

    def _effect(self, kind: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        if kind not in _INSTANT:
            return payload
        ratio = self._ratio(payload["symbol"], datetime.fromisoformat(payload[_INSTANT[kind]]))
        if ratio == 1.0:
            return payload
        said = dict(payload)
        for name in _PRICES.get(kind, ()):
            said[name] = None if said[name] is None else said[name] / ratio
        if "size" in said:
            said["size"] *= ratio
        return said

    def _foreign(self, row: Row) -> tuple[str, datetime] | None:
        """Symbol and instant of the call whose step this event shows to be none of its own."""
        said = row.payload
        if row.kind == FORECAST:
            symbol, at = said["symbol"], datetime.fromisoformat(said["as_of"])
            self._called[symbol].append(at)
            return (symbol, at) if self._ratio(symbol, at) != 1.0 else None
        if row.kind == STEP and said["income"]:
            return self._call_before(said["symbol"], said["started_at"])
        if row.kind == ORDER and said["reason"] == CommandKind.FLATTEN:
            return self._call_before(said["symbol"], said["decided_at"])
        return None

    def _call_before(self, symbol: str, at: str) -> tuple[str, datetime] | None:
        called = self._called[symbol]
        place = bisect_right(called, datetime.fromisoformat(at))
        return (symbol, called[place - 1]) if place else None


def _mark(symbol: str, at: datetime) -> Event:
    order = OrderRecord(
        number=0,
        at=at,
        decided_at=at,
        due_at=None,
        symbol=symbol,
        size=0.0,
        status=OrderStatus.REJECTED,
        reason="a split, a dividend or a person had a part in its step",
    )
    return Event(kind=ORDER, as_of=at, payload={one.name: getattr(order, one.name) for one in fields(order)})

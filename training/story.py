"""What a run's events tell about each decision: what was held, what it was worth, what was filled.

Knows slices and records in the order in which the engine met and made them; it knows neither where they were
kept nor what a student said.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from engine.records import Fill, Mark, OrderRecord, OrderStatus, Record, Step
from engine.values import Bar, NewsItem, Phase, Slice
from training.experience import Key

KINDS: Mapping[str, type[Record]] = {"order": OrderRecord, "fill": Fill, "mark": Mark, "step": Step}
_MOMENTS = ("at", "decided_at", "due_at", "started_at", "ended_at")


@dataclass(slots=True)
class Story:
    """All that was told so far, by instant or by symbol and instant.

    `held` is the position (signed units) and `values` the portfolio's value (base currency) at each close;
    `opened` is that value at each open where a step began, and `steps` are by the open where they began.
    `refused` holds the decisions whose order was not filled, `forced` the opens at which the margin limit
    traded.
    """

    bars: dict[str, list[Bar]] = field(default_factory=lambda: defaultdict(list))
    news: list[NewsItem] = field(default_factory=list)
    held: dict[Key, float] = field(default_factory=dict)
    values: dict[datetime, float] = field(default_factory=dict)
    opened: dict[datetime, float] = field(default_factory=dict)
    steps: dict[Key, Step] = field(default_factory=dict)
    refused: set[Key] = field(default_factory=set)
    forced: set[Key] = field(default_factory=set)
    _positions: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def slice(self, slice_: Slice) -> None:
        """Add a slice, before what followed from it."""
        self.news += slice_.news
        if slice_.phase is Phase.CLOSE:
            for symbol, bar in slice_.bars.items():
                self.bars[symbol].append(bar)
                self.held[symbol, slice_.as_of] = self._positions[symbol]

    def record(self, record: Record) -> None:
        """Add what the engine stated."""
        match record:
            case OrderRecord():
                self._order(record)
            case Fill():
                self._positions[record.symbol] += record.size
            case Mark():
                self.values[record.at] = record.value
            case Step():
                self.steps[record.symbol, record.started_at] = record
                self.opened[record.started_at] = record.equity

    def _order(self, order: OrderRecord) -> None:
        if order.status is OrderStatus.FILLED:
            if order.forced:
                self.forced.add((order.symbol, order.at))
        elif order.status is not OrderStatus.PENDING:
            self.refused.add((order.symbol, order.decided_at))


def record_from_payload(kind: str, payload: Mapping[str, Any]) -> Record:
    """The record that a journal holds as an event of `kind`. Raises KeyError, TypeError or ValueError."""
    made = KINDS[kind]
    values = {one.name: payload[one.name] for one in fields(made) if one.name in payload}
    for name in _MOMENTS:
        if values.get(name) is not None:
            values[name] = datetime.fromisoformat(values[name])
    if "status" in values:
        values["status"] = OrderStatus(values["status"])
    return made(**values)

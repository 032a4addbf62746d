"""Sources, clocks, gaps, faults and delays, as a session's or a collection's journal tells them."""

from collections import deque
from datetime import datetime
from typing import TypeVar

from strategies.monitor import fields
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.views import EventLine, HealthView

KINDS = frozenset({"source", "clock", "gap", "refused", "correction", "fault"})

_MAX_NAMES = 200

_T = TypeVar("_T")


class HealthTracker:
    """How well facts come in."""

    def __init__(self) -> None:
        self.faulty = 0
        self._sources: dict[str, tuple[str, str, datetime]] = {}
        self._parts: dict[str, tuple[str, str, datetime]] = {}
        self._clock: dict[str, tuple[float, datetime]] = {}
        self._gaps: deque[EventLine] = deque(maxlen=_MAX_NAMES)
        self._gap_count = self._refused = self._corrections = 0
        self._latency: float | None = None
        self._asked_at: datetime | None = None
        self._thinking: float | None = None

    def apply(self, row: EventRow) -> None:
        """One event about a source, the clock, a gap or a fault."""
        said = row.payload
        match row.kind:
            case "source":
                state = fields.get_text(said, "state", 12), fields.get_text(said, "reason"), row.as_of
                _put_recent(self._sources, fields.get_text(said, "source", 60), state)
            case "fault":
                state = fields.get_text(said, "state", 12), fields.get_text(said, "reason"), row.as_of
                _put_recent(self._parts, fields.get_text(said, "part", 60), state)
            case "clock":
                offset = fields.get_number(said, "offset_seconds") or 0.0
                _put_recent(self._clock, fields.get_text(said, "source", 60), (offset, row.as_of))
            case "refused":
                self._refused += 1
            case "correction":
                self._corrections += 1
            case _:
                self._gap_count += 1
                symbol = fields.get_text(said, "symbol", 40)
                lacks = (
                    f"{fields.get_text(said, 'lacks', 20)}: {fields.get_text(said, 'reason')}".removesuffix(
                        ": "
                    )
                )
                self._gaps.append(EventLine(seq=row.seq, at=row.as_of, kind="gap", text=lacks, symbol=symbol))

    def on_slice(self, row: EventRow) -> None:
        """A slice was journaled so long after its instant."""
        self._latency = (row.recorded_at - row.as_of).total_seconds()

    def on_waiting(self, row: EventRow) -> None:
        """The session waits: for the student, perhaps."""
        self._asked_at = row.recorded_at if "student" in fields.get_text(row.payload, "for") else None

    def on_forecast(self, row: EventRow) -> None:
        """A call was journaled."""
        if self._asked_at is not None:
            self._thinking = (row.recorded_at - self._asked_at).total_seconds()
            self._asked_at = None

    def view(self) -> HealthView:
        """What is known."""
        return HealthView(
            sources=tuple((name, *state) for name, state in sorted(self._sources.items())),
            parts=tuple((name, *state) for name, state in sorted(self._parts.items())),
            clock=tuple((name, *state) for name, state in sorted(self._clock.items())),
            gaps=tuple(self._gaps),
            gap_count=self._gap_count,
            refused=self._refused,
            corrections=self._corrections,
            faulty=self.faulty,
            latency=self._latency,
            thinking=self._thinking,
        )


def _put_recent(book: dict[str, _T], name: str, value: _T) -> None:
    """Keep the newest of a hundred names."""
    book.pop(name, None)
    book[name] = value
    if len(book) > 100:
        del book[next(iter(book))]

"""Sources, clocks, gaps, faults and delays, as a session's or a collection's journal tells them."""

from collections import deque
from datetime import datetime
from typing import TypeVar

from strategies.monitor import fields
from strategies.monitor.journal_reader import Seen
from strategies.monitor.views import HealthView, Line

KINDS = frozenset({"source", "clock", "gap", "refused", "correction", "fault"})

_MOST = 200

_T = TypeVar("_T")


class Healths:
    """How well facts come in."""

    def __init__(self) -> None:
        self.faulty = 0
        self._sources: dict[str, tuple[str, str, datetime]] = {}
        self._parts: dict[str, tuple[str, str, datetime]] = {}
        self._clock: dict[str, tuple[float, datetime]] = {}
        self._gaps: deque[Line] = deque(maxlen=_MOST)
        self._gap_count = self._refused = self._corrections = 0
        self._latency: float | None = None
        self._asked_at: datetime | None = None
        self._thinking: float | None = None

    def take(self, row: Seen) -> None:
        """One event about a source, the clock, a gap or a fault."""
        said = row.payload
        match row.kind:
            case "source":
                state = fields.text(said, "state", 12), fields.text(said, "reason"), row.as_of
                _put(self._sources, fields.text(said, "source", 60), state)
            case "fault":
                state = fields.text(said, "state", 12), fields.text(said, "reason"), row.as_of
                _put(self._parts, fields.text(said, "part", 60), state)
            case "clock":
                offset = fields.number(said, "offset_seconds") or 0.0
                _put(self._clock, fields.text(said, "source", 60), (offset, row.as_of))
            case "refused":
                self._refused += 1
            case "correction":
                self._corrections += 1
            case _:
                self._gap_count += 1
                symbol = fields.text(said, "symbol", 40)
                lacks = f"{fields.text(said, 'lacks', 20)}: {fields.text(said, 'reason')}".removesuffix(": ")
                self._gaps.append(Line(seq=row.seq, at=row.as_of, kind="gap", said=lacks, symbol=symbol))

    def came(self, row: Seen) -> None:
        """A slice was journaled so long after its instant."""
        self._latency = (row.recorded_at - row.as_of).total_seconds()

    def asked(self, row: Seen) -> None:
        """The session waits: for the student, perhaps."""
        self._asked_at = row.recorded_at if "student" in fields.text(row.payload, "for") else None

    def answered(self, row: Seen) -> None:
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


def _put(book: dict[str, _T], name: str, value: _T) -> None:
    """Keep the newest of a hundred names."""
    book.pop(name, None)
    book[name] = value
    if len(book) > 100:
        del book[next(iter(book))]

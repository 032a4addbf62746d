"""Sources, clocks, gaps, faults and delays, from the journal of a session or a collection."""

from collections import deque
from datetime import datetime
from typing import TypeVar

from engine.journal.events import StoredEvent
from engine.journal.events.inputs import ClockMeasured, Correction, Gap, Refused, SourceState
from engine.journal.events.sessions import Fault, Waiting
from strategies.monitor.descriptions import describe
from strategies.monitor.views import EventLine, HealthView

HealthEvent = SourceState | ClockMeasured | Gap | Refused | Correction | Fault
_MAX_NAMES, _MAX_FAULTS = 200, 5
_T = TypeVar("_T")


class HealthTracker:
    """Sources, clocks, gaps and faults of a session or collection so far."""

    def __init__(self) -> None:
        self.faulty = 0
        self.faults: deque[tuple[Fault, datetime]] = deque(maxlen=_MAX_FAULTS)
        self.down: dict[str, tuple[Fault, datetime]] = {}
        self._sources: dict[str, tuple[str, str, datetime]] = {}
        self._parts: dict[str, tuple[str, str, datetime]] = {}
        self._clock: dict[str, tuple[float, datetime]] = {}
        self._gaps: deque[EventLine] = deque(maxlen=_MAX_NAMES)
        self._gap_count = self._refused = self._corrections = 0
        self._latency: float | None = None
        self._asked_at: datetime | None = None
        self._thinking: float | None = None

    def apply(self, event: StoredEvent, payload: HealthEvent) -> None:
        """Apply an event about a source, the clock, a gap or a fault."""
        at = event.as_of
        match payload:
            case SourceState():
                _put_recent(
                    self._sources, payload.source[:60], (payload.state[:12], payload.reason[:300], at)
                )
            case Fault():
                _put_recent(self._parts, payload.part[:60], (payload.state[:12], payload.reason[:300], at))
                self._add_fault(payload, at)
            case ClockMeasured():
                _put_recent(self._clock, payload.source[:60], (payload.offset_seconds, at))
            case Refused():
                self._refused += 1
            case Correction():
                self._corrections += 1
            case Gap():
                self._gap_count += 1
                self._gaps.append(describe(event, payload))

    def _add_fault(self, fault: Fault, at: datetime) -> None:
        self.faults.append((fault, at))
        if fault.state == "down":
            self.down[fault.part] = fault, at
        elif fault.state == "up":
            self.down.pop(fault.part, None)

    def on_slice(self, as_of: datetime, recorded_at: datetime) -> None:
        """Note how long after its instant a slice was journaled."""
        self._latency = (recorded_at - as_of).total_seconds()

    def on_waiting(self, waiting: Waiting, recorded_at: datetime) -> None:
        """Note since when a session waits for its student."""
        self._asked_at = recorded_at if "student" in waiting.awaited else None

    def on_prediction(self, recorded_at: datetime) -> None:
        """Note how long the student took."""
        if self._asked_at is not None:
            self._thinking = (recorded_at - self._asked_at).total_seconds()
            self._asked_at = None

    def view(self) -> HealthView:
        """Return what is known."""
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
    """Keep the newest hundred names."""
    book.pop(name, None)
    book[name] = value
    if len(book) > 100:
        del book[next(iter(book))]

"""Estimate the exchanges' time from this machine's clock and the clocks of the sources."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.journal.events import encode
from engine.journal.events.inputs import ClockMeasured
from engine.journal.journal import Event

_OWN_OFFSET = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """The time by a source's clock, and by this machine's just before and just after the answer."""

    source: str
    asked_at: datetime
    answered_at: datetime
    server_time: datetime

    @property
    def offset(self) -> timedelta:
        """Return how far the source is ahead of this machine, at the middle of the round trip."""
        return self.server_time - self.asked_at - (self.answered_at - self.asked_at) / 2


@dataclass(slots=True, kw_only=True)
class ClockCheck:
    """The clock offsets by source, and the market's time that follows from them.

    An offset that differs from the journaled one by more than `tolerance` is an event.
    """

    tolerance: timedelta
    offsets: dict[str, timedelta] = field(default_factory=dict)
    _previous_offsets: dict[str, timedelta] = field(default_factory=dict)

    @property
    def is_trusted(self) -> bool:
        """Return whether any source was asked since the last `invalidate`."""
        return bool(self.offsets)

    def add_reading(self, reading: ClockReading, journaled_offsets: Mapping[str, float]) -> Event | None:
        """Record a reading; return the event to journal if the offset changed.

        A reading whose round trip took longer than the tolerance is too inexact and is dropped, unless it is
        the source's first. `journaled_offsets` are in seconds, by source.
        """
        slow = reading.answered_at - reading.asked_at > self.tolerance
        if slow and reading.source in self.offsets:
            return None
        self.offsets[reading.source] = reading.offset
        seconds = reading.offset.total_seconds()
        if (
            slow
            or abs(seconds - journaled_offsets.get(reading.source, 0.0)) <= self.tolerance.total_seconds()
        ):
            return None
        measured = ClockMeasured(
            source=reading.source,
            own=reading.answered_at,
            exchange=reading.server_time,
            offset_seconds=seconds,
            agrees=abs(reading.offset) <= self.tolerance,
        )
        return encode(measured, self.market_time(reading.answered_at))

    def invalidate(self) -> None:
        """Distrust the offsets, as after a jump of this clock; they are used until the next reading."""
        self._previous_offsets, self.offsets = self.offsets or self._previous_offsets, {}

    def market_time(self, now: datetime) -> datetime:
        """Return the exchanges' time when this machine's clock says `now`.

        The offset is the median over the sources; this machine, with offset zero, is counted where their
        number is even, so that one wrong clock among several has no effect.
        """
        return now + self._offset()

    def local_time(self, market: datetime) -> datetime:
        """Return what this machine's clock will say at the exchanges' time `market`."""
        return market - self._offset()

    def _offset(self) -> timedelta:
        offsets = list((self.offsets or self._previous_offsets).values())
        if not offsets:
            return _OWN_OFFSET
        offsets = sorted(offsets if len(offsets) % 2 else [*offsets, _OWN_OFFSET])
        return offsets[len(offsets) // 2]

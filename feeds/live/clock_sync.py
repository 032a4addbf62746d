"""How far this machine's clock is from those of the exchanges. Asks nobody and reads no clock itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.journal.events import encode
from engine.journal.events.inputs import ClockMeasured
from engine.journal.journal import Event

_OWN = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """What a source's clock said, and this machine's just before and just after the answer."""

    source: str
    asked_at: datetime
    answered_at: datetime
    server_time: datetime

    @property
    def offset(self) -> timedelta:
        """How far the source is ahead of this machine, taken at the middle of the round trip."""
        return self.server_time - self.asked_at - (self.answered_at - self.asked_at) / 2


@dataclass(slots=True, kw_only=True)
class ClockCheck:
    """The offsets by source, and the time of the market that follows from them.

    A difference above `tolerance` is an event once, and again when it has changed by as much.
    """

    tolerance: timedelta
    offsets: dict[str, timedelta] = field(default_factory=dict)
    _doubted: dict[str, timedelta] = field(default_factory=dict)

    @property
    def is_trusted(self) -> bool:
        """Whether any source was asked since this machine's clock was last in doubt."""
        return bool(self.offsets)

    def add_reading(self, reading: ClockReading, journaled_offsets: Mapping[str, float]) -> Event | None:
        """Take a reading; `told` are the offsets in seconds that the journal holds.

        An answer that took longer than the tolerance tells nothing of the offset and is left out, unless
        it is the first.
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
        """This machine's clock may have jumped: what was measured before has no vote any longer."""
        self._doubted, self.offsets = self.offsets or self._doubted, {}

    def market_time(self, now: datetime) -> datetime:
        """What time it is on the exchanges when this machine's clock says `now`.

        One source is believed before this machine; of several the middle one is, this machine having a
        vote where their number is even, so that one wrong clock moves nothing.
        """
        return now + self._offset()

    def local_time(self, market: datetime) -> datetime:
        """What this machine's clock will say when it is `market` on the exchanges."""
        return market - self._offset()

    def _offset(self) -> timedelta:
        votes = list((self.offsets or self._doubted).values())
        if not votes:
            return _OWN
        votes = sorted(votes if len(votes) % 2 else [*votes, _OWN])
        return votes[len(votes) // 2]

"""Recognise times of day that stand for "some time that day": a midnight behind each date, in whatever zone.

Archives that know the day alone write 00:00, and Google News the midnight of California, which is 07:00 or
08:00 in UTC. Read as times to the second, they would make news known up to a day before it was published.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, time
from typing import NamedTuple

# Midnights in UTC: of California, and where both occur, of New York, Chicago, Denver, central Europe, London.
_CALIFORNIA = frozenset({time(7), time(8)})
_SUMMER_AND_WINTER = [frozenset({time(hour), time((hour + 1) % 24)}) for hour in (4, 5, 6, 22, 23)]
_MIN_ITEMS = 20
_MIN_SHARE = 0.9
_MIN_MIDNIGHTS = 5
_MIN_MIDNIGHT_SHARE = 0.5


class Clock(NamedTuple):
    """The time of day of an item, by the clock of its own zone and in UTC."""

    local: time
    utc: time

    @classmethod
    def of(cls, published_at: datetime) -> "Clock":
        """Return the time of day of a timezone-aware instant."""
        return cls(published_at.time(), published_at.astimezone(UTC).time())


class DayStamps:
    """The times of day of an archive's items, counted for the whole archive and for each source."""

    def __init__(self) -> None:
        self._by_source: defaultdict[str, Counter[Clock]] = defaultdict(Counter)

    def add(self, source: str, published_at: datetime) -> None:
        """Count an item with a time of day."""
        self._by_source[source][Clock.of(published_at)] += 1

    def find(self) -> dict[str, frozenset[Clock]]:
        """Return the times that stand for a day, by source."""
        counts = self._by_source
        everywhere = _find_day_times(counts.values())
        found = {source: everywhere or _find_day_times([times]) for source, times in counts.items()}
        return {source: times for source, times in found.items() if times}


def _find_day_times(counts: Iterable[Counter[Clock]]) -> frozenset[Clock]:
    """Return the midnights of another zone that nearly all items have, or else midnight if most have it."""
    times = sum(counts, Counter[Clock]())
    for pair in (_CALIFORNIA, *_SUMMER_AND_WINTER):
        within = {clock: count for clock, count in times.items() if clock.utc in pair}
        seen = {clock.utc for clock in within}
        enough = sum(within.values()) >= max(_MIN_ITEMS, _MIN_SHARE * times.total())
        if enough and (seen == pair or pair is _CALIFORNIA):
            return frozenset(within)
    midnights = {clock: count for clock, count in times.items() if clock.local == time()}
    enough = sum(midnights.values()) >= max(_MIN_MIDNIGHTS, _MIN_MIDNIGHT_SHARE * times.total())
    return frozenset(midnights) if enough else frozenset()

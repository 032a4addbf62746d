"""The first instant at which a decision may use a news item.

Knows times only. The one rule: an item counts from the latest instant at which it may have been published
or first seen, plus the latency of the source; where only the day is known, from that day's end.
"""

from datetime import UTC, datetime, time, timedelta

from engine.model import Precision

# The last place on earth to end a day, or to reach a given time of day, is twelve hours behind UTC.
_LAST_ZONE = timedelta(hours=12)


def available_at(
    published_at: datetime,
    precision: Precision,
    *,
    zone_known: bool,
    first_seen_at: datetime | None,
    latency: timedelta,
) -> datetime:
    """When an item may be used, in UTC.

    `published_at` is timezone-aware, in the zone of its source, or in UTC where `zone_known` is false: it
    is then a wall time that may be that of any zone. `latency` is what the source takes to deliver,
    zero or more.

    Live, with `first_seen_at`: the later of publication and first sight. In an archive, without it:
    the end of the minute, hour or day of `published_at` in its zone, because the item may lie anywhere in
    it, and twelve hours later where the zone is unknown. The latency is added but to the end of a day, which
    is hours late already for all but the last items of that day. Raises ValueError for a naive time or a
    negative latency, OverflowError past the year 9999.
    """
    if published_at.tzinfo is None:
        raise ValueError(f"published_at {published_at} has no zone")
    if latency < timedelta(0):
        raise ValueError(f"latency {latency} is below zero")
    if first_seen_at is not None:
        return max(published_at, first_seen_at).astimezone(UTC) + latency
    known = end_of_period(published_at, precision).astimezone(UTC)
    if precision is not Precision.DAY:
        known += latency
    return known if zone_known else known + _LAST_ZONE


def end_of_period(moment: datetime, precision: Precision) -> datetime:
    """The end of the minute, hour or day that `moment` lies in, in its own zone; a second is exact."""
    match precision:
        case Precision.SECOND:
            return moment
        case Precision.MINUTE:
            return moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        case Precision.HOUR:
            return moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        case Precision.DAY:
            return datetime.combine(moment.date() + timedelta(days=1), time(), moment.tzinfo)

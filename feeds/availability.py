"""Compute the first instant at which a decision may use a news item.

The one rule: an item is available from the latest instant at which it may have been published or first seen,
plus the latency of the source; where only the day is known, from the end of that day.
"""

from datetime import UTC, datetime, time, timedelta

from engine.model import Precision

# The westernmost time zone is twelve hours behind UTC.
_LAST_ZONE = timedelta(hours=12)


def available_at(
    published_at: datetime,
    precision: Precision,
    *,
    zone_known: bool,
    first_seen_at: datetime | None,
    latency: timedelta,
    is_day_stamp: bool = False,
) -> datetime:
    """Return the instant in UTC from which an item may be used.

    Live, with `first_seen_at`, that is the later of publication and first sight. In an archive, without it,
    it is the end of the minute, hour or day of `published_at` in its zone, because the item may lie anywhere
    in it, and twelve hours later where the zone is unknown. The latency is added except to the end of a day,
    which is hours late already for all but the last items of that day.

    Args:
        published_at: Timezone-aware, in the zone of its source; in UTC where `zone_known` is false: it is
            then a wall-clock time of an unknown zone.
        precision: How exactly `published_at` is known.
        zone_known: Whether the source states the zone.
        first_seen_at: When a collector first saw the item; None in an archive.
        latency: What the source takes to deliver an item, zero or more.
        is_day_stamp: Whether `published_at` is the midnight of some zone and stands for the 24 hours after
            it; the item is then known after both them and the end of the day.

    Raises:
        ValueError: For a naive time or a negative latency.
        OverflowError: Past the year 9999.
    """
    if published_at.tzinfo is None:
        raise ValueError(f"published_at {published_at} has no zone; make it timezone-aware")
    if latency < timedelta(0):
        raise ValueError(f"latency {latency} is below zero; give zero or more")
    if first_seen_at is not None:
        return max(published_at, first_seen_at).astimezone(UTC) + latency
    known = end_of_period(published_at, precision).astimezone(UTC)
    if is_day_stamp:
        known = max(known, published_at.astimezone(UTC) + timedelta(days=1))
    if precision is not Precision.DAY:
        known += latency
    return known if zone_known else known + _LAST_ZONE


def end_of_period(moment: datetime, precision: Precision) -> datetime:
    """Return the end of the minute, hour or day that `moment` lies in, in its own zone; a second is exact."""
    match precision:
        case Precision.SECOND:
            return moment
        case Precision.MINUTE:
            return moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        case Precision.HOUR:
            return moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        case Precision.DAY:
            return datetime.combine(moment.date() + timedelta(days=1), time(), moment.tzinfo)

"""Format numbers, instants and ages for a few terminal cells. The current time is passed in."""

from datetime import UTC, datetime, timedelta, tzinfo

from strategies.conclusions import NONE as NONE
from strategies.conclusions import NOTICE as NOTICE
from strategies.conclusions import format_percent as format_percent
from strategies.conclusions import list_conclusions as list_conclusions
from strategies.conclusions import number_formatter as number_formatter


def format_signed_percent(value: float | None, digits: int = 1) -> str:
    """A return, with its sign."""
    return NONE if value is None else f"{value * 100:+.{digits}f}%"


def format_amount(value: float | None, *, signed: bool = False) -> str:
    """Money, without decimals from ten thousand on."""
    if value is None:
        return NONE
    digits = 0 if abs(value) >= 10_000 else 2
    return f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"


def format_price(value: float | None) -> str:
    """A price with six significant digits."""
    return NONE if value is None else f"{value:,.6g}"


def format_count(value: float) -> str:
    """A number of things: 950, 12.3k, 1.05M."""
    if value < 10_000:
        return f"{value:,.0f}"
    return f"{value / 1e3:,.1f}k" if value < 1e6 else f"{value / 1e6:,.2f}M"


def format_bytes(number: float | None) -> str:
    """Bytes."""
    if number is None:
        return NONE
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1000:
            return f"{number:,.0f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def format_duration(length: timedelta) -> str:
    """A duration in its largest unit: 12 s, 5 min, 3 h, 2 d."""
    seconds = abs(length.total_seconds())
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} d"


def format_date(at: datetime | None, zone: tzinfo = UTC) -> str:
    """A date."""
    return NONE if at is None else f"{at.astimezone(zone):%Y-%m-%d}"


def format_datetime(at: datetime | None, zone: tzinfo = UTC) -> str:
    """A date and a time of day, 16 cells."""
    return NONE if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def format_short_datetime(at: datetime | None, zone: tzinfo = UTC) -> str:
    """Month, day and time of day, 11 cells."""
    return NONE if at is None else f"{at.astimezone(zone):%m-%d %H:%M}"


def zone_name(zone: tzinfo, now: datetime) -> str:
    """What the zone calls itself."""
    return zone.tzname(now) or "local"

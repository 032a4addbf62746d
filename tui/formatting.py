"""Numbers, instants and ages in the few cells that a screen has. Knows no screen and reads no clock."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from strategies.console import pluralize

NONE = "-"


def format_percent(value: float | None, digits: int = 1) -> str:
    """A share."""
    return NONE if value is None else f"{value * 100:.{digits}f}%"


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


_BASELINES = {"buy_and_hold": "buy&hold"}

_SHIPPED = "tiny"

NOTICE = "Research software. Not financial advice."


def number_formatter(digits: int) -> Callable[[float | None], str]:
    """A writer of numbers with so many decimals."""
    return lambda value: "-" if value is None else f"{value:,.{digits}f}"


def list_conclusions(result: Mapping[str, Any]) -> list[str]:
    """What may and may not be concluded, a sentence each."""
    lines = [_verdict_line(result["verdict_detail"])]
    if result["edge_captured"] is not None:
        lines.append(f"Edge captured: {format_percent(result['edge_captured'])} of what the oracle knew.")
    elif result["simulated"]:
        lines.append("This market has no edge: nothing could be known, and any difference is luck.")
    lines.append(_sharpe_line(result))
    if result["contaminated_n"]:
        lines.append(_contaminated_line(result))
    elif result["contaminated_n"] is None:
        why = "Its adapter may come from this market" if result["simulated"] else "Its release is not known"
        lines.append(f"{why}: the student may have seen these days in training.")
    return [*lines, *_rejection_lines(result), *result["notes"]]


def _verdict_line(verdict: Mapping[str, Any]) -> str:
    if verdict["difference"] is None:
        return "Verdict: inconclusive; no decision was scored for both the student and a baseline."
    against = (
        f"{verdict['difference'] * 100:+.1f} points of accuracy against "
        f"{_BASELINES.get(verdict['baseline'], verdict['baseline'])}, the best baseline"
    )
    bounds = ""
    if verdict["low"] is not None:
        days = pluralize(verdict["days"], "day")
        bounds = f" (95%: {verdict['low'] * 100:+.1f} to {verdict['high'] * 100:+.1f}, {days})"
    needed = ""
    if verdict["result"] == "inconclusive" and verdict["days_needed"] is not None:
        needed = f"; such a difference would need about {verdict['days_needed']:,} days to show"
    return f"Verdict: {verdict['result']}; {against}{bounds}{needed}."


def _contaminated_line(result: Mapping[str, Any]) -> str:
    share = f"Contaminated: {result['contaminated_n']:,} of {pluralize(result['forecasts'], 'forecast')}"
    if result["simulated"]:
        return f"{share} are on training seeds; the student may know the answers."
    before = f"{share} are before its release, {result['student_released']};"
    if result["student"] == _SHIPPED:
        return f"{before} the shipped student was trained on simulated data only and has read no real day."
    return f"{before} the student may know the answers."


def _rejection_lines(result: Mapping[str, Any]) -> list[str]:
    """Why nothing was traded, where every order was refused."""
    student = result["scores"]["student"]
    if student["trades"] or not student["rejected"]:
        return []
    return [
        f"No fill: {pluralize(student['rejected'], 'order')} of the student rejected, mostly "
        "because its share "
        f"of {result['cash']:,.0f} {result['currency']} buys less than one lot; raise --cash, or set a "
        "smaller `lot` under [instruments.SYMBOL]. --out DIR writes each reason."
    ]


def _sharpe_line(result: Mapping[str, Any]) -> str:
    trials = f"{pluralize(result['trials'], 'run')} on these data on record"
    if result["deflated_sharpe"] is None:
        return f"Trials: {trials}."
    return (
        f"Trials: {trials} ({result['distinct_trials']} distinct); the chance that the student's Sharpe "
        f"ratio is more than luck among them is {format_percent(result['deflated_sharpe'])}."
    )

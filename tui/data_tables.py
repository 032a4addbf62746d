"""What was fetched and what was found, as tables. Writes to stdout; knows no source and no rule."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tui.tables import console_of, counted

_MOST_SHOWN = 200
_REASONS = {"Unanswered": "it gives no answer", "TimeoutError": "it does not answer in time"}


def print_fetched(report: Any) -> None:
    """What a fetch of bars did, a line for each symbol and one for each gap."""
    console = console_of()
    table = _table("symbol", "new", "stored", "gaps", "strays")
    for one in report.symbols:
        table.add_row(one.symbol, f"{one.new:,}", f"{one.stored:,}", str(len(one.gaps)), str(one.strays))
    heading = f"{report.source}, {report.server_time:%Y-%m-%d %H:%M} UTC by its clock; {report.said_by}"
    console.print(Text(heading, style="bold"), soft_wrap=True)
    console.print(table)
    for one in report.symbols:
        for gap in one.gaps:
            days = (
                f"{gap.first:%Y-%m-%d} to {gap.last:%Y-%m-%d}" if gap.candles > 1 else f"{gap.first:%Y-%m-%d}"
            )
            missing = counted(gap.candles, "candle")
            console.print(Text(f"gap  {one.symbol}  {days}  {missing}: {gap.reason}"))


def event_line(event: Any) -> str | None:
    """What a collector has journaled, in one line; None for what comes every minute."""
    told = event.payload
    match event.kind:
        case "slice":
            late = ", late" if told["late"] else ""
            prices = ", ".join(
                f"{symbol} {bar[min(3, len(bar) - 1)]:g}" for symbol, bar in told["bars"].items()
            )
            what = f"{told['phase']}{late}: {prices}" + (
                f"; {counted(len(told['news']), 'news item')}" if told["news"] else ""
            )
        case "gap":
            what = f"gap: {told['symbol']} lacks {told['lacks']}; {told['reason']}"
        case "correction":
            what = f"correction: {told['symbol']} {told['phase']} was {told['was']}, is {told['now']}"
        case "refused":
            what = f"refused: {told['symbol']} {told['opens_at']}; {told['reason']}"
        case "source":
            what = f"{told['source']} is {told['state']}: {_REASONS.get(told['reason'], told['reason'])}"
        case "clock":
            agrees = "agrees with" if told["agrees"] else "differs from"
            what = f"clock of {told['source']} {agrees} this machine's, {told['offset_seconds']:+.1f} s"
        case "collecting":
            what = "collecting from " + "; ".join(told["sources"].values())
        case _:
            return None
    return f"{event.as_of:%Y-%m-%d %H:%M:%S} {what}"


def print_news(report: Any) -> None:
    """What a pass over news feeds found."""
    repeated = sum(report.repeated.values())
    console_of().print(
        f"{counted(report.read, 'entry', 'entries')} read: {report.stored:,} stored, "
        f"{repeated:,} seen before, {report.future:,} from the future and {report.empty:,} empty refused",
        soft_wrap=True,
    )


def print_findings(findings: Sequence[Any]) -> None:
    """What the checks found, what would harm first."""
    console = console_of()
    harmful = sum(one.harmful for one in findings)
    table = _table("harm", "kind", "place", "what")
    ordered = sorted(findings, key=lambda one: not one.harmful)
    for one in ordered[:_MOST_SHOWN]:
        table.add_row("yes" if one.harmful else "no", str(one.kind), Text(one.place), Text(one.sentence))
    if findings:
        console.print(table)
    if len(findings) > _MOST_SHOWN:
        console.print(f"and {len(findings) - _MOST_SHOWN:,} more; --json has them all")
    console.print(f"{counted(len(findings), 'finding')}, {harmful:,} would harm a backtest")


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    return table

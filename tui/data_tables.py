"""What was fetched and what was found, as tables. Writes to stdout; knows no source and no rule."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tui.tables import console_of

_MOST_SHOWN = 200


def print_fetched(report: Any) -> None:
    """What a fetch of bars did, a line for each symbol and one for each gap."""
    console = console_of()
    table = _table("symbol", "new", "stored", "gaps", "strays")
    for one in report.symbols:
        table.add_row(one.symbol, f"{one.new:,}", f"{one.stored:,}", str(len(one.gaps)), str(one.strays))
    console.print(
        Text(f"{report.source}, {report.server_time:%Y-%m-%d %H:%M} UTC by its clock", style="bold")
    )
    console.print(table)
    for one in report.symbols:
        for gap in one.gaps:
            days = (
                f"{gap.first:%Y-%m-%d} to {gap.last:%Y-%m-%d}" if gap.candles > 1 else f"{gap.first:%Y-%m-%d}"
            )
            console.print(Text(f"gap  {one.symbol}  {days}  {gap.candles} candles: {gap.reason}"))


def print_news(report: Any) -> None:
    """What a pass over news feeds found."""
    repeated = sum(report.repeated.values())
    console_of().print(
        f"{report.read:,} entries read: {report.stored:,} stored, {repeated:,} seen before, "
        f"{report.future:,} from the future and {report.empty:,} empty refused",
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
    console.print(f"{len(findings):,} findings, {harmful:,} would harm a backtest")


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    return table

"""Print results as tables that fit 80 columns."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from strategies.console import pluralize
from strategies.result_table import create_console
from strategies.walkforward_table import create_table
from tui.formatting import format_percent, number_formatter


def print_edge(measured: Mapping[str, Any]) -> None:
    """How much of the oracle's edge a student captures on each kind of simulated market."""
    console = create_console()
    console.print(f"SIMULATED markets, student {measured['student']}, {measured['days']} days each")
    columns = ("headlines", "edge", "least", "accuracy", "oracle", "Brier", "oracle", "abstained", "better")
    table = create_table(*columns)
    for kind in ("familiar", "all", "withheld", "shuffled", "no_edge"):
        row = measured[kind]
        table.add_row(
            kind,
            format_percent(row["edge_captured"]),
            format_percent(row["edge_captured_least"]),
            format_percent(row["accuracy"]),
            format_percent(row["oracle_accuracy"]),
            number_formatter(4)(row["brier"]),
            number_formatter(4)(row["oracle_brier"]),
            str(row["abstentions"]),
            f"{row['verdicts_better']}/{row['markets']}",
        )
    console.print(table)


def print_pairs(values: Mapping[str, Any]) -> None:
    """Names and values, one pair a line."""
    for name, value in values.items():
        shown = str(value)
        if isinstance(value, float):
            shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        sys.stdout.write(f"{name.replace('_', ' '):30} {shown}\n")


_MOST_SHOWN = 200


def print_fetch_report(report: Any) -> None:
    """Print what was fetched, a line for each symbol and one for each gap."""
    console = create_console()
    table = create_list("symbol", "new", "stored", "gaps", "strays")
    for fetched in report.symbols:
        table.add_row(
            fetched.symbol,
            f"{fetched.new:,}",
            f"{fetched.stored:,}",
            str(len(fetched.gaps)),
            str(fetched.strays),
        )
    heading = f"{report.source}, {report.server_time:%Y-%m-%d %H:%M} UTC by its clock; {report.provenance}"
    console.print(Text(heading, style="bold"), soft_wrap=True)
    console.print(table)
    for fetched in report.symbols:
        for gap in fetched.gaps:
            days = (
                f"{gap.first:%Y-%m-%d} to {gap.last:%Y-%m-%d}" if gap.candles > 1 else f"{gap.first:%Y-%m-%d}"
            )
            missing = pluralize(gap.candles, "candle")
            console.print(Text(f"gap  {fetched.symbol}  {days}  {missing}: {gap.reason}"))


def print_news(report: Any) -> None:
    """Print what a pass over news feeds found."""
    repeated = sum(report.repeated.values())
    create_console().print(
        f"{pluralize(report.read, 'entry', 'entries')} read: {report.stored:,} stored, "
        f"{repeated:,} seen before, {report.future:,} from the future and {report.empty:,} empty refused",
        soft_wrap=True,
    )


def print_findings(findings: Sequence[Any]) -> None:
    """Print the findings by file: a line for each kind with its number and its first, what harms first."""
    console = create_console()
    files: dict[Path, dict[tuple[bool, str], list[Any]]] = {}
    for finding in sorted(findings, key=lambda finding: not finding.blocking):
        kinds = files.setdefault(finding.file, {})
        kinds.setdefault((finding.blocking, str(finding.kind)), []).append(finding)
    for file, kinds in list(files.items())[:_MOST_SHOWN]:
        console.print(Text(str(file)), soft_wrap=True)
        table = create_list("harm", "kind", "count", "what", wrapped="what", right=["count"])
        for (harms, kind), group in kinds.items():
            place = group[0].place.removeprefix(str(file)).lstrip(", ")
            sentence = f"{place}: {group[0].sentence}" if place else group[0].sentence
            table.add_row("yes" if harms else "no", kind, f"{len(group):,}", Text(sentence))
        console.print(table)
    if len(files) > _MOST_SHOWN:
        console.print(f"and {len(files) - _MOST_SHOWN:,} files more; --json has them all")
    blocking = sum(finding.blocking for finding in findings)
    console.print(f"{pluralize(len(findings), 'finding')}, {blocking:,} would harm a backtest")


def create_list(*columns: str, wrapped: str = "", right: Sequence[str] = ()) -> Table:
    """Return an empty table with columns to the left, and to the right those of `right`; one may wrap."""
    table = create_table(*columns)
    for column in table.columns:
        column.justify = "right" if column.header in right else "left"
        column.no_wrap = column.header != wrapped
    return table

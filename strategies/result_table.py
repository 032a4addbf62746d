"""The scored table of one result: on a terminal, as text and as HTML."""

import io
import re
import sys
from collections.abc import Mapping, Sequence
from html import escape
from typing import IO, Any, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.metrics.registry import MetricTable, table_metrics
from strategies.ablation_table import HEADER, list_ablations
from strategies.baselines.names import BASELINES
from strategies.conclusions import NOTICE, describe_account, list_conclusions, shorten_symbols
from strategies.console import pluralize
from strategies.walkforward_table import print_walkforward

_CALLERS = {
    "student": "student",
    **{name: baseline.label for name, baseline in BASELINES.items()},
    "oracle": "oracle",
}

_TEXT_WIDTH = 100


class _TrimmedText(io.TextIOBase):
    """A stream whose lines have no spaces at their ends, with which rich fills its tables."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(re.sub(r" +$", "", text, flags=re.MULTILINE))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def create_console(file: io.StringIO | None = None) -> Console:
    """Return a console that prints text as it is; 100 columns or more where it is no terminal.

    Args:
        file: Where it prints; the default is stdout.
    """
    console = Console(highlight=False, markup=False, emoji=False, file=file)
    if not console.is_terminal:
        trimmed = cast(IO[str], _TrimmedText(file or sys.stdout))
        console = Console(highlight=False, markup=False, emoji=False, file=trimmed)
        console.width = max(console.width, _TEXT_WIDTH)
    return console


def print_result(result: Mapping[str, Any], kind: str = "Backtest", console: Console | None = None) -> None:
    """Print the scored table of one run, walk-forward or session with everything needed to judge it.

    Args:
        result: The result, as `--json` prints it.
        kind: What ran, for the heading of real data.
        console: Where to print; the default is stdout.
    """
    console = console or create_console()
    if "folds" in result:
        print_walkforward(result, console)
        return
    title, *counts = _heading(result, kind)
    console.print(Text(title, style="bold"), soft_wrap=True)
    for line in counts:
        console.print(Text(line))
    console.print()
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("")
    callers, rows = _score_rows(result)
    for caller in callers:
        style = "bold" if caller in ("student", "strategy") else ""
        table.add_column(caller, justify="right", style=style)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()
    if ablations := list_ablations(result):
        console.print(_create_ablation_table(ablations))
        console.print()
    for line in (*list_conclusions(result), *describe_account(result)):
        console.print(Text(line))
    console.print(Text(NOTICE, style="dim"))


def _create_ablation_table(rows: list[list[str]]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in HEADER:
        table.add_column(name, justify="left" if name == HEADER[0] else "right")
    for row in rows:
        table.add_row(*row)
    return table


def render_text(result: Mapping[str, Any], kind: str = "Backtest") -> str:
    """Return what `print_result` prints where stdout is no terminal, without the last line break."""
    file = io.StringIO()
    console = create_console(file)
    console.width = _TEXT_WIDTH
    print_result(result, kind, console)
    return file.getvalue().rstrip("\n")


def render_html(result: Mapping[str, Any], kind: str = "Backtest") -> str:
    """Return the same table as HTML, for a notebook. All text is escaped."""
    if "folds" in result:
        return f"<pre>{escape(render_text(result))}</pre>"
    callers, rows = _score_rows(result)
    title, *counts = map(escape, _heading(result, kind))
    tables = _render_table(("", *callers), rows)
    if ablations := list_ablations(result):
        tables += _render_table(HEADER, ablations)
    notes = "<br>".join(map(escape, (*list_conclusions(result), *describe_account(result), NOTICE)))
    return f"<div><b>{title}</b><br>{'<br>'.join(counts)}{tables}{notes}</div>"


def _render_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        f'<tr><th style="text-align: left">{escape(label)}</th>'
        + "".join(f'<td style="text-align: right">{escape(cell)}</td>' for cell in cells)
        + "</tr>"
        for label, *cells in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _heading(result: Mapping[str, Any], kind: str) -> list[str]:
    what = "SIMULATED market" if result["simulated"] else kind
    traders = [f"{role} {result[role]}" for role in ("student", "strategy") if result.get(role)]
    return [
        f"{what}  {result['start']} to {result['end']}  {', '.join(traders)}",
        f"{pluralize(len(result['symbols']), 'symbol')}: {shorten_symbols(result['symbols'])}",
        f"{pluralize(result['bars'], 'bar')}{_describe_seconds(result)}, "
        f"{pluralize(result['news'], 'news item')}, "
        f"{pluralize(result['forecasts'], 'forecast')} ({result['forecasts_with_news']:,} with fresh news), "
        f"{pluralize(result['abstentions'], 'abstention')}",
    ]


def _describe_seconds(result: Mapping[str, Any]) -> str:
    """Return how long a run took; empty for a session, and for a run whose clock stood still."""
    seconds = result.get("seconds")
    return f" in {seconds:,.{0 if seconds >= 10 else 1}f} s" if seconds else ""


def _score_rows(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the callers as the table names them, and a row for each metric: its label, then its values."""
    scores = result["scores"]
    callers = [name for name in _CALLERS if name in scores]
    labels = _CALLERS | ({"student": "strategy"} if "strategy" in result else {})
    rows = [
        [metric.label, *(metric.show(scores[name].get(metric.key)) for name in callers)]
        for metric in table_metrics(MetricTable.RESULT)
        if any(metric.key in scores[name] for name in callers)  # else a run of a version without it
    ]
    return [labels[name] for name in callers], rows

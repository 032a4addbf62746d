"""The scored table of one result: on a terminal, as text and as HTML."""

import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import IO, Any, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.metrics.registry import MetricTable, table_metrics
from strategies.ablation_table import HEADER, list_ablations
from strategies.baselines.names import BASELINES, BENCHMARK, OF_STUDENT
from strategies.conclusions import NOTICE, describe_account, list_conclusions, shorten_symbols
from strategies.console import pluralize
from strategies.protocols import list_protocols
from strategies.walkforward_table import print_walkforward

_CALLERS = {
    "student": "student",
    BENCHMARK: BENCHMARK,
    **{name: baseline.label for name, baseline in BASELINES.items()},
    "oracle": "oracle",
}
_STUDENT = "student"
_MAX_LABEL = 9
_TABLE_WIDTH = 80

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
    for callers, rows in _score_tables(result):
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        table.add_column("")
        for caller in callers:
            style = "bold" if caller in ("student", "strategy") else ""
            table.add_column(caller, justify="right", style=style, no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console.print(table)
        console.print()
    if ablations := list_ablations(result):
        console.print(_create_ablation_table(ablations))
        console.print()
    for line in (*list_conclusions(result), *describe_account(result), *list_protocols(result)):
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
    title, *counts = map(escape, _heading(result, kind))
    tables = "".join(_render_table(("", *callers), rows) for callers, rows in _score_tables(result))
    if ablations := list_ablations(result):
        tables += _render_table(HEADER, ablations)
    lines = (*list_conclusions(result), *describe_account(result), *list_protocols(result), NOTICE)
    notes = "<br>".join(map(escape, lines))
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


_Scores = tuple[list[str], list[list[str]]]
"""The callers as a table names them, and a row for each metric: its label, then its values."""


def _score_tables(result: Mapping[str, Any]) -> Iterator[_Scores]:
    """Yield the scores as tables of at most 80 columns, the student in each.

    Where there are several, the first has the callers that matter most (see `rank_callers`).
    """
    callers = [name for name in _CALLERS if name in result["scores"]]
    labels, cells = _write_scores(result, callers)
    margin = max(map(len, labels), default=0)
    widths = {name: 1 + max(map(len, column)) for name, column in cells.items()}
    fits = margin + sum(widths.values()) <= _TABLE_WIDTH
    left = callers if fits else rank_callers(result, callers)
    while left:
        shown, room = [left[0]], _TABLE_WIDTH - margin - widths[left[0]]
        while len(shown) < len(left) and widths[left[len(shown)]] <= room:
            room -= widths[left[len(shown)]]
            shown.append(left[len(shown)])
        heads = [cells[name][0] for name in shown]
        yield heads, [[label, *(cells[n][row] for n in shown)] for row, label in enumerate(labels[1:], 1)]
        rest = left[len(shown) :]
        left = [*left[:1], *rest] if rest and left[0] == _STUDENT and len(shown) > 1 else rest


def _write_scores(
    result: Mapping[str, Any], callers: Sequence[str]
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the labels of the rows, of the heading first, and the column of each caller as text."""
    scores = result["scores"]
    heads = _CALLERS | ({_STUDENT: "strategy"} if "strategy" in result else {})
    if benchmark := result.get("benchmark"):
        heads[BENCHMARK] = benchmark[:_MAX_LABEL]
    metrics = [
        metric
        for metric in table_metrics(MetricTable.RESULT)
        if any(metric.key in scores[name] for name in callers)  # else a run of a version without it
    ]
    cells = {
        name: [heads[name], *(metric.show(scores[name].get(metric.key)) for metric in metrics)]
        for name in callers
    }
    return ["", *(metric.label for metric in metrics)], cells


def rank_callers(result: Mapping[str, Any], callers: Sequence[str]) -> list[str]:
    """Return the callers by how much they matter beside the student.

    First the benchmark, those that a verdict compares with, buy and hold, the most accurate of the others and
    the one with the highest Sharpe ratio; then the rest, in order.
    """
    scores = result["scores"]
    compared = [verdict.get("comparator") for verdict in (result.get("verdicts") or {}).values()]
    # What is made of the student itself is no rival of it.
    others = [
        name for name in callers if name not in (_STUDENT, BENCHMARK, "oracle", "buy_and_hold", *OF_STUDENT)
    ]
    best = [
        max((scores[name][key], name) for name in others if scores[name].get(key) is not None)[1]
        for key in ("accuracy", "sharpe")
        if any(scores[name].get(key) is not None for name in others)
    ]
    wanted = dict.fromkeys([_STUDENT, BENCHMARK, *compared, "buy_and_hold", *best, "oracle", *callers])
    return [name for name in wanted if name in callers]

"""Print lists and comparisons of runs; they fit 80 columns and use more."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from engine.metrics.registry import MetricTable, table_metrics
from strategies.conclusions import direction_verdict, shorten_symbols
from strategies.console import pluralize
from strategies.result_table import create_console
from strategies.settings_difference import find_differences, format_value, list_changed

_NARROW = 120
_KINDS = {"walk-forward": "walk-fwd"}


def print_runs(runs: Sequence[Any], data_dir: Path) -> None:
    """Print a line for each run, and below it the settings in which it differs from the others."""
    console = create_console()
    if not runs:
        console.print(f"No runs in {data_dir}. Make one: closecall backtest", soft_wrap=True)
        return
    wide = console.width >= _NARROW
    metrics = table_metrics(MetricTable.RUNS)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    columns = (
        ["run", "kind", "student", "symbols", "from", "to"] if wide else ["run", "kind", "student", "from"]
    )
    for name in columns:
        shrinks = name in ("student", "symbols")
        table.add_column(
            name, no_wrap=True, overflow="ellipsis", max_width=None if wide or not shrinks else 12
        )
    for metric in metrics:
        table.add_column(metric.column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    differing = find_differences([run.config for run in runs])
    if wide:
        table.add_column("settings that differ", overflow="fold", ratio=1)
    for run, settings in zip(runs, differing, strict=True):
        changed = " ".join(list_changed(settings))
        table.add_row(*_describe_run(run, wide=wide), *([changed] if wide else []))
    if wide:
        console.print(table)
        return
    _print_with_settings(console, table, differing)


def _print_with_settings(console: Any, table: Table, differing: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows of a table, each followed by its settings across all columns."""
    head, *rows = ["".join(part.text for part in line).rstrip() for line in console.render_lines(table)]
    console.print(Text(head, style="bold"))
    for row, settings in zip(rows, differing, strict=True):
        console.print(Text(row))
        if changed := list_changed(settings):
            console.print(Padding(Text(" ".join(changed), style="dim"), (0, 0, 0, 2)))


def _describe_run(run: Any, *, wide: bool) -> list[str]:
    metrics = table_metrics(MetricTable.RUNS)
    result = run.result
    kind = run.state if run.state != "finished" else "walk-forward" if "folds" in result else "backtest"
    trader = result.get("strategy") or result.get("student") or run.config.get("student") or "-"
    blank = ["-"] * (len(metrics) + 1)
    if not result:
        places = ["-"] * (3 if wide else 1)
        return [run.run, kind, str(trader), *places, *blank]
    student = result["scores"]["student"]
    symbols = shorten_symbols(result["symbols"], 3) + (" (simulated)" if result["simulated"] else "")
    places = [symbols, result["start"], result["end"]] if wide else [result["start"]]
    return [
        run.run,
        kind if wide else _KINDS.get(kind, kind),
        str(trader),
        *places,
        *(metric.show(student.get(metric.key)) for metric in metrics),
        direction_verdict(result),
    ]


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def print_comparison(comparison: Mapping[str, Any]) -> None:
    """Print what differs first, then the scores side by side, then the tests."""
    console = create_console()
    letters = [
        _LETTERS[place] if place < len(_LETTERS) else str(place + 1)
        for place in range(len(comparison["runs"]))
    ]
    names = dict(zip((run["run"] for run in comparison["runs"]), letters, strict=True))
    for letter, run in zip(letters, comparison["runs"], strict=True):
        market = " (simulated)" if run["simulated"] else ""
        line = (
            f"{letter}  {run['run']}  {run['kind']}, {run['trader']}, {run['start']} to {run['end']}, "
            f"{shorten_symbols(run['symbols'], 3)}{market}"
        )
        console.print(Text(line))
    console.print()
    _print_settings(console, comparison["settings"], letters)
    for pair in comparison["data"]:
        console.print(Text(_describe_data(pair, names)))
    console.print()
    table = _create_table(letters)
    known = {metric.key: metric for metric in table_metrics(MetricTable.RESULT)}
    for key, values in comparison["scores"].items():
        table.add_row(known[key].label, *(known[key].show(value) for value in values))
    table.add_row("verdict, direction", *(str(run["verdict"] or "-") for run in comparison["runs"]))
    console.print(table)
    console.print()
    console.print(Text(f"Differences on shared decisions and days; {comparison['test']}.", style="bold"))
    tests = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for column in ("", "claim", "difference", "95% interval", "days", "p", "better"):
        tests.add_column(
            column, justify="left" if column in ("", "claim", "better") else "right", no_wrap=True
        )
    for test in comparison["tests"]:
        tests.add_row(*_describe_test(test, names))
    console.print(tests)


def _create_table(letters: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("")
    for letter in letters:
        table.add_column(letter, justify="right", overflow="fold")
    return table


def _print_settings(console: Any, settings: Mapping[str, Sequence[Any]], letters: Sequence[str]) -> None:
    if not settings:
        console.print("Settings: the same.")
        return
    table = _create_table(letters)
    table.columns[0].header = "settings that differ"
    for key, values in settings.items():
        table.add_row(key, *map(format_value, values))
    console.print(table)
    console.print()


def _describe_data(pair: Mapping[str, Any], names: Mapping[str, str]) -> str:
    pair_name = f"{names[pair['run']]} and {names[pair['against']]}"
    if not pair["shared_closes"]:
        return f"Data: {pair_name} share no close; their scores are of different days or symbols."
    if pair["differing_closes"]:
        return (
            f"Data: {pair_name} DIFFER at {pair['differing_closes']:,} of "
            f"{pluralize(pair['shared_closes'], 'shared close')}, first {pair['first_difference']}."
        )
    alone = pair["only_first"] + pair["only_other"]
    more = f", {alone:,} more in one of them only" if alone else ""
    news = (
        ""
        if pair["news"][0] == pair["news"][1]
        else f"; {pair['news'][0]:,} and {pair['news'][1]:,} news items"
    )
    return f"Data: {pair_name} have the same {pluralize(pair['shared_closes'], 'close')}{more}{news}."


_UNITS = {
    "direction": (100, " points"),
    "probability": (1, " Brier"),
    "close": (1, " bp"),
    "return": (1e4, " bp"),
}
"""What a difference is multiplied by, and its unit: points of accuracy, Brier score, basis points."""


def _describe_test(test: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    scale, unit = _UNITS[test["claim"]]
    digits = 4 if scale == 1 and unit == " Brier" else 1

    def show(value: float | None) -> str:
        return "-" if value is None else f"{value * scale:+,.{digits}f}"

    winners = {"run": names[test["run"]], "against": names[test["against"]], "same": "the same"}
    interval = "-" if test["low"] is None else f"{show(test['low'])} to {show(test['high'])}"
    return [
        f"{names[test['run']]} less {names[test['against']]}",
        test["claim"],
        show(test["difference"]) + (unit if test["difference"] is not None else ""),
        interval,
        f"{test['days']:,}",
        "-" if test["p_value"] is None else f"{test['p_value']:.2g}",
        winners.get(test["winner"], "inconclusive") if test["days"] else "-",
    ]

"""The table of a sweep, and what may be concluded from its best point."""

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from strategies.conclusions import (
    NONE,
    describe_correction,
    describe_yardstick,
    format_percent,
    number_formatter,
)
from strategies.console import pluralize
from strategies.result_table import create_console


def print_sweep(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a line for each point, then how likely the best is overfitted and its deflated Sharpe ratio.

    Args:
        result: The result, as `--json` prints it.
        console: Where to print; the default is stdout.
    """
    console = console or create_console()
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for key in result["keys"]:
        table.add_column(key, overflow="fold")
    for column in ("accuracy", "return", "Sharpe", "drawdown"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for point in result["points"]:
        style = "bold" if point["run"] and point["run"] == result["best"] else ""
        table.add_row(
            *(str(point["settings"][key]) for key in result["keys"]),
            format_percent(point["accuracy"]),
            _format_return(point["total_return"]),
            number_formatter(2)(point["sharpe"]),
            format_percent(point["max_drawdown"]),
            "failed" if point["error"] else point["verdict"] or NONE,
            style=style,
        )
    console.print(table)
    console.print()
    for line in list_sweep_conclusions(result):
        console.print(Text(line))


def render_sweep(result: Mapping[str, Any]) -> str:
    """Return what `print_sweep` prints where stdout is no terminal, without the last line break."""
    file = io.StringIO()
    print_sweep(result, create_console(file))
    return file.getvalue().rstrip("\n")


def list_sweep_conclusions(result: Mapping[str, Any]) -> list[str]:
    """Return what may be concluded from a sweep, a sentence each.

    Args:
        result: The result, as `--json` prints it.
    """
    points = result["points"]
    before = sum(point["finished_before"] for point in points)
    lines = [f"Finished before: {before} of {pluralize(len(points), 'point')}."] if before else []
    lines += [
        f"Failed: {_describe_settings(point['settings'])}: {point['error']}"
        for point in points
        if point["error"]
    ]
    best = next((point for point in points if result["best"] and point["run"] == result["best"]), None)
    if best is None:
        return [*lines, "No point has a Sharpe ratio, so none is the best."]
    winner = _describe_settings(best["settings"])
    lines.append(f"Best Sharpe ratio: {best['sharpe']:.2f} with {winner}, run {best['run']}.")
    estimate = result["overfitting"]
    if estimate is None:
        lines.append(
            "Probability of backtest overfitting: undefined; it takes two trials that differ and 32 days."
        )
    else:
        lines.append(
            f"Probability of backtest overfitting: {format_percent(estimate['probability'])} "
            f"({pluralize(estimate['trials'], 'distinct trial')}, {pluralize(estimate['days'], 'day')}): "
            "so often the best on half of the days is in the worse half on the others; luck alone: 50%."
        )
    if result.get("deflated_sharpe") is not None:
        lines.append(
            f"Deflated Sharpe ratio: among {pluralize(result['trials'], 'run')} on these data on record "
            f"({result['distinct_trials']} distinct), allowing for the luck of the best of so many, the "
            f"chance that its true Sharpe ratio is above {describe_yardstick(result)} is "
            f"{format_percent(result['deflated_sharpe'])}."
        )
    return [*lines, *describe_correction(result, result["distinct_trials"])]


def _format_return(value: float | None) -> str:
    return NONE if value is None else f"{value:+.1%}"


def _describe_settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())

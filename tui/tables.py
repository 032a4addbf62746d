"""Results as tables that fit 80 columns. Writes to stdout and nowhere else; knows no run and no model."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tui.dash.written import percent, signed_percent

_CALLERS = {
    "student": "student",
    "buy_and_hold": "buy&hold",
    "persistence": "persist.",
    "majority": "majority",
    "random": "random",
    "oracle": "oracle",
}
_BASELINES = {"buy_and_hold": "buy&hold"}
_SHIPPED = "tiny"
NOTICE = "Research software. Not financial advice."


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 symbol, 2 symbols."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def number(digits: int) -> Callable[[float | None], str]:
    """A writer of numbers with so many decimals."""
    return lambda value: "-" if value is None else f"{value:,.{digits}f}"


_ROWS: Sequence[tuple[str, Callable[[Mapping[str, Any]], str]]] = (
    ("forecasts scored", lambda s: f"{s['n']:,}"),
    ("accuracy", lambda s: percent(s["accuracy"])),
    ("  95% from", lambda s: percent(s["accuracy_low"])),
    ("  95% to", lambda s: percent(s["accuracy_high"])),
    ("accuracy, open", lambda s: percent(s["accuracy_open"])),
    ("Brier score", lambda s: number(4)(s["brier"])),
    ("close error, bp", lambda s: number(0)(s["close_mae_bps"])),
    ("return", lambda s: signed_percent(s["total_return"])),
    ("Sharpe, a year", lambda s: number(2)(s["sharpe"])),
    ("max. drawdown", lambda s: percent(s["max_drawdown"])),
    ("fills", lambda s: f"{s['trades']:,}"),
    ("rejected", lambda s: f"{s['rejected']:,}"),
    ("costs paid", lambda s: number(0)(s["costs_paid"])),
)


def print_result(result: Mapping[str, Any], kind: str = "Backtest") -> None:
    """The scored table of one run with everything needed to judge it; `kind` says what ran on real days."""
    console = console_of()
    _print_heading(console, result, kind)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("")
    callers = [name for name in _CALLERS if name in result["scores"]]
    for name in callers:
        table.add_column(_CALLERS[name], justify="right", style="bold" if name == "student" else "")
    for label, shown in _ROWS:
        table.add_row(label, *(shown(result["scores"][name]) for name in callers))
    console.print(table)
    console.print()
    for line in conclusions(result):
        console.print(Text(line))
    console.print(Text(NOTICE, style="dim"))


def conclusions(result: Mapping[str, Any]) -> list[str]:
    """What may and may not be concluded, a sentence each."""
    lines = [_verdict_line(result["verdict_detail"])]
    if result["edge_captured"] is not None:
        lines.append(f"Edge captured: {percent(result['edge_captured'])} of what the oracle knew.")
    elif result["simulated"]:
        lines.append("This market has no edge: nothing could be known, and any difference is luck.")
    lines.append(_sharpe_line(result))
    if result["contaminated_n"]:
        lines.append(_contaminated_line(result))
    elif result["contaminated_n"] is None:
        why = "Its adapter may come from this market" if result["simulated"] else "Its release is not known"
        lines.append(f"{why}: the student may have seen these days in training.")
    return [*lines, *_rejection_lines(result), *result["notes"]]


def print_runs(runs: Sequence[Any], data_dir: Path) -> None:
    """One line for each run on record."""
    console = console_of()
    if not runs:
        console.print(f"No runs in {data_dir}. Make one: closecall backtest", soft_wrap=True)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in ("run", "state", "symbols", "from", "to", "accuracy", "return", "verdict"):
        table.add_column(column, no_wrap=column != "symbols")
    for run in runs:
        table.add_row(run.run, run.state, *_run_cells(run.result))
    console.print(table)


def print_edge(measured: Mapping[str, Any]) -> None:
    """How much of the oracle's edge a student captures on each kind of simulated market."""
    console = console_of()
    console.print(f"SIMULATED markets, student {measured['student']}, {measured['days']} days each")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    columns = ("headlines", "edge", "least", "accuracy", "oracle", "Brier", "oracle", "abstained", "better")
    for column in columns:
        table.add_column(column, justify="left" if column == "headlines" else "right")
    for kind in ("familiar", "all", "withheld", "shuffled", "no_edge"):
        row = measured[kind]
        table.add_row(
            kind,
            percent(row["edge_captured"]),
            percent(row["edge_captured_least"]),
            percent(row["accuracy"]),
            percent(row["oracle_accuracy"]),
            number(4)(row["brier"]),
            number(4)(row["oracle_brier"]),
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


def console_of() -> Console:
    """A console that prints text as it is, wide enough where it is no terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, 100)
    return console


def _print_heading(console: Console, result: Mapping[str, Any], kind: str) -> None:
    what = "SIMULATED market" if result["simulated"] else kind
    console.print(
        Text(f"{what}  {result['start']} to {result['end']}  student {result['student']}", style="bold"),
        soft_wrap=True,
    )
    console.print(Text(f"{counted(len(result['symbols']), 'symbol')}: {_short(result['symbols'])}"))
    console.print(
        f"{counted(result['bars'], 'bar')}, {counted(result['news'], 'news item')}, "
        f"{counted(result['forecasts'], 'forecast')} ({result['forecasts_with_news']:,} with fresh news), "
        f"{counted(result['abstentions'], 'abstention')}"
    )
    console.print()


def _short(symbols: Sequence[str], most: int = 8) -> str:
    more = f" and {len(symbols) - most} more" if len(symbols) > most else ""
    return ", ".join(symbols[:most]) + more


def _verdict_line(verdict: Mapping[str, Any]) -> str:
    if verdict["difference"] is None:
        return "Verdict: inconclusive; no decision was scored for both the student and a baseline."
    against = (
        f"{verdict['difference'] * 100:+.1f} points of accuracy against "
        f"{_BASELINES.get(verdict['baseline'], verdict['baseline'])}, the best baseline"
    )
    bounds = ""
    if verdict["low"] is not None:
        days = counted(verdict["days"], "day")
        bounds = f" (95%: {verdict['low'] * 100:+.1f} to {verdict['high'] * 100:+.1f}, {days})"
    needed = ""
    if verdict["result"] == "inconclusive" and verdict["days_needed"] is not None:
        needed = f"; such a difference would need about {verdict['days_needed']:,} days to show"
    return f"Verdict: {verdict['result']}; {against}{bounds}{needed}."


def _contaminated_line(result: Mapping[str, Any]) -> str:
    share = f"Contaminated: {result['contaminated_n']:,} of {counted(result['forecasts'], 'forecast')}"
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
        f"No fill: {counted(student['rejected'], 'order')} of the student rejected, mostly because its share "
        f"of {result['cash']:,.0f} {result['currency']} buys less than one lot; raise --cash, or set a "
        "smaller `lot` under [instruments.SYMBOL]. --out DIR writes each reason."
    ]


def _sharpe_line(result: Mapping[str, Any]) -> str:
    trials = f"{counted(result['trials'], 'run')} on these data on record"
    if result["deflated_sharpe"] is None:
        return f"Trials: {trials}."
    return (
        f"Trials: {trials} ({result['distinct_trials']} distinct); the chance that the student's Sharpe "
        f"ratio is more than luck among them is {percent(result['deflated_sharpe'])}."
    )


def _run_cells(result: Mapping[str, Any]) -> list[str]:
    if not result:
        return ["-"] * 6
    student = result["scores"]["student"]
    symbols = _short(result["symbols"], 3) + (" (simulated)" if result["simulated"] else "")
    return [
        symbols,
        result["start"],
        result["end"],
        percent(student["accuracy"]),
        signed_percent(student["total_return"]),
        result["verdict"],
    ]

"""Retraining and the drift bench as tables. Writes to stdout and nowhere else."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from strategies.result_table import create_console
from strategies.walkforward_table import ARM_NAMES, compare_arms, create_table
from tui.formatting import format_percent, number_formatter


def print_retrained(report: Mapping[str, Any]) -> None:
    """What one round of retraining did, a sentence each."""
    console = create_console()
    console.print(f"run {report['run']}, outcomes known to {report['until']}")
    drift = report["drift"]
    if drift["found"]:
        console.print(
            f"drift: the Brier score is {drift['after']:.4f} since {drift['since']} and was "
            f"{drift['before']:.4f} (p = {drift['p_value']:.2g})"
        )
    else:
        console.print(f"drift: none found in {drift['days']} days")
    for gate in report["gated"]:
        verb = "promoted" if gate["promoted"] else "rejected"
        console.print(Text(f"gate: {gate['adapter']} {verb}: {'; '.join(gate['reasons'])}"), soft_wrap=True)
    trained = report["trained"]
    if trained is None:
        console.print("trained: nothing")
    else:
        guards = "guards passed" if trained["clean"] else f"a guard failed: {trained['reason']}"
        console.print(
            f"trained: {trained['adapter']} on {trained['trained_on']:,} outcomes, {guards}; "
            f"its gate is due when outcomes are known to {trained['gate_at']}"
        )
    console.print(f"champion: {report['champion'] or 'the base model'}")


def print_drift(measured: Mapping[str, Any]) -> None:
    """Every arm before the reversal and after the second gate that follows it."""
    console = create_console()
    console.print(
        f"SIMULATED market, news reversed on {measured['reversal']}, "
        f"measured from {measured['measured_from']}"
    )
    table = create_table(
        "arm", "edge before", "edge after", "accuracy", "Brier", "close error, bp", "abstained"
    )
    for name, after in measured["after"].items():
        table.add_row(
            ARM_NAMES.get(name, name),
            format_percent(measured["before"][name]["edge"]),
            format_percent(after["edge"]),
            format_percent(after["accuracy"]),
            number_formatter(4)(after["brier"]),
            number_formatter(0)(after["close_mae_bps"]),
            format_percent(after["abstentions"]),
        )
    console.print(table)
    for line in compare_arms(measured["comparison"]):
        console.print(Text(line))
    console.print(f"{measured['seconds']:.0f} s, {measured['seconds_per_fold']:.0f} s a fold")

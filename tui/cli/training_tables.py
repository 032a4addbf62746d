"""Walk-forwards, retraining and the drift bench as tables. Writes to stdout and nowhere else."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from engine.metrics.registry import MetricTable, table_metrics
from strategies.result_table import create_console
from tui.formatting import NOTICE, format_percent, list_conclusions, number_formatter

_NAMES = {"grpo": "walk-forward grpo", "sft": "walk-forward sft", "static": "static", "none": "static"}


def print_walkforward(result: Mapping[str, Any]) -> None:
    """Folds with their gates, the arms beside the baselines on the same days, and what may be claimed."""
    console = create_console()
    kind = "SIMULATED market" if result["simulated"] else "Walk-forward"
    console.print(
        Text(f"{kind}  {result['start']} to {result['end']}  {_NAMES[result['method']]}", style="bold")
    )
    console.print(f"{len(result['symbols'])} symbols, {result['forecasts']:,} forecasts traded\n")
    console.print(_folds_table(result["folds"]))
    console.print()
    console.print(_arms_table(result))
    console.print()
    for line in [
        *_comparison_table(result["comparison"]),
        *_claims_table(result["claims"]),
        *list_conclusions(result),
    ]:
        console.print(Text(line))
    console.print(Text(NOTICE, style="dim"))


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
        guards = "guards passed" if trained["clean"] else f"a guard spoke: {trained['reason']}"
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
    table = _table("arm", "edge before", "edge after", "accuracy", "Brier", "close error, bp", "abstained")
    for name, after in measured["after"].items():
        table.add_row(
            _NAMES.get(name, name),
            format_percent(measured["before"][name]["edge"]),
            format_percent(after["edge"]),
            format_percent(after["accuracy"]),
            number_formatter(4)(after["brier"]),
            number_formatter(0)(after["close_mae_bps"]),
            format_percent(after["abstentions"]),
        )
    console.print(table)
    for line in _comparison_table(measured["comparison"]):
        console.print(Text(line))
    console.print(f"{measured['seconds']:.0f} s, {measured['seconds_per_fold']:.0f} s a fold")


def _folds_table(folds: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("fold", "trained to", "gated", "arm", "outcomes", "guards", "p", "promoted")
    for fold in folds:
        for arm, trained in fold["arms"].items():
            table.add_row(
                str(fold["number"]),
                fold["cutoff"][:10],
                fold["gate_at"][:10],
                arm,
                f"{trained['trained_on']:,}",
                "passed" if trained["clean"] else "spoke",
                "-" if trained["p_value"] is None else f"{trained['p_value']:.2g}",
                "yes" if trained["promoted"] else "no",
            )
    return table


def _arms_table(result: Mapping[str, Any]) -> Table:
    metrics = table_metrics(MetricTable.ARMS)
    table = _table("", *(metric.column for metric in metrics), "edge", "promoted")
    traded = result["method"] if result["method"] != "none" else "static"
    names = sorted(result["scores"], key=lambda name: (name not in ("student", *_NAMES), name != "student"))
    for name in names:
        scores = result["scores"][name]
        arm = traded if name == "student" else name
        promoted = result["promotions"].get(arm)
        table.add_row(
            _NAMES.get(arm, arm.replace("_", " ")),
            *(metric.show(scores.get(metric.key)) for metric in metrics),
            format_percent(result["edges"].get(arm)),
            "-" if promoted is None else str(promoted),
        )
    return table


def _comparison_table(comparison: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each pair of arms on the joined days; t test over days, two-sided at 5%."""
    lines = []
    for pair in comparison:
        if pair["difference"] is None or pair["low"] is None:
            continue
        better = "no winner" if pair["winner"] == "inconclusive" else f"{_NAMES[pair['winner']]} wins"
        lines.append(
            f"{_NAMES[pair['caller']]} against {_NAMES[pair['against']]}, {pair['measure']}: "
            f"{pair['difference']:+.4f} (95%: {pair['low']:+.4f} to {pair['high']:+.4f}, paired, "
            f"{pair['days']} days): {better}."
        )
    return lines


def _claims_table(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    claimed = [f"{claim['measure']} against {claim['against']}" for claim in claims if claim["claimed"]]
    if claimed:
        return [f"Claimed better: {', '.join(claimed)}."]
    return ["Nothing is claimed to be better than the static student or the base rate."]


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 or column == "arm" else "right")
    return table

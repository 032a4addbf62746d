"""The table of a walk-forward: its folds with their gates, then the arms beside the baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.metrics.registry import MetricTable, table_metrics
from strategies.conclusions import NOTICE, describe_account, format_percent, list_conclusions
from strategies.console import pluralize
from strategies.protocols import list_protocols

ARM_NAMES = {"grpo": "walk-forward grpo", "sft": "walk-forward sft", "static": "static", "none": "static"}
_NARROW = (0, 1, 0, 0)
"""One space between columns, so that the table fits 80."""


def print_walkforward(result: Mapping[str, Any], console: Console) -> None:
    """Print the folds with their gates, the arms beside the baselines on the same days, and the claims."""
    kind = "SIMULATED market" if result["simulated"] else "Walk-forward"
    console.print(
        Text(f"{kind}  {result['start']} to {result['end']}  {ARM_NAMES[result['method']]}", style="bold")
    )
    symbols = pluralize(len(result["symbols"]), "symbol")
    console.print(f"{symbols}, {pluralize(result['forecasts'], 'forecast')} traded\n")
    print_folds(result["folds"], console)
    console.print()
    console.print(_arms_table(result))
    console.print()
    for line in [
        *compare_arms(result["comparison"]),
        *_list_claims(result["claims"]),
        *list_conclusions(result),
        *describe_account(result),
        *list_protocols(result),
    ]:
        console.print(Text(line))
    console.print(Text(NOTICE, style="dim"))


def print_folds(folds: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print each fold's challengers with their gates, and why one with a low p was not promoted."""
    console.print(_folds_table(folds))
    for line in _list_refusals(folds):
        console.print(Text(line))


def create_table(*columns: str) -> Table:
    """Return an empty table: the first column and "arm" aligned to the left, all others to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 or column == "arm" else "right")
    return table


def compare_arms(comparison: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each pair of arms on their common days: paired t test over days, two-sided 5%.

    Arms that traded the same forecasts, because nothing was promoted, get one sentence over all measures.
    """
    lines, groups = [], list[dict[str, str]]()
    for pair in comparison:
        if pair["difference"] is None or pair["low"] is None:
            continue
        if pair["difference"] == pair["low"] == pair["high"] == 0.0:
            arms = dict.fromkeys((pair["against"], pair["caller"]), pluralize(pair["days"], "day"))
            apart = [group for group in groups if not group.keys() & arms.keys()]
            joined = {arm: days for group in groups if group not in apart for arm, days in group.items()}
            groups = [*apart, joined | arms]
            continue
        better = "no winner" if pair["winner"] == "inconclusive" else f"{ARM_NAMES[pair['winner']]} wins"
        lines.append(
            f"{ARM_NAMES[pair['caller']]} against {ARM_NAMES[pair['against']]}, {pair['measure']}: "
            f"{pair['difference']:+.4f} (95%: {pair['low']:+.4f} to {pair['high']:+.4f}, paired, "
            f"{pair['days']} days): {better}."
        )
    for group in groups:
        *names, last = (ARM_NAMES[arm] for arm in group)
        days = next(iter(group.values()))
        lines.append(f"{', '.join(names)} and {last} traded the same forecasts on {days} and do not differ.")
    return lines


def _folds_table(folds: Sequence[Mapping[str, Any]]) -> Table:
    table = create_table("fold", "trained to", "gated", "arm", "outcomes", "guards", "p", "level", "promoted")
    table.padding = _NARROW
    for fold in folds:
        for arm, trained in fold["arms"].items():
            table.add_row(
                str(fold["number"]),
                fold["cutoff"][:10],
                fold["gate_at"][:10],
                arm,
                f"{trained['trained_on']:,}",
                "passed" if trained["clean"] else "failed",
                "-" if trained["p_value"] is None else f"{trained['p_value']:.2g}",
                f"{trained['level']:.2g}" if "level" in trained else "-",
                "yes" if trained["promoted"] else "no",
            )
    return table


def _list_refusals(folds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say why a challenger was not promoted whose p is within the level."""
    return [
        f"Fold {fold['number']} {arm}: not promoted, {'; '.join(trained['reasons'])}."
        for fold in folds
        for arm, trained in fold["arms"].items()
        if not trained["promoted"]
        and trained["p_value"] is not None
        and trained["p_value"] <= trained.get("level", -1.0)
    ]


def _arms_table(result: Mapping[str, Any]) -> Table:
    metrics = table_metrics(MetricTable.ARMS)
    table = create_table("", *(metric.column for metric in metrics), "edge", "promoted")
    table.padding = _NARROW
    traded = result["method"] if result["method"] != "none" else "static"
    names = sorted(
        result["scores"], key=lambda name: (name not in ("student", *ARM_NAMES), name != "student")
    )
    for name in names:
        scores = result["scores"][name]
        arm = traded if name == "student" else name
        promoted = result["promotions"].get(arm)
        table.add_row(
            ARM_NAMES.get(arm, arm.replace("_", " ")),
            *(metric.show(scores.get(metric.key)) for metric in metrics),
            format_percent(result["edges"].get(arm)),
            "-" if promoted is None else str(promoted),
        )
    return table


def _list_claims(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    claimed = [f"{claim['measure']} against {claim['against']}" for claim in claims if claim["claimed"]]
    if claimed:
        return [f"Claimed better: {', '.join(claimed)}."]
    return ["Nothing is claimed to be better than the static student or the base rate."]

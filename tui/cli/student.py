"""The commands that examine a student: `closecall check memory` and `closecall student check`."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategies.config import STUDENT_KEYS
from strategies.console import print_stderr
from tui.cli.config_options import config_options
from tui.cli.data import check_app
from tui.cli.options import (
    AsJson,
    ConfigFile,
    DataDir,
    print_json,
    require_simulated,
    with_champion,
)
from tui.cli.paths import working_dir
from tui.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from strategies.memory_check import MemoryReport

student_app = typer.Typer(help="Examine a model before it is used.", no_args_is_help=True)
_ASKED = tuple(key for key in STUDENT_KEYS if key != "mask")


@check_app.command("memory")
@config_options(
    *("bars", "store", "news", "symbols", "start", "end", *_ASKED, "champion", "seed", "market.days"),
    *("allow_bad_data", "skip_unknown_files"),
    texts={"start": "First day asked about.", "seed": "Seed of the simulated market and of shuffled news."},
)
def check_memory(
    flags: dict[str, Any],
    sample: Annotated[int, typer.Option(min=20, help="Most decisions asked about, seven times each.")] = 200,
    config: ConfigFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask about days with names, dates, news or prices changed, and say what the answers rest on.

    The last word is memory, news, prices or nothing. Memory means that the student knows the days: its
    forecasts of them say nothing about days to come.
    """
    from llm.backends import load_student
    from strategies import memory_check
    from strategies.config_file import load_config

    require_simulated(flags)
    folder = working_dir(data)
    settings = with_champion(load_config(config, flags, print_stderr), folder)
    with ProgressDisplay() as progress:
        report = memory_check.check_memory(
            settings, data_dir=folder, load=load_student, sample=sample, on_progress=progress
        )
    print_json(_to_json(report)) if as_json else _print_memory(report)


def _to_json(report: "MemoryReport") -> dict[str, Any]:
    from dataclasses import asdict

    from engine.journal.canonical import to_jsonable

    jsonable: dict[str, Any] = to_jsonable(asdict(report))
    return jsonable


def _print_memory(report: "MemoryReport") -> None:
    from strategies.conclusions import format_percent
    from strategies.memory_check import Change
    from strategies.result_table import create_console
    from tui.cli.tables import create_list

    console = create_console()
    until = f"its cut-off, {report.cutoff}" if report.cutoff else "the cut-off, which is not known"
    for period, where in ((report.before, "before"), (report.after, "after")):
        if period is None:
            continue
        console.print(
            f"{report.student}: {period.decisions:,} decisions {where} {until}; accuracy "
            f"{format_percent(period.accuracy)} (95%: {format_percent(period.accuracy_low)} to "
            f"{format_percent(period.accuracy_high)})",
            soft_wrap=True,
        )
        table = create_list(
            *("changed", "direction flips", "accuracy", "cost", "95% from", "to"),
            wrapped="changed",
            right=("direction flips", "accuracy", "cost", "95% from", "to"),
        )
        for change in Change:
            effect = period.effects[change]
            shares = (effect.flip_rate, effect.accuracy, effect.cost, effect.cost_low, effect.cost_high)
            table.add_row(change.replace("_", " "), *map(format_percent, shares))
        console.print(table)
        console.print(f"These answers rest on: {period.basis}", soft_wrap=True)
        console.print()
    sys.stdout.write(f"{report.basis}\n")


@student_app.command("check")
@config_options(
    *(key for key in STUDENT_KEYS if key not in ("student", "mode")),
    *("task", "bars", "news", "skip_unknown_files"),
    texts={"bars": "Ask about these bars; default: a simulated market.", "news": "Their news."},
)
def check(
    flags: dict[str, Any],
    name: Annotated[str, typer.Argument(metavar="MODEL", help="As for --student of backtest.")],
    symbols: Annotated[int, typer.Option(min=1, help="Symbols of the year that is estimated.")] = 10,
    prompts: Annotated[int, typer.Option(min=2, help="How many prompts are asked.")] = 10,
    config: ConfigFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Load a model, ask it ten prompts in every mode, and say what it costs and what to change."""
    from llm.backends import load_student
    from strategies.config_file import load_config
    from strategies.market_data import load_market_data
    from strategies.students import recorded_settings, settle_mask
    from training.benches.student import check_student, pick_closes

    settings = load_config(config, {**flags, "student": name}, print_stderr, every_mode=True)
    settings, market = settle_mask(settings, load_market_data(settings, working_dir(data)), load_student)
    wanted = recorded_settings(settings, market.instruments)
    observed = pick_closes(market, load_student(wanted).window, prompts)
    with ProgressDisplay() as progress:
        figures = check_student(wanted, observed, symbols=symbols, on_progress=progress)
    print_json(figures) if as_json else _print_check(figures)


def _print_check(figures: Mapping[str, Any]) -> None:
    from tui.cli.tables import print_pairs

    tokens = figures["prompt_tokens"]
    spread = f"{tokens['median']:g} ({tokens['min']} to {tokens['max']})" if tokens else "not known here"
    rows: dict[str, Any] = {
        "student": figures["student"],
        "prompts asked": figures["prompts"],
        "tokens a prompt": spread,
        "peak memory": f"{figures['peak_memory_gb']:.2f} GB",
    }
    for mode, measured in figures["modes"].items():
        hours = float(f"{measured.get('hours_per_year', 0.0):.2g}")
        rows[f"mode {mode}"] = measured.get("unusable") or (
            f"{measured['forecasts_per_second']:.3g} forecasts a second, {measured['parse_rate']:.0%} "
            f"readable, {hours:,g} hours for a year of {figures['symbols']} symbols"
        )
    rows["can be trained here"] = "yes" if figures["trainable"] else f"no: {figures['trainable_reason']}"
    print_pairs(rows)
    for line in (*figures["notes"], *figures["advice"]):
        print_stderr(line)

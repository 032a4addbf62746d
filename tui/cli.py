"""The commands of `closecall`: flags in, tables or JSON out. Knows how nothing is done, only whom to ask."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.errors import UsageError
from tui.paths import ENVIRONMENT_VARIABLE, data_dir, working_dir, writable
from tui.progress import ProgressDisplay

app = typer.Typer(
    name="closecall",
    help="Backtest the forecasts of a small language model on your own machine, and score them honestly.\n\n"
    "Research software; nothing it prints is financial advice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
train_app = typer.Typer(help="Make students.", no_args_is_help=True)
bench_app = typer.Typer(help="Measure students.", no_args_is_help=True)
app.add_typer(train_app, name="train")
app.add_typer(bench_app, name="bench")

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar=ENVIRONMENT_VARIABLE, help="Where runs and the ledger are kept."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
StudentName = Annotated[
    str | None,
    typer.Option("--student", help="'tiny' (shipped), a model folder, or an id on the Hugging Face hub."),
]
Adapter = Annotated[Path | None, typer.Option("--adapter", help="A folder with a peft adapter.")]
Quantize = Annotated[str | None, typer.Option("--quantization", help="none or nf4 (4-bit, bitsandbytes).")]


@app.command()
def backtest(
    config: Annotated[Path | None, typer.Option(help="A TOML file; its keys are these flags.")] = None,
    bars: Annotated[list[Path] | None, typer.Option(help="CSV or Parquet files or folders of bars.")] = None,
    news: Annotated[list[Path] | None, typer.Option(help="Files or folders of dated news.")] = None,
    symbols: Annotated[list[str] | None, typer.Option(help="Trade only these; commas or spaces.")] = None,
    start: Annotated[str | None, typer.Option(metavar="DATE", help="First day that is traded.")] = None,
    end: Annotated[str | None, typer.Option(metavar="DATE", help="Last day of bars.")] = None,
    student: StudentName = None,
    adapter: Adapter = None,
    quantization: Quantize = None,
    cash: Annotated[float | None, typer.Option(help="Starting cash, in the quote currency.")] = None,
    fee_bps: Annotated[float | None, typer.Option(help="Commission, basis points of a fill.")] = None,
    slippage_bps: Annotated[float | None, typer.Option(help="Slippage from the official open.")] = None,
    latency_bps: Annotated[float | None, typer.Option(help="Cost of delay, added to slippage.")] = None,
    allow_short: Annotated[
        bool, typer.Option("--allow-short", help="Let forecasts of down go short.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Makes the simulated market and random callers.")] = None,
    days: Annotated[int | None, typer.Option(help="Length of the simulated market.")] = None,
    no_edge: Annotated[bool, typer.Option("--no-edge", help="Simulate without anything to know.")] = False,
    reversal: Annotated[
        str | None, typer.Option(metavar="DATE", help="From here simulated good news is bad.")
    ] = None,
    headlines: Annotated[
        str | None, typer.Option(help="Simulated templates: all, familiar or withheld.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write result.json and CSV files here.")] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Forecast every close, trade the forecasts in backtrader, and score them against baselines.

    Without --bars it runs on a simulated market: no network, no key, no GPU.
    """
    from strategies.config import load_config

    market = _stated(days=days, reversal=reversal, headlines=headlines, edge=False if no_edge else None)
    flags = _stated(
        bars=bars,
        news=news,
        symbols=[one for word in symbols or [] for one in word.split(",") if one] or None,
        start=start,
        end=end,
        student=student,
        adapter=adapter,
        quantization=quantization,
        cash=cash,
        fee_bps=fee_bps,
        slippage_bps=slippage_bps,
        latency_bps=latency_bps,
        allow_short=allow_short or None,
        seed=seed,
        out=out,
        market=market or None,
    )
    settings = load_config(config, flags)
    if settings.out is not None:
        writable(settings.out, "--out")
    from strategies.backtest import backtest as run_backtest
    from tui.tables import print_result

    try:
        with ProgressDisplay() as progress:
            run = run_backtest(settings, data_dir=working_dir(data), clock=_now, on_progress=progress)
    except KeyboardInterrupt:
        sys.stderr.write("closecall: interrupted; forecasts made so far are kept for the next run\n")
        raise
    _print_json(run.result) if as_json else print_result(run.result)


@app.command()
def runs(
    run: Annotated[str | None, typer.Argument(help="Show this run's table again.")] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the backtests on record, newest first, or show one of them again."""
    from strategies.runs import find_run, list_runs, plain
    from tui.tables import print_result, print_runs

    if run is None:
        known = list(list_runs(data_dir(data)))
        runs_json = {"runs": plain([asdict(one) for one in known])}
        _print_json(runs_json) if as_json else print_runs(known, data_dir(data))
        return
    found = find_run(data_dir(data), run)
    _print_json(plain(asdict(found))) if as_json else print_result(found.result)


@app.command()
def doctor(data: DataDir = None, as_json: AsJson = False) -> None:
    """Say what is installed, which device and student are used, where data lives, and what is wrong."""
    from tui.doctor import examine, print_examination

    found = examine(data_dir(data))
    _print_json(found) if as_json else print_examination(found)
    if found["problems"]:
        raise typer.Exit(4)


@train_app.command()
def pretrain(
    out: Annotated[Path | None, typer.Option(help="Folder for the model; default: the data folder.")] = None,
    seed: Annotated[int, typer.Option(help="Makes the lessons and the first weights.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Training steps of 64 lessons.")] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make the tiny student again from nothing: about 12 minutes on two cores."""
    from training.pretrain import Recipe
    from training.release import make_student
    from tui.tables import print_edge

    recipe = Recipe(seed=seed) if steps is None else Recipe(seed=seed, steps=steps)
    folder = writable(out or data_dir(data) / "students" / "tiny", "--out")
    with ProgressDisplay() as progress:
        measured = make_student(folder, recipe, working_dir(data), _now().date(), progress)
    _print_json(measured) if as_json else print_edge(measured)
    sys.stderr.write(f"The student is in {folder}; use it with --student {folder}\n")


@bench_app.command("forecast")
def bench_forecast(
    student: StudentName = None,
    adapter: Adapter = None,
    quantization: Quantize = None,
    prompts: Annotated[int, typer.Option(min=8, help="How many prompts to answer.")] = 512,
    seed: Annotated[int, typer.Option(help="Makes the market that the prompts come from.")] = 101,
    as_json: AsJson = False,
) -> None:
    """Compare batched forecasts with one generate call a bar, in one process."""
    from training.speed import measure_speed
    from tui.tables import print_pairs

    with ProgressDisplay() as progress:
        measured = measure_speed(
            _student(student, adapter, quantization), seed=seed, prompts=prompts, on_progress=progress
        )
    _print_json(measured) if as_json else print_pairs(measured)


@bench_app.command("edge")
def bench_edge(
    student: StudentName = None,
    adapter: Adapter = None,
    quantization: Quantize = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the markets, with commas.")] = "101,102,103,104,105",
    days: Annotated[int, typer.Option(min=30, help="Days of each market.")] = 250,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure the edge a student captures on simulated markets that training never saw."""
    from training.edge import Exam, measure_edge
    from tui.tables import print_edge

    exam = Exam(seeds=_numbers(seeds), days=days)
    with ProgressDisplay() as progress:
        measured = measure_edge(_student(student, adapter, quantization), exam, working_dir(data), progress)
    _print_json(measured) if as_json else print_edge(measured)


@bench_app.command("engine")
def bench_engine(
    slices: Annotated[int, typer.Option(min=600, help="How many slices to run.")] = 30_000,
    as_json: AsJson = False,
) -> None:
    """Measure slices a second with 2, 20 and 150 symbols that arrive one after the other."""
    from engine.throughput import measure_engine
    from tui.tables import print_pairs

    with ProgressDisplay() as progress:
        measured = measure_engine(slices, progress)
    if as_json:
        _print_json(measured)
    else:
        rates = measured["slices_per_second"]
        print_pairs({f"slices a second, {symbols} symbols": rate for symbols, rate in rates.items()})


def _student(student: str | None, adapter: Path | None, quantization: str | None) -> Any:
    from llm.transformers_student import StudentSettings, load_student
    from strategies.config import load_config

    config = load_config(None, _stated(student=student, adapter=adapter, quantization=quantization))
    return load_student(
        StudentSettings(student=config.student, adapter=config.adapter, quantization=config.quantization)
    )


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--seeds {text!r}: write whole numbers with commas between them") from error


def _now() -> datetime:
    return datetime.now(UTC)


def _stated(**flags: Any) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}


def _print_json(value: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")

"""The commands that make and measure students, and the engine's own speed."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.errors import UsageError
from tui.options import Adapter, AsJson, DataDir, Quantize, StudentName, now, print_json, stated
from tui.paths import data_dir, working_dir, writable
from tui.progress import ProgressDisplay

train_app = typer.Typer(help="Make students.", no_args_is_help=True)
bench_app = typer.Typer(help="Measure students and the engine.", no_args_is_help=True)


@train_app.command()
def pretrain(
    out: Annotated[Path | None, typer.Option(help="Folder for the model; default: the data folder.")] = None,
    seed: Annotated[int, typer.Option(help="Makes the lessons and the first weights.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Training steps of 64 lessons.")] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make the tiny student again from nothing: about 12 minutes on two cores."""
    from training.tiny.pretrain import Recipe
    from training.tiny.release import make_student
    from tui.tables import print_edge

    recipe = Recipe(seed=seed) if steps is None else Recipe(seed=seed, steps=steps)
    folder = writable(out or data_dir(data) / "students" / "tiny", "--out")
    with ProgressDisplay() as progress:
        measured = make_student(folder, recipe, working_dir(data), now().date(), progress)
    print_json(measured) if as_json else print_edge(measured)
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
    from training.benches.speed import measure_speed
    from tui.tables import print_pairs

    with ProgressDisplay() as progress:
        measured = measure_speed(
            _student(student, adapter, quantization), seed=seed, prompts=prompts, on_progress=progress
        )
    print_json(measured) if as_json else print_pairs(measured)


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
    from training.benches.edge import Exam, measure_edge
    from tui.tables import print_edge

    exam = Exam(seeds=_numbers(seeds), days=days)
    with ProgressDisplay() as progress:
        measured = measure_edge(_student(student, adapter, quantization), exam, working_dir(data), progress)
    print_json(measured) if as_json else print_edge(measured)


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
        print_json(measured)
    else:
        rates = measured["slices_per_second"]
        print_pairs({f"slices a second, {symbols} symbols": rate for symbols, rate in rates.items()})


def _student(student: str | None, adapter: Path | None, quantization: str | None) -> Any:
    from llm.transformers_student import StudentSettings, load_student
    from strategies.config import load_config

    config = load_config(None, stated(student=student, adapter=adapter, quantization=quantization))
    return load_student(
        StudentSettings(student=config.student, adapter=config.adapter, quantization=config.quantization)
    )


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--seeds {text!r}: write whole numbers with commas between them") from error

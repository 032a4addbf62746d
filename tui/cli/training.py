"""`closecall walkforward`, and the flags that it shares with the commands that train once."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import UsageError
from strategies.console import print_stderr, utc_now
from tui.cli.options import (
    Adapter,
    AsJson,
    ConfigFile,
    DataDir,
    Quantize,
    StudentName,
    Symbols,
    UseChampion,
    drop_unset,
    print_json,
    split_symbols,
    with_champion,
)
from tui.cli.paths import require_writable, working_dir
from tui.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from training.walkforward.config import WalkForwardConfig
import os

from tui.cli.paths import data_dir

MethodName = Annotated[str, typer.Option(help="How challengers are made: grpo, sft or none.")]

TrainDays = Annotated[int | None, typer.Option(min=1, help="Days of outcomes a challenger learns from.")]

TestDays = Annotated[int | None, typer.Option(min=1, help="Days it shadows the champion before its gate.")]

HalfLife = Annotated[
    float | None, typer.Option("--recency-half-life", help="Days after which an outcome counts half.")
]

EmbargoDays = Annotated[float | None, typer.Option(help="Default: the longest horizon.")]

Steps = Annotated[int | None, typer.Option(min=1, help="Training steps; default: the recipe's.")]


def walkforward(
    method: Annotated[
        str | None, typer.Option(help="How challengers are made: grpo (the default), sft or none.")
    ] = None,
    train_days: TrainDays = None,
    test_days: TestDays = None,
    step_days: Annotated[
        int | None, typer.Option(min=1, help="Days from one training to the next; default: --test-days.")
    ] = None,
    recency_half_life: HalfLife = None,
    embargo_days: EmbargoDays = None,
    steps: Steps = None,
    no_compare: Annotated[
        bool, typer.Option("--no-compare", help="Do not train the supervised arm beside GRPO.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with this run; default: an unfinished equal one.")
    ] = None,
    config: ConfigFile = None,
    bars: Annotated[list[Path] | None, typer.Option(help="CSV or Parquet files or folders of bars.")] = None,
    store: Annotated[list[str] | None, typer.Option(help="Bars and news fetched from this source.")] = None,
    news: Annotated[list[Path] | None, typer.Option(help="Files or folders of dated news.")] = None,
    symbols: Symbols = None,
    start: Annotated[str | None, typer.Option(metavar="DATE", help="First day of the history.")] = None,
    end: Annotated[str | None, typer.Option(metavar="DATE", help="Last day of bars.")] = None,
    student: StudentName = None,
    adapter: Adapter = None,
    champion: UseChampion = False,
    quantization: Quantize = None,
    allow_bad_data: Annotated[
        bool, typer.Option("--allow-bad-data", help="Go on with data that the checks would refuse.")
    ] = False,
    allow_short: Annotated[
        bool, typer.Option("--allow-short", help="Let forecasts of down go short.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Makes the simulated market, random callers and training.")
    ] = None,
    days: Annotated[int | None, typer.Option(help="Length of the simulated market.")] = None,
    no_edge: Annotated[bool, typer.Option("--no-edge", help="Simulate without anything to know.")] = False,
    reversal: Annotated[
        str | None, typer.Option(metavar="DATE", help="From here simulated good news is bad.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write result.json and CSV files here.")] = None,
    register: Annotated[
        bool, typer.Option("--register", help="Enter the last champion into the registry, as a challenger.")
    ] = False,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Retrain through history: train, shadow, gate, and trade only what the champion of the day said.

    Without --bars it runs on a simulated market. A run that was interrupted goes on where it stopped.
    """
    from strategies.config import load_config

    market = drop_unset(days=days, reversal=reversal, edge=False if no_edge else None)
    if market and (bars or store):
        raise UsageError("--days, --no-edge and --reversal are for the simulated market only")
    flags = drop_unset(
        bars=bars,
        store=store,
        news=news,
        symbols=split_symbols(symbols),
        start=start,
        end=end,
        student=student,
        adapter=adapter,
        champion=champion or None,
        quantization=quantization,
        allow_bad_data=allow_bad_data or None,
        allow_short=allow_short or None,
        seed=seed,
        out=out,
        market=market or None,
    )
    folder = working_dir(data)
    wanted = with_champion(load_config(config, flags, print_stderr), folder)
    if wanted.out is not None:
        require_writable(wanted.out, "--out")
    given = wanted.walkforward.model_dump(exclude_none=True) | drop_unset(
        method=method,
        train_days=train_days,
        test_days=test_days,
        step_days=step_days,
        recency_half_life=recency_half_life,
        embargo_days=embargo_days,
        steps=steps,
        compare=False if no_compare else None,
    )
    settings = build_settings(given.pop("method", "grpo"), seed=wanted.seed, **given)
    from training.walkforward.run import walkforward as run_walkforward
    from tui.cli.training_tables import print_walkforward

    try:
        with ProgressDisplay() as progress:
            run = run_walkforward(
                wanted, settings, data_dir=folder, clock=utc_now, on_progress=progress, resume=resume
            )
    except KeyboardInterrupt:
        sys.stderr.write("closecall: interrupted; the same command goes on where this one stopped\n")
        raise
    if register:
        from training.retraining.retrain import register_champion

        name = register_champion(run, wanted, settings, folder, utc_now())
        sys.stderr.write(f"entered as {name}\n" if name else "no challenger was promoted; nothing to enter\n")
    print_json(run.result) if as_json else print_walkforward(run.result)


def build_settings(
    method: str, weights: "Mapping[str, float] | None" = None, **given: Any
) -> "WalkForwardConfig":
    """The settings of the flags that were given. Raises UsageError for one that does not fit."""
    from training.rewards import Weights
    from training.walkforward.config import Method, WalkForwardConfig

    if method not in list(Method):
        raise UsageError(f"--method {method!r}: choose one of {', '.join(Method)}")
    return WalkForwardConfig(method=Method(method), weights=Weights(**(weights or {})), **drop_unset(**given))


_LOW_PRIORITY = 10

Out = Annotated[Path | None, typer.Option(help="Folder for the adapter; default: the data folder.")]

Seed = Annotated[int | None, typer.Option(help="Makes the training's draws.")]

From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="NAME", help="The run or paper session learned from; default: newest run."
    ),
]


def train_grpo(
    run: From = None,
    out: Out = None,
    train_days: TrainDays = None,
    recency_half_life: HalfLife = None,
    embargo_days: EmbargoDays = None,
    steps: Steps = None,
    seed: Seed = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """One round of GRPO by hand on a run or session; the adapter enters no registry."""
    _by_hand("grpo", run, out, data, as_json, train_days, recency_half_life, embargo_days, steps, seed)


def train_sft(
    run: From = None,
    out: Out = None,
    train_days: TrainDays = None,
    recency_half_life: HalfLife = None,
    embargo_days: EmbargoDays = None,
    steps: Steps = None,
    seed: Seed = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """One round of supervised training by hand on a run or session; the adapter enters no registry."""
    _by_hand("sft", run, out, data, as_json, train_days, recency_half_life, embargo_days, steps, seed)


def retrain(
    run: From = None,
    if_drift: Annotated[
        bool, typer.Option("--if-drift", help="Train only if the Brier score has turned worse.")
    ] = False,
    method: MethodName = "grpo",
    train_days: TrainDays = None,
    test_days: TestDays = None,
    recency_half_life: HalfLife = None,
    embargo_days: EmbargoDays = None,
    steps: Steps = None,
    seed: Seed = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Gate the challengers that are due, train a new one on the latest outcomes, and enter it.

    Runs at low priority; a second one at the same time is refused.
    """
    from training.retraining.retrain import retrain as run_retrain
    from tui.cli.training_tables import print_retrained

    settings = build_settings(
        method,
        train_days=train_days,
        test_days=test_days,
        recency_half_life=recency_half_life,
        embargo_days=embargo_days,
        steps=steps,
        seed=seed,
    )
    folder = working_dir(data)
    if hasattr(os, "nice"):
        os.nice(_LOW_PRIORITY)
    with ProgressDisplay() as progress:
        report = run_retrain(
            settings, data_dir=folder, at=utc_now(), run=run, if_drift=if_drift, on_progress=progress
        )
    print_json(report) if as_json else print_retrained(report)


def _by_hand(
    method: str,
    run: str | None,
    out: Path | None,
    data: Path | None,
    as_json: bool,  # noqa: FBT001  # a flag of the command, handed on
    train_days: int | None,
    recency_half_life: float | None,
    embargo_days: float | None,
    steps: int | None,
    seed: int | None,
) -> None:
    from training.retraining.source import train_once
    from tui.cli.tables import print_pairs

    settings = build_settings(
        method,
        train_days=train_days,
        recency_half_life=recency_half_life,
        embargo_days=embargo_days,
        steps=steps,
        seed=seed,
    )
    folder = working_dir(data)
    target = require_writable(
        out or data_dir(data) / "adapters" / f"{utc_now():%Y%m%d-%H%M%S}-{method}", "--out"
    )
    with ProgressDisplay() as progress:
        said = train_once(settings, data_dir=folder, run=run, out=target, clock=utc_now, on_progress=progress)
    print_json(said) if as_json else print_pairs({k: v for k, v in said.items() if k != "figures"})
    sys.stderr.write(f"The adapter is in {target}; use it with --adapter {target}\n")

"""The commands that train once on a run or paper session: a round by hand, and retraining with gates."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tui.options import AsJson, DataDir, now, print_json
from tui.paths import data_dir, working_dir, writable
from tui.progress import ProgressDisplay
from tui.training_commands import (
    EmbargoDays,
    HalfLife,
    MethodName,
    Steps,
    TestDays,
    TrainDays,
    settings_of,
)

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
    from tui.training_tables import print_retrained

    settings = settings_of(
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
            settings, data_dir=folder, at=now(), run=run, if_drift=if_drift, on_progress=progress
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
    from training.retraining.rounds import train_by_hand
    from tui.tables import print_pairs

    settings = settings_of(
        method,
        train_days=train_days,
        recency_half_life=recency_half_life,
        embargo_days=embargo_days,
        steps=steps,
        seed=seed,
    )
    folder = working_dir(data)
    target = writable(out or data_dir(data) / "adapters" / f"{now():%Y%m%d-%H%M%S}-{method}", "--out")
    with ProgressDisplay() as progress:
        said = train_by_hand(settings, data_dir=folder, run=run, out=target, clock=now, on_progress=progress)
    print_json(said) if as_json else print_pairs({k: v for k, v in said.items() if k != "figures"})
    sys.stderr.write(f"The adapter is in {target}; use it with --adapter {target}\n")

"""The commands that train: `closecall walkforward`, `train` and `retrain`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strategies.console import print_stderr, utc_now
from tui.cli.config_options import config_options
from tui.cli.options import AsJson, ConfigFile, DataDir, print_json, require_simulated, with_champion
from tui.cli.paths import data_dir, require_writable, working_dir
from tui.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from training.walkforward.config import WalkForwardConfig

train_app = typer.Typer(help="Make students.", no_args_is_help=True)

_SEED = {"seed": "Seed of the training."}
_TRADING = (
    *("cash", "fee_bps", "slippage_bps", "latency_bps", "delay_minutes", "rates_files", "base_currency"),
)

_TRAINING = tuple(
    f"walkforward.{key}" for key in ("train_days", "recency_half_life", "embargo_days", "steps")
)


@config_options(
    "walkforward.*",
    "*",
    "market.*",
    without=(*_TRADING, "feeds", "task", "calibrate", "ablate", "market.headlines"),
    texts={"start": "First day of the history."},
)
def walkforward(
    flags: dict[str, Any],
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Resume this run; default: an unfinished one with equal settings."),
    ] = None,
    config: ConfigFile = None,
    register: Annotated[
        bool, typer.Option("--register", help="Register the last champion as a challenger.")
    ] = False,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Walk forward: per fold train a challenger, shadow it, gate it, and trade the current champion.

    Without --bars it runs on a simulated market. An interrupted run resumes where it stopped.
    """
    from strategies.config_file import load_config

    require_simulated(flags)
    folder = working_dir(data)
    wanted = with_champion(load_config(config, flags, print_stderr), folder)
    own = wanted.walkforward.model_dump(exclude_none=True)
    from strategies.result_table import print_result
    from training.walkforward.api import walkforward as run_walkforward

    try:
        with ProgressDisplay() as progress:
            run = run_walkforward(config=wanted, folder=folder, on_progress=progress, resume=resume, **own)
    except KeyboardInterrupt:
        sys.stderr.write("closecall: interrupted; the same command resumes where this one stopped\n")
        raise
    if register:
        from training.retraining.retrain import register_champion
        from training.walkforward.config import build_settings

        settings = build_settings(seed=wanted.seed, **own)
        name = register_champion(run, wanted, settings, folder, utc_now())
        sys.stderr.write(
            f"registered as {name}\n" if name else "no challenger was promoted, so none was registered\n"
        )
    print_json(run.result) if as_json else print_result(run.result)


_LOW_PRIORITY = 10
Out = Annotated[Path | None, typer.Option(help="Folder for the adapter; default: the data folder.")]

From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="NAME", help="The run or paper session to train on; default: the newest run."
    ),
]


@train_app.command()
def pretrain(
    out: Annotated[Path | None, typer.Option(help="Folder for the model; default: the data folder.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the training examples and of the first weights.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Training steps of 64 examples each.")] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Pretrain the tiny student from random weights: about 12 minutes on two cores."""
    from training.pretraining.pretrain import PretrainConfig
    from training.pretraining.release import release_student
    from tui.cli.tables import print_edge

    recipe = PretrainConfig(seed=seed) if steps is None else PretrainConfig(seed=seed, steps=steps)
    folder = require_writable(out or data_dir(data) / "students" / "tiny", "--out")
    with ProgressDisplay() as progress:
        measured = release_student(folder, recipe, working_dir(data), utc_now().date(), progress)
    print_json(measured) if as_json else print_edge(measured)
    sys.stderr.write(f"The student is in {folder}; use it with --student {folder}\n")


def _add_training(method: str, text: str) -> None:
    @train_app.command(method, help=text)
    @config_options(*_TRAINING, "seed", texts=_SEED)
    def train(
        flags: dict[str, Any],
        run: From = None,
        out: Out = None,
        data: DataDir = None,
        as_json: AsJson = False,
    ) -> None:
        from training.retraining.source import train_once
        from tui.cli.tables import print_pairs

        settings = _training_settings(flags, method=method)
        folder = working_dir(data)
        adapter = data_dir(data) / "adapters" / f"{utc_now():%Y%m%d-%H%M%S}-{method}"
        target = require_writable(out or adapter, "--out")
        with ProgressDisplay() as progress:
            report = train_once(
                settings, data_dir=folder, run=run, out=target, clock=utc_now, on_progress=progress
            )
        print_json(report) if as_json else print_pairs({k: v for k, v in report.items() if k != "figures"})
        sys.stderr.write(f"The adapter is in {target}; use it with --adapter {target}\n")


_add_training("grpo", "Train an adapter once with GRPO on a run or session, without registering it.")
_add_training("sft", "Train an adapter once, supervised, on a run or session, without registering it.")


@config_options(
    "walkforward.method",
    "walkforward.train_days",
    "walkforward.test_days",
    "walkforward.recency_half_life",
    "walkforward.embargo_days",
    "walkforward.steps",
    "seed",
    texts=_SEED,
)
def retrain(
    flags: dict[str, Any],
    run: From = None,
    if_drift: Annotated[
        bool, typer.Option("--if-drift", help="Train only if the Brier score has become worse.")
    ] = False,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Gate the challengers that are due, then train and register one on the latest outcomes.

    Runs at low priority; a second one at the same time is refused.
    """
    from training.retraining.retrain import retrain as run_retrain
    from tui.cli.training_tables import print_retrained

    settings = _training_settings(flags)
    folder = working_dir(data)
    if hasattr(os, "nice"):
        os.nice(_LOW_PRIORITY)
    with ProgressDisplay() as progress:
        report = run_retrain(
            settings, data_dir=folder, at=utc_now(), run=run, if_drift=if_drift, on_progress=progress
        )
    print_json(report) if as_json else print_retrained(report)


def _training_settings(flags: dict[str, Any], **given: Any) -> "WalkForwardConfig":
    """Return the settings of a training that has no configuration file."""
    from training.walkforward.config import build_settings

    training = flags.pop("walkforward", {})
    return build_settings(**training, **flags, **given)

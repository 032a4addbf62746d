"""The commands that train: `closecall walkforward`, `train` and `retrain`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import UsageError
from strategies.console import print_stderr, utc_now
from tui.cli.config_options import config_options
from tui.cli.options import AsJson, ConfigFile, DataDir, print_json, require_simulated, with_champion
from tui.cli.paths import require_writable, working_dir
from tui.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from training.walkforward.config import WalkForwardConfig
import os

from tui.cli.paths import data_dir

_TRADING = ("cash", "fee_bps", "slippage_bps", "latency_bps", "rates_files", "base_currency")

_TRAINING = tuple(
    f"walkforward.{key}" for key in ("train_days", "recency_half_life", "embargo_days", "steps")
)


@config_options(
    "walkforward.*",
    "*",
    "market.*",
    without=(*_TRADING, "feeds", "market.headlines"),
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
    settings = build_settings(**{"seed": wanted.seed, **wanted.walkforward.model_dump(exclude_none=True)})
    from strategies.result_table import print_result
    from training.walkforward.run import walkforward as run_walkforward

    try:
        with ProgressDisplay() as progress:
            run = run_walkforward(
                wanted, settings, data_dir=folder, clock=utc_now, on_progress=progress, resume=resume
            )
    except KeyboardInterrupt:
        sys.stderr.write("closecall: interrupted; the same command resumes where this one stopped\n")
        raise
    if register:
        from training.retraining.retrain import register_champion

        name = register_champion(run, wanted, settings, folder, utc_now())
        sys.stderr.write(
            f"registered as {name}\n" if name else "no challenger was promoted, so none was registered\n"
        )
    print_json(run.result) if as_json else print_result(run.result)


def build_settings(
    method: str = "grpo", weights: "Mapping[str, float] | None" = None, **given: Any
) -> "WalkForwardConfig":
    """Return the settings of the flags that were given. Raises UsageError for one that does not fit."""
    from training.rewards import Weights
    from training.walkforward.config import Method, WalkForwardConfig

    if method not in list(Method):
        raise UsageError(f"--method {method!r}: choose one of {', '.join(Method)}")
    return WalkForwardConfig(method=Method(method), weights=Weights(**(weights or {})), **given)


_LOW_PRIORITY = 10
Out = Annotated[Path | None, typer.Option(help="Folder for the adapter; default: the data folder.")]

From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="NAME", help="The run or paper session to train on; default: the newest run."
    ),
]


@config_options(*_TRAINING, "seed", texts={"seed": "Seed of the training."})
def train_grpo(
    flags: dict[str, Any],
    run: From = None,
    out: Out = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train an adapter once with GRPO on a run or session, without registering it."""
    _train_once("grpo", flags, run, out, data, as_json=as_json)


@config_options(*_TRAINING, "seed", texts={"seed": "Seed of the training."})
def train_sft(
    flags: dict[str, Any],
    run: From = None,
    out: Out = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train an adapter once, supervised, on a run or session, without registering it."""
    _train_once("sft", flags, run, out, data, as_json=as_json)


@config_options(
    "walkforward.method",
    "walkforward.train_days",
    "walkforward.test_days",
    "walkforward.recency_half_life",
    "walkforward.embargo_days",
    "walkforward.steps",
    "seed",
    texts={"seed": "Seed of the training."},
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
    training = flags.pop("walkforward", {})
    return build_settings(**training, **flags, **given)


def _train_once(
    method: str, flags: dict[str, Any], run: str | None, out: Path | None, data: Path | None, *, as_json: bool
) -> None:
    from training.retraining.source import train_once
    from tui.cli.tables import print_pairs

    settings = _training_settings(flags, method=method)
    folder = working_dir(data)
    target = require_writable(
        out or data_dir(data) / "adapters" / f"{utc_now():%Y%m%d-%H%M%S}-{method}", "--out"
    )
    with ProgressDisplay() as progress:
        report = train_once(
            settings, data_dir=folder, run=run, out=target, clock=utc_now, on_progress=progress
        )
    print_json(report) if as_json else print_pairs({k: v for k, v in report.items() if k != "figures"})
    sys.stderr.write(f"The adapter is in {target}; use it with --adapter {target}\n")

"""The commands of `closecall`: flags in, tables or JSON out."""

import sys
from typing import Annotated, Any

import typer

from strategies.console import print_stderr
from tui.cli.bench import bench_app
from tui.cli.config_options import config_options
from tui.cli.dash import dash
from tui.cli.data import check_app, collect, fetch_app
from tui.cli.forecast import forecast
from tui.cli.lookahead import check_lookahead as _check_lookahead  # noqa: F401  # adds its command
from tui.cli.models import models_app
from tui.cli.options import (
    AsJson,
    ConfigFile,
    DataDir,
    print_json,
    require_simulated,
    with_champion,
)
from tui.cli.paper import paper_app
from tui.cli.paths import (
    ENVIRONMENT_VARIABLE,
    data_dir,
    default_data_dir,
    shorten_home,
    working_dir,
)
from tui.cli.progress import ProgressDisplay
from tui.cli.runs import compare, report, runs_app
from tui.cli.storage import data_app
from tui.cli.student import student_app
from tui.cli.sweep import sweep
from tui.cli.training import retrain, train_app, walkforward

app = typer.Typer(
    name="closecall",
    help="Backtest the forecasts of a small language model on your own machine, and score them honestly.\n\n"
    "Research software; nothing it prints is financial advice.",
    epilog=f"Data is kept in {shorten_home(default_data_dir())}; --data-dir or {ENVIRONMENT_VARIABLE} names "
    "another folder (to remove it: closecall data rm everything). --install-completion sets up completion "
    "in your shell.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # typer's callback
    if wanted:
        import closecall

        sys.stdout.write(f"closecall {closecall.__version__}\n")
        raise typer.Exit


@app.callback()
def show_version(
    version: Annotated[  # its callback acts on it
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
@config_options("*", "market.*", without=("feeds",))
def backtest(
    flags: dict[str, Any],
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:CLASS",
            help="Trade by a closecall.Strategy of your own, whose file is run; add --student for forecasts.",
        ),
    ] = None,
    config: ConfigFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Forecast every close, trade the forecasts in backtrader, and score them against baselines.

    Without --bars it runs on a simulated market: no network, no key, no GPU.
    """
    from strategies.config_file import load_config

    require_simulated(flags)
    folder = working_dir(data)
    settings = with_champion(load_config(config, flags, print_stderr), folder)
    from strategies.api import backtest as run_backtest
    from strategies.result_table import print_result
    from strategies.strategy import load_strategy

    rule = None if strategy is None else load_strategy(strategy)
    try:
        with ProgressDisplay() as progress:
            run = run_backtest(config=settings, strategy=rule, folder=folder, on_progress=progress)
    except KeyboardInterrupt:
        sys.stderr.write("closecall: interrupted; forecasts made so far are kept for the next run\n")
        raise
    print_json(run.result) if as_json else print_result(run.result)


@app.command()
def doctor(data: DataDir = None, as_json: AsJson = False) -> None:
    """Show what is installed, the device, the student and the data folder, and any problems."""
    from tui.cli.doctor import examine, print_examination

    findings = examine(data_dir(data))
    print_json(findings) if as_json else print_examination(findings)
    if findings["problems"]:
        raise typer.Exit(4)


for name, group in {
    "runs": runs_app,
    "fetch": fetch_app,
    "check": check_app,
    "data": data_app,
    "train": train_app,
    "models": models_app,
    "student": student_app,
    "paper": paper_app,
    "bench": bench_app,
}.items():
    app.add_typer(group, name=name)
for command in (report, compare, sweep, forecast, walkforward, retrain, collect, dash):
    app.command()(command)

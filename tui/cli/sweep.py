"""`closecall sweep`: a grid of backtests."""

import sys
from typing import Annotated, Any

import typer

from engine.errors import CheckFailed
from strategies.console import pluralize, print_stderr
from tui.cli.config_options import config_options
from tui.cli.options import AsJson, ConfigFile, DataDir, print_json, require_simulated, with_champion
from tui.cli.paths import working_dir
from tui.cli.progress import ProgressDisplay


@config_options("*", "market.*", without=("feeds", "out", "overwrite"))
def sweep(
    flags: dict[str, Any],
    grid: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUE,VALUE…",
            help="Values of a key of the configuration, such as max_gross_exposure=0.5,0.95 or "
            "costs.coin.fee_bps=1,5; once for each key. All combinations are run.",
        ),
    ],
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes at once; default: one for each core.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="FILE.py:CLASS", help="Trade by a closecall.Strategy of your own."),
    ] = None,
    config: ConfigFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Backtest all combinations of some settings, and say how likely the best is overfitted.

    Each combination is an ordinary run with its journal, and a trial.

    What is finished is kept: the same command continues an interrupted sweep.
    """
    from strategies.config_file import load_config
    from strategies.grid import parse_grid
    from strategies.sweep import sweep as run_sweep
    from strategies.sweep_table import print_sweep

    require_simulated(flags)
    values = parse_grid(grid)
    folder = working_dir(data)
    settings = with_champion(load_config(config, flags, print_stderr), folder)
    try:
        with ProgressDisplay() as progress:
            finished = run_sweep(
                grid=values,
                config=settings,
                strategy=strategy,
                jobs=jobs,
                folder=folder,
                on_progress=progress,
            )
    except KeyboardInterrupt:
        sys.stderr.write("closecall: interrupted; the same command continues with the points that are left\n")
        raise
    print_json(finished.result) if as_json else print_sweep(finished.result)
    if failed := sum(point["error"] is not None for point in finished.result["points"]):
        raise CheckFailed(f"{pluralize(failed, 'point')} of the sweep failed, as stated")

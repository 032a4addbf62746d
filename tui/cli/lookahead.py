"""The command `closecall check lookahead`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import CheckFailed, UsageError
from strategies.console import print_stderr
from tui.cli.config_options import config_options
from tui.cli.data import check_app
from tui.cli.options import (
    AsJson,
    ConfigFile,
    DataDir,
    complete_names,
    print_json,
    require_simulated,
    with_champion,
)
from tui.cli.paths import data_dir, working_dir
from tui.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from strategies.lookahead.report import LookaheadReport

_SHOWN = 12


@check_app.command("lookahead")
@config_options("*", "market.*", without=("feeds", "out", "overwrite", "ablate"))
def check_lookahead(
    flags: dict[str, Any],
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Check a recorded run.", autocompletion=complete_names("runs")),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:CLASS", help="Check a closecall.Strategy of your own, whose file is run."
        ),
    ] = None,
    points: Annotated[
        int, typer.Option(min=2, max=1000, help="Closes at which later data are cut and altered.")
    ] = 6,
    config: ConfigFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run again with later data cut and altered, and report what changes before: leaks from the future.

    Takes the flags of a backtest, or the name of a RUN, which then has the findings as lookahead.json.

    Exit code 4 if a leak is found.
    """
    from strategies.config_file import load_config
    from strategies.lookahead.api import check, check_recorded

    if run is not None and (flags or config):
        raise UsageError(
            f"{run}: a run has its own configuration; of the flags of a backtest it takes --strategy alone"
        )
    require_simulated(flags)
    with ProgressDisplay() as progress:
        if run is not None:
            folder = data_dir(data)
            report = check_recorded(
                run, data_dir=folder, strategy=strategy, points=points, on_progress=progress
            )
        else:
            folder = working_dir(data)
            settings = with_champion(load_config(config, flags, print_stderr), folder)
            report = check(settings, data_dir=folder, strategy=strategy, points=points, on_progress=progress)
    print_json(report.as_json()) if as_json else _print_report(report)
    if not report.ok:
        raise typer.Exit(CheckFailed.exit_code)


def _print_report(report: "LookaheadReport") -> None:
    from strategies.console import pluralize
    from strategies.result_table import create_console
    from tui.cli.tables import create_list

    console = create_console()
    points = pluralize(len(report.points), "close")
    console.print(
        f"{report.subject}: later data cut and altered at {points}; {pluralize(report.reruns, 'rerun')}, "
        f"{pluralize(report.asked, 'prompt')} asked again",
        soft_wrap=True,
    )
    if report.leaks:
        table = create_list("at", "symbol", "leak", "what", wrapped="what")
        for leak in report.leaks[:_SHOWN]:
            table.add_row(f"{leak.at:%Y-%m-%d %H:%M}", leak.symbol, leak.kind.replace("_", " "), leak.what)
        console.print(table)
        if len(report.leaks) > _SHOWN:
            console.print(f"and {len(report.leaks) - _SHOWN} more (--json has all)")
    for note in report.notes:
        console.print(note, soft_wrap=True)
    took = f"{report.seconds:.1f} s"
    if report.run_seconds:
        took += f", {report.seconds / report.run_seconds:.1f} times the run's own {report.run_seconds:.1f} s"
    verdict = f"{pluralize(len(report.leaks), 'leak')} found" if report.leaks else "no leak found"
    console.print(f"{verdict} in {took}", soft_wrap=True)

"""`closecall runs`, `runs export`, `report` and `compare`: what is on record, for people and programs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import CompletionItem, TyperGroup  # type: ignore[attr-defined]  # it is not in its `__all__`

from engine.errors import UsageError
from tui.cli.options import AsJson, DataDir, complete_names, print_json
from tui.cli.paths import data_dir

if TYPE_CHECKING:
    from strategies.runs import RunSummary

_SHOW = "show"


class _RunsGroup(TyperGroup):
    """A group whose first word may be a run, so that `closecall runs RUN` shows it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the words name, or the one that shows a run."""
        return super().resolve_command(ctx, args if args[0] in self.commands else [_SHOW, *args])

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return the commands and the runs that begin with what is typed."""
        runs = map(CompletionItem, complete_names("runs")(ctx, incomplete))
        return [*super().shell_complete(ctx, incomplete), *runs]


runs_app = typer.Typer(
    cls=_RunsGroup,
    invoke_without_command=True,
    subcommand_metavar="[RUN | COMMAND]...",
    help="List the recorded runs, newest first, show the result of one, or export it.",
)

_Run = Annotated[str, typer.Argument(metavar="RUN", help="A run.", autocompletion=complete_names("runs"))]
_RunOrSession = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run or session.", autocompletion=complete_names("runs", "sessions")
    ),
]


@runs_app.callback()
def list_recorded(ctx: typer.Context, data: DataDir = None, as_json: AsJson = False) -> None:
    """List the recorded runs, newest first, show the result of one, or export it."""
    if ctx.invoked_subcommand is not None:
        return
    from dataclasses import asdict

    from engine.journal.canonical import to_jsonable
    from strategies.runs import list_runs
    from tui.cli.run_tables import print_runs

    known = list(list_runs(data_dir(data)))
    if as_json:
        print_json({"runs": to_jsonable([asdict(run) for run in known])})
    else:
        print_runs(known, data_dir(data))


@runs_app.command(_SHOW)
def show_run(ctx: typer.Context, run: _Run, data: DataDir = None, as_json: AsJson = False) -> None:
    """Show the result of a run; `closecall runs RUN` does the same."""
    from dataclasses import asdict

    from engine.journal.canonical import to_jsonable
    from strategies.result_table import print_result
    from strategies.runs import load_run

    outer = ctx.parent.params if ctx.parent else {}
    folder = data_dir(data or outer.get("data"))
    stored = load_run(folder, run)
    if as_json or outer.get("as_json"):
        print_json(to_jsonable(asdict(stored)))
    else:
        print_result(_add_findings(stored, folder))


def _add_findings(run: "RunSummary", folder: Path) -> dict[str, Any]:
    """Return the result with what later checks of the run found, for the lines under its table."""
    from strategies.recorded_run import read_checks

    return {**run.result, **read_checks(folder / "runs" / run.run)}


@runs_app.command("export")
def export_recorded(
    run: _RunOrSession,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the files; default: the name of the run.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="parquet|csv", help="Form of the tables: parquet or csv.")
    ] = "parquet",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write forecasts, orders, fills, the equity of every forecaster and daily returns as files."""
    from strategies.console import utc_now
    from strategies.recorded_run import open_recorded
    from strategies.run_export import ExportFormat, export_run

    if form not in list(ExportFormat):
        raise UsageError(f"--format {form}: choose parquet or csv")
    recorded = open_recorded(data_dir(data), run, utc_now())
    files = export_run(recorded, out or Path(run), ExportFormat(form), overwrite=overwrite)
    if as_json:
        print_json({"run": run, "files": [str(path) for path in files]})
    else:
        sys.stdout.write("".join(f"{path}\n" for path in files))


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run or session; default: the newest finished run.",
            autocompletion=complete_names("runs", "sessions"),
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; default: report.html in the folder of the run.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write one HTML file with verdicts, charts and tables of a run, which loads nothing from anywhere."""
    from strategies.console import utc_now
    from strategies.recorded_run import open_recorded
    from strategies.report.page import write_report

    folder = data_dir(data)
    recorded = open_recorded(folder, run or _newest_run(folder), utc_now())
    path = out or recorded.folder / "report.html"
    write_report(recorded, path)
    if as_json:
        print_json({"run": recorded.name, "report": str(path), "bytes": path.stat().st_size})
    else:
        sys.stdout.write(f"{path}\n")
    if show:
        typer.launch(path.resolve().as_uri())


def _newest_run(folder: Path) -> str:
    from strategies.runs import list_runs

    name = next((run.run for run in list_runs(folder) if run.result), None)
    if name is None:
        raise UsageError(f"no finished run in {folder}; make one: closecall backtest")
    return name


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Runs or sessions; all are compared with the first.",
            autocompletion=complete_names("runs", "sessions"),
        ),
    ],
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Put runs side by side: settings that differ, scores, and paired tests on the days they share."""
    from strategies.comparison import compare_runs
    from strategies.console import utc_now
    from strategies.recorded_run import open_recorded
    from tui.cli.run_tables import print_comparison

    if len(runs) < 2 or len(set(runs)) < len(runs):
        raise UsageError("name two or more different runs; list them with: closecall runs")
    now = utc_now()
    comparison = compare_runs([open_recorded(data_dir(data), name, now) for name in runs])
    print_json(comparison) if as_json else print_comparison(comparison)

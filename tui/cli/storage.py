"""`closecall data list` and `data rm`: what is stored, and its removal."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import UsageError
from strategies.console import pluralize
from tui.cli.data import data_app
from tui.cli.options import AsJson, DataDir, complete_names, print_json
from tui.cli.paths import data_dir

__all__ = ["data_app"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strategies.stored_data import StoredPart

What = Annotated[
    list[str],
    typer.Argument(
        metavar="WHAT",
        help="Names of runs and sessions, keys such as bars/ccxt:binance or news (closecall data list), "
        "runs, sessions, collections, bars, or everything.",
        autocompletion=complete_names("sessions", "runs", "collections"),
    ),
]


@data_app.command("list")
def list_data(data: DataDir = None, as_json: AsJson = False) -> None:
    """List what is stored, with its size."""
    from strategies.stored_data import list_stored

    folder = data_dir(data)
    parts = list_stored(folder)
    if as_json:
        print_json({"data_dir": str(folder), "stored": _to_jsonable(parts)})
        return
    _print_parts(parts)
    sys.stdout.write(f"{_describe_total(parts)} in {folder}\n")


@data_app.command("rm")
def remove_data(
    what: What,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without being asked.")] = False,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove runs, sessions, stored bars or news, models or everything, after showing what it frees.

    What a process has open, such as a running session, is refused.
    Runs that are removed still count as trials of later results, and so do those of a removed data folder:
    the user's record is in the default data folder.
    """
    from strategies.data_folder import find_trial_records
    from strategies.stored_data import list_stored, remove_stored, select_stored

    folder = data_dir(data)
    parts = select_stored(list_stored(folder), what)
    if not yes:
        _confirm(parts, folder)
    remove_stored(folder, parts)
    if as_json:
        print_json({"data_dir": str(folder), "removed": _to_jsonable(parts)})
    else:
        sys.stdout.write(f"Removed {_describe_total(parts)} from {folder}\n")
    if any(part.key == "trials" for part in parts):
        for record in filter(Path.is_file, find_trial_records(folder)):
            sys.stderr.write(f"Its runs still count as trials; their record is {record}\n")


def _confirm(parts: "Sequence[StoredPart]", folder: Path) -> None:
    _print_parts(parts)
    if not sys.stdin.isatty():
        raise UsageError(f"{_describe_total(parts)} would be removed from {folder}; to remove it, add --yes")
    try:
        agreed = typer.confirm(f"Remove {_describe_total(parts)} from {folder}?")
    except typer.Abort:  # Ctrl-C, or the end of the input
        agreed = False
    if not agreed:
        raise UsageError("nothing was removed")


def _print_parts(parts: "Sequence[StoredPart]") -> None:
    from strategies.result_table import create_console
    from tui.cli.tables import create_list
    from tui.formatting import format_bytes

    table = create_list("what", "size", right=("size",))
    for part in parts:
        table.add_row(part.key, format_bytes(part.bytes))
    if parts:
        create_console().print(table)


def _describe_total(parts: "Sequence[StoredPart]") -> str:
    from tui.formatting import format_bytes

    return f"{pluralize(len(parts), 'part')}, {format_bytes(sum(part.bytes for part in parts))}"


def _to_jsonable(parts: "Sequence[StoredPart]") -> list[dict[str, object]]:
    return [{"what": part.key, "bytes": part.bytes} for part in parts]

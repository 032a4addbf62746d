"""The command `closecall dash`: the dashboard on a terminal, or its state as text. Knows no panel."""

import sys
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import UsageError
from tui.options import DataDir, now
from tui.paths import data_dir

_PALETTES = ("western", "east-asian", "colour-blind")


def dash(
    name: Annotated[str | None, typer.Argument(metavar="SESSION|RUN", help="What to look at first.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print the state as plain text and end.")] = False,
    readonly: Annotated[bool, typer.Option("--readonly", help="Show every action and do none.")] = False,
    palette: Annotated[
        str, typer.Option(help="western, east-asian (red is up) or colour-blind.")
    ] = "western",
    utc: Annotated[bool, typer.Option("--utc", help="Times in UTC instead of your zone.")] = False,
    data: DataDir = None,
) -> None:
    """Watch sessions, runs and retraining, and act on them; a process of its own that may end at any time.

    Without a terminal it prints its state once, as --once does.
    """
    if palette not in _PALETTES:
        raise UsageError(f"--palette {palette!r}: choose one of {', '.join(_PALETTES)}")
    folder, zone = data_dir(data), UTC if utc else local_zone()
    # Textual reads keys from stdin and paints on stderr.
    if once or not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        sys.stdout.write(state_once(folder, name, zone))
        return
    from tui.dash.app import DashApp

    _known(folder, name)
    DashApp(folder, now, name=name, palette=palette, zone=zone, readonly=readonly).run()


def state_once(folder: Path, name: str | None, zone: tzinfo) -> str:
    """The state as text. Raises UsageError for a session or run that is not there."""
    from tui.dash.plain import choose, text
    from tui.dash.reading import Reader
    from tui.dash.sight import Sight

    _known(folder, name)
    reader = Reader(folder, now)
    try:
        scene = reader.read_all()
    finally:
        reader.close()
    return text(Sight(scene=scene, chosen=choose(scene, name), zone=zone))


def local_zone() -> tzinfo:
    """The zone of this machine's user."""
    return datetime.now().astimezone().tzinfo or UTC


def _known(folder: Path, name: str | None) -> None:
    if name is None:
        return
    import difflib

    from tui.dash.places import places

    names = [place.name for place in places(folder)]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else "closecall dash shows what there is"
        raise UsageError(f"there is no session or run {name!r} in {folder}; {hint}")

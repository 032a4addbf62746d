"""The command `closecall dash`: the dashboard on a terminal, or its state as text."""

import os
import shutil
import sys
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import UsageError, suggest
from strategies.console import print_stderr, utc_now
from tui.cli.options import DataDir, complete_names
from tui.cli.paths import data_dir

if TYPE_CHECKING:
    from strategies.paper_runtime.launch import LaunchSpec

WEB_DRIVER = "TEXTUAL_DRIVER"
"""Is set where textual-serve runs the dashboard for a page."""

_PALETTES = ("western", "east-asian", "colour-blind")


def dash(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="SESSION|RUN",
            help="What to look at first.",
            autocompletion=complete_names("sessions", "runs"),
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print the state as plain text and end.")] = False,
    readonly: Annotated[bool, typer.Option("--readonly", help="Show every action and do none.")] = False,
    palette: Annotated[
        str, typer.Option(help="western, east-asian (red is up) or colour-blind.")
    ] = "western",
    utc: Annotated[bool, typer.Option("--utc", help="Times in UTC instead of your zone.")] = False,
    web: Annotated[bool, typer.Option("--web", help="In a browser; needs the extra `web`.")] = False,
    host: Annotated[str, typer.Option(help="Of --web: the address to serve at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of --web: the port.", min=1, max=65535)] = 8000,
    data: DataDir = None,
) -> None:
    """Watch sessions, runs and retraining, and act on them; a process of its own that may end at any time.

    Without a terminal it prints its state once, as --once does.
    """
    if palette not in _PALETTES:
        raise UsageError(f"--palette {palette!r}: choose one of {', '.join(_PALETTES)}")
    folder, zone = data_dir(data), UTC if utc else local_zone()
    if once or not (web or _can_paint()):
        sys.stdout.write(state_once(folder, name, zone))
        return
    if web:
        from tui.dashboard.web import serve

        _require_known(folder, name)
        flags = {"--readonly": readonly, "--utc": utc}
        words = [*([name] if name else []), *(flag for flag, given in flags.items() if given)]
        serve([*words, "--palette", palette, "--data-dir", str(folder.absolute())], host, port, print_stderr)
        return
    from tui.dashboard.app import DashApp

    _require_known(folder, name)
    DashApp(folder, utc_now, name=name, palette=palette, zone=zone, readonly=readonly).run()


def run_with_dashboard(plan: "LaunchSpec") -> None:
    """Run a session in the background, and the dashboard in front of it; says what becomes of the session."""
    from strategies.paper.files import session_folder, supervisor_pid
    from strategies.paper_runtime.supervisor import start_in_background

    folder = session_folder(plan.data_dir, plan.name)
    if supervisor_pid(folder) is None:
        print_stderr(f"session {plan.name} starts; the dashboard follows")
        start_in_background(plan)
    try:
        dash(plan.name, data=plan.data_dir)
    finally:
        if supervisor_pid(folder) is None:
            print_stderr(f"session {plan.name} has ended; to see it: closecall paper status {plan.name}")
        else:
            print_stderr(
                f"session {plan.name} runs on in the background; to see it: closecall dash {plan.name}; "
                f"to end it: closecall paper stop {plan.name}"
            )


def _can_paint() -> bool:
    """Whether there is something to paint on: a terminal (keys come by stdin), or a page of --web."""
    return WEB_DRIVER in os.environ or all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def state_once(folder: Path, name: str | None, zone: tzinfo) -> str:
    """The state as text. Raises UsageError for a session or run that is not there."""
    from strategies.monitor.follower import JournalFollower
    from tui.dashboard.text import render_text, select_journal
    from tui.dashboard.view_state import ViewState

    _require_known(folder, name)
    reader = JournalFollower(folder, utc_now)
    try:
        snapshot = reader.read_all()
    finally:
        reader.close()
    state = ViewState(snapshot=snapshot, selected=select_journal(snapshot, name), zone=zone)
    return render_text(state, _text_width())


def _text_width() -> int:
    """Cells of a line: those of the terminal, or as COLUMNS says."""
    from tui.dashboard.text import MIN_WIDTH, WIDTH

    if "COLUMNS" not in os.environ and not sys.stdout.isatty():
        return WIDTH
    return max(MIN_WIDTH, shutil.get_terminal_size((WIDTH, 0)).columns)


def local_zone() -> tzinfo:
    """The zone of this machine's user."""
    return datetime.now().astimezone().tzinfo or UTC


def _require_known(folder: Path, name: str | None) -> None:
    if name is None:
        return

    from strategies.monitor.catalog import list_places

    names = [place.name for place in list_places(folder)]
    if name not in names:
        hint = suggest(name, names, "list what there is with: closecall dash --once")
        raise UsageError(f"there is no session or run {name!r} in {folder}; {hint}")

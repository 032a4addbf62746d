"""`closecall paper`: start, inspect and control paper sessions."""

import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.errors import CheckFailed, JournalError, UsageError
from strategies.config import STUDENT_KEYS
from strategies.console import print_stderr, utc_now
from tui.cli.config_options import config_options
from tui.cli.data import check_app
from tui.cli.options import (
    AsJson,
    ConfigFile,
    DataDir,
    Sources,
    Urls,
    add_sources,
    complete_names,
    print_json,
    require_used,
)
from tui.cli.paths import data_dir, working_dir

paper_app = typer.Typer(
    help="Trade on paper: live, or recorded days replayed as if live.", no_args_is_help=True
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The session's name (closecall paper list).",
        autocompletion=complete_names("sessions"),
    ),
]
Symbol = Annotated[str, typer.Argument(metavar="SYMBOL", help="A symbol that the session trades.")]
ExDate = Annotated[
    datetime | None,
    typer.Option(
        "--on", formats=["%Y-%m-%d"], metavar="DATE", help="Ex-date; default: the running or next session."
    ),
]
Reason = Annotated[str, typer.Option(help="Why; written to the journal.")]


@paper_app.command("start")
@config_options(
    "symbols",
    *(key for key in STUDENT_KEYS if key != "adapter"),
    "feeds",
    "news",
    "store",
    "start",
    "end",
    "market.days",
    "cash",
    "paper.retrain",
    "allow_bad_data",
    "skip_unknown_files",
    texts={
        "news": "For a replay: files or folders of news.",
        "store": "For a replay: days fetched from this source.",
        "start": "For a replay: first day.",
        "end": "For a replay: last day.",
        "market.days": "Days of the simulated market; default 180.",
    },
)
def start_session(
    flags: dict[str, Any],
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]", help="With --replay: files or folders of bars.")
    ] = None,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Replay recorded days as if live; without PATH the simulated market."),
    ] = False,
    speed: Annotated[
        str,
        typer.Option(metavar="N|max", help="Speed of a replay: N times real time (86400: a day a second)."),
    ] = "max",
    name: Annotated[
        str | None,
        typer.Option(help="Session name (default: replay or live). An existing name resumes that session."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Start a new session with the settings of session NAME; named NAME-2 without --name.",
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background.")] = False,
    dash: Annotated[
        bool, typer.Option("--dash", help="Run in the background, the dashboard in front.")
    ] = False,
    source: Sources = None,
    url: Urls = None,
    config: ConfigFile = None,
    data: DataDir = None,
) -> None:
    """Start or resume a session: collect, forecast and trade on paper until Ctrl-C.

    A first try, in half a minute and without a network: closecall paper start --replay

    Everything is journaled before it is acted on. The same command resumes a
    session that was stopped or killed.
    """
    from strategies.paper_runtime.launch import build_launch_spec

    if (paths or flags.keys() & {"store", "news", "market"}) and not replay:
        raise UsageError("PATH, --store, --news and --days are recorded or simulated days; add --replay")
    if source and replay:
        raise UsageError("--source is for live prices; for days fetched from there: --replay --store SOURCE")
    flags, overrides = add_sources(flags | ({"bars": paths} if paths else {}), source, url)
    plan = build_launch_spec(
        working_dir(data),
        name,
        config,
        flags,
        replay=replay,
        speed=speed,
        symbol_overrides=overrides,
        like=like,
    )
    require_used(flags, plan.config.store)
    if dash:
        from tui.cli.dash import run_with_dashboard

        run_with_dashboard(plan)
    elif detach:
        _start_detached(plan)
    else:
        _run_in_foreground(plan)


@paper_app.command("list")
def list_sessions(data: DataDir = None, as_json: AsJson = False) -> None:
    """List the sessions with process, state and equity."""
    from strategies.monitor.status import read_status
    from strategies.paper.files import session_names
    from tui.cli.paper_tables import print_sessions

    place = data_dir(data)
    sessions: list[dict[str, Any]] = []
    for name in session_names(place):
        try:
            sessions.append(read_status(place, name, utc_now()))
        except JournalError as error:
            sessions.append({"session": name, "damaged": str(error)})
    print_json({"sessions": sessions}) if as_json else print_sessions(sessions, place)


@paper_app.command()
def status(name: Name, data: DataDir = None, as_json: AsJson = False) -> None:
    """Show a session's state, positions, latest forecasts, faults and scores."""
    from strategies.monitor.status import read_status
    from strategies.paper_runtime.control import require_session
    from tui.cli.paper_tables import finish_score, print_scored, print_status

    place = data_dir(data)
    require_session(place, name)
    state = read_status(place, name, utc_now())
    result = finish_score(place, name, count=False)
    if as_json:
        print_json({**state, "result": result})
        return
    print_status(state, utc_now())
    print_scored(result, replay=state["replay"])


@paper_app.command()
def stop(name: Name, data: DataDir = None) -> None:
    """Stop a session's processes cleanly; closecall paper start --name NAME resumes it."""
    from strategies.paper_runtime.control import stop_session

    if stop_session(data_dir(data), name):
        print_stderr(f"stopped; to resume: closecall paper start --name {name}")
    else:
        print_stderr(f"session {name} is not running")


@paper_app.command()
def resume(name: Name, reason: Reason = "", data: DataDir = None, as_json: AsJson = False) -> None:
    """Trade again, after a halt or a limit."""
    _send_command("resume", name, reason, data, as_json=as_json)


@paper_app.command()
def reduce(name: Name, reason: Reason = "", data: DataDir = None, as_json: AsJson = False) -> None:
    """No new risk: only orders that make a position smaller."""
    _send_command("reduce", name, reason, data, as_json=as_json)


@paper_app.command()
def halt(name: Name, reason: Reason = "", data: DataDir = None, as_json: AsJson = False) -> None:
    """Give no order until `resume`, also while the student is still thinking; positions stay as they are."""
    _send_command("halt", name, reason, data, as_json=as_json)


paper_app.command("pause", help="Alias of `halt`.")(halt)


@paper_app.command()
def flatten(name: Name, reason: Reason = "", data: DataDir = None, as_json: AsJson = False) -> None:
    """Close every position at its next open, and give no other order until `resume`."""
    _send_command("flatten", name, reason, data, as_json=as_json)


@paper_app.command()
def split(
    name: Name,
    symbol: Symbol,
    ratio: Annotated[
        str, typer.Argument(metavar="RATIO", help="New for old, such as 10:1; 1:1 takes it back.")
    ],
    on: ExDate = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """State a split: before the open of its ex-date the position and all earlier prices are restated."""
    from strategies.paper_runtime.control import parse_ratio

    _announce("split", name, symbol, parse_ratio(ratio), on, data, as_json=as_json)


@paper_app.command()
def dividend(
    name: Name,
    symbol: Symbol,
    amount: Annotated[
        float, typer.Argument(min=0.0, help="Per unit, in the quote currency; 0 takes it back.")
    ],
    on: ExDate = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """State a dividend: at the open of its ex-date it is paid on what is held."""
    _announce("dividend", name, symbol, amount, on, data, as_json=as_json)


@paper_app.command("export")
def export_journal(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, such as saved.sqlite.")],
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the journal to FILE: all of it, or what comes before the first damaged event."""
    from strategies.paper_runtime.control import export
    from tui.cli.paper_tables import print_export

    exported = export(data_dir(data), name, file)
    print_json(exported) if as_json else print_export(exported)


@check_app.command("parity")
def check_parity(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SESSION",
            help="A backtest's or a session's name.",
            autocompletion=complete_names("runs", "sessions"),
        ),
    ],
    ask: Annotated[int, typer.Option(min=0, metavar="N", help="Ask the student N of its prompts again.")] = 0,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Replay a run or session from its journaled inputs alone and compare what follows, to the last digit.

    Its raw answers are compared with the ledger's, whose seals are checked.

    Exit code 4 if anything differs or was altered.
    """
    from tui.cli.paper_tables import check_replay, print_replay_report

    report = check_replay(data_dir(data), name, ask)
    print_json(report) if as_json else print_replay_report(report)
    if not report["equal"]:
        raise typer.Exit(CheckFailed.exit_code)


def _send_command(kind: str, name: str, reason: str, data: Path | None, *, as_json: bool) -> None:
    from engine.trading.risk import CommandKind
    from strategies.monitor.descriptions import answer_line
    from strategies.paper_runtime.control import send_command

    done = send_command(data_dir(data), name, CommandKind(kind), reason, clock=utc_now)
    if as_json:
        print_json(done)
    else:
        sys.stdout.write(answer_line(done) + "\n")


def _announce(
    action: str,
    name: str,
    symbol: str,
    value: float,
    on: datetime | None,
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    from engine.corporate_actions import ActionKind
    from engine.journal.canonical import to_jsonable
    from strategies.monitor.descriptions import announcement_line
    from strategies.paper_runtime.control import announce_action

    day = on.date() if on else None
    done = announce_action(data_dir(data), name, ActionKind(action), symbol, value, day, clock=utc_now)
    if as_json:
        print_json(to_jsonable(done))
    else:
        sys.stdout.write(announcement_line(done) + "\n")


def _start_detached(plan: Any) -> None:
    from strategies.paper_runtime.supervisor import start_in_background

    process = start_in_background(plan)
    name = plan.name
    print_stderr(f"session {name} runs in the background, in process {process}")
    print_stderr(f"to look at it: closecall paper status {name}; to end it: closecall paper stop {name}")


def _run_in_foreground(plan: Any) -> None:
    from tui.cli.paper_progress import introduce, run_in_foreground
    from tui.cli.paper_tables import finish_score, print_scored

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stop.set())
    introduce(plan)
    finished = run_in_foreground(plan, stop)
    if not finished:
        return
    print_scored(finish_score(plan.data_dir, plan.name, count=True), replay=plan.replay)
    print_stderr(f"To see it again: closecall paper status {plan.name}; another one: --name OTHER")

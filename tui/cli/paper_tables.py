"""Where sessions stand, as text that fits 80 columns. Writes to stdout; knows no journal."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from engine.journal.canonical import to_jsonable
from engine.journal.journal import Journal
from strategies.console import pluralize, utc_now
from strategies.monitor.descriptions import call_text, decision_text, waiting_text
from strategies.paper.files import journal_path
from strategies.paper.results import score_session
from strategies.paper_runtime.control import require_session
from strategies.replay_check import check_run_replay, check_session_replay
from strategies.result_table import create_console, print_result
from strategies.runs import JOURNAL
from tui.formatting import format_signed_percent, number_formatter


def print_status(found: Mapping[str, Any], now: datetime) -> None:
    """One session: what it does, what it waits for, what it holds, what it said last, what is wrong."""
    console = create_console()
    for line in status_lines(found, now):
        console.print(Text(line), soft_wrap=True)


def status_lines(found: Mapping[str, Any], now: datetime) -> list[str]:
    """The same, a line each."""
    lines = [_heading_line(found), _account_line(found)]
    if found["runs"] == "running" and found["waiting"] and not found["replay"]:
        until = datetime.fromisoformat(found["waiting"]["until"])
        lines.append(f"It is {waiting_text(found['waiting']['for'], until, now)}.")
    if found["runs"] == "running" and found["next_decision"]:
        said = decision_text(datetime.fromisoformat(found["next_decision"]), now)
        lines.append(f"{said[:1].upper()}{said[1:]}.")
    if found["runs"] != "finished" or found["state"] != "active":
        lines.append(_risk_line(found))
    lines += [_position_line(one) for one in found["positions"]] or ["Nothing is held."]
    if found["runs"] != "finished":  # what waited at its end has expired
        lines += [f"Order waits: {size:+g} {symbol}" for symbol, size in found["orders"].items()]
    if found["forecasts"]:
        lines.append("Last forecasts:")
        lines += [f"  {one['as_of'][:16].replace('T', ' ')}  {call_text(one)}" for one in found["forecasts"]]
    lines += [f"At fault now: {one['part']}: {one['reason']}" for one in found["down"]]
    past = [one for one in found["faults"] if one["state"] != "down"]
    lines += [f"Fault, {one['at'][:16].replace('T', ' ')}: {one['part']}: {one['reason']}" for one in past]
    if found["unanswered"]:
        lines.append(f"Not acted on yet: {', '.join(found['unanswered'])}; it is when the session runs.")
    return [*lines, _next_step(found)]


def print_sessions(found: Sequence[Mapping[str, Any]], place: object) -> None:
    """One line for each session."""
    console = create_console()
    if not found:
        console.print(f"No sessions in {place}. Begin one: closecall paper start --replay", soft_wrap=True)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in ("session", "kind", "runs", "state", "reached", "equity", "return"):
        table.add_column(column, justify="right" if column in ("equity", "return") else "left", no_wrap=True)
    for one in found:
        table.add_row(*_session_cells(one))
    console.print(table)


def _session_cells(one: Mapping[str, Any]) -> list[str]:
    if "damaged" in one:
        return [one["session"], "-", "damaged", "-", "-", "-", "-"]
    kind = "simulated" if one["simulated"] else "replay" if one["replay"] else "live"
    runs = f"process {one['process']}" if one["process"] else one["runs"]
    reached = one["reached"][:10] if one["reached"] else "-"
    change = one["equity"] / one["cash_at_start"] - 1
    state = "-" if one["runs"] == "finished" else one["state"]
    return [
        one["session"],
        kind,
        runs,
        state,
        reached,
        number_formatter(0)(one["equity"]),
        format_signed_percent(change),
    ]


def _heading_line(found: Mapping[str, Any]) -> str:
    kind = "SIMULATED market" if found["simulated"] else "Replay" if found["replay"] else "Live"
    process = f" (process {found['process']})" if found["process"] else ""
    symbols = ", ".join(found["symbols"][:8]) + (" …" if len(found["symbols"]) > 8 else "")
    what = f"{kind}, session {found['session']}: {found['runs']}{process}"
    return f"{what}. {symbols}; student {found['student']}."


def _account_line(found: Mapping[str, Any]) -> str:
    change = format_signed_percent(found["equity"] / found["cash_at_start"] - 1)
    reached = f" at {found['reached'][:16].replace('T', ' ')} UTC" if found["reached"] else ""
    return (
        f"Equity {found['equity']:,.2f} {found['currency']} ({change}){reached}, "
        f"of it {found['cash']:,.2f} in cash. Nothing of this is real money."
    )


def _risk_line(found: Mapping[str, Any]) -> str:
    meaning = {
        "active": "ACTIVE: it trades",
        "reducing": "REDUCING: no new risk is taken",
        "halted": "HALTED: no order is given; closecall paper resume leads back",
    }
    said = meaning.get(found["state"], found["state"])
    return f"{said} ({found['cause']}, by {found['author']})." if found["cause"] else f"{said}."


def _position_line(one: Mapping[str, Any]) -> str:
    price = one["price"]
    worth = f" at {price:,.6g}, worth {price * one['size']:,.2f}" if price is not None else ""
    return f"Holds {one['size']:g} {one['symbol']}{worth}"


def _next_step(found: Mapping[str, Any]) -> str:
    name = found["session"]
    if found["runs"] == "finished":
        return (
            f"It has ended; {pluralize(found['events'], 'event')} are journaled. closecall check "
            f"parity {name}"
        )
    if found["runs"] == "stopped":
        return f"To go on: closecall paper start --name {name}"
    return f"To end it for now: closecall paper stop {name}"


def finish_score(data_dir: Path, name: str, *, count: bool) -> dict[str, Any] | None:
    """The table of a session so far; with `count` it has ended, and goes on the record of trials."""
    with Journal.open(journal_path(data_dir, name), name) as journal:
        return score_session(journal, data_dir, utc_now(), count=count)


def print_scored(result: Mapping[str, Any] | None, *, replay: bool) -> None:
    """The table of a replay or a live session, or that there is none yet."""
    if result is None:
        sys.stdout.write("No forecast is made yet, so there is nothing to score.\n")
        return
    sys.stdout.write("\n")
    print_result(result, "Replay of recorded days" if replay else "Paper session")


def print_export(found: Mapping[str, Any]) -> None:
    """What was written, what is wrong with the rest, and what to do with it."""
    events = pluralize(found["events"], "event")
    sys.stdout.write(f"{found['file']}: {events} of session {found['session']}\n")
    if not found["reason"]:
        sys.stdout.write("The journal is whole, and so is the copy.\n")
        return
    sys.stdout.write(f"Left out is the rest: {found['reason']}.\n")
    sys.stdout.write(
        f"To go on from there: move {found['journal']} and the journal.* files beside it away, put "
        f"{found['file']} in its place, and start the session again.\n"
    )


def check_replay(data_dir: Path, name: str) -> dict[str, Any]:
    """What was compared, as JSON types. Raises UsageError where there is neither session nor run."""
    run = data_dir / "runs" / name / JOURNAL
    if run.is_file() and not journal_path(data_dir, name).is_file():
        with Journal.open(run, name) as journal:
            found = check_run_replay(journal)
    else:
        with Journal.open(require_session(data_dir, name), name) as journal:
            found = check_session_replay(journal)
    made: dict[str, Any] = to_jsonable({**asdict(found), "equal": found.equal})
    return made


def print_replay_report(found: Mapping[str, Any]) -> None:
    """What was compared, a line for each digest."""
    for kind, was in found["digests"].items():
        again = found["replayed"].get(kind)
        said = "the same again" if was == again else f"not {str(again)[:16]}"
        sys.stdout.write(f"{kind:10} {was[:16]}  {said}\n")
    for trouble in filter(None, (found["difference"], found["chain"])):
        sys.stdout.write(f"{trouble}\n")
    inputs = pluralize(found["inputs"], "input")
    more = f", {found['undecided']:,} more not acted on yet" if found["undecided"] else ""
    verdict = "all the same again" if found["equal"] else "NOT the same"
    sys.stdout.write(f"{found['session']}: {verdict} from {inputs}{more}.\n")

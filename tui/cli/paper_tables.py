"""Print the state of sessions as text that fits 80 columns."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from engine.journal.canonical import to_jsonable
from engine.journal.journal import Journal
from strategies.answer_check import check_answers
from strategies.console import pluralize, utc_now
from strategies.monitor.descriptions import action_text, call_text, decision_text, waiting_text
from strategies.paper.files import journal_path, session_names
from strategies.paper.results import score_session
from strategies.recorded_run import unknown_name, write_parity
from strategies.replay_check import check_run_replay, check_session_replay
from strategies.result_table import create_console, print_result
from strategies.runs import JOURNAL, load_run
from tui.cli.tables import create_list
from tui.formatting import format_signed_percent, number_formatter


def print_status(status: Mapping[str, Any], now: datetime) -> None:
    """Print a session's state, positions, latest forecasts and faults."""
    console = create_console()
    for line in status_lines(status, now):
        console.print(Text(line), soft_wrap=True)


def status_lines(status: Mapping[str, Any], now: datetime) -> list[str]:
    """Return the lines of `print_status`."""
    lines = [_heading_line(status), _account_line(status)]
    if status["runs"] == "running" and status["waiting"] and not status["replay"]:
        until = datetime.fromisoformat(status["waiting"]["until"])
        lines.append(f"It is {waiting_text(status['waiting']['for'], until, now)}.")
    if status["runs"] == "running" and status["next_decision"]:
        decision = decision_text(datetime.fromisoformat(status["next_decision"]), now)
        lines.append(f"{decision[:1].upper()}{decision[1:]}.")
    if status["runs"] != "finished" or status["state"] != "active":
        lines.append(_risk_line(status))
    lines += [_position_line(position) for position in status["positions"]] or ["Nothing is held."]
    if status["runs"] != "finished":  # what waited at its end has expired
        lines += [f"Order waits: {size:+g} {symbol}" for symbol, size in status["orders"].items()]
        lines += [_announced_line(announced) for announced in status["announced"]]
    if status["forecasts"]:
        lines.append("Last forecasts:")
        lines += [
            f"  {call['as_of'][:16].replace('T', ' ')}  {call_text(call)}" for call in status["forecasts"]
        ]
    lines += [f"At fault now: {fault['part']}: {fault['reason']}" for fault in status["down"]]
    past = [fault for fault in status["faults"] if fault["state"] != "down"]
    lines += [
        f"Fault, {fault['at'][:16].replace('T', ' ')}: {fault['part']}: {fault['reason']}" for fault in past
    ]
    if status["unanswered"]:
        lines.append(f"Not acted on yet: {', '.join(status['unanswered'])}; it is when the session runs.")
    return [*lines, _next_step(status)]


def print_sessions(sessions: Sequence[Mapping[str, Any]], place: object) -> None:
    """Print one line for each session."""
    console = create_console()
    if not sessions:
        console.print(f"No sessions in {place}. Begin one: closecall paper start --replay", soft_wrap=True)
        return
    columns = ("session", "kind", "runs", "state", "reached", "equity", "return")
    table = create_list(*columns, right=("equity", "return"))
    for session in sessions:
        table.add_row(*_session_cells(session))
    console.print(table)


def _session_cells(session: Mapping[str, Any]) -> list[str]:
    if "damaged" in session:
        return [session["session"], "-", "damaged", "-", "-", "-", "-"]
    kind = "simulated" if session["simulated"] else "replay" if session["replay"] else "live"
    runs = f"process {session['process']}" if session["process"] else session["runs"]
    reached = session["reached"][:10] if session["reached"] else "-"
    change = session["equity"] / session["cash_at_start"] - 1
    state = "-" if session["runs"] == "finished" else session["state"]
    return [
        session["session"],
        kind,
        runs,
        state,
        reached,
        number_formatter(0)(session["equity"]),
        format_signed_percent(change),
    ]


def _heading_line(status: Mapping[str, Any]) -> str:
    kind = "SIMULATED market" if status["simulated"] else "Replay" if status["replay"] else "Live"
    process = f" (process {status['process']})" if status["process"] else ""
    symbols = ", ".join(status["symbols"][:8]) + (" …" if len(status["symbols"]) > 8 else "")
    what = f"{kind}, session {status['session']}: {status['runs']}{process}"
    return f"{what}. {symbols}; student {status['student']}."


def _account_line(status: Mapping[str, Any]) -> str:
    change = format_signed_percent(status["equity"] / status["cash_at_start"] - 1)
    reached = f" at {status['reached'][:16].replace('T', ' ')} UTC" if status["reached"] else ""
    return (
        f"Equity {status['equity']:,.2f} {status['currency']} ({change}){reached}, "
        f"of it {status['cash']:,.2f} in cash. No real money."
    )


def _risk_line(status: Mapping[str, Any]) -> str:
    meaning = {
        "active": "it trades",
        "reducing": "no new risk is taken",
        "halted": f"no order is given; to trade again: closecall paper resume {status['session']}",
    }
    cause = f" ({status['cause']}, by {status['author']})" if status["cause"] else ""
    return f"{status['state'].upper()}{cause}: {meaning.get(status['state'], 'of another version')}"


def _position_line(position: Mapping[str, Any]) -> str:
    price = position["price"]
    worth = f" at {price:,.6g}, worth {price * position['size']:,.2f}" if price is not None else ""
    return f"Holds {position['size']:g} {position['symbol']}{worth}"


def _announced_line(announced: Mapping[str, Any]) -> str:
    what = action_text(announced["action"], announced["value"])
    when = announced["effective_at"][:16].replace("T", " ")
    return f"Announced by {announced['author']}: {announced['symbol']}, {what}, at the open of {when} UTC"


def _next_step(status: Mapping[str, Any]) -> str:
    name = status["session"]
    if status["runs"] == "finished":
        return (
            f"{pluralize(status['events'], 'event')} in the journal. To verify: closecall check parity {name}"
        )
    if status["runs"] == "stopped":
        return f"To resume: closecall paper start --name {name}"
    return f"To end it for now: closecall paper stop {name}"


def finish_score(data_dir: Path, name: str, *, count: bool) -> dict[str, Any] | None:
    """Return the result of a session so far; with `count` it has ended and is recorded as a trial."""
    with Journal.open(journal_path(data_dir, name), name) as journal:
        return score_session(journal, data_dir, utc_now(), count=count)


def print_scored(result: Mapping[str, Any] | None, *, replay: bool) -> None:
    """Print the table of a session, or that there is none yet."""
    if result is None:
        sys.stdout.write("No forecast is made yet, so there is nothing to score.\n")
        return
    sys.stdout.write("\n")
    print_result(result, "Replay of recorded days" if replay else "Paper session")


def print_export(exported: Mapping[str, Any]) -> None:
    """What was written, what is wrong with the rest, and what to do with it."""
    events = pluralize(exported["events"], "event")
    sys.stdout.write(f"{exported['file']}: {events} of session {exported['session']}\n")
    if not exported["reason"]:
        sys.stdout.write("The journal is whole, and so is the copy.\n")
        return
    sys.stdout.write(f"Left out is the rest: {exported['reason']}.\n")
    sys.stdout.write(
        f"To resume from there: move {exported['journal']} and the journal.* files beside it away, put "
        f"{exported['file']} in its place, and start the session again.\n"
    )


def check_replay(data_dir: Path, name: str, ask: int = 0) -> dict[str, Any]:
    """Return what was compared, as JSON types.

    Args:
        data_dir: The data folder.
        name: A run or session.
        ask: How many prompts are asked again.

    Raises:
        UsageError: For an unknown session or run, and for a run without a result.
    """
    run = data_dir / "runs" / name / JOURNAL
    is_run = run.is_file() and not journal_path(data_dir, name).is_file()
    if not is_run and name not in session_names(data_dir):
        raise unknown_name(data_dir, name)
    path = run if is_run else journal_path(data_dir, name)
    with Journal.open(path, name) as journal:
        # A session that runs may grow meanwhile; then the chain before does not fit any more.
        chain = journal.last_chain
        report = check_run_replay(journal) if is_run else check_session_replay(journal)
        answers = check_answers(journal, data_dir, ask=ask)
    if is_run and report.equal:
        load_run(data_dir, name)  # nothing differs from a run that recorded nothing, which proves nothing
    stated = {**asdict(answers), "proved": answers.proved}
    equal = report.equal and answers.proved
    encoded: dict[str, Any] = to_jsonable({**asdict(report), "answers": stated, "equal": equal})
    write_parity(path.parent, encoded, chain)
    return encoded


def print_replay_report(report: Mapping[str, Any]) -> None:
    """Print one line for each digest that was compared."""
    for kind, was in report["digests"].items():
        again = report["replayed"].get(kind)
        result = "identical" if was == again else f"differs: {str(again)[:16]}"
        sys.stdout.write(f"{kind:10} {was[:16]}  {result}\n")
    for trouble in filter(None, (report["difference"], report["chain"])):
        sys.stdout.write(f"{trouble}\n")
    print_answers(report["answers"])
    inputs = pluralize(report["inputs"], "input")
    more = f", {report['undecided']:,} more not acted on yet" if report["undecided"] else ""
    same = not report["difference"] and not report["chain"] and report["digests"] == report["replayed"]
    verdict = "outputs identical" if same else "outputs DIFFER"
    sys.stdout.write(f"{report['session']}: {verdict} from {inputs}{more}.\n")


def print_answers(answers: Mapping[str, Any]) -> None:
    """Print how the journal's raw answers compare with the ledger's, and with those of the student now."""
    counts = {
        "equal and sealed in the ledger": answers["verified"],
        "equal there without a seal": answers["unverified"],
        "not there": answers["missing"],
        "DIFFERENT there": answers["num_different"],
    }
    listed = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    sys.stdout.write(f"{'answers':10} {answers['answers']:,}: {listed or 'none'}\n")
    for difference in answers["differences"]:
        sys.stdout.write(f"{difference}\n")
    if answers["not_asked"]:
        sys.stdout.write(f"{'asked':10} not again: {answers['not_asked']}\n")
    elif answers["asked"]:
        may = "" if answers["repeats"] else "; a server or a GPU may answer differently each time"
        sys.stdout.write(f"{'asked':10} {answers['asked']:,} again: {answers['equal']:,} equal{may}\n")

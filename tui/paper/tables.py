"""Where sessions stand, as text that fits 80 columns. Writes to stdout; knows no journal."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from tui.dash.written import signed_percent
from tui.paper.telling import call_text, decision_text, waiting_text
from tui.tables import console_of, counted, number


def print_standing(found: Mapping[str, Any], now: datetime) -> None:
    """One session: what it does, what it waits for, what it holds, what it said last, what is wrong."""
    console = console_of()
    for line in standing_lines(found, now):
        console.print(Text(line), soft_wrap=True)


def standing_lines(found: Mapping[str, Any], now: datetime) -> list[str]:
    """The same, a line each."""
    lines = [_heading(found), _money(found)]
    if found["runs"] == "running" and found["waiting"] and not found["replay"]:
        lines.append(f"It is {waiting_text(found['waiting'], now)}.")
    if found["runs"] == "running" and found["next_decision"]:
        said = decision_text(datetime.fromisoformat(found["next_decision"]), now)
        lines.append(f"{said[:1].upper()}{said[1:]}.")
    if found["runs"] != "finished" or found["state"] != "active":
        lines.append(_risk(found))
    lines += [_position(one) for one in found["positions"]] or ["Nothing is held."]
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
    console = console_of()
    if not found:
        console.print(f"No sessions in {place}. Begin one: closecall paper start --replay", soft_wrap=True)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in ("session", "kind", "runs", "state", "reached", "equity", "return"):
        table.add_column(column, justify="right" if column in ("equity", "return") else "left", no_wrap=True)
    for one in found:
        table.add_row(*_cells(one))
    console.print(table)


def _cells(one: Mapping[str, Any]) -> list[str]:
    if "damaged" in one:
        return [one["session"], "-", "damaged", "-", "-", "-", "-"]
    kind = "simulated" if one["simulated"] else "replay" if one["replay"] else "live"
    runs = f"process {one['process']}" if one["process"] else one["runs"]
    reached = one["reached"][:10] if one["reached"] else "-"
    change = one["equity"] / one["cash_at_start"] - 1
    state = "-" if one["runs"] == "finished" else one["state"]
    return [one["session"], kind, runs, state, reached, number(0)(one["equity"]), signed_percent(change)]


def _heading(found: Mapping[str, Any]) -> str:
    kind = "SIMULATED market" if found["simulated"] else "Replay" if found["replay"] else "Live"
    process = f" (process {found['process']})" if found["process"] else ""
    symbols = ", ".join(found["symbols"][:8]) + (" …" if len(found["symbols"]) > 8 else "")
    what = f"{kind}, session {found['session']}: {found['runs']}{process}"
    return f"{what}. {symbols}; student {found['student']}."


def _money(found: Mapping[str, Any]) -> str:
    change = signed_percent(found["equity"] / found["cash_at_start"] - 1)
    reached = f" at {found['reached'][:16].replace('T', ' ')} UTC" if found["reached"] else ""
    return (
        f"Equity {found['equity']:,.2f} {found['currency']} ({change}){reached}, "
        f"of it {found['cash']:,.2f} in cash. Nothing of this is real money."
    )


def _risk(found: Mapping[str, Any]) -> str:
    meaning = {
        "active": "ACTIVE: it trades",
        "reducing": "REDUCING: no new risk is taken",
        "halted": "HALTED: no order is given; closecall paper resume leads back",
    }
    said = meaning.get(found["state"], found["state"])
    return f"{said} ({found['cause']}, by {found['author']})." if found["cause"] else f"{said}."


def _position(one: Mapping[str, Any]) -> str:
    price = one["price"]
    worth = f" at {price:,.6g}, worth {price * one['size']:,.2f}" if price is not None else ""
    return f"Holds {one['size']:g} {one['symbol']}{worth}"


def _next_step(found: Mapping[str, Any]) -> str:
    name = found["session"]
    if found["runs"] == "finished":
        return (
            f"It has ended; {counted(found['events'], 'event')} are journaled. closecall check parity {name}"
        )
    if found["runs"] == "stopped":
        return f"To go on: closecall paper start --name {name}"
    return f"To end it for now: closecall paper stop {name}"

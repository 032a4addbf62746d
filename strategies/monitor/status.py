"""Where a session stands, out of its journal and its locks. Prints nothing, asks no process."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.calendars import Calendar, load_calendar
from engine.errors import DataError, JournalError
from engine.journal.canonical import to_jsonable
from engine.journal.events import Kind
from engine.journal.journal import Journal, Row
from strategies.paper.files import journal_path, runner_pid, session_folder, supervisor_pid

_STABLE_FIELDS = (
    Kind.SESSION_STARTED,
    "session_resumed",
    "session_stopped",
    "session_finished",
    "waiting",
    "progress",
    "valuation",
    "risk",
    "fault",
    "adopted",
    "command",
    Kind.RETRAINED,
)

_TAIL = 6000

_MAX_FAULTS = 5


class _StatusReader:
    """The newest of everything, while the journal is read from its beginning."""

    def __init__(self) -> None:
        self.newest: dict[str, Row] = {}
        self.down: dict[str, Mapping[str, Any]] = {}
        self.faults: list[Mapping[str, Any]] = []
        self.unanswered: dict[int, Row] = {}

    def apply(self, row: Row) -> None:
        self.newest[row.kind] = row
        if row.kind == "fault":
            self._fault(row)
        if row.kind == "command":
            self.unanswered[row.seq] = row
        if row.kind == "risk":
            self.unanswered.pop(row.payload["input"], None)

    def newest_payload(self, kind: str) -> Mapping[str, Any]:
        """The newest payload of a kind, empty where there is none."""
        return self.newest[kind].payload if kind in self.newest else {}

    def _fault(self, row: Row) -> None:
        told = {**row.payload, "at": row.as_of}
        if row.payload["state"] == "down":
            self.down[row.payload["part"]] = told
        elif row.payload["state"] == "up":
            self.down.pop(row.payload["part"], None)
        self.faults = [*self.faults, told][-_MAX_FAULTS:]


def read_status(data_dir: Path, name: str, now: datetime) -> dict[str, Any]:
    """Everything but the scored table, as JSON types. Raises JournalError for a journal that is damaged."""
    folder = session_folder(data_dir, name)
    reading = _StatusReader()
    with Journal.open(journal_path(data_dir, name), name) as journal:
        for row in journal.read(kinds=_STABLE_FIELDS):
            reading.apply(row)
        prices, calls = _newest(journal)
        events = journal.last_seq
    if Kind.SESSION_STARTED not in reading.newest:
        raise JournalError(f"session {name} was not begun to its end; remove {folder} and start it again")
    begun, progress, risk = (
        reading.newest_payload(kind) for kind in (Kind.SESSION_STARTED, "progress", "risk")
    )
    value = _value(reading)
    found = {
        "session": name,
        "replay": begun["simulated"],
        "simulated": str(begun["about"].get("replay", "")).startswith("simulated"),
        "runs": _runs(folder, reading),
        "process": supervisor_pid(folder) or runner_pid(folder),
        "state": progress.get("state", "active") if not risk else risk["now"],
        "cause": risk.get("cause", ""),
        "author": risk.get("author", ""),
        "waiting": reading.newest_payload("waiting") or None,
        "next_decision": None
        if begun["simulated"]
        else next_close(calendars_in(begun["calendars"], now), now),
        "symbols": sorted(begun["instruments"]),
        "student": reading.newest_payload("adopted").get("name", begun["student"]),
        "reached": reading.newest_payload("progress")["at"] if "progress" in reading.newest else None,
        "currency": _currency(begun),
        "cash_at_start": begun["cash"],
        "cash": progress.get("cash", begun["cash"]),
        "equity": begun["cash"] if value is None else value,
        "positions": [
            {"symbol": symbol, "size": size, "price": prices.get(symbol)}
            for symbol, size in progress.get("positions", {}).items()
        ],
        "orders": progress.get("waiting", {}),
        "forecasts": [calls[symbol] for symbol in sorted(calls)],
        "down": list(reading.down.values()),
        "faults": reading.faults,
        "unanswered": [row.payload["command"] for row in reading.unanswered.values()],
        "retrained": reading.newest_payload(Kind.RETRAINED) or None,
        "events": events,
    }
    made: dict[str, Any] = to_jsonable(found)
    return made


def _runs(folder: Path, reading: _StatusReader) -> str:
    if "session_finished" in reading.newest:
        return "finished"
    if supervisor_pid(folder) is not None or runner_pid(folder) is not None:
        return "running"
    return "stopped"


def _value(reading: _StatusReader) -> float | None:
    """The newest value: at a close, or at last prices between two."""
    rows = [reading.newest[kind] for kind in ("progress", "valuation") if kind in reading.newest]
    return max(rows, key=lambda row: row.seq).payload["value"] if rows else None


def _currency(begun: Mapping[str, Any]) -> str:
    return str(begun["base"] or next(iter(begun["instruments"].values()))["currency"])


def _newest(journal: Journal) -> tuple[dict[str, float], dict[str, Mapping[str, Any]]]:
    """Last prices and last calls by symbol, from the end of the journal."""
    prices: dict[str, float] = {}
    calls: dict[str, Mapping[str, Any]] = {}
    since = max(0, journal.last_seq - _TAIL)
    for row in journal.read(since, ("slice", "quote", "forecast")):
        if row.kind == "slice":
            prices |= {symbol: bar[min(3, len(bar) - 1)] for symbol, bar in row.payload["bars"].items()}
        elif row.kind == "quote":
            prices |= {symbol: told[0] for symbol, told in row.payload["quotes"].items()}
        else:
            kept = ("symbol", "direction", "confidence", "close", "last_close", "abstention")
            calls[row.payload["symbol"]] = {name: row.payload[name] for name in kept} | {"as_of": row.as_of}
    return prices, calls


_FAR = 15
"""Days within which each market has a session, through the longest holidays."""


def calendars_in(codes: Iterable[str], at: datetime) -> dict[str, Calendar]:
    """Return the calendars of these codes around `at`."""
    day = at.date()
    return {code: load_calendar(code, day - timedelta(days=3), day) for code in codes}


def next_close(calendars: Mapping[str, Calendar], at: datetime) -> datetime | None:
    """The first close after `at`, None where no calendar knows one."""
    return min((close for one in calendars.values() if (close := _close(one, at))), default=None)


def _close(calendar: Calendar, at: datetime) -> datetime | None:
    for ahead in range(-1, _FAR):
        try:
            session = calendar.session(at.date() + timedelta(days=ahead))
        except DataError:
            return None
        if session is not None and session[1] > at:
            return session[1]
    return None


def _next_decision(begun: Mapping[str, Any], now: datetime) -> datetime | None:
    return next_close(calendars_in(begun["calendars"], now), now)

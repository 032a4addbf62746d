"""The state of a session from its journal and locks, as JSON types: a view of its projection."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.calendars import Calendar, load_calendar
from engine.errors import DataError, JournalError
from engine.journal.canonical import to_jsonable
from engine.journal.events import Kind
from engine.journal.events.codec import encode_fields
from strategies.monitor.catalog import JournalPlace, JournalType
from strategies.monitor.follower import RECENT
from strategies.monitor.journal_reader import JournalFile, Unreadable
from strategies.monitor.projection import JournalProjection
from strategies.monitor.views import CallView
from strategies.paper.files import journal_path, runner_pid, session_folder, supervisor_pid

_KINDS = (
    Kind.SESSION_STARTED,
    Kind.SESSION_RESUMED,
    Kind.SESSION_STOPPED,
    Kind.SESSION_FINISHED,
    Kind.WAITING,
    Kind.PROGRESS,
    Kind.VALUATION,
    Kind.RISK,
    Kind.FAULT,
    Kind.ADOPTED,
    Kind.COMMAND,
    Kind.ACTION_ANNOUNCED,
    Kind.SPLIT,
    Kind.DIVIDEND,
    Kind.RETRAINED,
)
"""Kinds that are read from the beginning; of all others the newest events are enough."""

_PAGE = 2000


def read_status(data_dir: Path, name: str, now: datetime) -> dict[str, Any]:
    """Return a session's state without its scored table. Raises JournalError for a damaged journal."""
    path = journal_path(data_dir, name)
    try:
        projection, events = _read_projection(JournalPlace(type=JournalType.SESSION, name=name, path=path))
    except Unreadable as error:
        raise JournalError(f"{path}: {error}") from error
    started = projection.started
    folder = session_folder(data_dir, name)
    if started is None:
        raise JournalError(f"session {name} was not created completely; remove {folder} and start it again")
    snapshot, risk = projection.snapshot, projection.risk_change
    account, positions = projection.account.view(), projection.account.positions()
    codes = started.calendars
    status = {
        "session": name,
        "replay": started.simulated,
        "simulated": str(started.about.get("replay", "")).startswith("simulated"),
        "runs": _runs(folder, projection),
        "process": supervisor_pid(folder) or runner_pid(folder),
        "state": risk.now if risk else snapshot.state if snapshot else "active",
        "cause": risk.cause if risk else "",
        "author": risk.author if risk else "",
        "waiting": encode_fields(projection.waiting) if projection.waiting else None,
        "next_decision": None if started.simulated else next_close(calendars_in(codes, now), now),
        "symbols": sorted(started.instruments),
        "student": projection.student,
        "reached": account.at or (snapshot.at if snapshot else None),
        "currency": projection.currency,
        "cash_at_start": started.cash,
        "cash": started.cash if account.cash is None else account.cash,
        "equity": account.value,
        "positions": [
            {"symbol": held.symbol, "size": held.size, "price": held.price} for held in positions if held.size
        ],
        "orders": {held.symbol: held.waiting for held in positions if held.waiting},
        "forecasts": [_forecast(call) for _, call in sorted(projection.calls.newest.items())],
        "down": [encode_fields(fault) | {"at": at} for fault, at in projection.health.down.values()],
        "faults": [encode_fields(fault) | {"at": at} for fault, at in projection.health.faults],
        "unanswered": [command.command for command in projection.unanswered],
        "announced": [encode_fields(announced) for announced in projection.announced.values()],
        "retrained": projection.retrained,
        "events": events,
    }
    plain: dict[str, Any] = to_jsonable(status)
    return plain


def _read_projection(place: JournalPlace) -> tuple[JournalProjection, int]:
    """Return a session's projection and the number of its events."""
    projection, file = JournalProjection(place), JournalFile(place.path)
    try:
        newest = file.newest()
        snapshots = file.search(newest + 1, 1, newest, kind=Kind.PROGRESS)
        # Everything since the last snapshot is read: fills since then are not in it.
        recent, cursor = max(0, (snapshots[0].seq if snapshots else newest) - RECENT), 0
        while cursor < newest:
            until = recent if cursor < recent else newest
            rows = file.page(cursor, until, _PAGE, only=_KINDS if cursor < recent else None)
            for row in rows:
                projection.fold(row, listed=False)
            cursor = rows[-1].seq if len(rows) == _PAGE else until
    finally:
        file.close()
    if faulty := projection.health.faulty:
        raise JournalError(
            f"{place.path}: {faulty} events cannot be read; restore the journal from a copy "
            "(to save what comes before the first damaged event: "
            f"closecall paper export {place.name} saved.sqlite)"
        )
    return projection, newest


def _runs(folder: Path, projection: JournalProjection) -> str:
    if projection.finished:
        return "finished"
    running = supervisor_pid(folder) is not None or runner_pid(folder) is not None
    return "running" if running else "stopped"


def _forecast(call: CallView) -> dict[str, Any]:
    keys = ("symbol", "direction", "confidence", "close", "last_close", "abstention", "as_of")
    return {key: getattr(call, key) for key in keys}


_FAR = 15
"""Days within which every market has a session, also over the longest holidays."""


def calendars_in(codes: Iterable[str], at: datetime) -> dict[str, Calendar]:
    """Return the calendars of these codes around `at`."""
    day = at.date()
    return {code: load_calendar(code, day - timedelta(days=3), day) for code in codes}


def next_close(calendars: Mapping[str, Calendar], at: datetime) -> datetime | None:
    """Return the first close after `at`, None where no calendar has one."""
    return min((close for calendar in calendars.values() if (close := _close(calendar, at))), default=None)


def _close(calendar: Calendar, at: datetime) -> datetime | None:
    for ahead in range(-1, _FAR):
        try:
            session = calendar.session(at.date() + timedelta(days=ahead))
        except DataError:
            return None
        if session is not None and session[1] > at:
            return session[1]
    return None

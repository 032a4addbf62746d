"""Commands to a session: each is journaled, and the session answers with a change of its risk state."""

import getpass
import json
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.calendars import load_calendar
from engine.corporate_actions import ActionKind
from engine.errors import DataError, UsageError, suggest
from engine.journal.events import OUTPUT_KINDS, Kind, encode, input_seq
from engine.journal.events.codec import encode_fields
from engine.journal.events.sessions import ActionAnnounced
from engine.journal.journal import Journal
from engine.journal.recovery import recover
from engine.journal.store import StoredRow
from engine.trading.risk import Command, CommandKind
from strategies.paper.announced_actions import AnnouncedActions, build_action
from strategies.paper.files import journal_path, runner_pid, session_folder, session_names, supervisor_pid
from strategies.run_spec import read_start

_LOOK_EVERY = 0.2
_MAX_REASON_LENGTH = 400
_MAX_RATIO = 1000.0
_AROUND, _LATEST = timedelta(days=15), timedelta(days=7)


def require_session(data_dir: Path, name: str) -> Path:
    """Return the path of a session's journal. Raises UsageError, with the nearest name, if there is none."""

    path = journal_path(data_dir, name)
    if not path.is_file():
        hint = suggest(name, session_names(data_dir), "list all with: closecall paper list")
        raise UsageError(f"there is no session {name!r} in {data_dir}; {hint}")
    return path


def send_command(
    data_dir: Path,
    name: str,
    kind: CommandKind,
    reason: str,
    *,
    clock: Callable[[], datetime],
    patience: float = 15.0,
) -> dict[str, Any]:
    """Journal a command of this machine's user, and wait for the session's answer.

    `answer` is the change of state that followed, None where none did within `patience` seconds. Raises
    UsageError for a session that has finished, and for a reason that is too long.
    """
    if len(reason) > _MAX_REASON_LENGTH:
        raise UsageError(f"--reason is longer than {_MAX_REASON_LENGTH} characters; shorten it")
    path = require_session(data_dir, name)
    folder = session_folder(data_dir, name)
    with Journal.open(path, name) as journal:
        _require_unfinished(journal, f"there is nothing to {kind}")
        given = Command(at=clock(), kind=kind, author=_current_user(), text=reason)
        (seq,) = journal.append([encode(given, given.at)], clock())
        answer = None
        until = time.monotonic() + patience
        while answer is None and runner_pid(folder) is not None and time.monotonic() < until:
            rows = journal.read(seq, (Kind.RISK,))
            answer = next((row.payload for row in rows if input_seq(row) == seq), None)
            if answer is None:
                time.sleep(_LOOK_EVERY)
    return {
        "session": name,
        "command": str(kind),
        "author": given.author,
        "seq": seq,
        "running": runner_pid(folder) is not None,
        "answer": answer,
    }


def announce_action(
    data_dir: Path,
    name: str,
    action: ActionKind,
    symbol: str,
    value: float,
    on: date | None,
    *,
    clock: Callable[[], datetime],
) -> dict[str, Any]:
    """Journal a split or dividend that a person states; the session applies it at the open of its ex-date.

    Args:
        data_dir: The data folder.
        name: The session.
        action: The kind of action.
        symbol: A symbol that the session trades.
        value: The ratio of a split (10: ten units for each), or the amount of a dividend per unit.
        on: The ex-date by the symbol's exchange; None for the session day that runs, or else the next.
        clock: Returns the current time in UTC.

    Returns:
        What was journaled, and whether it is `late`: the open of the ex-date is past.

    Raises:
        UsageError: For a symbol, value or day that the session cannot apply.
    """
    path = require_session(data_dir, name)
    with Journal.open(path, name) as journal:
        _require_unfinished(journal, f"a {action} can no longer take effect")
        started = read_start(journal)
        if symbol not in started.instruments:
            hint = suggest(symbol, started.instruments, f"it trades {', '.join(sorted(started.instruments))}")
            raise UsageError(f"session {name} does not trade {symbol[:40]!r}; {hint}")
        reached = max((row.as_of for row in journal.read(kinds=(Kind.PROGRESS,))), default=started.start)
        now = reached if started.simulated else clock()
        at = _find_ex_open(started.instruments[symbol].calendar, on, now, symbol)
        announced = ActionAnnounced(
            action=action, symbol=symbol, effective_at=at, value=value, author=_current_user()
        )
        _require_applicable(journal, announced, started.start, reached)
        (seq,) = journal.append([encode(announced, clock())], clock())
    return {
        "session": name,
        **encode_fields(announced),
        "seq": seq,
        "late": at < now,
        "running": runner_pid(session_folder(data_dir, name)) is not None,
    }


def parse_ratio(text: str) -> float:
    """Return the ratio of a split: 10:1, 10/1, 10-for-1 and 10 are ten new units for each old one.

    Raises UsageError for anything else, and for a ratio beyond a thousand to one.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:\s*(?::|/|-?\s*for\s*-?)\s*(\d+(?:\.\d+)?))?", text.strip())
    new, old = (float(part or 1) for part in match.groups()) if match else (0.0, 1.0)
    if not (new > 0 and old > 0 and 1 / _MAX_RATIO <= new / old <= _MAX_RATIO):
        raise UsageError(
            f"RATIO {text[:20]!r}: give new units and old ones, such as 10:1 for ten new shares for each, "
            "or 1:10 for a reverse split"
        )
    return new / old


def _require_unfinished(journal: Journal, consequence: str) -> None:
    if next(iter(journal.read(kinds=(Kind.SESSION_FINISHED,))), None) is not None:
        raise UsageError(f"session {journal.session} has finished, so {consequence}")


def _find_ex_open(code: str, on: date | None, now: datetime, symbol: str) -> datetime:
    """Return the open of the session on that day, or of the one that runs or comes next."""
    day = on or now.date()
    try:
        calendar = load_calendar(code, day - _AROUND, day + _AROUND)
        sessions = [calendar.session(day + timedelta(days=ahead)) for ahead in range(-1, _AROUND.days)]
    except (DataError, OverflowError) as error:
        raise UsageError(
            f"--on {day}: the calendar of {symbol} does not have that day; give another"
        ) from error
    coming = [opens_at for opens_at, closes_at in filter(None, sessions) if on or closes_at > now]
    if on is None:
        return coming[0]
    if sessions[1] is not None:
        return sessions[1][0]
    following = next(opens_at for opens_at in coming if opens_at.date() > on)
    raise UsageError(
        f"--on {on}: {symbol} has no session on that day; the next is {following:%Y-%m-%d}, "
        "and an ex-date is a day of trading"
    )


def _require_applicable(
    journal: Journal, announced: ActionAnnounced, start: datetime, reached: datetime
) -> None:
    if announced.value != 0:  # which takes a dividend back
        try:
            build_action(announced)
        except ValueError as error:
            raise UsageError(f"{error}; give a number above zero") from error
    actions, at = AnnouncedActions(journal), announced.effective_at
    what = f"the {announced.action} of {announced.symbol} on {at:%Y-%m-%d}"
    if actions.is_effective(announced):
        raise UsageError(f"{what} has taken effect in session {journal.session} already")
    if at < start:
        raise UsageError(f"{what} was before session {journal.session} began; its prices are in new units")
    if at < reached - _LATEST:
        raise UsageError(
            f"{what} was more than {_LATEST.days} days before {reached:%Y-%m-%d}, which the session has "
            f"reached; start another with closecall paper start --like {journal.session}"
        )


def stop_session(data_dir: Path, name: str, patience: float = 40.0) -> bool:
    """End a session's processes and return whether there were any. Raises UsageError if they do not end."""
    require_session(data_dir, name)
    folder = session_folder(data_dir, name)
    holder = supervisor_pid(folder) or runner_pid(folder)
    if not holder:
        return False
    os.kill(holder, signal.SIGTERM)
    until = time.monotonic() + patience
    while (still := supervisor_pid(folder) or runner_pid(folder)) is not None:
        if time.monotonic() > until:
            raise UsageError(f"session {name} does not end; process {still} can be killed without harm")
        time.sleep(_LOOK_EVERY)
    return True


def _current_user() -> str:
    """Return the name of this machine's user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        return f"user {os.getuid()}"


def export(data_dir: Path, name: str, into: Path) -> dict[str, Any]:
    """Write the intact part of a session's journal to the file `into`; return a report, as JSON types.

    Raises UsageError where there is no such session or the file exists, JournalError where nothing is intact.
    """
    journal = require_session(data_dir, name)
    report = recover(journal, name, into, _group_key)
    return {"session": name, "file": str(into), **asdict(report), "journal": str(journal)}


def _group_key(row: StoredRow) -> object:
    """Return the input that an output follows from: all outputs of an input are kept, or none."""
    return json.loads(row.payload)["input"] if row.kind in OUTPUT_KINDS else None

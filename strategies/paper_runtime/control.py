"""Commands to a session: each is journaled, and the session answers with a change of its risk state."""

import getpass
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import UsageError, suggest
from engine.journal.events import OUTPUT_KINDS, Kind, encode, input_seq
from engine.journal.journal import Journal
from engine.journal.recovery import recover
from engine.journal.store import StoredRow
from engine.trading.risk import Command, CommandKind
from strategies.paper.files import journal_path, runner_pid, session_folder, session_names, supervisor_pid

_LOOK_EVERY = 0.2
_MAX_REASON_LENGTH = 400


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
        if next(iter(journal.read(kinds=(Kind.SESSION_FINISHED,))), None) is not None:
            raise UsageError(f"session {name} has finished, so there is nothing to {kind}")
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

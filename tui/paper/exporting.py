"""The good part of a session's journal as a file of its own. Starts nothing and changes no session."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.journal_rescue import rescue
from engine.journal_store import StoredRow
from strategies.paper.effects import EFFECTS
from tui.paper.commanding import require_session
from tui.tables import counted


def export(data_dir: Path, name: str, into: Path) -> dict[str, Any]:
    """Write it to the file `into`; what was written, as JSON types.

    Raises UsageError where there is no such session or the file exists, JournalError where nothing is good.
    """
    journal = require_session(data_dir, name)
    found = rescue(journal, name, into, _effects_of)
    return {"session": name, "file": str(into), **asdict(found), "journal": str(journal)}


def _effects_of(row: StoredRow) -> object:
    """The input that an effect followed from: its effects stand in the journal whole, or not at all."""
    return json.loads(row.payload)["input"] if row.kind in EFFECTS else None


def print_exported(found: Mapping[str, Any]) -> None:
    """What was written, what is wrong with the rest, and what to do with it."""
    events = counted(found["events"], "event")
    sys.stdout.write(f"{found['file']}: {events} of session {found['session']}\n")
    if not found["reason"]:
        sys.stdout.write("The journal is whole, and so is the copy.\n")
        return
    sys.stdout.write(f"Left out is the rest: {found['reason']}.\n")
    sys.stdout.write(
        f"To go on from there: move {found['journal']} and the journal.* files beside it away, put "
        f"{found['file']} in its place, and start the session again.\n"
    )

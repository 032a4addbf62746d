"""The outcome of a session that has ended, to be compared with another one's."""

import json
import shutil
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.journal.journal import Journal
from strategies.paper.outputs import load_outputs, session_digests
from tests.stress.kill_scenes import NAME
from tests.support.own_processes import ran

CLOSECALL = Path(sys.executable).with_name("closecall")


def read_verdict(folder: Path) -> dict[str, object]:
    """Return a session's parity, and its inputs, rounds and adoptions in order."""
    words = [CLOSECALL, "check", "parity", NAME, "--data-dir", folder, "--json"]
    checked = ran(words, capture_output=True, text=True, seconds=3600)
    kinds: dict[str, list[object]] = {"registry_changed": [], "adopted": [], "retrained": []}
    with closing(sqlite3.connect(folder / "sessions" / NAME / "journal.sqlite")) as journal:
        positions = [
            position
            for (position,) in journal.execute("SELECT payload ->> 'replay' FROM journal_events ORDER BY seq")
            if position is not None
        ]
        for kind, payload in journal.execute("SELECT kind, payload FROM journal_events ORDER BY seq"):
            if kind in kinds:
                kinds[kind].append(_stable_fields(kind, json.loads(payload)))
        adapters = journal.execute(
            "SELECT payload ->> 'adapter', count(*) FROM journal_events WHERE kind = 'forecast' GROUP BY 1"
        ).fetchall()
    parity = json.loads(checked.stdout) if checked.stdout else {"difference": checked.stderr}
    return {
        "parity": checked.returncode,
        "difference": parity.get("difference"),
        "digests": _digests(folder),
        "inputs": len(positions),
        "in_order": positions == list(range(1, len(positions) + 1)),
        "forecasts_by_adapter": {Path(name).name if name else "none": count for name, count in adapters},
        **kinds,
    }


def _digests(folder: Path) -> dict[str, str]:
    """Return the journal's digests, with adapters by name, without their folders."""
    with Journal.open(folder / "sessions" / NAME / "journal.sqlite", NAME) as journal:
        outputs = load_outputs(journal)
    return session_digests([(kind, _by_name(payload)) for kind, payload in outputs])


def _by_name(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**payload, "adapter": Path(payload["adapter"]).name} if payload.get("adapter") else payload


def _stable_fields(kind: str, payload: dict) -> object:
    """Return the fields that must not change: no journal position, no folder and no wall clock time."""
    if kind == "adopted":
        return [payload["name"], payload["fingerprint"]]
    if kind == "registry_changed":
        return [payload["change"], payload["name"]]
    report = payload.get("report") or payload
    trained = report.get("trained") or {}
    gated = [[gate["adapter"], gate["promoted"]] for gate in report.get("gated", [])]
    return [payload["due"], gated, trained.get("adapter"), report.get("champion"), payload.get("failed")]


def check_altered_copy(folder: Path, scratch: Path) -> int:
    """Return the exit code of `check parity` on a copy in which the last digit of one fill differs."""
    copy = scratch / "sessions" / NAME
    shutil.rmtree(scratch, ignore_errors=True)
    copy.mkdir(parents=True)
    with (
        closing(sqlite3.connect(folder / "sessions" / NAME / "journal.sqlite")) as original,
        closing(sqlite3.connect(copy / "journal.sqlite")) as altered,
    ):
        original.backup(altered)
        altered.execute("DROP TRIGGER journal_no_update")
        seq, payload = altered.execute(
            "SELECT seq, payload FROM journal_events WHERE kind = 'fill' ORDER BY seq LIMIT 1 OFFSET 5"
        ).fetchone()
        price = repr(json.loads(payload)["price"])
        changed = price[:-1] + str((int(price[-1]) + 1) % 10)
        altered.execute(
            "UPDATE journal_events SET payload = replace(payload, ?, ?) WHERE seq = ?", (price, changed, seq)
        )
        altered.commit()
    words = [CLOSECALL, "check", "parity", NAME, "--data-dir", scratch]
    return ran(words, capture_output=True, seconds=3600).returncode

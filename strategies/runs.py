"""Where runs live and what became of them: one folder a run, with its journal and its result.

Knows nothing of how a run is made.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.digests import canonical_json
from engine.errors import JournalError, UsageError
from engine.journal import Journal

JOURNAL = "journal.sqlite"
STARTED, FINISHED, INTERRUPTED, FAILED = "run_started", "run_finished", "run_interrupted", "run_failed"
FORECASTING = "forecasting"
"""How many closes are forecast so far, told from time to time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of `closecall runs`. A run that was killed, or still runs, is `unfinished`."""

    run: str
    started_at: datetime | None
    state: str
    config: Mapping[str, Any]
    result: Mapping[str, Any]


def new_run(data_dir: Path, now: datetime) -> tuple[str, Path]:
    """Make the folder of a new run, named after the second in which it started."""
    runs = data_dir / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        name = f"{now:%Y%m%d-%H%M%S}" + ("" if number == 1 else f"-{number}")
        try:
            (runs / name).mkdir()
        except FileExistsError:
            continue
        return name, runs / name
    raise JournalError(f"{runs}: no free name for a run; try again")


def list_runs(data_dir: Path) -> Iterator[RunSummary]:
    """All runs on record, newest first. One that cannot be read is listed as damaged."""
    runs = data_dir / "runs"
    folders = sorted((f for f in runs.glob("*") if (f / JOURNAL).is_file()), reverse=True)
    for folder in folders:
        try:
            yield _summary(folder)
        except JournalError:
            yield RunSummary(run=folder.name, started_at=None, state="damaged", config={}, result={})


def find_run(data_dir: Path, name: str) -> RunSummary:
    """One finished run by its name. Raises UsageError if there is none, or if it has no result."""
    folder = data_dir / "runs" / name
    if not (folder / JOURNAL).is_file():
        near = difflib.get_close_matches(name, [f.name for f in (data_dir / "runs").glob("*")], n=1)
        hint = f"did you mean {near[0]}?" if near else "closecall runs lists them"
        raise UsageError(f"there is no run {name!r} in {data_dir}; {hint}")
    found = _summary(folder)
    if not found.result:
        raise UsageError(f"run {name} is {found.state} and has no result; start it again")
    return found


def _summary(folder: Path) -> RunSummary:
    # A run's first and last events say it all; a journal may have a hundred thousand between them.
    with Journal.open(folder / JOURNAL, folder.name) as journal:
        last = max(1, journal.last_seq)
        ends = [next(journal.read(seq - 1), None) for seq in (1, last)]
    events = {row.kind: row for row in ends if row is not None}
    started = events.get(STARTED)
    ended = next((kind for kind in (FINISHED, INTERRUPTED, FAILED) if kind in events), None)
    return RunSummary(
        run=folder.name,
        started_at=started.recorded_at if started else None,
        state=ended.removeprefix("run_") if ended else "unfinished",
        config=started.payload if started else {},
        result=events[FINISHED].payload if FINISHED in events else {},
    )


def plain(value: object) -> Any:
    """A value as JSON types: what `--json` prints and the journal keeps."""
    return json.loads(canonical_json({"value": value}))["value"]

"""The runs of a data folder: each has a folder of its own with its journal, which holds its result."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import DataError, JournalError, UsageError, suggest
from engine.journal.canonical import to_jsonable
from engine.journal.events import END_KINDS, Kind, decode_as, encode
from engine.journal.events.inputs import SliceRecord
from engine.journal.events.outputs import PredictionRecord
from engine.journal.events.sessions import RunFinished, RunStarted
from engine.journal.journal import Event, Journal
from engine.model import Prediction, Slice
from engine.trading.records import Record
from strategies.data_folder import require_writable
from strategies.market import Market
from strategies.results import SimulationResult, list_outputs

JOURNAL = "journal.sqlite"
_EXPORTED = ("result.json", "forecasts.csv", "orders.csv", "fills.csv", "equity.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of `closecall runs`. A run that was killed, or still runs, is `unfinished`."""

    run: str
    started_at: datetime | None
    state: str
    config: Mapping[str, Any]
    result: Mapping[str, Any]


def create_run(data_dir: Path, now: datetime) -> tuple[str, Path]:
    """Create the folder of a new run, named after the second in which it started."""
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
    """Yield all runs, newest first. One that cannot be read is listed as damaged."""
    runs = data_dir / "runs"
    folders = sorted((f for f in runs.glob("*") if (f / JOURNAL).is_file()), reverse=True)
    for folder in folders:
        try:
            yield _read_summary(folder)
        except JournalError:
            yield RunSummary(run=folder.name, started_at=None, state="damaged", config={}, result={})


def load_run(data_dir: Path, name: str) -> RunSummary:
    """Return a finished run by its name. Raises UsageError if there is none, or if it has no result."""
    folder = data_dir / "runs" / name
    if not (folder / JOURNAL).is_file():
        known = [other.name for other in (data_dir / "runs").glob("*")]
        hint = suggest(name, known, "list them with: closecall runs")
        raise UsageError(f"there is no run {name!r} in {data_dir}; {hint}")
    summary = _read_summary(folder)
    if not summary.result:
        raise UsageError(f"run {name} is {summary.state} and has no result; start it again")
    return summary


def _read_summary(folder: Path) -> RunSummary:
    # The first and the last event suffice; a journal may have a hundred thousand between them.
    with Journal.open(folder / JOURNAL, folder.name) as journal:
        last = max(1, journal.last_seq)
        ends = [next(journal.read(seq - 1), None) for seq in (1, last)]
    events = {row.kind: row for row in ends if row is not None}
    started = events.get(Kind.RUN_STARTED)
    finished = events.get(Kind.RUN_FINISHED)
    ended = next((kind for kind in END_KINDS if kind in events), None)
    return RunSummary(
        run=folder.name,
        started_at=started.recorded_at if started else None,
        state=ended.removeprefix("run_") if ended else "unfinished",
        config=decode_as(RunStarted, started).config if started else {},
        result=decode_as(RunFinished, finished).result if finished else {},
    )


def require_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse, before any work, a folder for `export` that cannot be written or holds a result already.

    Raises UsageError.
    """
    require_writable(folder, "--out")
    held = [name for name in _EXPORTED if (folder / name).exists()]
    if held and not overwrite:
        raise UsageError(
            f"--out {folder}: {held[0]} is there already; name another folder, or replace it with --overwrite"
        )
    if folders := [name for name in held if (folder / name).is_dir()]:
        raise UsageError(f"--out {folder}: {folders[0]} is a folder; name another one")


def export(folder: Path, result: Mapping[str, Any], student: SimulationResult, market: Market) -> None:
    """Write result.json, forecasts.csv, orders.csv, fills.csv and equity.csv.

    Args:
        folder: Where to; it is created.
        result: The result of the run.
        student: The predictions that were traded, and what they came to.
        market: The market data, for the outcomes.

    Raises:
        DataError: Where the folder cannot be written.
    """
    tables = list_outputs(student, market.bars, market.symbol_calendars)
    texts = {f"{name}.csv": _csv(columns, rows) for name, (columns, rows) in tables.items()}
    texts["result.json"] = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomically(folder / name, text)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error


def write_atomically(path: Path, text: str) -> None:
    """Write a temporary file beside the path and move it there, so that no reader sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if cell is None else to_jsonable(cell) for cell in row])
    return text.getvalue()


_BATCH = 2000


class Recorder:
    """Collects events and appends them in batches; call `flush` at the end.

    With `batch` None nothing is appended before that, so that all of it stands in the journal or nothing.
    """

    def __init__(self, journal: Journal, recorded_at: datetime, *, batch: int | None = _BATCH) -> None:
        self._journal = journal
        self._batch = batch
        self._recorded_at = recorded_at
        self._waiting: list[Event] = []
        self._now = recorded_at

    def append(self, event: Event) -> None:
        """Add an event of any kind."""
        self._waiting.append(event)
        if self._batch is not None and len(self._waiting) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Append what waits, in one transaction."""
        self._journal.append(self._waiting, self._recorded_at)
        self._waiting = []

    def journal_slices(self, slices: Iterable[Slice]) -> Iterator[Slice]:
        """Yield the same slices, each journaled before it is passed on."""
        for slice_ in slices:
            self._now = slice_.as_of
            self.append(encode(SliceRecord(slice=slice_), slice_.as_of))
            yield slice_

    def record_prediction(
        self, call: Prediction, prompt: str, adapter: str | None, *, calibrated: bool = False
    ) -> None:
        """Journal a forecast or an abstention with its prompt, raw output and adapter.

        Args:
            call: The prediction.
            prompt: What it answers.
            adapter: The fingerprint of the adapter that answered; None is the base model alone.
            calibrated: Whether its confidence is not the one in its raw output.
        """
        record = PredictionRecord(call=call, prompt=prompt, adapter=adapter, calibrated=calibrated)
        self.append(encode(record, call.as_of))

    def record(self, record: Record) -> None:
        """Journal what the engine did at the current slice."""
        self.append(encode(record, self._now))

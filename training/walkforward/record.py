"""What a walk-forward has on record, and what it adds: each fold is trained once and gated once.

Knows the run's journal and nothing of models. A process that was killed left whole events or none, so that
the next one reads here what is done and goes on with what is not.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import ClosecallError, JournalError, UsageError
from engine.journal.canonical import to_jsonable
from engine.journal.journal import Event, Journal
from strategies.runs import FAILED, FINISHED, INTERRUPTED, JOURNAL, STARTED, create_run

WALKFORWARD = "walkforward_started"

TRAINED, GATED, PROMOTION = "fold_trained", "fold_gated", "promotion"

Key = tuple[str, int]
"""An arm and the number of a fold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldJournal:
    """The journal of one walk-forward with what it says of its folds so far."""

    journal: Journal
    clock: Callable[[], datetime]
    trained: dict[Key, Mapping[str, Any]]
    gated: dict[Key, Mapping[str, Any]]

    @classmethod
    def load(cls, journal: Journal, clock: Callable[[], datetime]) -> "FoldJournal":
        """Read what is on record."""
        found: dict[str, dict[Key, Mapping[str, Any]]] = {TRAINED: {}, GATED: {}}
        for row in journal.read(0, kinds=found):
            found[row.kind][row.payload["arm"], row.payload["fold"]] = row.payload
        return cls(journal=journal, clock=clock, trained=found[TRAINED], gated=found[GATED])

    def append(self, kind: str, as_of: datetime, payload: Mapping[str, Any]) -> None:
        """Append one event at once."""
        self.journal.append([Event(kind=kind, as_of=as_of, payload=to_jsonable(payload))], self.clock())

    def append_trained(self, key: Key, as_of: datetime, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put a trained fold on record; what is returned is what a later process will read."""
        said: Mapping[str, Any] = to_jsonable({"arm": key[0], "fold": key[1], **payload})
        self.append(TRAINED, as_of, said)
        self.trained[key] = said
        return said

    def append_gated(self, key: Key, as_of: datetime, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put a verdict and, if there is one, the promotion on record in one transaction."""
        said: Mapping[str, Any] = to_jsonable({"arm": key[0], "fold": key[1], **payload})
        events = [Event(kind=GATED, as_of=as_of, payload=said)]
        if said["promoted"]:
            change = {name: said[name] for name in ("arm", "fold", "champion", "challenger")}
            events.append(Event(kind=PROMOTION, as_of=as_of, payload=change))
        self.journal.append(events, self.clock())
        self.gated[key] = said
        return said


@contextmanager
def lock_process(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; it goes with the process. Raises UsageError while another one holds it."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(f"{folder}: another process is at work there; wait until it has ended") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def record_if_stopped(record: FoldJournal) -> Iterator[None]:
    """Journal why the block ended, if it did not end well."""
    try:
        yield
    except BaseException as error:
        kind = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        reason = str(error) if isinstance(error, ClosecallError) else type(error).__name__
        record.append(kind, record.clock(), {"reason": reason})
        raise


def open_or_create_run(
    data_dir: Path, resume: str | None, header: Mapping[str, Any], config: Mapping[str, Any], now: datetime
) -> tuple[str, Path]:
    """The name and folder of the run to go on with, or of a new one whose rule is now on record.

    A run goes on if it was started with the same configuration and header and has not finished: the one
    called `resume`, or the newest. Raises UsageError where `resume` is not such a run.
    """
    runs = data_dir / "runs"
    wanted = (to_jsonable(config), to_jsonable(header))
    names = [resume] if resume else sorted((f.name for f in runs.glob("*")), reverse=True)
    for name in names:
        if not (runs / name / JOURNAL).is_file():
            continue
        found = _read_start(runs / name / JOURNAL, name)
        if found is not None and found[:2] == wanted and not found[2]:
            return name, runs / name
        if resume and found is not None and found[2]:
            raise UsageError(f"run {name} has finished; show it with closecall runs {name}")
    if resume:
        raise UsageError(
            f"{resume} in {runs} is no walk-forward that was started with these settings and data; "
            "give the flags of that run, or leave --resume out"
        )
    name, folder = create_run(data_dir, now)
    with Journal.open(folder / JOURNAL, name, create=True) as journal:
        journal.append(
            [
                Event(kind=STARTED, as_of=now, payload=wanted[0]),
                Event(kind=WALKFORWARD, as_of=now, payload=wanted[1]),
            ],
            now,
        )
    return name, folder


def _read_start(path: Path, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any], bool] | None:
    """How a walk-forward was started, and whether it has finished; None for any other run."""
    try:
        with Journal.open(path, name) as journal:
            first = {row.kind: row.payload for _, row in zip(range(2), journal.read(0), strict=False)}
            finished = next(journal.read(max(0, journal.last_seq - 1)), None)
    except JournalError:
        return None
    if WALKFORWARD not in first:
        return None
    return first[STARTED], first[WALKFORWARD], finished is not None and finished.kind == FINISHED

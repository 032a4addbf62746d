"""The journal of a walk-forward: each fold is trained once and gated once.

A process that was killed left whole events or none, so that the next one reads what is done and continues.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import ClosecallError, JournalError, UsageError
from engine.journal.canonical import to_jsonable
from engine.journal.events import Kind, decode_as, encode
from engine.journal.events.rules import RULES, require_rules
from engine.journal.events.sessions import RunFailed, RunInterrupted, RunStarted
from engine.journal.events.training import FoldGated, FoldTrained, Promotion, WalkForwardStarted
from engine.journal.journal import Journal
from strategies.runs import JOURNAL, create_run

Key = tuple[str, int]
"""An arm and the number of a fold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldJournal:
    """The journal of one walk-forward, with the folds that were trained and gated so far."""

    journal: Journal
    clock: Callable[[], datetime]
    trained: dict[Key, FoldTrained]
    gated: dict[Key, FoldGated]

    @classmethod
    def load(cls, journal: Journal, clock: Callable[[], datetime]) -> "FoldJournal":
        """Read the folds that the journal has."""
        trained = [decode_as(FoldTrained, row) for row in journal.read(kinds=(Kind.FOLD_TRAINED,))]
        gated = [decode_as(FoldGated, row) for row in journal.read(kinds=(Kind.FOLD_GATED,))]
        return cls(
            journal=journal,
            clock=clock,
            trained={(fold.arm, fold.fold): fold for fold in trained},
            gated={(fold.arm, fold.fold): fold for fold in gated},
        )

    def append(self, payload: object, as_of: datetime) -> None:
        """Append the event of a payload."""
        self.journal.append([encode(payload, as_of)], self.clock())

    def append_trained(self, trained: FoldTrained, as_of: datetime) -> None:
        """Append a trained fold."""
        self.append(trained, as_of)
        self.trained[trained.arm, trained.fold] = trained

    def append_gated(self, gated: FoldGated, as_of: datetime) -> None:
        """Append a verdict and, if there is one, the promotion, in one transaction."""
        events = [encode(gated, as_of)]
        if gated.promoted:
            promotion = Promotion(
                arm=gated.arm, fold=gated.fold, champion=gated.champion, challenger=gated.challenger
            )
            events.append(encode(promotion, as_of))
        self.journal.append(events, self.clock())
        self.gated[gated.arm, gated.fold] = gated


@contextmanager
def lock_process(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which ends with the process.

    Raises:
        UsageError: While another process holds it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(f"{folder}: another process is at work there; wait until it ends") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def record_if_stopped(record: FoldJournal) -> Iterator[None]:
    """Journal why the block was interrupted or failed."""
    try:
        yield
    except BaseException as error:  # also Ctrl-C is journaled; it is raised again
        reason = str(error) if isinstance(error, ClosecallError) else type(error).__name__
        interrupted = isinstance(error, KeyboardInterrupt)
        ended = RunInterrupted(reason=reason) if interrupted else RunFailed(reason=reason)
        record.append(ended, record.clock())
        raise


def open_or_create_run(
    data_dir: Path, resume: str | None, header: Mapping[str, Any], config: Mapping[str, Any], now: datetime
) -> tuple[str, Path]:
    """Return the name and folder of the run to resume, or of a new one with its plan journaled.

    A run can be resumed if it was started with the same configuration, header and rules, and has not
    finished.

    Args:
        data_dir: The data folder.
        resume: The run to resume; None: the newest that can be.
        header: The plan.
        config: The configuration.
        now: When a new run starts.

    Raises:
        UsageError: `resume` is not such a run.
    """
    runs = data_dir / "runs"
    plan = WalkForwardStarted(
        settings=header["settings"],
        folds=tuple(header["folds"]),
        plan={key: value for key, value in header.items() if key not in ("settings", "folds")},
    )
    started = [encode(RunStarted(config=config, rules=RULES), now), encode(plan, now)]
    expected = [to_jsonable(event.payload) for event in started]
    names = [resume] if resume else sorted((f.name for f in runs.glob("*")), reverse=True)
    for name in names:
        if not (runs / name / JOURNAL).is_file():
            continue
        first, finished = _read_start(runs / name / JOURNAL, name)
        if first == expected and not finished:
            return name, runs / name
        if resume and first and finished:
            raise UsageError(f"run {name} has finished; show it with closecall runs {name}")
        if resume and first:
            require_rules(first[0]["rules"], f"run {name}", "start it again without --resume", oldest=RULES)
    if resume:
        raise UsageError(
            f"{resume} in {runs} is no walk-forward that was started with these settings and data; "
            "give the flags of that run, or omit --resume"
        )
    name, folder = create_run(data_dir, now)
    with Journal.open(folder / JOURNAL, name, create=True) as journal:
        journal.append(started, now)
    return name, folder


def _read_start(path: Path, name: str) -> tuple[list[Mapping[str, Any]], bool]:
    """Return the first events of a walk-forward, and whether it has finished; nothing for another run."""
    try:
        with Journal.open(path, name) as journal:
            rows = [row for _, row in zip(range(2), journal.read(0), strict=False)]
            last = next(journal.read(max(0, journal.last_seq - 1)), None)
    except JournalError:
        return [], False
    if [row.kind for row in rows] != [Kind.RUN_STARTED, Kind.WALKFORWARD_STARTED]:
        return [], False
    rules = {"rules": decode_as(RunStarted, rows[0]).rules}  # older journals do not have them
    first = [rows[0].payload | rules, rows[1].payload]  # type: ignore[operator]  # a dict
    return first, last is not None and last.kind == Kind.RUN_FINISHED

"""The outcomes of a run or session, and training on them outside a walk-forward.

Knows no registry and no gate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import INCOMPATIBLE, JournalError, UsageError
from engine.journal.canonical import to_jsonable
from engine.journal.events import Kind, decode_as, encode
from engine.journal.events.codec import encode_fields
from engine.journal.events.sessions import RunStarted
from engine.journal.events.training import TrainedByHand
from engine.journal.journal import Journal
from strategies.config import BacktestConfig, student_settings
from strategies.paper.files import session_folder
from strategies.run_spec import read_start
from strategies.runs import JOURNAL, list_runs
from training.dataset.experience import Experience, longest_horizon
from training.dataset.loaders import load_run_experiences, load_session_experiences
from training.grpo.train import OnProgress
from training.walkforward.arms import Trainer
from training.walkforward.config import Method, WalkForwardConfig
from training.walkforward.folds import Fold, FoldData, split_fold
from training.walkforward.methods import create_trainers

TRAINING_JOURNAL = "training.sqlite"
"""Beside a run's own journal, which is closed when the run has finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeSource:
    """The outcomes of a run or session and how it was configured. `until` is the last close that is known."""

    run: str
    config: BacktestConfig
    experiences: Sequence[Experience]

    @property
    def until(self) -> datetime:
        """The instant up to which its outcomes are known."""
        return max(one.known_at for one in self.experiences)


def read_source(data_dir: Path, name: str | None, until: datetime | None = None) -> OutcomeSource:
    """Read the outcomes of a run or a paper session, the newest run where None is named.

    A session is read as it stood at `until` (None: now). Raises UsageError if there is none of that name, or
    if it has no outcome yet.
    """
    name = name or _newest_run(data_dir)
    if _is_session(data_dir, name):
        config, experiences = _read_session(data_dir, name, until)
    else:
        config, experiences = _read_run(data_dir, name)
    if not experiences:
        raise UsageError(f"{name} has no forecast with a known outcome; choose another --from")
    return OutcomeSource(run=name, config=config, experiences=experiences)


def open_training_journal(data_dir: Path, run: str) -> Journal:
    """Open, or create, the journal of what was trained on a run or session."""
    folder = data_dir / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    return Journal.open(folder / TRAINING_JOURNAL, run, create=True)


def _is_session(data_dir: Path, name: str) -> bool:
    return (session_folder(data_dir, name) / JOURNAL).is_file()


def _read_run(data_dir: Path, name: str) -> tuple[BacktestConfig, list[Experience]]:
    experiences = load_run_experiences(data_dir, name)
    with Journal.open(data_dir / "runs" / name / JOURNAL, name) as journal:
        started = decode_as(RunStarted, next(journal.read(0, kinds=[Kind.RUN_STARTED])))
        return _decode_config(started.config), experiences


def _read_session(
    data_dir: Path, name: str, until: datetime | None
) -> tuple[BacktestConfig, list[Experience]]:
    with Journal.open(session_folder(data_dir, name) / JOURNAL, name) as journal:
        about = read_start(journal).about
        if "config" not in about:
            raise UsageError(f"session {name} does not state its configuration; choose another --from")
        return _decode_config(about["config"]), load_session_experiences(journal, until)


def _decode_config(stated: Mapping[str, Any]) -> BacktestConfig:
    try:
        return BacktestConfig.model_validate(stated)
    except ValueError as error:
        raise JournalError(f"its configuration cannot be read; {INCOMPATIBLE}") from error


def last_fold(
    experiences: Sequence[Experience], until: datetime, settings: WalkForwardConfig
) -> tuple[Fold, FoldData]:
    """Return the fold that ends with what is known, and its sets."""
    fold = Fold(
        number=1,
        train_from=until - settings.train,
        held_from=until - max(timedelta(days=1), settings.train * settings.held_out),
        cutoff=until,
        gate_at=until + settings.test,
    )
    stated = settings.embargo_days
    embargo = longest_horizon(experiences) if stated is None else timedelta(days=stated)
    return fold, split_fold(experiences, fold, embargo)


def train_once(
    settings: WalkForwardConfig,
    *,
    data_dir: Path,
    run: str | None,
    out: Path,
    clock: Callable[[], datetime],
    on_progress: OnProgress,
    trainers: Mapping[Method, Trainer] | None = None,
) -> dict[str, Any]:
    """Train one adapter on the outcomes of a run or session, from its student, into the folder `out`.

    It goes to no registry and no gate. Raises UsageError where `out` has something in it already.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; choose another --out")
    source = read_source(data_dir, run, clock())
    fold, data = last_fold(source.experiences, source.until, settings)
    config = source.config
    start = student_settings(config)
    with open_training_journal(data_dir, source.run) as journal:

        def append(payload: object) -> None:
            journal.append([encode(payload, fold.cutoff)], clock())

        trainer = (trainers or create_trainers(settings))[settings.method]
        adapter = trainer(start, data.training, data.held_out, out, append, on_progress)
        trained = TrainedByHand(
            run=source.run,
            method=settings.method,
            adapter=str(adapter.folder),
            fingerprint=adapter.fingerprint,
            cutoff=fold.cutoff,
            trained_on=len(data.training.items),
            held_out=len(data.held_out.items),
            clean=adapter.passed_guards,
            reason=adapter.reason,
            figures=adapter.figures,
        )
        append(trained)
    stated: dict[str, Any] = to_jsonable(encode_fields(trained))
    return stated


def _newest_run(data_dir: Path) -> str:
    for one in list_runs(data_dir):
        if one.state != "damaged":
            return one.run
    raise UsageError(f"no runs in {data_dir} to learn from; make one: closecall backtest")

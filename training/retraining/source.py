"""Read the outcomes of a run or session, and train on them outside a walk-forward."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.instruments import Instrument
from engine.journal.canonical import to_jsonable
from engine.journal.events import Kind, decode_as, encode
from engine.journal.events.codec import encode_fields
from engine.journal.events.sessions import RunStarted
from engine.journal.events.training import TrainedByHand
from engine.journal.journal import Journal
from llm.backends import require_trainable
from strategies.config import BacktestConfig, student_settings
from strategies.paper.files import session_folder
from strategies.run_spec import read_start
from strategies.runs import JOURNAL, list_runs
from strategies.students import recorded_settings, require_next_close
from training.dataset.experience import Experience
from training.dataset.loaders import decode_config, load_run_experiences, load_session_experiences
from training.trained_adapter import OnProgress, Trainer, TrainingJob
from training.walkforward.config import Method, WalkForwardConfig
from training.walkforward.folds import Fold, FoldData, split_fold
from training.walkforward.methods import create_trainers
from training.walkforward.plan import choose_embargo

TRAINING_JOURNAL = "training.sqlite"
"""The file beside a run's own journal, which is closed when the run has finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeSource:
    """The outcomes of a run or session, and its configuration."""

    run: str
    config: BacktestConfig
    experiences: Sequence[Experience]

    @property
    def instruments(self) -> dict[str, Instrument]:
        """Return the instruments by symbol."""
        instruments = (item.trade_context.instrument for item in self.experiences)
        return {instrument.symbol: instrument for instrument in instruments}

    @property
    def until(self) -> datetime:
        """Return the instant up to which its outcomes are known."""
        return max(item.known_at for item in self.experiences)


def read_source(data_dir: Path, name: str | None, until: datetime | None = None) -> OutcomeSource:
    """Read the outcomes of a run or a paper session.

    Args:
        data_dir: The data folder.
        name: The run or session; None: the newest run.
        until: Read a session as it was then; None: now.

    Raises:
        UsageError: If there is none of that name, or if it has no outcome yet.
        StudentError: If its student has no weights here to train.
    """
    name = name or _newest_run(data_dir)
    if _is_session(data_dir, name):
        config, experiences = _read_session(data_dir, name, until)
    else:
        config, experiences = _read_run(data_dir, name)
    require_next_close(config, f"training on {name}")
    require_trainable(student_settings(config))
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
        return decode_config(started.config, name), experiences


def _read_session(
    data_dir: Path, name: str, until: datetime | None
) -> tuple[BacktestConfig, list[Experience]]:
    with Journal.open(session_folder(data_dir, name) / JOURNAL, name) as journal:
        about = read_start(journal).about
        if "config" not in about:
            raise UsageError(f"session {name} has no configuration in its journal; choose another --from")
        return decode_config(about["config"], name), load_session_experiences(journal, until)


def build_last_fold(
    experiences: Sequence[Experience], until: datetime, settings: WalkForwardConfig
) -> tuple[Fold, FoldData]:
    """Return the fold that ends with the last known outcome, and its sets.

    Args:
        experiences: All experiences.
        until: The last known outcome.
        settings: The windows.
    """
    fold = Fold(
        number=1,
        train_from=until - settings.train,
        held_from=until - max(timedelta(days=1), settings.train * settings.held_out),
        cutoff=until,
        gate_at=until + settings.test,
    )
    return fold, split_fold(experiences, fold, choose_embargo(settings, experiences))


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
    """Train one adapter on the outcomes of a run or session, without registering or gating it.

    Args:
        settings: The windows and the method of the training.
        data_dir: The data folder.
        run: The run or session to learn from; None: the newest run.
        out: The folder of the adapter.
        clock: The current time.
        on_progress: Called with the current stage, the steps done and the steps in all.
        trainers: The trainer of each method; None: those of the settings.

    Returns:
        The journaled event, as JSON types.

    Raises:
        UsageError: If `out` is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; choose another --out")
    source = read_source(data_dir, run, clock())
    fold, data = build_last_fold(source.experiences, source.until, settings)
    with open_training_journal(data_dir, source.run) as journal:

        def append(payload: object) -> None:
            journal.append([encode(payload, fold.cutoff)], clock())

        trainer = (trainers or create_trainers(settings))[settings.method]
        job = TrainingJob(
            start=recorded_settings(source.config, source.instruments),
            training=data.training,
            held_out=data.held_out,
            folder=out,
            on_event=append,
            on_progress=on_progress,
        )
        adapter = trainer(job)
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
    report: dict[str, Any] = to_jsonable(encode_fields(trained))
    return report


def _newest_run(data_dir: Path) -> str:
    for summary in list_runs(data_dir):
        if summary.state != "damaged":
            return summary.run
    raise UsageError(f"no runs in {data_dir} to learn from; make one with: closecall backtest")

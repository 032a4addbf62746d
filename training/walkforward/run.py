"""The front door of walk-forward training: `walkforward(config, settings) -> Run`.

Folds over history: a challenger is trained, shadows the champion, is gated by a rule that was on record
before, and trades only after that. The result is what the champion of each day said. Knows no screen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.journal.canonical import digest
from engine.journal.journal import Journal
from engine.model import Call
from llm.answer_cache import Ledger
from llm.student import Student, StudentSettings
from llm.transformers_student import load_student
from strategies.backtest import Progress, Run, baseline_calls, play
from strategies.config import BacktestConfig
from strategies.results import STUDENT, Played, count_trial, result_of
from strategies.run_spec import run_inputs
from strategies.runs import FINISHED, JOURNAL, Recorder, export
from training.walkforward.arms import Ground, Reign, Trainer, joined, walk
from training.walkforward.config import Method, WalkForward
from training.walkforward.methods import trainers_for
from training.walkforward.plan import Plan, make_plan
from training.walkforward.record import FoldRecord, on_record_if_stopped, one_process, open_run
from training.walkforward.report import STATIC, Arm, report_of


def walkforward(
    config: BacktestConfig,
    settings: WalkForward,
    *,
    data_dir: Path,
    clock: Callable[[], datetime],
    on_progress: Progress = lambda _stage, _done, _total: None,
    resume: str | None = None,
    load: Callable[[StudentSettings], Student] = load_student,
    trainers: Mapping[Method, Trainer] | None = None,
) -> Run:
    """Train, gate and trade through history; everything goes to the run's own folder under `data_dir`.

    A run that did not finish goes on where it stopped: the one called `resume`, or the newest that was
    started with the same settings on the same data. Raises ClosecallError for what the user can mend.
    """
    on_progress("reading", 0, 0)
    plan = make_plan(config, settings, data_dir, load)
    header, said = plan.header, config.stored()
    name, folder = open_run(data_dir, resume, header, said, clock())
    with _at_work(name, folder, clock) as record, Ledger(data_dir / "ledger.sqlite") as ledger:
        ground = Ground(
            student=plan.wanted,
            load=load,
            ledger=ledger,
            observed=plan.observed,
            bars=plan.facts.bars,
            experiences=plan.lived,
            folds=plan.folds,
            embargo=plan.embargo,
            rules=plan.rules,
            record=record,
            folder=folder,
            on_progress=on_progress,
        )
        arms = _arms(ground, settings, trainers or trainers_for(settings))
        result, played = _finish(name, plan, arms, record, data_dir, on_progress)
    return Run(name=name, folder=folder, result=result, played=played)


@contextmanager
def _at_work(name: str, folder: Path, clock: Callable[[], datetime]) -> Iterator[FoldRecord]:
    with one_process(folder), Journal.open(folder / JOURNAL, name) as journal:
        record = FoldRecord.of(journal, clock)
        if any(journal.read(0, kinds=[FINISHED])):
            raise UsageError(
                f"run {name} was finished by another process; show it with closecall runs {name}"
            )
        with on_record_if_stopped(record):
            yield record


def _arms(ground: Ground, settings: WalkForward, trainers: Mapping[Method, Trainer]) -> dict[str, Arm]:
    """Every arm's joined calls by name; the one that trades comes first, the static student last."""
    arms = {}
    for method in settings.arms:
        reigns = walk(ground, method, trainers[method])
        arms[method.value] = Arm(said=joined(ground, reigns, method.value), reigns=reigns)
    still = [Reign(since=ground.folds[0].cutoff, champion=ground.start)]
    arms[STATIC] = Arm(said=joined(ground, still, STATIC), reigns=still)
    return arms


def _finish(
    name: str,
    plan: Plan,
    arms: Mapping[str, Arm],
    record: FoldRecord,
    data_dir: Path,
    on_progress: Progress,
) -> tuple[dict[str, Any], Mapping[str, Played]]:
    """Trade the joined calls, score them, and put all of it on record in one transaction."""
    facts = replace(plan.facts, start=plan.folds[0].cutoff)
    observed = [one for one in plan.observed if one.as_of > facts.start]
    traded, *others = arms
    now = record.clock()
    recorder = Recorder(record.journal, now, batch=None)
    for event in run_inputs(plan.config, facts, plan.student, now):
        recorder.note(event.kind, event.as_of, dict(event.payload))
    if facts.rates is not None:
        recorder.note("rates", now, asdict(facts.rates))
    for (call, contender), one in zip(arms[traded].said, observed, strict=True):
        recorder.call(call, plan.student.prompt(one), contender.fingerprint)
    calls = arms[traded].calls
    callers: dict[str, Sequence[Call]] = {STUDENT: calls}
    callers |= baseline_calls(plan.config, facts, observed, calls)
    callers |= {other: arms[other].calls for other in others}
    played = play(plan.config, facts, observed, callers, recorder, on_progress)
    result = result_of(name, plan.config, facts, observed, plan.student, 0, played)
    del result["asked"]  # what was asked before a restart is not counted
    result |= report_of(plan, arms, played, record)
    result["digests"]["promotions"] = digest(
        (arm, said.since, said.champion.fingerprint) for arm in arms for said in arms[arm].reigns
    )
    result |= count_trial(name, facts, result, played[STUDENT], data_dir / "trials.jsonl", now)
    if plan.config.out is not None:
        export(plan.config.out, result, played[STUDENT], facts.bars)
    recorder.note(FINISHED, record.clock(), result)
    recorder.flush()
    return result, played

"""The front door of walk-forward training: `walkforward(config, settings) -> Result`.

Folds over history: a challenger is trained, shadows the champion, is gated by a rule that was on record
before, and trades only after that. The result is what the champion of each day said. Knows no screen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.journal.canonical import row_digest
from engine.journal.events import Kind, encode
from engine.journal.events.sessions import RunFinished
from engine.journal.journal import Journal
from engine.model import Prediction
from llm.answer_cache import AnswerCache
from llm.backends import load_student
from llm.student import Student, StudentSettings
from strategies.backtest import Progress, baseline_predictions, simulate_all
from strategies.config import BacktestConfig
from strategies.market_data import MarketData
from strategies.results import STUDENT, Result, SimulationResult, build_result, record_trial
from strategies.run_spec import encode_run_inputs
from strategies.runs import JOURNAL, Recorder, export
from training.walkforward.arms import (
    ChampionPeriod,
    Trainer,
    WalkForwardContext,
    run_arm,
    stitch_out_of_sample,
)
from training.walkforward.config import Method, WalkForwardConfig
from training.walkforward.methods import create_trainers
from training.walkforward.plan import WalkForwardPlan, build_plan
from training.walkforward.record import FoldJournal, lock_process, open_or_create_run, record_if_stopped
from training.walkforward.report import STATIC, ArmResult, build_report


def walkforward(
    config: BacktestConfig,
    settings: WalkForwardConfig,
    *,
    data_dir: Path,
    clock: Callable[[], datetime],
    on_progress: Progress = lambda _stage, _done, _total: None,
    resume: str | None = None,
    load: Callable[[StudentSettings], Student] = load_student,
    trainers: Mapping[Method, Trainer] | None = None,
    data: MarketData | None = None,
) -> Result:
    """Train, gate and trade through history; everything goes to the run's own folder under `data_dir`.

    A run that did not finish goes on where it stopped: the one called `resume`, or the newest that was
    started with the same settings on the same data. Raises ClosecallError for what the user can mend.
    """
    on_progress("reading", 0, 0)
    plan = build_plan(config, settings, data_dir, load, data)
    header, said = plan.header, config.stored()
    name, folder = open_or_create_run(data_dir, resume, header, said, clock())
    with _locked_record(name, folder, clock) as record, AnswerCache(data_dir / "ledger.sqlite") as ledger:
        ground = WalkForwardContext(
            student=plan.wanted,
            load=load,
            ledger=ledger,
            observed=plan.observed,
            bars=plan.facts.bars,
            experiences=plan.experiences,
            folds=plan.folds,
            embargo=plan.embargo,
            rules=plan.rules,
            record=record,
            folder=folder,
            on_progress=on_progress,
        )
        arms = _arms(ground, settings, trainers or create_trainers(settings))
        result, played = _finish_run(name, plan, arms, record, data_dir, on_progress)
    return Result(name=name, folder=folder, result=result, simulations=played, bars=plan.facts.bars)


@contextmanager
def _locked_record(name: str, folder: Path, clock: Callable[[], datetime]) -> Iterator[FoldJournal]:
    with lock_process(folder), Journal.open(folder / JOURNAL, name) as journal:
        record = FoldJournal.load(journal, clock)
        if any(journal.read(0, kinds=[Kind.RUN_FINISHED])):
            raise UsageError(
                f"run {name} was finished by another process; show it with closecall runs {name}"
            )
        with record_if_stopped(record):
            yield record


def _arms(
    ground: WalkForwardContext, settings: WalkForwardConfig, trainers: Mapping[Method, Trainer]
) -> dict[str, ArmResult]:
    """Every arm's joined calls by name; the one that trades comes first, the static student last."""
    arms = {}
    for method in settings.arms:
        reigns = run_arm(ground, method, trainers[method])
        arms[method.value] = ArmResult(
            predictions_by_model=stitch_out_of_sample(ground, reigns, method.value), periods=reigns
        )
    still = [ChampionPeriod(since=ground.folds[0].cutoff, champion=ground.start)]
    arms[STATIC] = ArmResult(predictions_by_model=stitch_out_of_sample(ground, still, STATIC), periods=still)
    return arms


def _finish_run(
    name: str,
    plan: WalkForwardPlan,
    arms: Mapping[str, ArmResult],
    record: FoldJournal,
    data_dir: Path,
    on_progress: Progress,
) -> tuple[dict[str, Any], Mapping[str, SimulationResult]]:
    """Trade the joined calls, score them, and put all of it on record in one transaction."""
    facts = replace(plan.facts, start=plan.folds[0].cutoff)
    observed = [one for one in plan.observed if one.as_of > facts.start]
    traded, *others = arms
    now = record.clock()
    recorder = Recorder(record.journal, now, batch=None)
    for event in encode_run_inputs(plan.config, facts, plan.student, now):
        recorder.append(event)
    if facts.rates is not None:
        recorder.append(encode(facts.rates, now))
    for (call, contender), one in zip(arms[traded].predictions_by_model, observed, strict=True):
        recorder.record_prediction(call, plan.student.prompt(one), contender.fingerprint)
    calls = arms[traded].calls
    callers: dict[str, Sequence[Prediction]] = {STUDENT: calls}
    callers |= baseline_predictions(plan.config, facts, observed, calls)
    callers |= {other: arms[other].calls for other in others}
    played = simulate_all(plan.config, facts, observed, callers, recorder, on_progress)
    result = build_result(name, plan.config, facts, observed, plan.student, 0, played)
    del result["asked"]  # what was asked before a restart is not counted
    result |= build_report(plan, arms, played, record)
    result["digests"]["promotions"] = row_digest(
        (arm, said.since, said.champion.fingerprint) for arm in arms for said in arms[arm].periods
    )
    result |= record_trial(name, facts, result, played[STUDENT], data_dir / "trials.jsonl", now)
    if plan.config.out is not None:
        export(plan.config.out, result, played[STUDENT], facts.bars)
    recorder.append(encode(RunFinished(result=result), record.clock()))
    recorder.flush()
    return result, played

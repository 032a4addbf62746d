"""Run a walk-forward: `walkforward(config, settings) -> Result`.

In each fold a challenger is trained, runs in shadow beside the champion, and trades only after a gate whose
rule was journaled before. The result has the forecasts of each day's champion.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
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
from llm.backends import load_student, require_trainable
from llm.student import Student, StudentSettings
from strategies.backtest import simulate_all
from strategies.baselines.catalog import baseline_predictions
from strategies.comparators import resolve_comparators
from strategies.config import BacktestConfig, student_settings
from strategies.console import Progress
from strategies.equity_file import build_curves, write_equity
from strategies.market_data import MarketData
from strategies.results import STUDENT, Result, SimulationResult, build_result
from strategies.run_spec import UNLIMITED, build_run_spec, encode_run_inputs
from strategies.runs import JOURNAL, Recorder, export, require_free
from strategies.students import refuse_backtest_keys, require_next_close
from strategies.trials import record_trial
from training.trained_adapter import Trainer
from training.walkforward.arms import (
    ChampionPeriod,
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
    """Train, gate and trade through history.

    An unfinished run that was started with the same settings on the same data is resumed.

    Args:
        config: The backtest that the walk-forward runs on.
        settings: Its windows and its training.
        data_dir: The data folder; the run has a folder of its own in it.
        clock: The current time.
        on_progress: Called with the current stage, the steps done and the steps in all.
        resume: The run to resume; None: the newest that can be, or a new one.
        load: Loads the student.
        trainers: The trainer of each method; None: those of the settings.
        data: The market data; None loads what the configuration names.

    Raises:
        ClosecallError: For data or settings that the user can correct.
    """
    require_next_close(config, "a walk-forward")
    refuse_backtest_keys(config, "a walk-forward")
    if settings.arms and trainers is None:
        require_trainable(student_settings(config))
    if config.out is not None:
        require_free(config.out, overwrite=config.overwrite)
    on_progress("reading", 0, 0)
    plan = build_plan(config, settings, data_dir, load, data)
    name, folder = open_or_create_run(data_dir, resume, plan.header, plan.config.stored(), clock())
    with _locked_record(name, folder, clock) as record, AnswerCache(data_dir / "ledger.sqlite") as cache:
        context = WalkForwardContext(
            student=plan.student_settings,
            load=load,
            answer_cache=cache,
            observed=plan.observed,
            bars=plan.data.bars,
            experiences=plan.experiences,
            folds=plan.folds,
            embargo=plan.embargo,
            rules=plan.rules,
            record=record,
            folder=folder,
            on_progress=on_progress,
        )
        arms = _run_arms(context, settings, trainers or create_trainers(settings))
        result, simulations = _finish_run(name, plan, arms, record, data_dir, on_progress)
    return Result(
        name=name,
        folder=folder,
        result=result,
        simulations=simulations,
        bars=plan.data.bars,
        calendars=plan.data.symbol_calendars,
    )


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


def _run_arms(
    context: WalkForwardContext, settings: WalkForwardConfig, trainers: Mapping[Method, Trainer]
) -> dict[str, ArmResult]:
    """Return every arm's result by name: the arm that trades first, the static student last."""
    periods = {
        method.value: run_arm(context, method, trainers[method], len(settings.arms))
        for method in settings.arms
    }
    periods[STATIC] = [ChampionPeriod(since=context.folds[0].cutoff, champion=context.start)]
    return {
        name: ArmResult(
            predictions_by_model=stitch_out_of_sample(context, champions, name), periods=champions
        )
        for name, champions in periods.items()
    }


def _finish_run(
    name: str,
    plan: WalkForwardPlan,
    arms: Mapping[str, ArmResult],
    record: FoldJournal,
    data_dir: Path,
    on_progress: Progress,
) -> tuple[dict[str, Any], Mapping[str, SimulationResult]]:
    """Trade the joined calls, score them, and journal the result in one transaction."""
    data = replace(plan.data, start=plan.folds[0].cutoff)
    observed = [seen for seen in plan.observed if seen.as_of > data.start]
    traded, *others = arms
    now = record.clock()
    recorder = Recorder(record.journal, now, batch=None)
    spec = build_run_spec(plan.config, data, plan.student, UNLIMITED, simulated=True)
    for event in encode_run_inputs(spec, data, now):
        recorder.append(event)
    if data.rates is not None:
        recorder.append(encode(data.rates, now))
    for (call, model), seen in zip(arms[traded].predictions_by_model, observed, strict=True):
        recorder.record_prediction(call, plan.student.prompt(seen), model.fingerprint)
    calls = arms[traded].calls
    forecasters: dict[str, Sequence[Prediction]] = {STUDENT: calls}
    forecasters |= baseline_predictions(plan.config, data, observed, calls)
    forecasters |= {other: arms[other].calls for other in others}
    simulations = simulate_all(spec, data, observed, forecasters, recorder, on_progress)
    write_equity(data_dir / "runs" / name, build_curves(simulations))
    adapted = plan.config.adapter is not None
    result = build_result(
        name,
        spec,
        data,
        observed,
        plan.student,
        0,
        simulations,
        comparators=resolve_comparators(plan.config.comparators),
        adapted=adapted,
    )
    del result["asked"]  # prompts answered before a restart are not counted
    result |= build_report(plan, arms, simulations, record)
    result["digests"]["promotions"] = row_digest(
        (arm, period.since, period.champion.fingerprint) for arm in arms for period in arms[arm].periods
    )
    result |= record_trial(
        name, plan.config, data, result, simulations, data_dir, now, walkforward=asdict(plan.settings)
    )
    if plan.config.out is not None:
        export(plan.config.out, result, simulations[STUDENT], data)
    recorder.append(encode(RunFinished(result=result), record.clock()))
    recorder.flush()
    return result, simulations

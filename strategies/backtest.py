"""Run a backtest: load the data, forecast, trade, score, and record all of it in the run's journal."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ClosecallError
from engine.journal.canonical import to_jsonable
from engine.journal.events import encode
from engine.journal.events.rules import RULES
from engine.journal.events.sessions import Forecasting, RunFailed, RunFinished, RunInterrupted, RunStarted
from engine.journal.journal import Journal
from engine.model import Observation, Phase, Prediction, Slice
from engine.outcomes import match_outcomes
from engine.timeline import build_observations, build_slices
from engine.trading.records import EngineResult
from engine.trading.runner import run as run_engine
from engine.trading.strategy import SliceStrategy
from llm.answer_cache import AnswerCache
from llm.backends import load_student
from llm.forecaster import NO_FORECASTS, Forecasts, forecast
from llm.model_files import fingerprint
from llm.prompts import DEFAULT_WINDOW
from llm.student import Progress as StudentProgress
from llm.student import Student, Task
from strategies.ablations import run_ablations
from strategies.baselines.catalog import baseline_predictions, is_wanted, require_available
from strategies.baselines.counting import buy_and_hold
from strategies.baselines.names import BASELINES, BENCHMARK, holds_full_weight
from strategies.calibration import calibrate, describe_calibration
from strategies.comparators import resolve_comparators
from strategies.config import BacktestConfig
from strategies.console import Progress
from strategies.equity_file import build_curves, write_equity
from strategies.llm_strategy import BetSizing, BuyAndHold, LLMStrategy, PredictionIndex, VolatilityTarget
from strategies.market import Benchmark, describe_history
from strategies.market_data import MarketData, load_market_data
from strategies.results import STUDENT, Result, SimulationResult, build_result
from strategies.run_spec import UNLIMITED, RunSpec, build_run_spec, encode_run_inputs
from strategies.runs import JOURNAL, Recorder, create_run, export, require_free
from strategies.sizing import volatility, volatility_shares
from strategies.students import (
    names_student,
    recorded_settings,
    require_next_close,
    require_student,
    settle_student,
)
from strategies.trials import record_trial

if TYPE_CHECKING:
    from strategies.strategy import Strategy

_PROGRESS_INTERVAL = timedelta(seconds=2)


def backtest(
    config: BacktestConfig,
    *,
    data_dir: Path,
    clock: Callable[[], datetime],
    on_progress: Progress = lambda _stage, _done, _total: None,
    student: Student | None = None,
    strategy: "Strategy | None" = None,
    data: MarketData | None = None,
) -> Result:
    """Forecast, trade and score as a configuration says.

    A strategy of the user's own trades in place of the built-in one; it gets forecasts only where a student
    is given, or named in the configuration.

    Args:
        config: What to run.
        data_dir: Where the run, its journal and the cache of answers go.
        clock: Returns the current time in UTC.
        on_progress: Called with a stage, what is done of it, and the whole.
        student: The student; None takes the one that the configuration names.
        strategy: A strategy that trades in place of the built-in one.
        data: The market data; None loads what the configuration names.

    Raises:
        ClosecallError: For what the user can correct; either nothing was written, or the run is recorded as
            failed. Ctrl-C leaves a run that is recorded as interrupted.
    """
    if config.out is not None:
        require_free(config.out, overwrite=config.overwrite)
    if strategy is not None:
        require_next_close(config, "a strategy")
        require_student(config, student)
    on_progress("reading", 0, 0)
    began_at = clock()
    market = data or load_market_data(config, data_dir, on_progress)
    asked = config
    if student is None and (strategy is None or names_student(config)):
        config, market, student = settle_student(config, market, load_student)
    elif student is not None and not market.is_simulated:
        market = replace(market, notes=(*market.notes, *describe_history(market, config, student.window)))
    require_available(config, market, student=student is not None)
    # Without a student only the oracle's positions are sized, by the volatility of a window.
    window = student.window if student else DEFAULT_WINDOW if market.oracle else 1
    observed = build_observations(market.bars, market.news, window=window, start=market.start)
    strategy_name = type(strategy).__name__ if strategy else None
    spec = build_run_spec(config, market, student, UNLIMITED, simulated=True)
    started_at = clock()
    name, folder = create_run(data_dir, started_at)
    with Journal.open(folder / JOURNAL, name, create=True) as journal:
        recorder = Recorder(journal, started_at)
        recorder.append(encode(RunStarted(config=to_jsonable(config.stored()), rules=RULES), started_at))
        if market.rates is not None:
            recorder.append(encode(market.rates, started_at))
        for event in encode_run_inputs(spec, market, started_at, _describe_task(config, strategy_name)):
            recorder.append(event)
        recorder.flush()
        with _record_run_outcome(recorder, clock):
            report = _progress_callback(recorder, clock, on_progress)
            forecasts, ablations = ask_student(
                config, market, observed, student, data_dir, report, on_progress
            )
            adapter = fingerprint([config.adapter]) if config.adapter else None
            calls, calibration = _calibrate(config, forecasts.calls, market)
            for call, stated, prompt in zip(calls, forecasts.calls, forecasts.prompts, strict=True):
                recorder.record_prediction(call, prompt, adapter, calibrated=call is not stated)
            callers = {STUDENT: calls} | baseline_predictions(
                config, market, observed, forecasts.calls or observed
            )
            callers |= forecast_base(config, market, data_dir, report) if student is not None else {}
            simulations = simulate_all(spec, market, observed, callers, recorder, on_progress, strategy)
            write_equity(folder, build_curves(simulations))
            result = build_result(
                name,
                spec,
                market,
                observed,
                student,
                forecasts.num_generated,
                simulations,
                strategy_name,
                comparators=resolve_comparators(config.comparators),
                adapted=config.adapter is not None,
            )
            result["seconds"] = (clock() - began_at).total_seconds()
            unverified = _describe_unverified(forecasts.num_unverified, name)
            result |= _add_notes(result, calibration, ablations, unverified)
            result |= record_trial(name, asked, market, result, simulations, data_dir, started_at)
            if config.out is not None:
                export(config.out, result, simulations[STUDENT], market)
            recorder.append(encode(RunFinished(result=result), clock()))
            recorder.flush()
    return Result(
        name=name,
        folder=folder,
        result=result,
        simulations=simulations,
        bars=market.bars,
        calendars=market.symbol_calendars,
    )


def forecast_base(
    config: BacktestConfig, market: MarketData, data_dir: Path, on_progress: StudentProgress
) -> dict[str, Sequence[Prediction]]:
    """Return, where it is wanted, what the student forecasts without its adapter, from the same prompts."""
    if config.adapter is None or not is_wanted(config, "base"):
        return {}
    bare = config.model_copy(update={"adapter": None, "adapter_name": None})
    student = load_student(recorded_settings(bare, market.instruments))
    observed = build_observations(market.bars, market.news, window=student.window, start=market.start)
    with AnswerCache(data_dir / "ledger.sqlite") as cache:
        return {"base": forecast(observed, student, cache, on_progress, config.task).calls}


def _add_notes(result: Mapping[str, Any], *parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what parts add to a result; the notes of all follow each other."""
    notes = [note for part in (result, *parts) for note in part.get("notes", ())]
    return {key: value for part in parts for key, value in part.items()} | {"notes": notes}


def _describe_unverified(answers: int, run: str) -> dict[str, Any]:
    """Return what the result says of answers without a seal."""
    if not answers:
        return {}
    note = (
        f"Answers: {answers:,} come from a ledger without a seal on them and cannot be verified; ask again: "
        f"closecall check parity {run} --ask 50."
    )
    return {"unverified_answers": answers, "notes": [note]}


def _describe_task(config: BacktestConfig, strategy: str | None) -> dict[str, str]:
    """Return what the journal keeps of a run that is not the usual one."""
    about = {"strategy": strategy} if strategy else {}
    return about | ({"task": config.task} if config.task is not Task.NEXT else {})


def ask_student(
    config: BacktestConfig,
    market: MarketData,
    observed: Sequence[Observation],
    student: Student | None,
    data_dir: Path,
    report: StudentProgress,
    on_progress: Progress,
) -> tuple[Forecasts, dict[str, Any]]:
    """Return the student's forecasts, and what the result says of their ablations."""
    if student is None:
        return NO_FORECASTS, {}
    with AnswerCache(data_dir / "ledger.sqlite") as cache:
        forecasts = forecast(observed, student, cache, report, config.task)
        if not config.ablate:
            return forecasts, {}
        return forecasts, run_ablations(
            forecasts,
            observed,
            student,
            config=config,
            market=market,
            cache=cache,
            on_progress=on_progress,
        )


def _calibrate(
    config: BacktestConfig, calls: Sequence[Prediction], market: MarketData
) -> tuple[Sequence[Prediction], dict[str, Any]]:
    """Return the predictions that are traded, and what the result says of their calibration."""
    if config.calibrate is None or not calls:
        return calls, {}
    calibrated = calibrate(match_outcomes(calls, market.bars, market.symbol_calendars), config.calibrate)
    report = calibrated.report
    return calibrated.calls, {"calibration": to_jsonable(report), "notes": [describe_calibration(report)]}


def _progress_callback(
    recorder: Recorder, clock: Callable[[], datetime], on_progress: Progress
) -> StudentProgress:
    """Return a function that reports progress to the caller and, every two seconds, to the journal."""
    journaled_at = clock()

    def report(done: int, total: int, tokens_per_second: float = 0.0) -> None:
        nonlocal journaled_at
        rate = f", {tokens_per_second:,.0f} tokens/s" if tokens_per_second else ""
        on_progress(f"forecasting{rate}", done, total)
        at = clock()
        if at - journaled_at >= _PROGRESS_INTERVAL:
            journaled_at = at
            recorder.append(encode(Forecasting(done=done, total=total), at))
            recorder.flush()

    return report


@contextmanager
def _record_run_outcome(recorder: Recorder, clock: Callable[[], datetime]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:  # also Ctrl-C is journaled; it is raised again
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = str(error) if isinstance(error, ClosecallError) else type(error).__name__
        ended = RunInterrupted(reason=reason) if interrupted else RunFailed(reason=reason)
        recorder.append(encode(ended, clock()))
        recorder.flush()
        raise


def simulate_all(
    spec: RunSpec,
    market: MarketData,
    observed: Sequence[Observation],
    predictions: Mapping[str, Sequence[Prediction]],
    recorder: Recorder,
    on_progress: Progress,
    strategy: "Strategy | None" = None,
) -> dict[str, SimulationResult]:
    """Return what everyone's predictions come to in the same engine; only the student's is journaled.

    Baselines that only count moves bet all that a symbol may have; those that learn, and any caller by
    another name, are sized as the student is, by their confidence.

    Args:
        spec: What decides the run.
        market: The market data.
        observed: The observations of all decisions, for volatilities.
        predictions: The predictions by the name of who made them.
        recorder: The journal of the run.
        on_progress: Called with "trading bars", the number of bars done and of all, over all simulations.
        strategy: A strategy that trades the student's predictions in place of the built-in one.
    """
    # Neither the baselines nor a strategy of the user's size by them, so that none are kept for those.
    sizes = any(not holds_full_weight(name) and (name != STUDENT or strategy is None) for name in predictions)
    volatilities = {(seen.symbol, seen.as_of): volatility(seen.bars) for seen in observed} if sizes else {}
    simulations = {}
    bars = market.traded_bars
    done, total = 0, len(bars) * len(predictions)

    def count_bars(slices: Iterable[Slice]) -> Iterator[Slice]:
        nonlocal done
        for slice_ in slices:
            on_progress("trading bars", done, total)
            yield slice_
            done += len(slice_.bars) if slice_.phase is Phase.CLOSE else 0

    for name, calls in predictions.items():
        own = name == STUDENT
        slices = count_bars(build_slices(bars, market.news))
        engine = _simulate(
            name,
            calls,
            volatilities,
            spec,
            market,
            slices,
            recorder if own else None,
            strategy if own else None,
        )
        simulations[name] = SimulationResult(calls=calls, engine=engine)
    on_progress("trading bars", total, total)
    if market.benchmark is not None:
        held = _hold_benchmark(spec, market, market.benchmark, observed)
        # It is no forecast of what is traded, so that none is scored.
        simulations[BENCHMARK] = SimulationResult(calls=(), engine=held)
    return simulations


def _hold_benchmark(
    spec: RunSpec, market: MarketData, benchmark: Benchmark, observed: Sequence[Observation]
) -> EngineResult:
    """Return what buying the benchmark at the first decision and holding it comes to."""
    symbol = benchmark.instrument.symbol
    bars = {symbol: [bar for bar in benchmark.bars if bar.closes_at > market.start]}
    first = min((seen.as_of for seen in observed), default=market.start)
    seen = build_observations(bars, (), window=1, start=market.start, minimum=1)
    calls = buy_and_hold([each for each in seen if each.as_of >= first], bars)
    sizing = replace(spec.sizing, cap=spec.sizing.cap * len(spec.instruments))
    return run_engine(
        build_slices(bars[symbol], ()),
        strategy=BuyAndHold,
        settings={"calls": PredictionIndex(calls), "sizing": sizing},
        instruments={symbol: benchmark.instrument},
        costs={symbol: benchmark.costs},
        calendars={benchmark.instrument.calendar: benchmark.calendar},
        cash=spec.cash,
        rates=market.rates,
        resize_orders=spec.resize_orders,
        keep_steps=False,
    )


def _simulate(
    name: str,
    calls: Sequence[Prediction],
    volatilities: Mapping[tuple[str, datetime], float],
    spec: RunSpec,
    market: MarketData,
    slices: Iterable[Slice],
    recorder: Recorder | None,
    own: "Strategy | None",
) -> EngineResult:
    # What is not to be traded does not reach the engine.
    by_decision = PredictionIndex(calls if spec.sizing.cap else ())
    settings: dict[str, Any]
    strategy: type[SliceStrategy]
    if own is not None:
        from strategies.strategy import StrategyBridge

        strategy = StrategyBridge
        settings = {"rule": own, "predictions": by_decision, "history": market.history}
    elif name == "buy_and_hold":
        strategy, settings = BuyAndHold, {"calls": by_decision, "sizing": spec.sizing}
    elif name == "volatility_target":
        strategy = VolatilityTarget
        settings = {"calls": by_decision, "sizing": spec.sizing, "shares": volatility_shares(market.bars)}
    else:
        strategy = LLMStrategy
        bet_sizing = BetSizing.FULL if holds_full_weight(name) else BetSizing.CONFIDENCE
        settings = {
            "calls": by_decision,
            "sizing": spec.sizing,
            "volatilities": volatilities,
            "bet_sizing": bet_sizing,
        }
    return run_engine(
        recorder.journal_slices(slices) if recorder else slices,
        strategy=strategy,
        settings=settings,
        instruments=market.instruments,
        costs=spec.costs,
        calendars=market.calendars,
        cash=spec.cash,
        rates=market.rates,
        delistings=spec.delistings,
        resize_orders=spec.resize_orders,
        keep_steps=name not in BASELINES,
        on_record=recorder.record if recorder else None,
    )

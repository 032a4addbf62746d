"""The front door: `backtest(config) -> Run` ties facts, student, engine and scores together.

Knows no screen: progress goes to a function that is passed in, and so does the clock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import ClosecallError
from engine.journal.canonical import to_jsonable
from engine.journal.events import encode
from engine.journal.events.rules import RULES
from engine.journal.events.sessions import Forecasting, RunFailed, RunFinished, RunInterrupted, RunStarted
from engine.journal.journal import Journal
from engine.model import Observation, Prediction
from engine.timeline import build_observations, build_slices
from engine.trading.records import EngineResult
from engine.trading.runner import run as run_engine
from engine.trading.strategy import SliceStrategy
from llm.answer_cache import AnswerCache
from llm.backends import load_student
from llm.forecaster import forecast
from llm.model_files import fingerprint
from llm.student import Student
from strategies import baselines
from strategies.config import BacktestConfig, student_settings
from strategies.llm_strategy import BetSizing, BuyAndHold, LLMStrategy
from strategies.market_data import MarketData, build_costs, load_market_data
from strategies.results import (
    BASELINES,
    ORACLE,
    STUDENT,
    SimulationResult,
    build_result,
    oracle_predictions,
    record_trial,
)
from strategies.runs import JOURNAL, Recorder, create_run, export
from strategies.sizing import build_sizing, volatility

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""

_PROGRESS_INTERVAL = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished backtest. `result` is what `--json` prints; `played` has every caller's orders and fills."""

    name: str
    folder: Path
    result: Mapping[str, Any]
    simulations: Mapping[str, SimulationResult]


def backtest(
    config: BacktestConfig,
    *,
    data_dir: Path,
    clock: Callable[[], datetime],
    on_progress: Progress = lambda _stage, _done, _total: None,
    student: Student | None = None,
) -> Run:
    """Forecast, trade and score as `config` says; the run, its journal and the ledger go to `data_dir`.

    `student` overrides the one that `config` names. Raises ClosecallError for what the user can mend; then
    nothing was written, or the run is on record as failed. Ctrl-C leaves a run on record as interrupted.
    """
    from strategies.run_spec import encode_run_inputs  # it builds on this module's sizing

    on_progress("reading", 0, 0)
    facts = load_market_data(config, data_dir)
    student = student or load_student(student_settings(config))
    observed = build_observations(facts.bars, facts.news, window=student.window, start=facts.start)
    started_at = clock()
    name, folder = create_run(data_dir, started_at)
    with Journal.open(folder / JOURNAL, name, create=True) as journal:
        recorder = Recorder(journal, started_at)
        recorder.append(encode(RunStarted(config=to_jsonable(config.stored()), rules=RULES), started_at))
        if facts.rates is not None:
            recorder.append(encode(facts.rates, started_at))
        for event in encode_run_inputs(config, facts, student, started_at):
            recorder.append(event)
        recorder.flush()
        with _record_run_outcome(recorder, clock):
            with AnswerCache(data_dir / "ledger.sqlite") as ledger:
                made = forecast(observed, student, ledger, _progress_callback(recorder, clock, on_progress))
            adapter = fingerprint([config.adapter]) if config.adapter else None
            for call, prompt in zip(made.calls, made.prompts, strict=True):
                recorder.record_prediction(call, prompt, adapter)
            callers = {STUDENT: made.calls} | baseline_predictions(config, facts, observed, made.calls)
            played = simulate_all(config, facts, observed, callers, recorder, on_progress)
            result = build_result(name, config, facts, observed, student, made.num_generated, played)
            result |= record_trial(
                name, facts, result, played[STUDENT], data_dir / "trials.jsonl", started_at
            )
            if config.out is not None:
                export(config.out, result, played[STUDENT], facts.bars)
            recorder.append(encode(RunFinished(result=result), clock()))
            recorder.flush()
    return Run(name=name, folder=folder, result=result, simulations=played)


def _progress_callback(
    recorder: Recorder, clock: Callable[[], datetime], on_progress: Progress
) -> Callable[[int, int], None]:
    """Progress for whoever called, and from time to time for whoever reads the journal."""
    journaled_at = clock()

    def tell(done: int, total: int) -> None:
        nonlocal journaled_at
        on_progress("forecasting", done, total)
        at = clock()
        if at - journaled_at >= _PROGRESS_INTERVAL:
            journaled_at = at
            recorder.append(encode(Forecasting(done=done, total=total), at))
            recorder.flush()

    return tell


@contextmanager
def _record_run_outcome(recorder: Recorder, clock: Callable[[], datetime]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = str(error) if isinstance(error, ClosecallError) else type(error).__name__
        ended = RunInterrupted(reason=reason) if interrupted else RunFailed(reason=reason)
        recorder.append(encode(ended, clock()))
        recorder.flush()
        raise


def baseline_predictions(
    config: BacktestConfig, facts: MarketData, observed: Sequence[Observation], calls: Sequence[Prediction]
) -> dict[str, Sequence[Prediction]]:
    """What every baseline would have called, and the oracle where there is one, by name."""
    callers: dict[str, Sequence[Prediction]] = {
        "buy_and_hold": baselines.buy_and_hold(observed, facts.bars),
        "persistence": baselines.persistence(observed, facts.bars),
        "majority": baselines.majority(observed, facts.bars),
        "random": baselines.random_baseline(observed, config.seed),
    }
    if facts.oracle:
        callers[ORACLE] = oracle_predictions(calls, facts.oracle)
    return callers


def simulate_all(
    config: BacktestConfig,
    facts: MarketData,
    observed: Sequence[Observation],
    predictions: Mapping[str, Sequence[Prediction]],
    recorder: Recorder,
    on_progress: Progress,
) -> dict[str, SimulationResult]:
    """Every caller through the same engine; only the student's run is journaled.

    Baselines bet all that a symbol may have; the student, and any caller by another name, its confidence.
    """
    volatilities = {(one.symbol, one.as_of): volatility(one.bars) for one in observed}
    played = {}
    for number, (name, calls) in enumerate(predictions.items()):
        on_progress("trading", number, len(predictions))
        listener = recorder if name == STUDENT else None
        played[name] = SimulationResult(
            calls=calls, engine=_simulate(name, calls, volatilities, config, facts, listener)
        )
    on_progress("trading", len(predictions), len(predictions))
    return played


def _simulate(
    name: str,
    calls: Sequence[Prediction],
    volatilities: Mapping[tuple[str, datetime], float],
    config: BacktestConfig,
    facts: MarketData,
    recorder: Recorder | None,
) -> EngineResult:
    sizing = build_sizing(config, facts.instruments)
    settings: dict[str, Any] = {"calls": {(c.symbol, c.as_of): c for c in calls}, "sizing": sizing}
    strategy: type[SliceStrategy] = BuyAndHold
    if name != "buy_and_hold":
        strategy = LLMStrategy
        settings["volatilities"] = volatilities
        settings["bet_sizing"] = BetSizing.FULL if name in BASELINES else BetSizing.CONFIDENCE
    slices = build_slices(facts.traded_bars, facts.news)
    return run_engine(
        recorder.journal_slices(slices) if recorder else slices,
        strategy=strategy,
        settings=settings,
        instruments=facts.instruments,
        costs=build_costs(config, facts.instruments),
        calendars=facts.calendars,
        cash=config.cash,
        rates=facts.rates,
        on_record=recorder.record if recorder else None,
    )

"""The run that is checked, made from its data, with everything that is compared."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine.errors import UsageError
from engine.model import Observation, Prediction
from engine.outcomes import match_outcomes
from engine.timeline import build_observations
from llm.answer_cache import AnswerCache
from llm.forecaster import NO_FORECASTS, forecast
from llm.prompts import DEFAULT_WINDOW
from llm.student import Student
from strategies.calibration import calibrate
from strategies.config import BacktestConfig
from strategies.console import Progress
from strategies.lookahead.trading import Trades, trade
from strategies.lookahead.worlds import Alteration, World
from strategies.market_data import MarketData
from strategies.run_spec import UNLIMITED, RunSpec, build_run_spec
from strategies.strategy import Strategy

Key = tuple[str, datetime]
"""Symbol and close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who is checked: each function creates it without anything it has seen, from the data of a world.

    Attributes:
        name: What it is called in the report.
        student: Creates the student; None where a strategy trades without one.
        strategy: Creates the user's strategy; None where the built-in one trades.
        surround: Puts what the user's code reads, and its variables, into a world.
        is_users: Whether there is code of the user's.
    """

    name: str
    student: Callable[[World], Student] | None = None
    strategy: Callable[[World], Strategy] | None = None
    surround: Callable[[World], AbstractContextManager[None]] = lambda _world: nullcontext()
    is_users: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRun:
    """A run with its inputs, prompts by symbol and close, predictions as stated and as traded, and trades."""

    config: BacktestConfig
    data_dir: Path
    subject: Subject
    spec: RunSpec
    window: int
    real: World
    observed: Sequence[Observation]
    prompts: Mapping[Key, str]
    stated: Mapping[Key, Prediction]
    calls: Sequence[Prediction]
    trades: Trades

    @property
    def market(self) -> MarketData:
        """The real market."""
        return self.real.market

    def calibrate(self, market: MarketData, until: datetime) -> Sequence[Prediction]:
        """Return the predictions up to a close as they are traded with the outcomes of a market."""
        stated = [call for call in self.stated.values() if call.as_of <= until]
        return _calibrate(self.config, stated, market)


def make_base_run(
    config: BacktestConfig,
    market: MarketData,
    subject: Subject,
    *,
    data_dir: Path,
    seed: int,
    on_progress: Progress,
) -> BaseRun:
    """Forecast and trade as a backtest does, without baselines, scores and journal.

    Args:
        config: The configuration, whose `mask` is decided.
        market: The market data.
        subject: Who forecasts and trades.
        data_dir: The data folder, with the cache of answers.
        seed: Of what the worlds draw.
        on_progress: Called with a stage, what is done of it, and the whole.

    Raises:
        ClosecallError: For what a backtest fails by.
    """
    real = World(alteration=Alteration.REAL, seed=seed, market=market)
    student = subject.student(real) if subject.student else None
    strategy = subject.strategy(real) if subject.strategy else None
    window = student.window if student else DEFAULT_WINDOW
    observed = build_observations(market.bars, market.news, window=window, start=market.start)
    spec = build_run_spec(config, market, student, UNLIMITED, simulated=True)
    forecasts = NO_FORECASTS
    if student is not None:

        def report(done: int, total: int, _rate: float = 0.0) -> None:
            on_progress("forecasting", done, total)

        with AnswerCache(data_dir / "ledger.sqlite") as cache:
            forecasts = forecast(observed, student, cache, report, config.task)
    calls = _calibrate(config, forecasts.calls, market)
    on_progress("trading", 0, 0)
    trades = trade(spec, market, observed, calls, strategy)
    if trades.failure:
        raise UsageError(trades.failure)
    keys = [(each.symbol, each.as_of) for each in observed] if student else []
    return BaseRun(
        config=config,
        data_dir=data_dir,
        subject=subject,
        spec=spec,
        window=window,
        real=real,
        observed=observed,
        prompts=dict(zip(keys, forecasts.prompts, strict=True)),
        stated=dict(zip(keys, forecasts.calls, strict=True)),
        calls=calls,
        trades=trades,
    )


def _calibrate(
    config: BacktestConfig, calls: Sequence[Prediction], market: MarketData
) -> Sequence[Prediction]:
    if config.calibrate is None or not calls:
        return calls
    return calibrate(match_outcomes(calls, market.bars, market.symbol_calendars), config.calibrate).calls

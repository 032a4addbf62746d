"""Run backtests from Python. The command line runs its backtests here too."""

import shutil
import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from engine.errors import UsageError
from llm.own_student import CheckedStudent
from llm.student import Student
from strategies.backtest import backtest as run_backtest
from strategies.config import BacktestConfig, MarketTable
from strategies.config_file import load_config
from strategies.console import Progress, name_settings, utc_now
from strategies.market_data import MarketData
from strategies.results import Result
from strategies.strategy import Strategy, require_strategy

AnyResult = TypeVar("AnyResult")
_MARKET_KEYS = tuple(MarketTable.model_fields)

DATA_KEYS = (
    *("bars", "store", "news", "market", "symbols", "start", "warm_up_days", "end", "instruments"),
    *("aliases", "rates", "rates_files", "base_currency", "news_latency_seconds", "allow_bad_data"),
    *("skip_unknown_files", "benchmark"),
)
"""The keys of the configuration that decide the data."""


def backtest(
    data: MarketData | None = None,
    *,
    student: str | Path | Student | None = None,
    strategy: Strategy | None = None,
    config: BacktestConfig | None = None,
    folder: Path | str | None = None,
    clock: Callable[[], datetime] = utc_now,
    on_progress: Progress = lambda _stage, _done, _total: None,
    **settings: Any,
) -> Result:
    """Forecast every close, trade, and score against baselines.

    Without `strategy` the student's forecasts are traded; with it the strategy's orders, and a student is
    asked only where one is given, for `Strategy.forecast`.

    Args:
        data: The market data; None simulates a market, or takes what `config` names.
        student: A name, a path, FILE.py:CLASS, or a `closecall.Student`; the default is "tiny".
        strategy: A `closecall.Strategy`.
        config: A whole configuration, in place of `settings`.
        folder: Where the run is kept; the default is a temporary folder that goes with the result.
        clock: Returns the current time in UTC.
        on_progress: Called with a stage, how much of it is done, and the whole.
        settings: Keys of the configuration, such as `cash`, `fee_bps`, `allow_short` and `adapter`.

    Raises:
        UsageError: For a setting that does not fit and for an error in a strategy.
        DataError: For data that cannot be right.
        StudentError: For a student that cannot be used.

    Example:
        >>> import closecall as cc
        >>> data = cc.MarketData.simulated(seed=8, days=60)
        >>> result = cc.backtest(data, student="tiny", cash=50_000)
        >>> result.verdict, len(result.equity), result.forecasts.symbol.nunique()
        ('better', 100, 6)
    """
    chosen = config or build_config(data, student, settings)
    own = None if student is None or isinstance(student, str | Path) else CheckedStudent(student)
    rule = None if strategy is None else require_strategy(strategy)

    def run(place: Path) -> Result:
        return run_backtest(
            chosen,
            data_dir=place,
            clock=clock,
            on_progress=on_progress,
            student=own,
            strategy=rule,
            data=data,
        )

    # The command line's own errors name its flags.
    with nullcontext() if config else name_settings():
        return run_in_folder(run, folder)


def simulate(
    *, student: str | Path | Student | None = None, strategy: Strategy | None = None, **settings: Any
) -> Result:
    """Run a backtest on a simulated market.

    Args:
        student: As for `backtest`.
        strategy: As for `backtest`.
        settings: Those of `MarketData.simulated`, and those of `backtest`.

    Raises:
        ClosecallError: As `backtest` does.

    Example:
        >>> import closecall as cc
        >>> result = cc.simulate(seed=8, coins=2, stocks=0, days=60)
        >>> result.scores.oracle.accuracy > 0.5
        True
    """
    data = {name: value for name, value in settings.items() if name in {*_MARKET_KEYS, *DATA_KEYS, "seed"}}
    rest = {name: value for name, value in settings.items() if name not in data}
    return backtest(MarketData.simulated(**data), student=student, strategy=strategy, **rest)


def build_config(data: MarketData | None, student: object, settings: Mapping[str, Any]) -> BacktestConfig:
    """Return the configuration of a run on data with settings.

    Args:
        data: The market data, whose own settings are taken over.
        student: A name, path or place of a student; any other object is left out.
        settings: Keys of the configuration.

    Raises:
        UsageError: For a setting that does not fit, or that had to be given when the data were made.
    """
    if late := [name for name in settings if data is not None and name in DATA_KEYS]:
        raise UsageError(f"{late[0]}: it decides the data; give it to MarketData, where they are made")
    values = {**(data.settings if data else {}), **settings}
    if isinstance(student, str | Path):
        values["student"] = str(student)
    with name_settings():
        return load_config(None, values)


def run_in_folder(run: Callable[[Path], AnyResult], folder: Path | str | None) -> AnyResult:
    """Return the result of a run in a folder, by default a temporary one that is removed with the result."""
    if folder is not None:
        return run(Path(folder).expanduser())
    place = Path(mkdtemp(prefix="closecall-"))
    try:
        result = run(place)
    except BaseException:  # also Ctrl-C must not leave the temporary folder
        shutil.rmtree(place, ignore_errors=True)
        raise
    weakref.finalize(result, shutil.rmtree, place, ignore_errors=True)
    return result

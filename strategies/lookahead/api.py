"""Check a student, a strategy or a recorded run for lookahead, from Python and from the command line."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from secrets import randbits
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from engine.errors import StudentError, UsageError
from engine.user_code import report_errors
from llm.backends import load_student
from llm.own_student import CheckedStudent
from llm.student import Student
from strategies.api import build_config
from strategies.config import BacktestConfig, student_settings
from strategies.console import Progress, name_settings
from strategies.lookahead.base_run import Subject, make_base_run
from strategies.lookahead.check import check_run
from strategies.lookahead.creation import recreate
from strategies.lookahead.recorded import FINDINGS, RecordedRun, load_recorded
from strategies.lookahead.report import LookaheadReport
from strategies.lookahead.surroundings import alter_readers, alter_variables
from strategies.lookahead.worlds import Alteration, World
from strategies.market_data import MarketData, load_market_data
from strategies.runs import write_atomically
from strategies.strategy import Strategy, load_strategy, require_strategy
from strategies.students import require_next_close, settle_student

Creator = Callable[[World], Any]
POINTS = 6


def check_lookahead(
    data: MarketData | None = None,
    *,
    student: str | Path | Student | Callable[..., Student] | None = None,
    strategy: Strategy | Callable[..., Strategy] | None = None,
    folder: Path | str | None = None,
    points: int = POINTS,
    seed: int | None = None,
    on_progress: Progress = lambda _stage, _done, _total: None,
    **settings: Any,
) -> LookaheadReport:
    """Run a student or a strategy again with later data cut and altered, and return what changes before.

    An object is created again for each run, with the arguments it was created with: market data, bars, news
    and frames of pandas among them are cut and altered alike. A class or function is called for each run,
    with the `MarketData` where it takes an argument.

    Args:
        data: The market data; None simulates a market.
        student: A name, a path, FILE.py:CLASS, a `closecall.Student`, or a function of the data that returns
            one; the default is "tiny" where there is no strategy.
        strategy: A `closecall.Strategy`, or a function of the data that returns one.
        folder: Where answers are cached; the default is a temporary folder.
        points: At how many closes later data are cut and altered.
        seed: Of the closes, the altered data and the order of prompts; None draws one.
        on_progress: Called with a stage, how much of it is done, and the whole.
        settings: Keys of the configuration, as for `backtest`.

    Raises:
        ClosecallError: As `backtest` does, and for too few closes.

    Example:
        >>> import closecall as cc
        >>> class Tomorrow(cc.Strategy):
        ...     def __init__(self, data):
        ...         self.data = data
        ...     def on_close(self, slice):
        ...         for symbol, bar in slice.bars.items():
        ...             later = [b.close for b in self.data.bars[symbol] if b.opens_at >= slice.as_of]
        ...             rises = bool(later) and later[0] > bar.close
        ...             self.order_target_percent(symbol, 0.1 if rises else 0)
        >>> data = cc.MarketData.simulated(seed=8, days=40)
        >>> report = cc.check_lookahead(data, strategy=Tomorrow(data))
        >>> report.ok, str(report.leaks[0].kind)
        (False, 'order')
    """
    config = build_config(data, student, settings)

    def run(place: Path) -> LookaheadReport:
        return check(
            config,
            data_dir=place,
            student=None if isinstance(student, str | Path) else student,
            strategy=strategy,
            data=data,
            points=points,
            seed=seed,
            on_progress=on_progress,
        )

    with name_settings():
        if folder is not None:
            return run(Path(folder).expanduser())
        with TemporaryDirectory(prefix="closecall-") as place:
            return run(Path(place))


def check(
    config: BacktestConfig,
    *,
    data_dir: Path,
    student: Any = None,
    strategy: Any = None,
    data: MarketData | None = None,
    recorded: RecordedRun | None = None,
    points: int = POINTS,
    seed: int | None = None,
    on_progress: Progress = lambda _stage, _done, _total: None,
) -> LookaheadReport:
    """Check what a configuration names, or the objects given in its place.

    Args:
        config: The configuration.
        data_dir: The data folder, with the cache of answers.
        student: A student of the user's, or a function of the data that returns one.
        strategy: The same of a strategy; also its place, FILE.py:CLASS.
        data: The market data; None loads what the configuration names.
        recorded: The run that was recorded, which is compared too.
        points: See `check_lookahead`.
        seed: See `check_lookahead`.
        on_progress: See `check_lookahead`.

    Raises:
        ClosecallError: For what the user can correct.
    """
    began = perf_counter()
    drawn = randbits(32) if seed is None else seed
    if strategy is not None:
        require_next_close(config, "a strategy")
    on_progress("reading", 0, 0)
    market = data or load_market_data(config, data_dir, on_progress)
    asks = strategy is None or bool(config.model_fields_set & {"student", "adapter"})
    if recorded is not None:
        asks = recorded.result.get("student") is not None
    create_student: Creator | None = None
    users = [each for each in (student, strategy) if each is not None]
    if student is not None:
        create_student = _student_creator(student)
    elif asks:
        config, market, loaded = settle_student(config, market, load_student)
        create_student = _loaded_creator(config, loaded)
        users += [config.student] if isinstance(loaded, CheckedStudent) else []
    create_strategy = None if strategy is None else _strategy_creator(strategy)
    real = World(alteration=Alteration.REAL, seed=drawn, market=market)
    trader = create_strategy(real) if create_strategy else None
    forecaster = create_student(real) if create_student else None
    names = [recorded.name if recorded else "", type(trader).__name__ if trader else ""]
    if recorded is not None:
        recorded.require_subject(
            forecaster.fingerprint if forecaster else None, type(trader).__name__ if trader else None
        )
    subject = Subject(
        name=", ".join(filter(None, [*names, forecaster.name if forecaster else ""])),
        student=create_student,
        strategy=create_strategy,
        surround=_surrounder(users),
        is_users=bool(users),
    )
    base = make_base_run(config, market, subject, data_dir=data_dir, seed=drawn, on_progress=on_progress)
    report = check_run(
        base,
        points=points,
        seed=drawn,
        clock=perf_counter,
        began=began,
        on_progress=on_progress,
        compare=recorded.compare if recorded else lambda _run: (),
        run_seconds=recorded.result.get("seconds") if recorded else None,
    )
    if recorded is not None:
        text = json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n"
        write_atomically(recorded.folder / FINDINGS, text)
    return report


def check_recorded(
    name: str, *, data_dir: Path, strategy: str | None = None, points: int = POINTS, on_progress: Progress
) -> LookaheadReport:
    """Check a recorded run and leave the findings in its folder, as `lookahead.json`.

    Args:
        name: The name of the run.
        data_dir: The data folder.
        strategy: The place of the user's strategy that traded, FILE.py:CLASS.
        points: At how many closes later data are cut and altered.
        on_progress: Called with a stage, what is done of it, and the whole.

    Raises:
        ClosecallError: For a run that cannot be made again.
    """
    recorded = load_recorded(data_dir, name)
    return check(
        recorded.config,
        data_dir=data_dir,
        strategy=strategy,
        recorded=recorded,
        points=points,
        on_progress=on_progress,
    )


def _student_creator(student: Any) -> Creator:
    place = f"student {getattr(student, '__name__', type(student).__name__)}"

    def create(world: World) -> Student:
        with report_errors(place, StudentError):
            return CheckedStudent(recreate(student, world))

    return create


def _loaded_creator(config: BacktestConfig, loaded: Student) -> Creator:
    """Return what creates a student again from its file; a model keeps nothing from prompt to prompt."""
    if not isinstance(loaded, CheckedStudent):
        return lambda _world: loaded
    return lambda _world: load_student(student_settings(config))


def _surrounder(users: Sequence[Any]) -> Callable[[World], AbstractContextManager[None]]:
    """Return what puts code of the user's into a world: objects, functions, and the places of files."""

    @contextmanager
    def surround(world: World) -> Iterator[None]:
        with ExitStack() as stack:
            if users:
                stack.enter_context(alter_readers(world))
            for each in users:
                # A file that is named is run again, so that its variables are what it reads.
                if not isinstance(each, str):
                    stack.enter_context(alter_variables(each, world))
            yield

    return surround


def _strategy_creator(strategy: Any) -> Creator:
    if isinstance(strategy, str):
        return lambda _world: load_strategy(strategy)

    def create(world: World) -> Strategy:
        with report_errors("strategy", UsageError):
            return require_strategy(recreate(strategy, world))

    return create

"""Run a grid of backtests in several processes, and say how far its best can be trusted."""

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from engine.errors import ClosecallError, UsageError
from engine.journal.canonical import canonical_json
from engine.metrics.overfitting import estimate_overfitting
from engine.metrics.performance import deflated_sharpe
from engine.metrics.trials import Trial, distinct_trials, find_trials, read_trials, sharpe_variance
from engine.timeline import build_observations
from llm.backends import load_student
from llm.own_student import CheckedStudent
from llm.student import Student
from strategies.api import DATA_KEYS, build_config, run_in_folder
from strategies.backtest import ask_student, backtest, forecast_base
from strategies.conclusions import direction_verdict
from strategies.config import BacktestConfig
from strategies.console import Progress, name_settings, utc_now
from strategies.data_folder import TRIALS_FILE, find_trial_records
from strategies.grid import Grid, GridPoint, build_points
from strategies.market_data import MarketData, load_market_data
from strategies.runs import load_run
from strategies.strategy import Strategy, load_strategy, require_strategy
from strategies.students import names_student, settle_student
from strategies.trials import digest_data, list_trial_settings

if TYPE_CHECKING:
    from pandas import DataFrame

# Keys that decide how forecasts are traded. Points that differ in these alone share data and forecasts.
_TRADING_KEYS = (
    *("cash", "fee_bps", "slippage_bps", "latency_bps", "borrow_rate", "delisting_value", "allow_short"),
    *("gross", "risk_aversion", "calibrate", "costs"),
)


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True, repr=False)
class Sweep:
    """A finished sweep. `print` shows the table of the command line.

    Attributes:
        folder: The data folder, with a run for each point.
        result: Everything about the sweep as JSON types, as `--json` prints it.

    Example:
        >>> import closecall as cc
        >>> data = cc.MarketData.simulated(seed=8, coins=1, stocks=0, days=40)
        >>> sweep = cc.sweep(data, {"max_gross_exposure": [0.5, 0.95]}, jobs=1)
        >>> list(sweep.points.max_gross_exposure), sweep.result["overfitting"]["trials"]
        ([0.5, 0.95], 2)
    """

    folder: Path
    result: Mapping[str, Any]

    @property
    def points(self) -> "DataFrame":
        """A row for each point: its settings, its run and the scores of the student."""
        from pandas import DataFrame

        rows = [{**point, **point["settings"]} for point in self.result["points"]]
        return DataFrame(rows).drop(columns="settings")

    def __str__(self) -> str:
        from strategies.sweep_table import render_sweep

        return render_sweep(self.result)

    def __repr__(self) -> str:
        return f"Sweep({len(self.result['points'])} points, best={self.result['best']!r})"


def sweep(
    data: MarketData | None = None,
    grid: Grid | None = None,
    *,
    student: str | Path | Student | None = None,
    strategy: Strategy | str | None = None,
    config: BacktestConfig | None = None,
    jobs: int | None = None,
    folder: Path | str | None = None,
    clock: Callable[[], datetime] = utc_now,
    on_progress: Progress = lambda _stage, _done, _total: None,
    **settings: Any,
) -> Sweep:
    """Run a backtest for each combination of the values of some keys.

    Forecasts are asked once for each student, prompt and data; then the points run in processes of their own.
    A point that was finished before, in the same folder with the same settings, data and student, is taken
    from its run. Ctrl-C keeps what is finished.

    Args:
        data: The market data; None simulates a market, or takes what `config` names.
        grid: Keys of the configuration, those of a table as "market.days", and the values of each.
        student: As for `backtest`.
        strategy: As for `backtest`, or the place of one, FILE.py:CLASS. One that is passed as an object is
            run again even if it was finished before.
        config: A whole configuration, in place of `settings`.
        jobs: How many processes; the default is one for each core.
        folder: Where the runs are kept; the default is a temporary folder that goes with the result.
        clock: Returns the current time in UTC.
        on_progress: Called with a stage, how much of it is done, and the whole.
        settings: Keys of the configuration for all points.

    Raises:
        UsageError: For a key or value that does not fit, before anything is run.
        ClosecallError: As `backtest` does, where no point can be run.

    Example:
        >>> import closecall as cc
        >>> data = cc.MarketData.simulated(seed=8, coins=1, stocks=0, days=40)
        >>> sweep = cc.sweep(data, {"fee_bps": [0, 10], "allow_short": [False, True]}, jobs=1)
        >>> len(sweep.points), 0 <= sweep.result["overfitting"]["probability"] <= 1
        (4, True)
    """
    if late := [key for key in grid or {} if data is not None and key.partition(".")[0] in DATA_KEYS]:
        raise UsageError(f"{late[0]}: it decides the data; leave out data, and give what they are made of")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: it takes at least one process")
    if isinstance(strategy, str):
        load_strategy(strategy)  # what is wrong with it is said before anything is run
    elif strategy is not None:
        require_strategy(strategy)
    own = None if student is None or isinstance(student, str | Path) else CheckedStudent(student)
    with nullcontext() if config else name_settings():
        base = config or build_config(data, student, settings)
        if jobs != 1:
            _require_sendable(own, strategy)
        points = build_points(base, grid or {})

        def run(place: Path) -> Sweep:
            task = _SweepTask(
                data_dir=place, clock=clock, student=own, strategy=strategy, on_progress=on_progress
            )
            return Sweep(folder=place, result=_run_points(task, points, data, jobs or os.cpu_count() or 1))

        return run_in_folder(run, folder)


def _require_sendable(*objects: object) -> None:
    """Raise UsageError, before anything is run, for what no other process could be given."""
    from joblib.externals.loky.backend.reduction import dumps

    try:
        dumps(objects)
    except Exception as error:  # a user's object may raise anything
        raise UsageError(
            f"student or strategy cannot be given to another process ({error}); run it with --jobs 1"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _SweepTask:
    """What all points have in common."""

    data_dir: Path
    clock: Callable[[], datetime]
    student: Student | None
    strategy: Strategy | str | None
    on_progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """The run of a point, or why it could not be made."""

    run: str | None = None
    result: Mapping[str, Any] | None = None
    error: ClosecallError | None = None
    finished_before: bool = False


def _run_points(
    task: _SweepTask, points: Sequence[GridPoint], data: MarketData | None, jobs: int
) -> dict[str, Any]:
    outcomes: dict[int, _Outcome] = {}
    task.data_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".sweep-", dir=task.data_dir, ignore_cleanup_errors=True) as temporary:
        waiting: dict[int, Path] = {}
        groups = _group_points(points)
        for number, places in enumerate(groups, start=1):
            if len(groups) > 1:
                task.on_progress("preparing", number - 1, len(groups))
            file = Path(temporary) / f"{number}.data"
            try:
                finished = _prepare(task, [points[place].config for place in places], data, file)
            except ClosecallError as error:
                outcomes |= dict.fromkeys(places, _Outcome(error=error))
                continue
            for place, outcome in zip(places, finished, strict=True):
                if outcome is None:
                    waiting[place] = file
                else:
                    outcomes[place] = outcome
        for done, (place, outcome) in enumerate(_run_waiting(task, points, waiting, jobs), len(outcomes) + 1):
            outcomes[place] = outcome
            task.on_progress("sweeping", done, len(points))
    errors = [outcome.error for outcome in outcomes.values() if outcome.error]
    if len(errors) == len(points):
        raise errors[0]
    return _summarize(task, points, [outcomes[place] for place in range(len(points))])


def _group_points(points: Sequence[GridPoint]) -> list[list[int]]:
    """Return the places of the points that share data and forecasts."""
    groups: dict[str, list[int]] = {}
    for place, point in enumerate(points):
        stored = {key: value for key, value in point.config.stored().items() if key not in _TRADING_KEYS}
        groups.setdefault(canonical_json(stored), []).append(place)
    return list(groups.values())


def _prepare(
    task: _SweepTask, configs: Sequence[BacktestConfig], data: MarketData | None, file: Path
) -> list[_Outcome | None]:
    """Return the points that were finished before; for the others, make the forecasts and keep the data.

    Args:
        task: What all points have in common.
        configs: Points that share data and forecasts.
        data: The market data; None loads them.
        file: Where the data are kept for the processes.
    """
    import joblib

    config = configs[0]
    market = data or load_market_data(config, task.data_dir, task.on_progress)
    student, settled, seen = task.student, config, market
    if student is None and (task.strategy is None or names_student(config)):
        settled, seen, student = settle_student(config, market, load_student)
    digest = digest_data(market)
    finished = _find_finished(task, configs, digest, student)
    if not all(finished):
        if student is not None:
            observed = build_observations(seen.bars, seen.news, window=student.window, start=seen.start)
            report = _report_forecasts(task.on_progress)
            ask_student(settled, seen, observed, student, task.data_dir, report, task.on_progress)
            forecast_base(settled, seen, task.data_dir, report)
        joblib.dump(market, file)
    return finished


def _report_forecasts(on_progress: Progress) -> Any:
    def report(done: int, total: int, tokens_per_second: float = 0.0) -> None:
        rate = f", {tokens_per_second:,.0f} tokens/s" if tokens_per_second else ""
        on_progress(f"forecasting{rate}", done, total)

    return report


def _find_finished(
    task: _SweepTask, configs: Sequence[BacktestConfig], digest: str, student: Student | None
) -> list[_Outcome | None]:
    """Return the finished run of each point, the newest of several; None where there is none."""
    trials: dict[tuple[object, ...], Trial] = {}
    if task.strategy is None:
        for trial in read_trials([task.data_dir / TRIALS_FILE]):
            trials[canonical_json(trial.settings), trial.data_digest, trial.student] = trial
    fingerprint = student.fingerprint if student else None
    outcomes: list[_Outcome | None] = []
    for config in configs:
        known = trials.get((canonical_json(list_trial_settings(config)), digest, fingerprint))
        try:
            result = load_run(task.data_dir, known.run).result if known else None
        except ClosecallError:  # the run was removed or is damaged: it is made again
            result = None
        outcomes.append(
            _Outcome(run=known.run, result=result, finished_before=True) if known and result else None
        )
    return outcomes


def _run_waiting(
    task: _SweepTask, points: Sequence[GridPoint], waiting: Mapping[int, Path], jobs: int
) -> Iterator[tuple[int, _Outcome]]:
    """Yield the outcome of each point as it comes, with its place."""
    import joblib

    parallel = joblib.Parallel(n_jobs=min(jobs, max(1, len(waiting))), return_as="generator_unordered")
    calls = (
        joblib.delayed(_run_point)(
            place, points[place].config, task.data_dir, task.clock, task.student, task.strategy, file
        )
        for place, file in waiting.items()
    )
    try:
        yield from parallel(calls)
    except BrokenProcessPool as error:
        raise UsageError("--jobs: a process ended, perhaps for lack of memory; use fewer jobs") from error


def _run_point(
    place: int,
    config: BacktestConfig,
    data_dir: Path,
    clock: Callable[[], datetime],
    student: Student | None,
    strategy: Strategy | str | None,
    file: Path,
) -> tuple[int, _Outcome]:
    """Run one point, in whatever process."""
    rule = load_strategy(strategy) if isinstance(strategy, str) else copy.deepcopy(strategy)
    try:
        run = backtest(
            config, data_dir=data_dir, clock=clock, student=student, strategy=rule, data=_load_data(file)
        )
    except ClosecallError as error:  # the other points go on, and the table states it
        return place, _Outcome(error=error)
    return place, _Outcome(run=run.name, result=run.result)


@lru_cache(maxsize=1)
def _load_data(file: Path) -> MarketData:
    import joblib

    market: MarketData = joblib.load(file)
    return market


def _summarize(task: _SweepTask, points: Sequence[GridPoint], outcomes: Sequence[_Outcome]) -> dict[str, Any]:
    """Return the result of a sweep as JSON types."""
    by_run = {trial.run: trial for trial in read_trials([task.data_dir / TRIALS_FILE])}
    trials = [by_run[outcome.run] for outcome in outcomes if outcome.run in by_run]
    known = [trial for trial in trials if trial.daily_sharpe is not None]
    best = max(known, key=lambda trial: trial.daily_sharpe or 0.0, default=None)
    different = distinct_trials(trials)
    estimate = estimate_overfitting([trial.daily_returns for trial in different])
    result = next((outcome.result for outcome in outcomes if best and outcome.run == best.run), None)
    return {
        "keys": list(points[0].settings),
        "points": [_describe_point(*pair) for pair in zip(points, outcomes, strict=True)],
        "best": best.run if best else None,
        "overfitting": asdict(estimate) if estimate else None,
        **(_deflate_best(task, best, result) if best and result else {}),
        **({"verdicts": result.get("verdicts")} if result else {}),
    }


def _describe_point(point: GridPoint, outcome: _Outcome) -> dict[str, Any]:
    scores = outcome.result["scores"]["student"] if outcome.result else {}
    shown = {
        key: value if isinstance(value, bool | int | float | None) else str(value)
        for key, value in point.settings.items()
    }
    return {
        "settings": shown,
        "run": outcome.run,
        "finished_before": outcome.finished_before,
        "accuracy": scores.get("accuracy"),
        "total_return": scores.get("total_return"),
        "sharpe": scores.get("sharpe"),
        "max_drawdown": scores.get("max_drawdown"),
        "verdict": direction_verdict(outcome.result) if outcome.result else None,
        "error": str(outcome.error) if outcome.error else None,
    }


def _deflate_best(task: _SweepTask, best: Trial, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the deflated Sharpe ratio of the best point, by all trials on its data."""
    known = find_trials(find_trial_records(task.data_dir), best)
    different = distinct_trials(known)
    yardstick = result["sharpe_yardstick"]
    return {
        "trials": len(known),
        "distinct_trials": len(different),
        "deflated_sharpe": deflated_sharpe(
            list(best.daily_returns.values()),
            len(different),
            sharpe_variance(different),
            yardstick["sharpe"] / sqrt(result["days_per_year"]),
        ),
        "sharpe_yardstick": yardstick,
    }

"""The drift bench: does walk-forward retraining follow a market whose news changes its meaning?

One simulated market is reversed midway, at the start of a test window. The bench runs
`training.walkforward.run` as a user would, and measures the arms on the days after the second gate that
follows the reversal.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.metrics.accuracy import compute_accuracy
from engine.model import Bar, Prediction
from engine.outcomes import match_outcomes
from feeds.simulated.market import OracleView
from llm.backends import load_student
from llm.student import StudentSettings
from strategies.backtest import Progress
from strategies.config import BacktestConfig
from strategies.market import midnight
from strategies.market_data import load_market_data
from strategies.market_simulation import SIMULATED_START
from strategies.results import ORACLE, STUDENT, Result, edge_captured, oracle_predictions
from training.benches.windows import BenchWindows
from training.walkforward.config import Method
from training.walkforward.folds import FoldData, split_fold
from training.walkforward.plan import build_plan
from training.walkforward.report import STATIC
from training.walkforward.run import walkforward


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftBench(BenchWindows):
    """The market and the windows: `before` test windows, the reversal, and `after` more.

    A challenger trained at the reversal has seen no data after it. The one trained a window later is gated at
    the second gate after it, so `after` needs at least three windows for one to be measured.
    """

    seed: int = 31
    before: int = 2
    after: int = 4

    def __post_init__(self) -> None:
        if self.before < 1 or self.after < 3:
            raise UsageError(
                f"drift bench: {self.before} windows before the reversal and {self.after} after it; "
                "give at least 1 and 3"
            )

    @property
    def reversal(self) -> date:
        """Return the first day on which the news means the opposite, the first of a test window."""
        return SIMULATED_START + self.window_start(self.before)

    @property
    def measured_from(self) -> datetime:
        """Return the instant of the second gate that follows the reversal."""
        return midnight(self.reversal) + timedelta(days=2 * self.test_days)

    @property
    def config(self) -> BacktestConfig:
        """Return the configuration of the backtest."""
        return self.build_config(self.seed, windows=self.before + self.after, reversed_at=self.before)


def measure_drift(
    bench: DriftBench,
    *,
    data_dir: Path,
    clock: Callable[[], datetime],
    on_progress: Progress,
    walk: Callable[..., Result] = walkforward,
) -> dict[str, Any]:
    """Measure every arm before the reversal and after the second gate.

    Args:
        bench: The market and the windows.
        data_dir: The data folder of the run.
        clock: The current time.
        on_progress: Called with the current stage, the steps done and the steps in all.
        walk: Runs the walk-forward.

    Returns:
        Figures by arm, as JSON types. `edge_*` are shares of the oracle's edge on the days traded.
        `close_error` is the mean error of the close over the oracle's, so that a higher volatility does not
        count against the student.
    """
    started = time.perf_counter()
    run = walk(bench.config, bench.build_settings(), data_dir=data_dir, clock=clock, on_progress=on_progress)
    seconds = time.perf_counter() - started
    data = load_market_data(bench.config, data_dir)
    reversal = midnight(bench.reversal)
    arms = _calls_by_arm(run, bench)
    before = {
        name: _figures([call for call in calls if call.as_of < reversal], data.bars, data.oracle)
        for name, calls in arms.items()
    }
    after = {
        name: _figures([call for call in calls if call.as_of > bench.measured_from], data.bars, data.oracle)
        for name, calls in arms.items()
    }
    return {
        "bench": {**asdict(bench), "method": bench.method.value},
        "reversal": bench.reversal.isoformat(),
        "measured_from": bench.measured_from.date().isoformat(),
        "edge_before": before[STATIC]["edge"],
        **{f"edge_{_KEYS[name]}_after": after[name]["edge"] for name in arms if name in _KEYS},
        "before": before,
        "after": after,
        "ratios": _ratios(before, after),
        "promotions": run.result["promotions"],
        "folds": run.result["folds"],
        "comparison": run.result["comparison"],
        "seconds": seconds,
        "seconds_per_fold": seconds / len(run.result["folds"]),
        "run": run.name,
    }


def post_reversal_fold(bench: DriftBench, data_dir: Path) -> tuple[StudentSettings, FoldData]:
    """Return the student, and the sets of the fold that is trained one test window after the reversal.

    If the training window is no longer than the test window, all of it is after the reversal.
    """
    plan = build_plan(bench.config, bench.build_settings(), data_dir, load_student)
    return plan.student_settings, split_fold(plan.experiences, plan.folds[bench.before + 1], plan.embargo)


_KEYS = {STATIC: "static", Method.GRPO.value: "walkforward", Method.SFT.value: "sft"}


def _calls_by_arm(run: Result, bench: DriftBench) -> dict[str, Sequence[Prediction]]:
    others = {
        name: run.simulations[name].calls for name in (STATIC, Method.SFT.value) if name in run.simulations
    }
    traded, oracle = run.simulations[STUDENT].calls, run.simulations[ORACLE].calls
    return {bench.method.value: traded, **others, ORACLE: oracle}


def _figures(
    calls: Sequence[Prediction],
    bars: Mapping[str, Sequence[Bar]],
    oracle: Mapping[tuple[str, datetime], OracleView],
) -> dict[str, Any]:
    scores = compute_accuracy(match_outcomes(calls, bars))
    best = compute_accuracy(match_outcomes(oracle_predictions(calls, oracle), bars))
    return {
        "decisions": len(calls),
        "days": scores.days,
        "edge": edge_captured(calls, oracle),
        "accuracy": scores.accuracy,
        "brier": scores.brier,
        "brier_over_oracle": None if scores.brier is None else scores.brier - (best.brier or 0.0),
        "close_mae_bps": scores.close_mae_bps,
        "close_error": _ratio(scores.close_mae_bps, best.close_mae_bps),
        "abstentions": scores.abstentions / max(1, len(calls)),
    }


def _ratios(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, float | None]]:
    """Return each arm's figures after the second gate over the static student's before the reversal."""
    names = ("brier", "close_mae_bps", "close_error")
    return {arm: {name: _ratio(after[arm][name], before[STATIC][name]) for name in names} for arm in after}


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base

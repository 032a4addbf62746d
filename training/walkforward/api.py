"""Run walk-forwards from Python. The command line runs its walk-forwards here too."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from strategies.api import build_config, run_in_folder
from strategies.config import BacktestConfig
from strategies.console import Progress, name_settings, utc_now
from strategies.market_data import MarketData
from strategies.results import Result
from training.walkforward.config import WalkForwardConfig, build_settings
from training.walkforward.run import walkforward as run_walkforward

_OWN_SETTINGS = {field.name for field in fields(WalkForwardConfig)} - {"seed", "method", "weights"}


def walkforward(
    data: MarketData | None = None,
    *,
    student: str | Path | None = None,
    method: str = "grpo",
    weights: Mapping[str, float] | None = None,
    config: BacktestConfig | None = None,
    folder: Path | str | None = None,
    clock: Callable[[], datetime] = utc_now,
    on_progress: Progress = lambda _stage, _done, _total: None,
    resume: str | None = None,
    **settings: Any,
) -> Result:
    """Retrain through history: train a challenger for each fold, gate it, and trade the champion of the day.

    Args:
        data: The market data; None simulates a market.
        student: The name or path of a local model; the default is "tiny".
        method: How challengers are trained: "grpo", "sft" or "none".
        weights: The weights of the parts of the reward, by name.
        config: A whole configuration of the backtest, in place of its keys among `settings`.
        folder: Where the run is kept; the default is a temporary folder that goes with the result.
        clock: Returns the current time in UTC.
        on_progress: Called with a stage, how much of it is done, and the whole.
        resume: The run to resume; None: the newest in `folder` with equal settings, or a new one.
        settings: `train_days`, `test_days`, `step_days`, `recency_half_life`, `held_out`, `embargo_days`,
            `steps` and `compare` of the walk-forward, and keys of the configuration.

    Raises:
        ClosecallError: For what the user can correct.

    Example:
        >>> import closecall as cc
        >>> data = cc.MarketData.simulated(seed=8, coins=2, stocks=0, days=90)
        >>> result = cc.walkforward(data, method="none", train_days=40, test_days=20)
        >>> [fold["number"] for fold in result.result["folds"]]
        [1, 2]
    """
    if student is not None and not isinstance(student, str | Path):
        raise UsageError(f"student: {type(student).__name__} has no weights to train; name a local model")
    own = {name: value for name, value in settings.items() if name in _OWN_SETTINGS}
    rest = {name: value for name, value in settings.items() if name not in own}
    # The command line's own errors name its flags.
    with nullcontext() if config else name_settings():
        chosen = config or build_config(data, student, rest)
        windows = build_settings(method, weights, seed=chosen.seed, **own)

        def run(place: Path) -> Result:
            return run_walkforward(
                chosen,
                windows,
                data_dir=place,
                clock=clock,
                on_progress=on_progress,
                resume=resume,
                data=data,
            )

        return run_in_folder(run, folder)

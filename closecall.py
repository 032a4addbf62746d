"""The public API of closecall: `import closecall as cc`.

Example:
    >>> import closecall as cc
    >>> result = cc.backtest(cc.MarketData.simulated(seed=8, days=60), student="tiny")
    >>> print(result)  # doctest: +ELLIPSIS
    SIMULATED market  2023-01-01 to 2023-03-01  student tiny
    ...
    Research software. Not financial advice.

Names are imported at their first use, so that importing this module takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from strategies import PUBLIC

if TYPE_CHECKING:
    from engine.errors import ClosecallError, DataError, StudentError, UsageError
    from engine.model import Forecast, Slice
    from llm.answers import format_answer
    from llm.own_student import BaseStudent as Student
    from strategies.api import backtest, simulate
    from strategies.lookahead.api import check_lookahead
    from strategies.market_data import MarketData
    from strategies.results import Result
    from strategies.strategy import Strategy
    from strategies.sweep import Sweep, sweep
    from training.rewards import RewardPart, add_reward_part
    from training.walkforward.api import walkforward

__all__ = [
    "ClosecallError",
    "DataError",
    "Forecast",
    "MarketData",
    "Result",
    "RewardPart",
    "Slice",
    "Strategy",
    "Student",
    "StudentError",
    "Sweep",
    "UsageError",
    "add_reward_part",
    "backtest",
    "check_lookahead",
    "format_answer",
    "simulate",
    "sweep",
    "walkforward",
]

_PLACES = PUBLIC | {
    "RewardPart": "training.rewards",
    "Student": "llm.own_student:BaseStudent",
    "add_reward_part": "training.rewards",
    "walkforward": "training.walkforward.api",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _read_version()
    if name not in _PLACES:
        raise AttributeError(f"module 'closecall' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    value = globals()[name] = getattr(import_module(module), attribute or name)
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _read_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("closecall")
    except PackageNotFoundError:
        return "unknown: closecall is not installed"

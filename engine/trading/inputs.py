"""The inputs of the engine: slices, and what happens between them.

Only a slice advances backtrader, so that last prices and the passing of time change no mark, no size and no
fill by themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from engine.corporate_actions import Dividend, Split
from engine.model import Slice
from engine.trading.risk import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPrices:
    """Last traded prices by symbol, in the quote currency: they value positions and fill nothing."""

    at: datetime
    prices: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMissed:
    """The open for which orders of `symbols` waited was missed: the orders are void."""

    at: datetime
    symbols: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAdvanced:
    """Time advanced to `at`, and nothing else happened."""

    at: datetime


NonSliceInput = LastPrices | OpenMissed | TimeAdvanced | Command | Split | Dividend
EngineInput = Slice | NonSliceInput

"""What a source may hand the engine: slices, and what happens between them.

Knows no journal and no engine. A slice moves backtrader on; nothing else does, so that last prices and the
passing of time change no mark, no size and no fill by themselves.
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
    """Orders of `symbols` that wait are void: the open they waited for was missed."""

    at: datetime
    symbols: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAdvanced:
    """It is `at` now, and nothing else came."""

    at: datetime


NonSliceInput = LastPrices | OpenMissed | TimeAdvanced | Command | Split | Dividend

EngineInput = Slice | NonSliceInput

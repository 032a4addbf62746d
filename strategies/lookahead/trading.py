"""Trade the days up to a close again, and record every weight that was wanted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.errors import UsageError
from engine.model import Observation, Phase, Prediction, Slice
from engine.timeline import build_slices
from engine.trading.records import EngineResult, Fill, OrderRecord
from engine.trading.runner import run as run_engine
from engine.trading.strategy import SliceStrategy
from strategies.llm_strategy import BetSizing, LLMStrategy, PredictionIndex
from strategies.market_data import MarketData
from strategies.run_spec import RunSpec
from strategies.sizing import volatility
from strategies.strategy import Strategy, StrategyBridge

Wanted = tuple[datetime, str, float, str]
"""A weight that was wanted: the close, the symbol, the fraction of equity, and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades:
    """What was wanted, and what came of it; `failure` is the error that ended it at `failed_at`."""

    wanted: Sequence[Wanted]
    engine: EngineResult | None
    failure: str = ""
    failed_at: datetime | None = None

    @property
    def orders(self) -> Sequence[OrderRecord]:
        """The orders, each in its last status."""
        return self.engine.orders if self.engine else ()

    @property
    def fills(self) -> Sequence[Fill]:
        """The fills."""
        return self.engine.fills if self.engine else ()


class _RecordsWeights(SliceStrategy):
    """Keeps each weight that is wanted in a list."""

    def __init__(self, *, wanted: list[Wanted], **settings: Any) -> None:
        self._wanted = wanted
        super().__init__(**settings)

    def order_target_percent(self, symbol: str, weight: float, reason: str = "") -> None:
        self._wanted.append((self.cerebro.order_manager.now.as_of, symbol, weight, reason))
        super().order_target_percent(symbol, weight, reason)


class _RecordedBridge(_RecordsWeights, StrategyBridge):
    pass


class _RecordedStrategy(_RecordsWeights, LLMStrategy):
    pass


def trade(
    spec: RunSpec,
    market: MarketData,
    observed: Sequence[Observation],
    calls: Sequence[Prediction],
    strategy: Strategy | None,
    until: datetime | None = None,
) -> Trades:
    """Run the engine on a market to the close of an instant, which is the last that is seen.

    Args:
        spec: The settings of the run.
        market: The market.
        observed: The observations, for the volatilities that the built-in strategy sizes by.
        calls: The student's predictions.
        strategy: The user's strategy; None trades the predictions by the built-in one.
        until: The last instant; None runs to the end.
    """
    wanted: list[Wanted] = []
    seen: list[datetime] = []
    predictions = PredictionIndex(calls if spec.sizing.cap else ())
    settings: Mapping[str, Any] = {"rule": strategy, "predictions": predictions, "history": market.history}
    if strategy is None:
        volatilities = {(each.symbol, each.as_of): volatility(each.bars) for each in observed}
        settings = {
            "calls": predictions,
            "sizing": spec.sizing,
            "volatilities": volatilities,
            "bet_sizing": BetSizing.CONFIDENCE,
        }
    try:
        result = run_engine(
            _take_slices(market, until, seen),
            strategy=_RecordedStrategy if strategy is None else _RecordedBridge,
            settings={"wanted": wanted, **settings},
            instruments=market.instruments,
            costs=spec.costs,
            calendars=market.calendars,
            cash=spec.cash,
            rates=market.rates,
            delistings=spec.delistings,
            resize_orders=spec.resize_orders,
            keep_steps=False,
        )
    except UsageError as error:  # the user's code failed, which may be because later data are missing
        return Trades(wanted=wanted, engine=None, failure=str(error), failed_at=seen[-1])
    return Trades(wanted=wanted, engine=result)


def _take_slices(market: MarketData, until: datetime | None, seen: list[datetime]) -> Iterator[Slice]:
    bars = [bar for bar in market.traded_bars if until is None or bar.opens_at < until]
    for slice_ in build_slices(bars, market.news):
        if until is not None and (
            slice_.as_of > until or (slice_.as_of, slice_.phase) == (until, Phase.OPEN)
        ):
            return
        seen.append(slice_.as_of)
        yield slice_

"""The reward bench: does the return in a reward equal that of backtrader's step, over random markets?

Calls are random too. Prices gap and jump, and symbols differ in costs, lots, currency and in whether they can
be sold short, so that nothing agrees by chance.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from engine.calendars import RoundTheClock
from engine.fx import FxRates
from engine.instruments import ROUND_THE_CLOCK, AssetClass, Costs, Instrument
from engine.model import Abstention, Bar, Direction, Forecast, Prediction, Slice
from engine.timeline import build_observations, build_slices
from engine.trading.runner import run
from strategies.llm_strategy import BetSizing, LLMStrategy
from strategies.sizing import PositionSizing, volatility
from training.dataset.counterfactual import simulate_step
from training.dataset.experience import Experience, Key
from training.dataset.reconstruction import find_engine_return, reconstruct_experiences
from training.dataset.run_history import RunHistory

if TYPE_CHECKING:
    from numpy.random import Generator

_DAY = timedelta(days=1)
_START = datetime(2020, 1, 1, tzinfo=UTC)
_SYMBOLS = 20
_MAX_DAYS = 500
_WINDOW = 10
_CASH = 1_000_000.0
_RATES = FxRates(base="USD", constants={"EUR": 1.1})


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementReport:
    """How far simulated steps agree with the engine's.

    Attributes:
        n: How many traded forecasts were compared.
        worst: The largest difference of net returns.
        kinds: How many steps were "long", "short", "flat", in "lots" or "fractions", began with a position
            ("held"), or were quoted in a "foreign" currency.
        refused: Forecasts that were not traded, because their order could not be paid for.
    """

    n: int
    worst: float
    kinds: Mapping[str, int]
    refused: int


def measure_step_agreement(n: int, seed: int) -> AgreementReport:
    """Compare at least `n` traded forecasts with the engine's own steps; about 1 s for 4,000."""
    from numpy.random import default_rng

    kinds: Counter[str] = Counter()
    compared = refused = market = 0
    worst = 0.0
    while compared < n:
        days = min(_MAX_DAYS, (n - compared) // _SYMBOLS + _WINDOW + 5)
        for experience, engine_return in _simulate_market(default_rng([seed, market]), days):
            if not isinstance(experience.call, Forecast):
                continue
            if engine_return is None:
                refused += 1
                continue
            step = simulate_step(experience.call, experience.outcome, experience.trade_context)
            compared += 1
            worst = max(worst, abs(step.net_return - engine_return))
            kinds.update(_classify_step(experience, step.position))
        market += 1
    return AgreementReport(n=compared, worst=worst, kinds=dict(kinds), refused=refused)


def _simulate_market(rng: "Generator", days: int) -> Iterator[tuple[Experience, float | None]]:
    """Yield the experiences of one random market, each with the net return of the engine's step."""
    drawn = [_instrument(rng, number) for number in range(_SYMBOLS)]
    instruments = {instrument.symbol: instrument for instrument in drawn}
    bars = {symbol: _bars(rng, symbol, days) for symbol in instruments}
    costs = {symbol: _costs(rng) for symbol in instruments}
    shortable = frozenset(instrument.symbol for instrument in drawn if instrument.shortable)
    aversion = float(rng.uniform(2, 40))
    sizing = PositionSizing(risk_aversion=aversion, cap=0.9 / _SYMBOLS, shortable=shortable)
    observed = build_observations(bars, [], window=_WINDOW, start=datetime.min.replace(tzinfo=UTC))
    keys = [(seen.symbol, seen.as_of) for seen in observed]
    calls = {key: _call(rng, key, seen.last_close) for key, seen in zip(keys, observed, strict=True)}
    history = RunHistory()
    run(
        _record_slices(build_slices([bar for series in bars.values() for bar in series], []), history),
        strategy=LLMStrategy,
        settings={
            "calls": calls,
            "volatilities": {key: volatility(seen.bars) for key, seen in zip(keys, observed, strict=True)},
            "sizing": sizing,
            "bet_sizing": BetSizing.CONFIDENCE,
        },
        instruments=instruments,
        costs=costs,
        calendars={ROUND_THE_CLOCK: RoundTheClock()},
        cash=_CASH,
        rates=_RATES,
        on_record=history.add_record,
    )
    experiences = reconstruct_experiences(
        history,
        calls,
        instruments=instruments,
        calendars={ROUND_THE_CLOCK: RoundTheClock()},
        costs=costs,
        sizing=sizing,
        rates=_RATES,
        window=_WINDOW,
        agreement=math.inf,  # it is measured here
    )
    for experience in experiences:
        yield experience, find_engine_return(experience, history)


def _record_slices(slices: Iterator[Slice], history: RunHistory) -> Iterator[Slice]:
    for slice_ in slices:
        history.add_slice(slice_)
        yield slice_


def _instrument(rng: "Generator", number: int) -> Instrument:
    return Instrument(
        symbol=f"S{number:02}",
        asset_class=AssetClass.COIN,
        calendar=ROUND_THE_CLOCK,
        currency="EUR" if rng.random() < 0.3 else "USD",
        lot=float(rng.choice([0.0, 0.0, 0.1, 1.0, 10.0])),
        shortable=bool(rng.random() < 0.6),
    )


def _costs(rng: "Generator") -> Costs:
    fee, slippage, latency = (float(rng.uniform(0, 30)) for _ in range(3))
    return Costs(
        fee_bps=fee, slippage_bps=slippage, latency_bps=latency, borrow_rate=float(rng.uniform(0, 0.5))
    )


def _bars(rng: "Generator", symbol: str, days: int) -> list[Bar]:
    """Draw daily bars with gaps between close and open, around a price from 1 to 300; some are missing."""
    base, sigma = float(rng.uniform(1, 300)), float(rng.uniform(0.005, 0.07))
    level = 0.0
    bars = []
    for number in range(days):
        gap, move = float(rng.normal(0, sigma / 2)), float(rng.standard_t(5)) * sigma
        level *= 0.98  # pulled back, so that a long walk stays at prices that lots can buy
        opening, closing = base * math.exp(level + gap), base * math.exp(level + gap + move)
        level += gap + move
        if rng.random() < 0.02:
            continue
        bars.append(
            Bar(
                symbol=symbol,
                opens_at=_START + number * _DAY,
                closes_at=_START + (number + 1) * _DAY,
                open=opening,
                high=max(opening, closing),
                low=min(opening, closing),
                close=closing,
                volume=1.0,
            )
        )
    return bars


def _call(rng: "Generator", key: Key, last: float) -> Prediction:
    symbol, as_of = key
    if rng.random() < 0.05:
        return Abstention(symbol=symbol, as_of=as_of, reason="drawn", last_close=last)
    up = bool(rng.random() < 0.5)
    away = abs(float(rng.normal(0, 0.02))) * (1 if up else -1)
    return Forecast(
        symbol=symbol,
        as_of=as_of,
        direction=Direction.UP if up else Direction.DOWN,
        confidence=float(rng.choice([0.5, rng.uniform(0.5, 1.0), 1.0], p=[0.1, 0.8, 0.1])),
        close=last * max(0.1, 1 + away),
        last_close=last,
    )


def _classify_step(experience: Experience, position: float) -> Iterator[str]:
    yield "long" if position > 0 else "short" if position < 0 else "flat"
    yield "lots" if experience.trade_context.instrument.lot else "fractions"
    if experience.trade_context.position:
        yield "held"
    if experience.trade_context.instrument.currency != _RATES.base:
        yield "foreign"

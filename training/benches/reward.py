"""Whether the return in a reward is the one that backtrader's step came to, over markets drawn at random.

Knows no student: calls are drawn too. Prices gap and jump, and symbols differ in costs, lots, currency and in
whether they can be sold short, so that nothing agrees by luck.
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
from training.dataset.reconstruction import reconstruct_experiences, stated_return
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
    """`n` forecasts that were traded, the `worst` difference of net returns, and how many steps were of which
    kind: "long", "short", "flat", "lots", "fractions", "held" (something was held before), "foreign".
    `refused` forecasts were not traded: their order could not be paid for.
    """

    n: int
    worst: float
    kinds: Mapping[str, int]
    refused: int


def step_agreement(n: int, seed: int) -> AgreementReport:
    """Compare at least `n` traded forecasts with the engine's own steps; about 1 s for 4,000."""
    from numpy.random import default_rng

    kinds: Counter[str] = Counter()
    compared = refused = market = 0
    worst = 0.0
    while compared < n:
        days = min(_MAX_DAYS, (n - compared) // _SYMBOLS + _WINDOW + 5)
        for experience, said in _simulate_market(default_rng([seed, market]), days):
            if not isinstance(experience.call, Forecast):
                continue
            if said is None:
                refused += 1
                continue
            taken = simulate_step(experience.call, experience.outcome, experience.trade_context)
            compared += 1
            worst = max(worst, abs(taken.net_return - said))
            kinds.update(_classify_step(experience, taken.position))
        market += 1
    return AgreementReport(n=compared, worst=worst, kinds=dict(kinds), refused=refused)


def _simulate_market(rng: "Generator", days: int) -> Iterator[tuple[Experience, float | None]]:
    """The experience of one random market, each with the net return of the engine's step."""
    instruments = {one.symbol: one for one in (_instrument(rng, i) for i in range(_SYMBOLS))}
    bars = {symbol: _bars(rng, symbol, days) for symbol in instruments}
    costs = {symbol: _costs(rng) for symbol in instruments}
    shortable = frozenset(symbol for symbol, one in instruments.items() if one.shortable)
    aversion = float(rng.uniform(2, 40))
    sizing = PositionSizing(risk_aversion=aversion, cap=0.9 / _SYMBOLS, shortable=shortable)
    observed = build_observations(bars, [], window=_WINDOW, start=datetime.min.replace(tzinfo=UTC))
    calls = {(one.symbol, one.as_of): _call(rng, (one.symbol, one.as_of), one.last_close) for one in observed}
    story = RunHistory()
    run(
        _record_slices(build_slices([bar for series in bars.values() for bar in series], []), story),
        strategy=LLMStrategy,
        settings={
            "calls": calls,
            "volatilities": {(one.symbol, one.as_of): volatility(one.bars) for one in observed},
            "sizing": sizing,
            "bet_sizing": BetSizing.CONFIDENCE,
        },
        instruments=instruments,
        costs=costs,
        calendars={ROUND_THE_CLOCK: RoundTheClock()},
        cash=_CASH,
        rates=_RATES,
        on_record=story.add_record,
    )
    made = reconstruct_experiences(
        story,
        calls,
        instruments=instruments,
        calendars={ROUND_THE_CLOCK: RoundTheClock()},
        costs=costs,
        sizing=sizing,
        rates=_RATES,
        window=_WINDOW,
        agreement=math.inf,  # it is measured here
    )
    for experience in made:
        yield experience, stated_return(experience, story)


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
    """Daily bars with gaps between close and open, around a price from 1 to 300; some are missing."""
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

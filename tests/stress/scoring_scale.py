"""Measure how long it takes to score many forecasts: all metrics, the breakdown and the bootstrap.

Run: python -m tests.stress.scoring_scale [--forecasts 200000] [--days 2500] [--limit 20]

The forecasts, their outcomes and the records of the engine are made up beforehand. Prints the seconds of each
part and exits with 1 if their sum is above the limit.
"""

import argparse
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np

from engine.metrics.breakdown import compute_breakdown, describe_reliability
from engine.metrics.exposure import PriceHistory
from engine.metrics.registry import collect_metrics, compute_inputs
from engine.model import Bar, Direction, Forecast
from engine.outcomes import OutcomeFinder
from engine.trading.records import EngineResult, EquityPoint, Fill

_START = datetime(2014, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


def create_market(symbols: int, days: int) -> dict[str, list[Bar]]:
    """Return random walks."""
    generator = np.random.default_rng(1)
    closes = 100 * np.exp(np.cumsum(generator.normal(0, 0.02, size=(symbols, days + 2)), axis=1))
    return {
        f"S{row}": [
            Bar(
                symbol=f"S{row}", opens_at=_START + day * _DAY, closes_at=_START + (day + 1) * _DAY,
                open=close, high=close * 1.02, low=close * 0.98, close=close, volume=1.0,
            )
            for day, close in enumerate(closes[row].tolist())
        ]
        for row in range(symbols)
    }  # fmt: skip


def create_forecasts(bars: dict[str, list[Bar]], days: int) -> list[Forecast]:
    """Return a forecast for each close but the last two, right in 53%."""
    generator = np.random.default_rng(2)
    return [
        Forecast(
            symbol=bar.symbol, as_of=bar.closes_at, last_close=bar.close, confidence=0.5 + luck / 2,
            direction=Direction.UP if up else Direction.DOWN, close=bar.close * (1.01 if up else 0.99),
            token_probability_up=luck,
        )
        for series in bars.values()
        for bar, following, luck in zip(
            series[:days], series[1:], generator.random(days).tolist(), strict=False
        )
        for up in [(following.close > bar.close) == (luck < 0.53)]
    ]  # fmt: skip


def create_engine_result(bars: dict[str, list[Bar]], days: int) -> EngineResult:
    """Return a portfolio that turns one unit of each symbol round every tenth day."""
    fills, marks, position, cash = [], [], 0.0, 1e6
    for day in range(days):
        if day % 10 == 0:
            size = 1.0 if position <= 0 else -1.0
            for series in bars.values():
                bar = series[day]
                fills.append(
                    Fill(
                        number=len(fills), at=bar.opens_at, decided_at=bar.opens_at, symbol=bar.symbol,
                        size=size, price=bar.open, open=bar.open, commission=0.0, slippage=0.0, cost=0.0,
                    )
                )  # fmt: skip
                cash -= size * bar.open
            position += size
        value = cash + position * sum(series[day].close for series in bars.values())
        marks.append(EquityPoint(at=_START + (day + 1) * _DAY, value=value, cash=cash))
    return EngineResult(
        starting_cash=1e6, cash=cash, value=marks[-1].value, orders=(), fills=fills, marks=marks, steps=(),
        borrow_paid=0.0, analyses={},
    )  # fmt: skip


def main() -> int:
    """Print the seconds of scoring; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forecasts", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=2_500)
    parser.add_argument("--limit", type=float, default=20.0)
    settings = parser.parse_args()
    bars = create_market(settings.forecasts // settings.days, settings.days)
    calls = create_forecasts(bars, settings.days)
    engine = create_engine_result(bars, settings.days)
    began, used = time.perf_counter(), time.process_time()
    finder = OutcomeFinder(bars)
    inputs = compute_inputs(
        finder.match(calls),
        engine,
        365,
        suspended=0,
        prices=PriceHistory(bars),
        benchmark=engine,
        resample=True,
    )
    scores = collect_metrics(inputs)
    scored = time.perf_counter()
    compute_breakdown(inputs.columns)
    describe_reliability(inputs.stated, inputs.token)
    ended, spent = time.perf_counter(), time.process_time() - used
    sys.stdout.write(
        f"{len(calls):,} on {settings.days:,} days: {scored - began:.1f} s for {len(scores)} "
        f"metrics with the bootstrap, {ended - scored:.1f} s by symbol and year; {ended - began:.1f} s "
        f"in all, {spent:.1f} s of processor time; accuracy {scores['accuracy']:.4f} "
        f"({scores['accuracy_bootstrap_low']:.4f} to {scores['accuracy_bootstrap_high']:.4f})\n"
    )
    return int(ended - began > settings.limit)


if __name__ == "__main__":
    raise SystemExit(main())

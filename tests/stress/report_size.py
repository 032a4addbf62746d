"""Write the report of 20 symbols over ten years with every baseline; print its size and the time it takes.

The bars are simulated, the forecasts follow the last move, the equity of each forecaster is drawn: what is
measured is the report, which a backtest of that size would only delay.
"""

import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

import closecall as cc
from engine.model import Direction, Forecast
from engine.trading.records import Fill
from strategies.baselines.names import BASELINES
from strategies.equity_file import EquityCurve
from strategies.recorded_run import RecordedRun, RunKind, open_recorded
from strategies.report.page import write_report
from tests.support.students import RuleStudent

COINS = STOCKS = 10
DAYS = 3650
MOST_BYTES = 3_000_000


def build_large_run(folder: Path) -> RecordedRun:
    """Return a run of 20 symbols over ten years, its result that of a small backtest in the folder."""
    small = cc.simulate(seed=8, coins=1, stocks=1, days=40, student=RuleStudent(), folder=folder)
    run = open_recorded(folder, small.name, datetime.now(UTC))
    market = cc.MarketData.simulated(seed=8, coins=COINS, stocks=STOCKS, days=DAYS)
    rng = np.random.default_rng(8)
    predictions, fills = [], []
    for symbol, bars in market.bars.items():
        for before, bar in pairwise(bars):
            up = bar.close >= before.close
            size = float(rng.normal())
            predictions.append(
                Forecast(
                    symbol=symbol,
                    as_of=bar.closes_at,
                    direction=Direction.UP if up else Direction.DOWN,
                    confidence=float(rng.uniform(0.5, 1)),
                    close=bar.close * (1.01 if up else 0.99),
                    last_close=bar.close,
                    token_probability_up=float(rng.uniform()),
                )
            )
            fills.append(
                Fill(
                    number=len(fills) + 1,
                    at=bar.opens_at,
                    decided_at=before.closes_at,
                    symbol=symbol,
                    size=size,
                    price=bar.open,
                    open=bar.open,
                    commission=1.0,
                    slippage=1.0,
                    cost=2.0,
                )
            )
    predictions.sort(key=lambda call: (call.as_of, call.symbol))
    closes = tuple(sorted({call.as_of for call in predictions}))
    callers = ("student", *BASELINES, "benchmark", "oracle")
    curves = {}
    for name in callers:
        values = 100_000 * np.exp(np.cumsum(rng.normal(2e-4, 0.01, len(closes))))
        curves[name] = EquityCurve(at=closes, value=tuple(values.tolist()), cash=tuple((values / 2).tolist()))
    scores = run.result["scores"]
    result = {
        **run.result,
        "symbols": sorted(market.bars),
        "start": f"{closes[0]:%Y-%m-%d}",
        "end": f"{closes[-1]:%Y-%m-%d}",
        "scores": {name: scores.get(name, scores["student"]) for name in callers},
        "costs": {symbol: run.result["costs"][min(run.result["costs"])] for symbol in market.bars},
    }
    for key in ("breakdown", "reliability"):
        result.pop(key, None)  # computed anew from the forecasts
    return replace(
        run,
        kind=RunKind.BACKTEST,
        result=result,
        bars=market.bars,
        predictions=predictions,
        fills=fills,
        curves=curves,
        calendars=market.symbol_calendars,
    )


def main() -> None:
    """Write the report to the path given, print its size, and exit with 1 where it is too large."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "build/report.html")
    run = build_large_run(path.parent / "report-data")
    began = time.monotonic()
    write_report(run, path)
    size = path.stat().st_size
    figures = {
        "symbols": len(run.bars),
        "forecasts": len(run.predictions),
        "fills": len(run.fills),
        "forecasters": len(run.curves),
        "seconds": round(time.monotonic() - began, 1),
        "bytes": size,
        "most_bytes": MOST_BYTES,
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    sys.exit(size >= MOST_BYTES)


if __name__ == "__main__":
    main()

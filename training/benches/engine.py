"""The engine bench: slices a second, with symbols whose slices arrive one after the other."""

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.calendars import RoundTheClock
from engine.instruments import DEFAULT_COSTS, ROUND_THE_CLOCK, AssetClass, Instrument
from engine.model import Bar, Slice
from engine.timeline import build_slices
from engine.trading.runner import run
from engine.trading.strategy import SliceStrategy

Progress = Callable[[str, int, int], None]
_START = datetime(2020, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


def measure_engine(slices: int, on_progress: Progress) -> dict[str, Any]:
    """Measure slices a second with 2, 20 and 150 symbols, every symbol trading at each of its closes."""
    rates = {}
    for number, symbols in enumerate((2, 20, 150)):
        on_progress("engine", number, 3)
        rates[str(symbols)] = _measure_rate(symbols, slices)
    on_progress("engine", 3, 3)
    return {"slices": slices, "slices_per_second": rates}


class _Alternate(SliceStrategy):
    """Target one weight after one close and another after the next."""

    def on_close(self, slice_: Slice) -> None:
        for symbol in slice_.bars:
            self.order_target_percent(symbol, 0.5 / 150 if slice_.as_of.day % 2 else 0.25 / 150)


def _measure_rate(symbols: int, slices: int) -> float:
    names = [f"S{n:03}" for n in range(symbols)]
    instruments = {
        name: Instrument(symbol=name, asset_class=AssetClass.COIN, calendar=ROUND_THE_CLOCK, currency="USD")
        for name in names
    }
    feed = list(build_slices(_make_bars(names, slices // symbols // 2), []))
    started = time.perf_counter()
    run(
        feed,
        strategy=_Alternate,
        instruments=instruments,
        costs=dict.fromkeys(names, DEFAULT_COSTS[AssetClass.COIN]),
        calendars={ROUND_THE_CLOCK: RoundTheClock()},
        cash=1e6,
    )
    return len(feed) / (time.perf_counter() - started)


def _make_bars(names: list[str], days: int) -> Iterator[Bar]:
    """Yield days of all symbols, each a minute after the one before, so that no two share a slice."""
    rng = random.Random(1)  # noqa: S311  # prices, not secrets
    for number, name in enumerate(names):
        price = 100.0
        for day in range(days):
            opens_at = _START + day * _DAY + number * timedelta(minutes=1)
            close = price * rng.uniform(0.97, 1.03)
            yield Bar(
                symbol=name,
                opens_at=opens_at,
                closes_at=opens_at + _DAY - timedelta(seconds=30),
                open=price,
                high=max(price, close),
                low=min(price, close),
                close=close,
                volume=1.0,
            )
            price = close

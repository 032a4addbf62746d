"""A symbol's bars as a backtrader data feed, handed over one slice at a time.

Knows neither where slices come from nor whether more will come: one source serves all symbols, and
whoever reads it waits. So no feed blocks while another has data.
"""

from datetime import datetime, timedelta
from typing import Any

import backtrader as bt

from engine.values import Bar

# backtrader's times are days as floats, with some ten microseconds between neighbours.
_MILLISECOND = timedelta(milliseconds=1) / timedelta(days=1)


class EngineClock:
    """Gives backtrader a time for each slice that is at least a millisecond after the one before."""

    def __init__(self) -> None:
        self._last = 0.0

    def tick(self, as_of: datetime) -> float:
        """The engine's time, in backtrader's float days, of the next slice, which is known at `as_of`."""
        self._last = max(float(bt.date2num(as_of)), self._last + _MILLISECOND)
        return self._last


class SymbolFeed(bt.feed.DataBase):  # type: ignore[misc]
    """The bars of one symbol.

    `bar` is the newest one handed over (flat if only its open is known), `price` its last known price and
    `seen_at` the true instant of it; `bar` and `seen_at` are None, and `price` is 0, before the first.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.bar: Bar | None = None
        self.price = 0.0
        self.seen_at: datetime | None = None
        self._moment = 0.0

    def offer(self, bar: Bar, as_of: datetime, moment: float) -> None:
        """Move backtrader on to `bar`, known at `as_of`, at the engine's time `moment`."""
        self.bar, self.price, self.seen_at, self._moment = bar, bar.close, as_of, moment
        self.next(ticks=False)

    def _load(self) -> bool:
        bar, lines = self.bar, self.lines
        if bar is None:
            return False
        lines.datetime[0] = self._moment
        lines.open[0] = bar.open
        lines.high[0] = bar.high
        lines.low[0] = bar.low
        lines.close[0] = bar.close
        lines.volume[0] = bar.volume
        lines.openinterest[0] = 0.0
        return True

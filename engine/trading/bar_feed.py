"""A symbol's bars as a backtrader data feed, which receives one slice at a time.

One source serves all symbols and whoever reads it waits, so no feed blocks while another has data.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import backtrader as bt

from engine.corporate_actions import Split, split_bar
from engine.model import Bar

# backtrader's times are days as floats, with some ten microseconds between neighbours.
_MILLISECOND = timedelta(milliseconds=1) / timedelta(days=1)


class EngineClock:
    """Assigns each slice a backtrader time that is at least a millisecond after the one before."""

    def __init__(self) -> None:
        self._last = 0.0

    def advance(self, as_of: datetime) -> float:
        """Return backtrader's time, in float days, of the next slice, which is known at `as_of`."""
        self._last = max(float(bt.date2num(as_of)), self._last + _MILLISECOND)
        return self._last


class SymbolFeed(bt.feed.DataBase):
    """The bars of one symbol.

    Attributes:
        bar: The newest bar, in the quote currency (flat if only its open is known); None before the first.
        previous_bar: The bar before, in the units of its time; None if there was none.
        previous_close: The close of the bar before, in the quote currency.
        rate: The value of the quote currency in the base currency.
        price: The last known price in the base currency, as are backtrader's lines; 0 before the first bar.
        seen_at: The true instant of that price; None before the first bar.
        is_delisted: Whether no further bar will come.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.bar: Bar | None = None
        self.previous_bar: Bar | None = None
        self.previous_close = 0.0
        self.rate = 1.0
        self.price = 0.0
        self.seen_at: datetime | None = None
        self.is_delisted = False
        self._moment = 0.0
        self._buffers: tuple[Any, ...] | None = None

    def push_bar(self, bar: Bar, as_of: datetime, moment: float) -> None:
        """Advance backtrader to a bar.

        Args:
            bar: The bar, flat at its open.
            as_of: The instant at which it is known, in UTC.
            moment: The time that `EngineClock` gave the slice.
        """
        if self.bar is not None and bar.opens_at > self.bar.opens_at:
            self.previous_bar, self.previous_close = self.bar, self.bar.close
        self.bar, self.price, self.seen_at, self._moment = bar, bar.close * self.rate, as_of, moment
        if self._buffers is None:
            self.next(ticks=False)
            self._buffers = self._single_buffers()
        elif self._buffers:
            self._overwrite(bar, self._buffers)
        else:
            self.next(ticks=False)

    def _single_buffers(self) -> tuple[Any, ...]:
        """Return the buffers of the lines in the order of `_overwrite`; none where one keeps past values."""
        lines = self.lines
        buffers = (
            *(lines.datetime, lines.open, lines.high, lines.low),
            *(lines.close, lines.volume, lines.openinterest),
        )
        single = all(buffer.mode == buffer.QBuffer and buffer.array.maxlen == 1 for buffer in buffers)
        return buffers if single and not any(buffer.bindings for buffer in buffers) else ()

    def _overwrite(self, bar: Bar, buffers: tuple[Any, ...]) -> None:
        """Do what backtrader's `next` does where each line keeps one value, in a fraction of the time."""
        rate, (moment, open_, high, low, close, volume, _) = self.rate, buffers
        for buffer in buffers:
            buffer.lencount += 1
        moment.array[0] = self._moment
        open_.array[0] = bar.open * rate
        high.array[0] = bar.high * rate
        low.array[0] = bar.low * rate
        close.array[0] = self.price
        volume.array[0] = bar.volume

    def set_rate(self, rate: float, as_of: datetime) -> None:
        """Value the last known price at `rate`, known at `as_of`, from now on."""
        if rate == self.rate:
            return
        self.rate = rate
        if self.bar is not None:
            self.price, self.seen_at = self.bar.close * rate, as_of
            self.lines.close[0] = self.price

    def split(self, split: Split) -> None:
        """Restate the newest bar and its price in units after a split, unless it opened in them."""
        if self.bar is not None and self.bar.opens_at < split.at:
            self.bar = split_bar(self.bar, split.ratio)
            self.price = self.bar.close * self.rate
            self.previous_close /= split.ratio
            self.lines.close[0] = self.price

    def value_at(self, price: float, at: datetime) -> None:
        """Value what was held at a last price in the base currency, from `at` on."""
        self.price, self.seen_at = price, at

    def _load(self) -> bool:
        bar, lines = self.bar, self.lines
        if bar is None:
            return False
        lines.datetime[0] = self._moment
        lines.open[0] = bar.open * self.rate
        lines.high[0] = bar.high * self.rate
        lines.low[0] = bar.low * self.rate
        lines.close[0] = self.price
        lines.volume[0] = bar.volume
        lines.openinterest[0] = 0.0
        return True


class DailyIndicator(bt.feed.DataBase):
    """A backtrader feed of closed daily bars only, and one indicator on it.

    The feeds of the engine receive each bar twice, at its open and at its close, so that an indicator on them
    would mix the two.
    """

    def __init__(self, kind: type[Any], params: Mapping[str, Any]) -> None:
        super().__init__()
        self._indicator = kind(self, **params)
        # As Cerebro does after the constructors: from here on lines compare by their values.
        self._indicator._stage2()

    def addindicator(self, _indicator: Any) -> None:
        """Own the indicator, as backtrader asks of whoever creates one."""

    def update(self, bars: Sequence[Bar]) -> Any:
        """Advance over the bars that are new, and return the indicator; None until it has enough bars."""
        for bar in bars[len(self) :]:
            self.forward()
            self.lines.datetime[0] = bt.date2num(bar.closes_at)
            self.lines.openinterest[0] = 0.0
            for name in ("open", "high", "low", "close", "volume"):
                getattr(self.lines, name)[0] = getattr(bar, name)
            self._indicator._next()
        return self._indicator if len(self) >= self._indicator._minperiod else None

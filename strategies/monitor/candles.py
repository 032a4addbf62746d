"""The last bars of each symbol, from the closing slices of a journal."""

from collections.abc import Mapping
from dataclasses import replace

from engine.corporate_actions import Split
from engine.model import Phase, Slice
from strategies.monitor.views import CandleView

KEPT = 90
"""How many bars of each symbol are kept."""


class CandleTracker:
    """Keeps the last bars of each symbol, all in the symbol's newest units."""

    def __init__(self) -> None:
        self._candles: dict[str, tuple[CandleView, ...]] = {}

    def on_slice(self, slice_: Slice) -> None:
        """Add the bars of a closing slice; at an open only the open is known."""
        if slice_.phase is not Phase.CLOSE:
            return
        for symbol, bar in slice_.bars.items():
            candle = CandleView(at=slice_.as_of, open=bar.open, high=bar.high, low=bar.low, close=bar.close)
            before = self._candles.get(symbol, ())
            if not before or before[-1].at < candle.at:
                self._candles[symbol] = (*before[1 - KEPT :], candle)

    def on_split(self, split: Split) -> None:
        """Restate the bars before a split in the units after it."""
        ratio = split.ratio
        self._candles[split.symbol] = tuple(
            replace(
                bar,
                open=bar.open / ratio,
                high=bar.high / ratio,
                low=bar.low / ratio,
                close=bar.close / ratio,
            )
            if bar.at <= split.at
            else bar
            for bar in self._candles.get(split.symbol, ())
        )

    def view(self) -> Mapping[str, tuple[CandleView, ...]]:
        """Return the bars by symbol, oldest first."""
        return dict(self._candles)

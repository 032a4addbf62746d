"""Cash, positions and value of an account, and what splits, dividends and delistings do to them."""

from collections.abc import Callable, Mapping
from math import fsum
from typing import Any

import backtrader as bt

from engine.corporate_actions import Dividend, RecentFills, Split, apply_split
from engine.instruments import Costs, Instrument
from engine.trading.bar_feed import SymbolFeed
from engine.trading.pnl import PnLTracker
from engine.trading.records import Fill, OrderRecord, Record


class Account(bt.brokers.BackBroker):
    """backtrader's broker, valued at the last prices in the base currency.

    Attributes:
        gross: The gross exposure: the sum of the positions' absolute values.
        pnl: The holding periods of each symbol.
    """

    params = (("checksubmit", False), ("int2pnl", False))

    def __init__(
        self,
        *,
        feeds: Mapping[str, SymbolFeed],
        instruments: Mapping[str, Instrument],
        costs: Mapping[str, Costs],
        keep_steps: bool,
        sink: Callable[[Record], None],
    ) -> None:
        super().__init__()
        self.pnl = PnLTracker(costs, sink if keep_steps else None)
        self.gross = 0.0
        self._feeds = feeds
        self._instruments = instruments
        self._sink = sink
        self._recent_fills = RecentFills()

    def split(self, feed: SymbolFeed, split: Split) -> None:
        """Restate the position of a symbol in units after a split; a fraction of a unit is paid out."""
        symbol, position = split.symbol, self.positions[feed]
        later = self._recent_fills.since(symbol, split.at)
        size, remainder = apply_split(position.size, split.ratio, self._instruments[symbol].lot, later)
        feed.split(split)
        self.pnl.split(split, size, remainder, feed.price)
        self.cash += remainder * feed.price
        position.size, position.price = size, position.price / split.ratio
        self._get_value()

    def apply_dividend(self, feed: SymbolFeed, dividend: Dividend) -> None:
        """Pay a dividend on the position before the open of its ex-date; a short position owes it."""
        symbol = dividend.symbol
        size = self.positions[feed].size - self._recent_fills.since(symbol, dividend.at)
        if size:
            paid = size * dividend.amount * feed.rate
            self.cash += paid
            self.pnl.apply_dividend(symbol, paid)
            self._get_value()

    def close_delisted(self, record: OrderRecord, value: float) -> None:
        """Close the position of a symbol without further bars, at no cost.

        Args:
            record: The order that closes it, already settled.
            value: The fraction of the last price that is paid.
        """
        symbol, feed, at = record.symbol, self._feeds[record.symbol], record.at
        position, last = self.positions[feed], feed.bar.close * value if feed.bar else 0.0
        feed.value_at(feed.price * value, at)
        self.pnl.open(symbol, feed.price, at, self._get_value())
        self.cash += position.size * feed.price
        position.size, position.price = 0.0, 0.0
        fill = Fill(
            number=record.number,
            at=at,
            decided_at=at,
            symbol=symbol,
            size=record.size,
            price=last,
            open=last,
            commission=0.0,
            slippage=0.0,
            cost=0.0,
            rate=feed.rate,
        )
        self.pnl.fill(fill, 0.0)
        self._get_value()
        self._sink(record)
        self._sink(fill)

    def _get_value(self, datas: Any = None, lever: bool = False) -> float:  # noqa: ARG002, FBT001, FBT002  # backtrader calls it so
        # Equals backtrader's sum without its look-ups for every position: this runs every slice.
        if datas:
            return fsum(self.positions[feed].size * feed.price for feed in datas)
        worth = [pos.size * feed.price for feed, pos in self.positions.items() if pos.size]
        self.gross = fsum(map(abs, worth))
        self._valuemkt = self._valuemktlever = fsum(worth)
        self._value = self._valuelever = self.cash + self._valuemkt
        self._fundval = self._value / self._fundshares
        return float(self._value)

"""The history of a run by decision: positions, equity, fills and bars, from its slices and records."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from engine.corporate_actions import Dividend, RecentFills, Split, apply_split, split_bar
from engine.model import Bar, NewsItem, Phase, Slice
from engine.trading.records import EquityPoint, Fill, HoldingPeriod, OrderRecord, OrderStatus, Record
from training.dataset.experience import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitEpoch:
    """Bars in the same units by symbol, and `since` when decisions on each symbol were in these units."""

    bars: Mapping[str, Sequence[Bar]]
    since: Mapping[str, datetime]


@dataclass(slots=True)
class RunHistory:
    """A run's history so far, by instant or by symbol and instant.

    Attributes:
        positions: Position at each close, in signed units.
        values: Value of the portfolio at each close, in the base currency.
        official_opens: Tradable price at each open, in the quote currency.
        traded_opens: Value of the portfolio at each open where a step began.
        steps: Holding periods by the open where they began.
        refused: Decisions whose order was not filled.
        forced: Opens at which something other than the call traded.
        fills: All fills.
    """

    bars: dict[str, list[Bar]] = field(default_factory=lambda: defaultdict(list))
    news: list[NewsItem] = field(default_factory=list)
    positions: dict[Key, float] = field(default_factory=dict)
    values: dict[datetime, float] = field(default_factory=dict)
    official_opens: dict[Key, float] = field(default_factory=dict)
    traded_opens: dict[datetime, float] = field(default_factory=dict)
    steps: dict[Key, HoldingPeriod] = field(default_factory=dict)
    refused: set[Key] = field(default_factory=set)
    forced: set[Key] = field(default_factory=set)
    fills: list[Fill] = field(default_factory=list)
    _positions: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _recent_fills: RecentFills = field(default_factory=RecentFills)
    _past: list[SplitEpoch] = field(default_factory=list)
    _since: dict[str, datetime] = field(default_factory=dict)
    _dividends: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def add_history(self, bar: Bar) -> None:
        """Add a bar that closed before the run began."""
        self.bars[bar.symbol].append(bar)

    def add_slice(self, slice_: Slice) -> None:
        """Add a slice, before its outputs. A bar that arrives after its successor is ignored."""
        self.news += slice_.news
        for symbol, bar in slice_.bars.items():
            if slice_.phase is Phase.OPEN:
                self.official_opens[symbol, bar.opens_at] = bar.open
            elif not self.bars[symbol] or self.bars[symbol][-1].closes_at < bar.closes_at:
                self.bars[symbol].append(bar)
                self.positions[symbol, slice_.as_of] = self._positions[symbol]

    def add_split(self, split: Split, lot: float) -> None:
        """Add a split: from here on, bars and positions of its symbol are in the new units."""
        symbol, series = split.symbol, self.bars[split.symbol]
        self._past.append(SplitEpoch(bars={symbol: tuple(series)}, since=self._begin_epoch(symbol)))
        self.bars[symbol] = [
            split_bar(bar, split.ratio) if bar.opens_at < split.at else bar for bar in series
        ]
        self._since[symbol] = split.at
        later = self._recent_fills.since(symbol, split.at)
        self._positions[symbol], _ = apply_split(self._positions[symbol], split.ratio, lot, later)

    def add_dividend(self, dividend: Dividend) -> None:
        """Add a dividend; no call could know of it, and no price includes it."""
        self._dividends[dividend.symbol].append(dividend.at)

    def add_record(self, record: Record) -> None:
        """Add a record of the engine: an order, a fill, an equity point or a holding period."""
        match record:
            case OrderRecord():
                self._add_order(record)
            case Fill():
                self._positions[record.symbol] += record.size
                self.fills.append(record)
                self._recent_fills.add(record.symbol, record.at, record.size)
            case EquityPoint():
                self.values[record.at] = record.value
            case HoldingPeriod():
                self.steps[record.symbol, record.started_at] = record
                self.traded_opens[record.started_at] = record.equity

    def split_epochs(self) -> list[SplitEpoch]:
        """Return the bars in the units of each time: a split symbol has an epoch before and after."""
        return [*self._past, SplitEpoch(bars=self.bars, since=self._since)]

    def paid_dividend(self, symbol: str, after: datetime, until: datetime) -> bool:
        """Return whether a symbol paid a dividend between two instants.

        Args:
            symbol: The symbol.
            after: The first instant, included: a call at the instant of a dividend was made before it.
            until: The last instant, included.
        """
        return any(after <= at <= until for at in self._dividends.get(symbol, ()))

    def _begin_epoch(self, symbol: str) -> dict[str, datetime]:
        return {symbol: self._since[symbol]} if symbol in self._since else {}

    def _add_order(self, order: OrderRecord) -> None:
        if order.status is OrderStatus.FILLED:
            series = self.bars[order.symbol]
            # The order of a call has no reason; one that flattens may come at the instant of a close.
            if order.forced or order.reason or not series or order.decided_at != series[-1].closes_at:
                self.forced.add((order.symbol, order.at))
        elif order.status is not OrderStatus.PENDING:
            self.refused.add((order.symbol, order.decided_at))

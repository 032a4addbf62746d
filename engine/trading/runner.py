"""Run a strategy over slices: a backtest if they end, a paper session if they keep coming.

One common source of slices drives backtrader; only the symbols that a slice carries advance.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

import backtrader as bt

from engine.calendars import Calendar
from engine.corporate_actions import Delisting, Dividend, Split
from engine.errors import DataError, UsageError
from engine.instruments import Costs, Instrument
from engine.model import Phase, Slice
from engine.trading.bar_feed import EngineClock, SymbolFeed
from engine.trading.broker import SliceBroker
from engine.trading.inputs import EngineInput, NonSliceInput, OpenMissed
from engine.trading.orders import OrderManager
from engine.trading.record_table import RecordTable
from engine.trading.records import (
    EngineResult,
    EquityPoint,
    Fill,
    HoldingPeriod,
    OrderRecord,
    OrderStatus,
    Record,
)
from engine.trading.risk import RiskEngine
from engine.trading.strategy import SliceStrategy

# The least equity for each unit of gross exposure; FINRA rule 4210 demands this much of long positions.
MAINTENANCE_MARGIN = 0.25


class FxRateSource(Protocol):
    """A source of exchange rates: `engine.fx.FxRates`, or those that a session has received so far."""

    @property
    def base(self) -> str:
        """The currency of cash, equity and costs."""
        ...

    def rate(self, currency: str, at: datetime) -> float:
        """Return the value of one unit of `currency` in the base currency at `at`.

        Raises DataError if it is unknown.
        """
        ...


class SliceCerebro(bt.Cerebro):
    """backtrader's engine over one source of slices.

    Its own loop polls every feed at every instant, which takes time with the square of the number of symbols.
    This one hands each slice's bars to their feeds. It serves one strategy and market orders; timers, stores,
    resampling and writers are not called.
    """

    def __init__(
        self,
        items: Iterable[EngineInput],
        instruments: Mapping[str, Instrument],
        rates: FxRateSource | None,
        delistings: Mapping[str, Delisting],
    ) -> None:
        super().__init__()
        self.order_manager: OrderManager
        self.moment = 0.0
        self._inputs = items
        self._delistings = sorted(delistings.items(), key=lambda item: (item[1].at, item[0]), reverse=True)
        self._rates = rates
        currencies = {} if rates is None else {item.symbol: item.currency for item in instruments.values()}
        self._foreign = {name: code for name, code in currencies.items() if rates and code != rates.base}

    def _runnext(self, runstrats: list[Any]) -> None:
        (strategy,) = runstrats
        clock = EngineClock()
        last: Slice | None = None
        for item in self._inputs:
            if not isinstance(item, Slice):
                self._apply_non_slice_input(item, last, strategy)
                continue
            if last is not None and item.as_of < last.as_of:
                raise DataError(f"slice of {item.as_of} comes after that of {last.as_of}; sort them by time")
            self._delist_before(item)
            last = self._broker.now = item
            self.moment = clock.advance(item.as_of)
            if self._rates is not None:
                self._update_rates(self._rates, item.as_of)
            for symbol, bar in item.bars.items():
                self._feed(symbol).push_bar(bar, item.as_of, self.moment)
            self._brokernotify()
            self.order_manager.enforce_margin()
            strategy._next()
            if self._event_stop:
                return

    def _delist_before(self, slice_: Slice) -> None:
        """Apply the delistings that are due; a close at the very instant of one comes before it."""
        while self._delistings:
            symbol, delisting = self._delistings[-1]
            if delisting.at >= slice_.as_of and (delisting.at, slice_.phase) != (slice_.as_of, Phase.OPEN):
                return
            self._delistings.pop()
            self._broker.now = Slice(as_of=delisting.at, phase=Phase.OPEN, bars={})
            self.order_manager.delist(symbol, delisting)

    def _apply_non_slice_input(
        self, item: NonSliceInput, last: Slice | None, strategy: SliceStrategy
    ) -> None:
        """Apply an input that is no slice, without advancing backtrader: orders see an instant without bars.

        The instant is never before the newest slice, whatever clock dated the input. An open at the very
        instant of a command counts as past; one at that of a split is the one before which the split takes
        effect.
        """
        at = item.at if last is None else max(item.at, last.as_of)
        phase = Phase.CLOSE if isinstance(item, Split | Dividend) else Phase.OPEN
        self._broker.now = Slice(as_of=at, phase=phase, bars={})
        match item:
            case Split():
                self.order_manager.split(item)
            case Dividend():
                self._broker.apply_dividend(self._feed(item.symbol), item)
            case OpenMissed():
                self.order_manager.expire_orders(item.symbols, item.reason)
        strategy.on_event(item)

    def _update_rates(self, rates: FxRateSource, as_of: datetime) -> None:
        for symbol, currency in self._foreign.items():
            self.order_manager.feeds[symbol].set_rate(rates.rate(currency, as_of), as_of)

    def _feed(self, symbol: str) -> SymbolFeed:
        feed = self.order_manager.feeds.get(symbol)
        if feed is None:
            raise DataError(
                f"a slice carries {symbol}, which this run does not have; add it as an instrument"
            )
        return feed


class _RecordCollector:
    """Sorts records by kind, unless none is to be kept, and passes each on at once."""

    def __init__(self, on_record: Callable[[Record], None] | None, *, keep: bool, keep_steps: bool) -> None:
        self._on_record = on_record
        self._keep = keep
        self._keep_steps = keep_steps
        self.orders = RecordTable(OrderRecord)
        self.fills = RecordTable(Fill)
        self.marks: list[EquityPoint] = []
        self.steps = RecordTable(HoldingPeriod)

    def __call__(self, record: Record) -> None:
        if self._keep:
            self._sort(record)
        if self._on_record is not None:
            self._on_record(record)

    def _sort(self, record: Record) -> None:
        match record:
            case OrderRecord():
                if record.status is not OrderStatus.PENDING:
                    self.orders.append(record)
            case Fill():
                self.fills.append(record)
            case EquityPoint():
                self.marks.append(record)
            case HoldingPeriod() if self._keep_steps:
                self.steps.append(record)


def run(
    slices: Iterable[EngineInput],
    *,
    strategy: Callable[..., SliceStrategy],
    settings: Mapping[str, Any] = MappingProxyType({}),
    instruments: Mapping[str, Instrument],
    costs: Mapping[str, Costs],
    calendars: Mapping[str, Calendar],
    cash: float,
    margin: float = MAINTENANCE_MARGIN,
    rates: FxRateSource | None = None,
    delistings: Mapping[str, Delisting] = MappingProxyType({}),
    resize_orders: bool = True,
    risk: RiskEngine | None = None,
    keep: bool = True,
    keep_steps: bool = True,
    analyzers: Mapping[str, Callable[[], Any]] = MappingProxyType({}),
    on_record: Callable[[Record], None] | None = None,
) -> EngineResult:
    """Run `strategy` over `slices` until they end, and return its records.

    Bars are in each instrument's quote currency; cash, equity, costs and steps in the base currency of
    `rates`.

    Args:
        slices: Slices and, between them, commands, last prices, splits and dividends; may block until the
            next one is there.
        strategy: A subclass of SliceStrategy, or a function of backtrader's feeds that creates one.
        settings: Keyword arguments of the strategy.
        instruments: The instruments by symbol.
        costs: Their costs by symbol.
        calendars: Their calendars by code.
        cash: The starting cash.
        margin: The least equity, as a fraction of the gross exposure, with which a short may be held.
        rates: Values positions at the last rate known at each slice; without it all instruments have one
            currency.
        delistings: The symbols whose bars end before the others.
        resize_orders: Whether a purchase that cash does not cover is filled in part; else it is rejected.
        risk: The limits of a session.
        keep: Whether the result has records; without them a run of years takes no more memory than one of
            days.
        keep_steps: Whether the records have the holding periods, which are most of them.
        analyzers: Factories of backtrader analyzers, by name.
        on_record: Receives each record at once, an order first as pending and again when it is settled.

    Returns:
        The records and the final cash and value.

    Raises:
        UsageError: For a run that cannot be made of these parts.
        DataError: For slices out of order, of an unknown symbol or without a rate.
    """
    _check(instruments, costs, calendars, cash, rates)
    collector = _RecordCollector(on_record, keep=keep, keep_steps=keep_steps)
    cerebro = SliceCerebro(slices, instruments, rates, delistings)
    feeds = {symbol: SymbolFeed(name=symbol) for symbol in sorted(instruments)}
    broker = SliceBroker(
        feeds=feeds,
        instruments=instruments,
        costs=costs,
        margin=margin,
        resize_orders=resize_orders,
        notifies=bool(analyzers),
        keep_steps=keep_steps or on_record is not None,
        sink=collector,
    )
    broker.setcash(float(cash))
    cerebro.setbroker(broker)
    for symbol, feed in feeds.items():
        cerebro.adddata(feed, name=symbol)
    cerebro.order_manager = OrderManager(
        broker=broker, feeds=feeds, instruments=instruments, calendars=calendars, sink=collector, risk=risk
    )
    cerebro.addstrategy(strategy, **settings)
    for name, analyzer in analyzers.items():
        cerebro.addanalyzer(analyzer, _name=name)
    (ran,) = cerebro.run(stdstats=False, preload=False, runonce=False, exactbars=1)
    cerebro.order_manager.expire_all()
    broker.pnl.finish({symbol: (feed.price, feed.seen_at) for symbol, feed in feeds.items() if feed.seen_at})
    collector.orders.sort("number")
    return EngineResult(
        starting_cash=float(cash),
        cash=broker.getcash(),
        value=broker.getvalue(),
        orders=collector.orders,
        fills=collector.fills,
        marks=tuple(collector.marks),
        steps=collector.steps,
        borrow_paid=broker.pnl.borrow_paid,
        analyses={name: getattr(ran.analyzers, name).get_analysis() for name in analyzers},
    )


def _check(
    instruments: Mapping[str, Instrument],
    costs: Mapping[str, Costs],
    calendars: Mapping[str, Calendar],
    cash: float,
    rates: FxRateSource | None,
) -> None:
    if not instruments:
        raise UsageError("a run needs at least one instrument; name a symbol")
    if not cash > 0:
        raise UsageError(f"cash {cash} is not above zero; give the amount to start with")
    for symbol, instrument in instruments.items():
        if symbol not in costs:
            raise UsageError(f"{symbol} has no costs; add them, or take DEFAULT_COSTS of its asset class")
        if instrument.calendar not in calendars:
            raise UsageError(f"{symbol} follows calendar {instrument.calendar}, which is not given; add it")
    currencies = sorted({instrument.currency for instrument in instruments.values()})
    if rates is None and len(currencies) > 1:
        raise UsageError(
            f"the instruments are quoted in {', '.join(currencies)}; give rates, or run each by itself"
        )

"""Turns a wanted weight into one waiting order for its symbol, with the open at which it is due.

Knows instruments and calendars; it does not know why a weight is wanted, and fills nothing itself.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from math import isfinite

from engine.broker import SliceBroker
from engine.calendars import Calendar
from engine.errors import DataError
from engine.feed import SymbolFeed
from engine.instruments import Instrument
from engine.records import OrderRecord, OrderStatus, Record
from engine.sizing import order_size, wanted_position
from engine.values import Bar, Phase, Slice

_INSTANT = timedelta(microseconds=1)


class OrderDesk:
    """Gives orders to `broker`. `feeds` and `instruments` are by symbol, `calendars` by their code."""

    def __init__(
        self,
        *,
        broker: SliceBroker,
        feeds: Mapping[str, SymbolFeed],
        instruments: Mapping[str, Instrument],
        calendars: Mapping[str, Calendar],
        sink: Callable[[Record], None],
    ) -> None:
        self.feeds = feeds
        self._broker = broker
        self._instruments = instruments
        self._calendars = calendars
        self._sink = sink
        self._given = 0

    @property
    def now(self) -> Slice:
        """The slice being worked on. Raises RuntimeError outside of one."""
        if self._broker.now is None:
            raise RuntimeError("no slice has come yet; give targets from decide or watch")
        return self._broker.now

    def held(self, symbol: str) -> float:
        """The position in signed units. Raises ValueError for a symbol that the run does not have."""
        return float(self._broker.getposition(self._feed(symbol)).size)

    def target(self, symbol: str, weight: float, reason: str) -> None:
        """Replace the waiting order of `symbol` by one that takes its position to `weight` of equity.

        Size and equity are taken at the last known prices. What cannot be ordered is recorded as rejected.
        An order that the margin limit gave is not replaced. Raises ValueError for an unknown symbol and
        for a weight that is not finite.
        """
        feed = self._feed(symbol)
        if not isfinite(weight):
            raise ValueError(f"{symbol}: weight {weight} is not a finite fraction of equity")
        waiting = self._broker.waiting.get(symbol)
        if waiting is not None and waiting.forced:
            self._reject(symbol, 0.0, f"order {waiting.number} closes the short at the margin limit")
            return
        self.withdraw(symbol, "replaced by a later target")
        self._order(feed, symbol, weight, reason)

    def withdraw(self, symbol: str, reason: str) -> None:
        """Take back the waiting order of `symbol`, unless the margin limit gave it."""
        waiting = self._broker.waiting.get(symbol)
        if waiting is not None and not waiting.forced:
            self._broker.withdraw(symbol, OrderStatus.WITHDRAWN, self.now.as_of, reason)

    def guard_margin(self) -> None:
        """Order every short closed if equity is at or below the margin of the gross exposure."""
        broker = self._broker
        equity, least = broker.getvalue(), broker.margin * broker.gross
        if equity > least:
            return
        for symbol, feed in self.feeds.items():
            waiting = broker.waiting.get(symbol)
            size = -self.held(symbol)
            if feed.bar is not None and size > 0 and not (waiting and waiting.forced):
                self.withdraw(symbol, "replaced at the margin limit")
                reason = f"margin limit: equity {equity:.2f}, least {least:.2f}"
                self._place(feed, feed.bar, size, reason, forced=True)

    def expire_all(self) -> None:
        """Expire what is still waiting: no open will come any more."""
        for symbol in sorted(self._broker.waiting):
            self._broker.withdraw(
                symbol, OrderStatus.EXPIRED, self.now.as_of, "the slices ended before an open"
            )

    def _order(self, feed: SymbolFeed, symbol: str, weight: float, reason: str) -> None:
        equity = self._broker.getvalue()
        if feed.bar is None:
            self._reject(symbol, 0.0, "no price is known yet")
            return
        if equity <= 0 and weight != 0:
            self._reject(symbol, 0.0, f"equity {equity:.2f} is not above zero")
            return
        instrument, held = self._instruments[symbol], self.held(symbol)
        wanted = wanted_position(weight, equity, feed.price, instrument.lot)
        size = order_size(wanted, held, instrument.lot)
        if wanted < 0 and not instrument.shortable:
            self._reject(symbol, size, f"{symbol} cannot be sold short")
        elif wanted == 0 and weight != 0 and held == 0:
            self._reject(symbol, 0.0, f"weight {weight:.4f} is less than one lot of {instrument.lot:g}")
        elif size != 0:
            self._place(feed, feed.bar, size, reason, forced=False)

    def _place(self, feed: SymbolFeed, bar: Bar, size: float, reason: str, *, forced: bool) -> None:
        now, held = self.now.as_of, self.held(bar.symbol)
        due_at: datetime | None = None
        try:
            due_at = self._due(bar)
        except DataError as error:
            # Where the calendar ends, what is held may still be given up at whatever open comes.
            if not (0 <= held + size < held or held < held + size <= 0):
                self._reject(bar.symbol, size, f"no new position in {bar.symbol}: {error}")
                return
        record = OrderRecord(
            number=self._next_number(),
            at=now,
            decided_at=now,
            due_at=due_at,
            symbol=bar.symbol,
            size=size,
            status=OrderStatus.PENDING,
            reason=reason,
            forced=forced,
        )
        self._broker.place(feed, record)

    def _reject(self, symbol: str, size: float, reason: str) -> None:
        now = self.now.as_of
        self._sink(
            OrderRecord(
                number=self._next_number(),
                at=now,
                decided_at=now,
                due_at=None,
                symbol=symbol,
                size=size,
                status=OrderStatus.REJECTED,
                reason=reason,
            )
        )

    def _due(self, bar: Bar) -> datetime:
        """The next open of the symbol by its calendar, after its newest bar and after this slice."""
        now = self.now
        after = bar.closes_at
        if bar.symbol not in now.bars:
            # An open at this very instant is over once an OPEN slice of it has come without the symbol.
            after = max(after, now.as_of + _INSTANT if now.phase is Phase.OPEN else now.as_of)
        return self._calendars[self._instruments[bar.symbol].calendar].next_open(after)

    def _next_number(self) -> int:
        self._given += 1
        return self._given

    def _feed(self, symbol: str) -> SymbolFeed:
        if symbol not in self.feeds:
            raise ValueError(f"{symbol} is not in this run; it has {', '.join(self.feeds)}")
        return self.feeds[symbol]

"""Turns a wanted weight into one waiting order for its symbol, with the open at which it is due.

Knows instruments and calendars; it does not know why a weight is wanted, and fills nothing itself.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from math import fsum, isfinite

from engine.calendars import Calendar
from engine.corporate_actions import Dividend, Split
from engine.errors import DataError
from engine.instruments import Instrument
from engine.lots import order_size, wanted_position
from engine.model import Bar, Phase, Slice
from engine.trading.bar_feed import SymbolFeed
from engine.trading.broker import SliceBroker
from engine.trading.records import OrderRecord, OrderStatus, Record
from engine.trading.risk import Proposal, RiskGuard

_INSTANT = timedelta(microseconds=1)


class OrderDesk:
    """Gives orders to `broker`. `feeds` and `instruments` are by symbol, `calendars` by their code.

    `gate` holds the limits of a session; without one every target that can be ordered is.
    """

    def __init__(
        self,
        *,
        broker: SliceBroker,
        feeds: Mapping[str, SymbolFeed],
        instruments: Mapping[str, Instrument],
        calendars: Mapping[str, Calendar],
        sink: Callable[[Record], None],
        gate: RiskGuard | None = None,
    ) -> None:
        self.feeds = feeds
        self._gate = gate
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
        if self._gate is not None and (forbidden := self._gate.forbids_all()):
            self._reject(symbol, 0.0, forbidden)
            return
        self.withdraw(symbol, "replaced by a later target")
        self._order(feed, symbol, weight, reason)

    def withdraw(self, symbol: str, reason: str) -> None:
        """Take back the waiting order of `symbol`, unless the margin limit gave it."""
        waiting = self._broker.waiting.get(symbol)
        if waiting is not None and not waiting.forced:
            self._broker.withdraw(symbol, OrderStatus.WITHDRAWN, self.now.as_of, reason)

    def close_out(self, symbol: str, reason: str) -> None:
        """Order all that is held of `symbol` closed, past the session's limits; one that waits to is left."""
        feed, size = self._feed(symbol), -self.held(symbol)
        waiting = self._broker.waiting.get(symbol)
        if waiting is not None and (waiting.forced or waiting.size == size):
            return
        self.withdraw(symbol, reason)
        if feed.bar is not None and size:
            self._place(feed, feed.bar, size, reason, forced=False)

    def withdraw_risk(self, reason: str, *, every: bool) -> None:
        """Take back the orders that enlarge or turn a position, or every one the margin did not give."""
        for symbol, waiting in sorted(self._broker.waiting.items()):
            held = self.held(symbol)
            after = held + waiting.size
            if every or not (0 <= after <= held or held <= after <= 0):
                self.withdraw(symbol, reason)

    def lapse(self, symbols: Iterable[str], reason: str) -> None:
        """Expire the waiting orders of `symbols`: the open that they waited for was missed."""
        for symbol in symbols:
            self._broker.withdraw(symbol, OrderStatus.EXPIRED, self.now.as_of, reason)

    def split(self, split: Split) -> None:
        """Restate the position and the waiting order of a symbol in units of after a split."""
        symbol, feed = split.symbol, self._feed(split.symbol)
        waiting, held = self._broker.waiting.get(symbol), self.held(symbol)
        self._broker.withdraw(symbol, OrderStatus.WITHDRAWN, self.now.as_of, "given anew after a split")
        self._broker.split(feed, symbol, split.ratio)
        if waiting is None or feed.bar is None:
            return
        size = wanted_position(waiting.size * split.ratio, 1.0, 1.0, self._instruments[symbol].lot)
        if held + waiting.size == 0:
            size = -self.held(symbol)
        if size:
            self._place(feed, feed.bar, size, waiting.reason, forced=waiting.forced)

    def earn(self, dividend: Dividend) -> None:
        """Pay a dividend on what is held."""
        self._broker.earn(self._feed(dividend.symbol), dividend.symbol, dividend.amount)

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
            self._permitted(feed, feed.bar, size, reason)

    def _permitted(self, feed: SymbolFeed, bar: Bar, size: float, reason: str) -> None:
        """Place what the session's limits allow of an order."""
        if self._gate is None:
            self._place(feed, bar, size, reason, forced=False)
            return
        proposal = Proposal(
            at=self.now.as_of,
            symbol=bar.symbol,
            held=self.held(bar.symbol),
            size=size,
            price=feed.price,
            equity=self._broker.getvalue(),
            others=self._exposure_without(bar.symbol),
        )
        allowed, refusal = self._gate.permit(proposal)
        if allowed != size:
            self._reject(bar.symbol, size, refusal)
        if allowed:
            self._gate.ordered(proposal.at)
            self._place(feed, bar, allowed, reason if allowed == size else refusal, forced=False)

    def _exposure_without(self, symbol: str) -> float:
        waiting = {name: order.size for name, order in self._broker.waiting.items()}
        others = ((name, feed) for name, feed in self.feeds.items() if name != symbol)
        return fsum(abs(self.held(name) + waiting.get(name, 0.0)) * feed.price for name, feed in others)

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

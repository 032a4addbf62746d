"""Turn a target weight into one waiting order for its symbol, with the open at which it is due."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from math import fsum, isfinite
from typing import Any

from engine.calendars import Calendar
from engine.corporate_actions import Delisting, Split
from engine.errors import DataError
from engine.instruments import Instrument
from engine.lots import order_size, target_position
from engine.model import Bar, Phase, Slice
from engine.trading.bar_feed import SymbolFeed
from engine.trading.broker import SliceBroker
from engine.trading.records import OrderRecord, OrderStatus, Record
from engine.trading.risk import OrderRequest, RiskEngine

_INSTANT = timedelta(microseconds=1)


class OrderManager:
    """Sizes orders, checks them and gives them to `broker`.

    `feeds` and `instruments` are by symbol, `calendars` by their code. `sink` receives orders that are
    rejected at once. `risk` holds the limits of a session; without one only the account limits orders.
    """

    def __init__(
        self,
        *,
        broker: SliceBroker,
        feeds: Mapping[str, SymbolFeed],
        instruments: Mapping[str, Instrument],
        calendars: Mapping[str, Calendar],
        sink: Callable[[Record], None],
        risk: RiskEngine | None = None,
    ) -> None:
        self.feeds = feeds
        self._risk = risk
        self._broker = broker
        self._instruments = instruments
        self._calendars = calendars
        self._sink = sink
        self._last_number = 0

    @property
    def now(self) -> Slice:
        """The current slice. Raises RuntimeError outside of one."""
        if self._broker.now is None:
            raise RuntimeError("no slice has come yet; order from on_close or on_slice")
        return self._broker.now

    def position(self, symbol: str) -> float:
        """Return the position in signed units. Raises ValueError for a symbol that the run does not have."""
        return float(self._broker.getposition(self._feed(symbol)).size)

    def order_target_percent(self, symbol: str, weight: float, reason: str) -> None:
        """Replace the waiting order of `symbol` by one that takes its position to `weight` of equity.

        Size and equity are taken at the last known prices. What cannot be ordered is recorded as rejected. An
        order of the margin limit is not replaced.

        Args:
            symbol: The symbol.
            weight: A fraction of equity; negative is short.
            reason: Recorded with the order.

        Raises:
            ValueError: For an unknown symbol, and a weight that is not finite.
        """
        feed = self._feed(symbol)
        if not isfinite(weight):
            raise ValueError(f"{symbol}: weight {weight} is not a finite fraction of equity")
        waiting = self._broker.waiting.get(symbol)
        if waiting is not None and waiting.forced:
            self._reject(symbol, 0.0, f"order {waiting.number} closes the short at the margin limit")
            return
        if self._risk is not None and (forbidden := self._risk.halt_reason()):
            self._reject(symbol, 0.0, forbidden)
            return
        self.cancel_order(symbol, "replaced by a later target")
        self._order(feed, symbol, weight, reason)

    def cancel_order(self, symbol: str, reason: str) -> None:
        """Cancel the waiting order of `symbol`, unless it is one of the margin limit."""
        waiting = self._broker.waiting.get(symbol)
        if waiting is not None and not waiting.forced:
            self._broker.cancel_order(symbol, OrderStatus.CANCELLED, self.now.as_of, reason)

    def close_position(self, symbol: str, reason: str) -> None:
        """Order the position of `symbol` closed, past the session's limits, unless such an order waits."""
        feed, size = self._feed(symbol), -self.position(symbol)
        waiting = self._broker.waiting.get(symbol)
        if waiting is not None and (waiting.forced or waiting.size == size):
            return
        self.cancel_order(symbol, reason)
        if feed.bar is not None and size:
            self._place(feed.bar, size, reason, forced=False)

    def cancel_risk_increasing_orders(self, reason: str, *, every: bool) -> None:
        """Cancel orders that enlarge or flip a position; with `every`, all but those of the margin limit."""
        for symbol, waiting in sorted(self._broker.waiting.items()):
            after = (position := self.position(symbol)) + waiting.size
            if every or not (0 <= after <= position or position <= after <= 0):
                self.cancel_order(symbol, reason)

    def expire_orders(self, symbols: Iterable[str], reason: str) -> None:
        """Expire the waiting orders of `symbols`, whose open was missed."""
        for symbol in symbols:
            self._broker.cancel_order(symbol, OrderStatus.EXPIRED, self.now.as_of, reason)

    def split(self, split: Split) -> None:
        """Restate the position and the waiting order of a symbol in units after a split."""
        symbol, feed = split.symbol, self._feed(split.symbol)
        waiting, before = self._broker.waiting.get(symbol), self.position(symbol)
        # An order decided after that open rests on a position that was not restated yet.
        late = waiting is not None and waiting.decided_at > split.at
        reason = "decided before the split was known" if late else "given anew after a split"
        self._broker.cancel_order(symbol, OrderStatus.CANCELLED, self.now.as_of, reason)
        self._broker.split(feed, split)
        if waiting is None or feed.bar is None or late:
            return
        size = target_position(waiting.size * split.ratio, 1.0, 1.0, self._instruments[symbol].lot)
        if before + waiting.size == 0:
            size = -self.position(symbol)
        if size:
            self._place(feed.bar, size, waiting.reason, forced=waiting.forced)

    def delist(self, symbol: str, delisting: Delisting) -> None:
        """Void the waiting order of a symbol without further bars, and close its position."""
        feed, size = self._feed(symbol), -self.position(symbol)
        if feed.bar is None:
            return
        feed.is_delisted = True
        ended = f"delisted: the last bar is of {feed.bar.opens_at:%Y-%m-%d}"
        self.expire_orders([symbol], ended)
        if size:
            reason = f"{ended}; closed at {delisting.value:.0%} of its close"
            record = self._record(symbol, size, OrderStatus.FILLED, reason, forced=True)
            self._broker.close_delisted(record, delisting.value)

    def enforce_margin(self) -> None:
        """Order every short closed if equity is at or below the margin of the gross exposure."""
        equity, least = self._broker.getvalue(), self._broker.margin * self._broker.gross
        if equity > least:
            return
        for symbol, feed in self.feeds.items():
            waiting = self._broker.waiting.get(symbol)
            size = -self.position(symbol)
            if feed.bar is not None and size > 0 and not (waiting and waiting.forced):
                self.cancel_order(symbol, "replaced at the margin limit")
                reason = f"margin limit: equity {equity:.2f}, least {least:.2f}"
                self._place(feed.bar, size, reason, forced=True)

    def expire_all(self) -> None:
        """Expire the orders that still wait when the slices end."""
        for symbol in sorted(self._broker.waiting):
            self._broker.cancel_order(
                symbol, OrderStatus.EXPIRED, self.now.as_of, "the slices ended before an open"
            )

    def _order(self, feed: SymbolFeed, symbol: str, weight: float, reason: str) -> None:
        equity = self._broker.getvalue()
        if feed.bar is None or feed.is_delisted:
            self._reject(symbol, 0.0, f"{symbol} is delisted" if feed.bar else "no price is known yet")
            return
        if equity <= 0 and weight != 0:
            self._reject(symbol, 0.0, f"equity {equity:.2f} is not above zero")
            return
        instrument, position = self._instruments[symbol], self.position(symbol)
        target = target_position(weight, equity, feed.price, instrument.lot)
        size = order_size(target, position, instrument.lot)
        if target < 0 and not instrument.shortable:
            self._reject(symbol, size, f"{symbol} cannot be sold short")
        elif target == 0 and weight != 0 and position == 0:
            self._reject(symbol, 0.0, f"weight {weight:.4f} is less than one lot of {instrument.lot:g}")
        elif size != 0:
            self._place_permitted(feed, feed.bar, size, reason)

    def _place_permitted(self, feed: SymbolFeed, bar: Bar, size: float, reason: str) -> None:
        """Place the part of an order that the session's limits allow."""
        if self._risk is None:
            self._place(bar, size, reason, forced=False)
            return
        request = OrderRequest(
            at=self.now.as_of,
            symbol=bar.symbol,
            position=self.position(bar.symbol),
            size=size,
            price=feed.price,
            equity=self._broker.getvalue(),
            other_exposure=self._exposure_without(bar.symbol),
        )
        allowed, refusal = self._risk.check_order(request)
        if allowed != size:
            self._reject(bar.symbol, size, refusal)
        if allowed:
            self._risk.on_order(request.at)
            self._place(bar, allowed, reason if allowed == size else refusal, forced=False)

    def _exposure_without(self, symbol: str) -> float:
        waiting = {name: order.size for name, order in self._broker.waiting.items()}
        others = ((name, feed) for name, feed in self.feeds.items() if name != symbol)
        return fsum(abs(self.position(name) + waiting.get(name, 0.0)) * feed.price for name, feed in others)

    def _place(self, bar: Bar, size: float, reason: str, *, forced: bool) -> None:
        position = self.position(bar.symbol)
        due_at: datetime | None = None
        try:
            due_at = self._next_open(bar)
        except DataError as error:
            # Where the calendar ends, a position may still be reduced at the next open, whenever that is.
            if not (0 <= position + size < position or position < position + size <= 0):
                self._reject(bar.symbol, size, f"no new position in {bar.symbol}: {error}")
                return
        record = self._record(bar.symbol, size, OrderStatus.PENDING, reason, due_at=due_at, forced=forced)
        self._broker.place(record)

    def _reject(self, symbol: str, size: float, reason: str) -> None:
        self._sink(self._record(symbol, size, OrderStatus.REJECTED, reason))

    def _record(self, symbol: str, size: float, status: OrderStatus, reason: str, **rest: Any) -> OrderRecord:
        self._last_number += 1
        now = self.now.as_of
        return OrderRecord(
            number=self._last_number,
            at=now,
            decided_at=now,
            symbol=symbol,
            size=size,
            status=status,
            reason=reason,
            **{"due_at": None, **rest},
        )

    def _next_open(self, bar: Bar) -> datetime:
        """Return the next open of the symbol by its calendar, after its newest bar and after this slice."""
        now = self.now
        after = bar.closes_at
        if bar.symbol not in now.bars:
            # An open at this very instant is over once an OPEN slice of it has come without the symbol.
            after = max(after, now.as_of + _INSTANT if now.phase is Phase.OPEN else now.as_of)
        return self._calendars[self._instruments[bar.symbol].calendar].next_open(after)

    def _feed(self, symbol: str) -> SymbolFeed:
        if symbol not in self.feeds:
            raise ValueError(f"{symbol} is not in this run; it has {', '.join(self.feeds)}")
        return self.feeds[symbol]

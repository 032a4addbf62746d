"""Asks for bars and prices, keeps what can be believed and journals what is refused, corrected or observed.

Knows sources and arrivals; it does not know which slice they are for.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from engine.values import Bar
from feeds.live import facts
from feeds.live.arrivals import Arrivals
from feeds.live.book import Book
from feeds.live.contacts import Contacts, Inquiry, T
from feeds.live.limits import Limits
from feeds.live.sources import Opening
from feeds.live.turn import usable_quotes


class Receiver:
    """The answers of all sources about bars, opens and last prices."""

    def __init__(self, contacts: Contacts, arrivals: Arrivals, book: Book, limits: Limits) -> None:
        self._contacts = contacts
        self._arrivals = arrivals
        self._book = book
        self._limits = limits

    def market(self) -> datetime:
        """What time it is on the exchanges."""
        return self._contacts.market()

    def settled(self, symbol: str, opens_at: datetime) -> Bar | None:
        """The closed bar of that session, once it has stopped changing."""
        return self._arrivals.settled(symbol, opens_at)

    def unsettled(self) -> set[str]:
        """The symbols with a closed bar that may still change."""
        return self._arrivals.unsettled()

    def why_not(self, symbol: str, opens_at: datetime, lacks: str) -> str:
        """Why the session's closed bar ("bar"), or something of its open, has not come."""
        if lacks == "bar":
            return self._arrivals.why_not(symbol, opens_at)
        return self._arrivals.why_no_open(symbol)

    def journaled(self, bars: Iterable[Bar]) -> None:
        """These bars need not be kept any longer."""
        self._arrivals.drop(bars)

    def ask_bars(self, oldest: Mapping[str, datetime]) -> None:
        """Ask for the bars of each symbol from the given instant on, and further back for corrections."""
        since = {
            symbol: min(at - self._limits.look_back, self._book.recent(symbol, at))
            for symbol, at in oldest.items()
        }
        learned = self._contacts.inquire(
            sorted(oldest), lambda source, symbol: source.closed_bars(symbol, since[symbol])
        )
        events = learned.events
        market = self.market()
        for symbol, (bars, server_time) in learned.values.items():
            events += self._arrivals.take(symbol, bars, server_time, market)
        self._account(learned)
        differing = [bar for bar in self._arrivals.all_settled() if self._book.has(bar)]
        self._book.append([*events, *self._book.corrections(differing, market)])
        self._arrivals.drop(differing)

    def ask_openings(self, opens_at: Mapping[str, datetime]) -> dict[str, tuple[Opening, datetime]]:
        """What the sources say of each symbol's open at the given instant, with their clock just before."""
        learned = self._contacts.inquire(
            sorted(opens_at), lambda source, symbol: source.opening(symbol, opens_at[symbol])
        )
        self._account(learned)
        self._book.append(learned.events)
        return learned.values

    def observe(self, symbols: Iterable[str]) -> None:
        """Journal the last prices of `symbols`."""
        learned = self._contacts.inquire(sorted(symbols), lambda source, symbol: source.quote(symbol))
        newest = {symbol: at + self._limits.clock_tolerance for symbol, (_, at) in learned.values.items()}
        quotes = usable_quotes({symbol: value for symbol, (value, _) in learned.values.items()}, newest)
        self._book.append([*learned.events, *([facts.quote(self.market(), quotes)] if quotes else [])])

    def _account(self, learned: Inquiry[T]) -> None:
        for symbol in learned.values:
            self._arrivals.answered(symbol)
        for symbol, why in learned.errors.items():
            self._arrivals.failed(symbol, why)

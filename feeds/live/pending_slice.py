"""The next slice to journal: what has arrived for it, what it still lacks, and how long it may wait."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from engine.calendars import Session
from engine.model import Bar, Phase
from feeds.live.events import is_price
from feeds.live.protocols import Opening, Quote
from feeds.live.schedule import DueSlice
from feeds.live.settings import Limits

FindBar = Callable[[str, datetime], Bar | None]
"""Returns the confirmed bar of a symbol and a session's open, if there is one."""

NOTHING = Opening(official=None, observed=None)


@dataclass(slots=True, kw_only=True)
class PendingSlice:
    """A due slice, pending since `pending_since`; its sources are asked again at `ask_at`.

    `resumed_at` is when the collector started: after a restart a slice waits as long as at its instant.
    """

    due: DueSlice
    pending_since: datetime
    resumed_at: datetime
    limits: Limits
    ask_at: datetime
    openings: dict[str, Opening] = field(default_factory=dict)

    @classmethod
    def create(cls, due: DueSlice, market: datetime, resumed_at: datetime, limits: Limits) -> "PendingSlice":
        """Return `due` as pending from the exchanges' time `market` on."""
        first = due.at + limits.margin if due.phase is Phase.CLOSE else due.at
        ask_at = max(market, first)
        return cls(due=due, pending_since=market, resumed_at=resumed_at, limits=limits, ask_at=ask_at)

    @property
    def deadline(self) -> datetime:
        """Return until when the slice waits for what it lacks."""
        close = self.due.phase is Phase.CLOSE
        patience = self.limits.patience if close else self.limits.open_patience
        return max(self.due.at + patience, self.resumed_at + patience, self.pending_since + self.limits.grace)

    def on_polled(self, market: datetime, *, confirming: bool) -> None:
        """Record that the sources were asked at `market`; they are asked less often as the wait grows."""
        limits = self.limits
        pace = max(limits.poll_every, min(limits.poll_at_most, (market - self.due.at) / 4))
        self.ask_at = market + (limits.settle if confirming else pace)

    def is_late(self, market: datetime) -> bool:
        """Return whether the slice would be too late for a decision."""
        return market > self.due.at + self.limits.late_after

    def missing_bars(self, market: datetime, find_bar: FindBar) -> set[str]:
        """Return the symbols whose closed bar is needed and not confirmed."""
        return {
            symbol
            for symbol, (opens_at, closes_at) in self.due.sessions.items()
            if closes_at <= market and find_bar(symbol, opens_at) is None
        }

    def missing_openings(self, market: datetime) -> set[str]:
        """Return the symbols in session whose open is still incomplete."""
        return {
            symbol
            for symbol, (_, closes_at) in self.due.sessions.items()
            if market < closes_at and not self._is_complete(self.openings.get(symbol, NOTHING), market)
        }

    def add_opening(self, symbol: str, opening: Opening, server_time: datetime) -> None:
        """Keep the first observed price and the official open, once a source states them."""
        self.openings[symbol] = merge_opening(
            self.openings.get(symbol, NOTHING),
            opening,
            self.due.at,
            server_time + self.limits.clock_tolerance,
        )

    def resolve_openings(self, market: datetime, find_bar: FindBar) -> dict[str, Opening]:
        """Return the known opens by symbol; for a session that is over, with the open of its bar."""
        openings = {
            symbol: self._with_official_open(symbol, session, market, find_bar)
            for symbol, session in self.due.sessions.items()
        }
        return {symbol: opening for symbol, opening in openings.items() if opening != NOTHING}

    def missing_parts(self, opened: Mapping[str, Opening], market: datetime) -> dict[str, str]:
        """Return what each incomplete symbol lacks at its open: "open", "official" or "observed"."""
        lacking = {}
        for symbol in self.due.sessions:
            opening = opened.get(symbol, NOTHING)
            if opening == NOTHING:
                lacking[symbol] = "open"
            elif opening.official is None:
                lacking[symbol] = "official"
            elif not self._is_complete(opening, market):
                lacking[symbol] = "observed"
        return lacking

    def _with_official_open(
        self, symbol: str, session: Session, market: datetime, find_bar: FindBar
    ) -> Opening:
        opening = self.openings.get(symbol, NOTHING)
        bar = find_bar(symbol, session[0]) if session[1] <= market else None
        return replace(opening, official=bar.open) if bar else opening

    def _is_complete(self, opening: Opening, market: datetime) -> bool:
        return opening.official is not None and (opening.observed is not None or self.is_late(market))


def merge_opening(known: Opening, update: Opening, session_open: datetime, newest: datetime) -> Opening:
    """Complete an opening with a later answer.

    Args:
        known: What was known before; an observed price in it is kept.
        update: The answer, of which only valid prices count.
        session_open: The open of the session, before which no price was observed in it.
        newest: The latest credible time of an observed price.
    """
    official = update.official if is_price(update.official) else known.official
    observed = known.observed
    if observed is None and update.observed and _is_usable(update.observed, session_open, newest):
        observed = update.observed
    return Opening(official=official, observed=observed)


def usable_quotes(quotes: Mapping[str, Quote], newest: Mapping[str, datetime]) -> dict[str, Quote]:
    """Return the quotes with a valid price and a time no later than the symbol's in `newest`."""
    return {
        symbol: quote
        for symbol, quote in quotes.items()
        if is_price(quote.price) and quote.at <= newest[symbol]
    }


def _is_usable(quote: Quote, oldest: datetime, newest: datetime) -> bool:
    return is_price(quote.price) and oldest <= quote.at <= newest

"""The slice whose turn it is: what has arrived for it, what it still lacks, and how long it may wait.

Knows one slice, its sources' answers and the limits; it knows no journal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from engine.calendars import Session
from engine.model import Bar, Phase
from feeds.live.events import is_price
from feeds.live.protocols import Opening, Quote
from feeds.live.schedule import DueSlice
from feeds.live.settings import Limits

Settled = Callable[[str, datetime], Bar | None]
"""The settled bar of a symbol and a session's open, if there is one."""

NOTHING = Opening(official=None, observed=None)


@dataclass(slots=True, kw_only=True)
class PendingSlice:
    """A due slice since `begun_at`; its sources are asked again at `ask_at`."""

    due: DueSlice
    begun_at: datetime
    resumed_at: datetime
    limits: Limits
    ask_at: datetime
    openings: dict[str, Opening] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, due: DueSlice, market: datetime, resumed_at: datetime, limits: Limits) -> "PendingSlice":
        """It is the turn of `due`."""
        first = due.at + limits.margin if due.phase is Phase.CLOSE else due.at
        ask_at = max(market, first)
        return cls(due=due, begun_at=market, resumed_at=resumed_at, limits=limits, ask_at=ask_at)

    @property
    def deadline(self) -> datetime:
        """Until when the slice waits for what it lacks."""
        close = self.due.phase is Phase.CLOSE
        patience = self.limits.patience if close else self.limits.open_patience
        return max(self.due.at + patience, self.resumed_at + patience, self.begun_at + self.limits.grace)

    def on_asked(self, market: datetime, *, settling: bool) -> None:
        """The sources were asked at `market`; a slice that waits for long is asked about less often."""
        limits = self.limits
        pace = max(limits.poll_every, min(limits.poll_at_most, (market - self.due.at) / 4))
        self.ask_at = market + (limits.settle if settling else pace)

    def is_late(self, market: datetime) -> bool:
        """Whether the slice would come too late for a decision."""
        return market > self.due.at + self.limits.late_after

    def without_bar(self, market: datetime, settled: Settled) -> set[str]:
        """The symbols whose closed bar is needed and has not settled."""
        return {
            symbol
            for symbol, (opens_at, closes_at) in self.due.sessions.items()
            if closes_at <= market and settled(symbol, opens_at) is None
        }

    def without_opening(self, market: datetime) -> set[str]:
        """The symbols that are in session, of whose open something is still unknown."""
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

    def resolve_openings(self, market: datetime, settled: Settled) -> dict[str, Opening]:
        """What can be said of each symbol's open; of a session that is over, what its bar says."""
        told = {
            symbol: self._with_official_open(symbol, session, market, settled)
            for symbol, session in self.due.sessions.items()
        }
        return {symbol: each for symbol, each in told.items() if each != NOTHING}

    def missing_parts(self, opened: Mapping[str, Opening], market: datetime) -> dict[str, str]:
        """What each incomplete symbol lacks at its open: "open", "official" or "observed"."""
        lacking = {}
        for symbol in self.due.sessions:
            each = opened.get(symbol, NOTHING)
            if each == NOTHING:
                lacking[symbol] = "open"
            elif each.official is None:
                lacking[symbol] = "official"
            elif not self._is_complete(each, market):
                lacking[symbol] = "observed"
        return lacking

    def _with_official_open(
        self, symbol: str, session: Session, market: datetime, settled: Settled
    ) -> Opening:
        opening = self.openings.get(symbol, NOTHING)
        bar = settled(symbol, session[0]) if session[1] <= market else None
        return replace(opening, official=bar.open) if bar else opening

    def _is_complete(self, opening: Opening, market: datetime) -> bool:
        return opening.official is not None and (opening.observed is not None or self.is_late(market))


def merge_opening(known: Opening, update: Opening, session_open: datetime, newest: datetime) -> Opening:
    """`known`, completed by what of `told` is a price, and observed from the session's open to `newest`."""
    official = update.official if is_price(update.official) else known.official
    observed = known.observed
    if observed is None and update.observed and _is_usable(update.observed, session_open, newest):
        observed = update.observed
    return Opening(official=official, observed=observed)


def usable_quotes(quotes: Mapping[str, Quote], newest: Mapping[str, datetime]) -> dict[str, Quote]:
    """The quotes that are prices and, by `newest` for each symbol, not from the future."""
    return {
        symbol: each for symbol, each in quotes.items() if is_price(each.price) and each.at <= newest[symbol]
    }


def _is_usable(quote: Quote, oldest: datetime, newest: datetime) -> bool:
    return is_price(quote.price) and oldest <= quote.at <= newest

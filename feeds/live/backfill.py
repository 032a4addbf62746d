"""What did not come in time and may still come: it is asked for at intervals and journaled as late slices.

Knows the gaps in the journal and how far back to look. A late slice is dated when its facts became known,
so that the journal's slices never go back in time; its bars carry their own sessions.
"""

from datetime import UTC, datetime
from itertools import groupby

from engine.model import Bar, Phase
from feeds.live.confirmation import BarReceiver
from feeds.live.journal_state import BarPart, CollectorJournal
from feeds.live.pending_slice import NOTHING, merge_opening
from feeds.live.protocols import Opening
from feeds.live.settings import Limits


class Backfill:
    """Looks for missing facts and for corrections, while no slice is due."""

    def __init__(self, receiver: BarReceiver, book: CollectorJournal, limits: Limits) -> None:
        self._receiver = receiver
        self._book = book
        self._limits = limits
        self._asked_at = datetime.min.replace(tzinfo=UTC)
        self._openings: dict[BarPart, Opening] = {}

    def step(self, market: datetime) -> bool:
        """Ask for what is missing, if it is time to, and journal the first late slice that is complete."""
        missing = self._missing(market)
        unsettled = self._receiver.unconfirmed_symbols()
        if (missing or unsettled) and market >= self._next(market, unsettled):
            self._request(missing, unsettled, market)
            market = self._receiver.market_time()
            self._asked_at = market
            missing = self._missing(market)  # what came as a correction is not missing
        for key, group in groupby(missing, key=lambda fact: fact[:2]):
            facts = list(group)
            found = self._append_close(facts, market) if key[1] == 0 else self._append_open(facts, market)
            if found:
                return True
        return False

    def next_wake(self, market: datetime) -> datetime | None:
        """When to ask next, or None if nothing is looked for."""
        unsettled = self._receiver.unconfirmed_symbols()
        return self._next(market, unsettled) if unsettled or self._missing(market) else None

    def _next(self, market: datetime, unsettled: set[str]) -> datetime:
        """`seek_every` after the last time, but soon where an answer waits to be confirmed."""
        if self._asked_at > market:
            return market  # the clock was set back
        return self._asked_at + (self._limits.settle if unsettled else self._limits.seek_every)

    def _missing(self, market: datetime) -> list[BarPart]:
        oldest = market - self._limits.look_back
        return sorted(fact for fact in self._book.memory.missing if fact.at >= oldest)

    def _request(self, missing: list[BarPart], unsettled: set[str], market: datetime) -> None:
        oldest = dict.fromkeys(unsettled, market)
        for fact in missing:
            if fact.phase is Phase.CLOSE or fact.closes_at <= market:
                oldest[fact.symbol] = min(oldest.get(fact.symbol, market), fact.opens_at)
        if oldest:
            self._receiver.ask_bars(oldest)
        running = {fact.symbol: fact for fact in missing if fact.rank and market < fact.closes_at}
        if running:
            told = self._receiver.ask_openings({symbol: fact.at for symbol, fact in running.items()})
            for symbol, (opening, at) in told.items():
                fact = running[symbol]
                newest = at + self._limits.clock_tolerance
                self._openings[fact] = merge_opening(
                    self._openings.get(fact, NOTHING), opening, fact.at, newest
                )

    def _append_close(self, facts: list[BarPart], market: datetime) -> bool:
        settled = {fact.symbol: self._receiver.confirmed_bar(fact.symbol, fact.opens_at) for fact in facts}
        bars: dict[str, Bar] = {symbol: bar for symbol, bar in settled.items() if bar}
        appended = self._book.append(self._book.append_close(market, bars, late=True))
        self._receiver.discard(bars.values())
        return appended

    def _append_open(self, facts: list[BarPart], market: datetime) -> bool:
        found: dict[str, Opening] = {}
        for fact in facts:
            opening = self._openings.get(fact, NOTHING)
            bar = (
                self._receiver.confirmed_bar(fact.symbol, fact.opens_at) if fact.closes_at <= market else None
            )
            official = bar.open if bar else opening.official
            if official is not None:
                found[fact.symbol] = Opening(official=official, observed=opening.observed)
        sessions = {fact.symbol: (fact.opens_at, fact.closes_at) for fact in facts}
        appended = self._book.append(self._book.append_open(market, found, sessions, late=True))
        self._openings = {fact: kept for fact, kept in self._openings.items() if fact.symbol not in found}
        return appended

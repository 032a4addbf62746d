"""Backfill: ask at intervals for what did not arrive in time, and journal it as late slices.

A late slice is dated when its data became known, so that the journal's slices never go back in time; its bars
carry their own sessions.
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
    """Looks for missing parts of bars and for corrections while no slice is due."""

    def __init__(self, receiver: BarReceiver, journal: CollectorJournal, limits: Limits) -> None:
        self._receiver = receiver
        self._journal = journal
        self._limits = limits
        self._last_asked_at = datetime.min.replace(tzinfo=UTC)
        self._openings: dict[BarPart, Opening] = {}

    def step(self, market: datetime) -> bool:
        """Ask for what is missing, if it is time to, and journal the first complete late slice.

        Returns whether there was one. `market` is the exchanges' time.
        """
        missing = self._missing(market)
        unconfirmed = self._receiver.buffer.unconfirmed_symbols()
        if (missing or unconfirmed) and market >= self._next_ask(market, unconfirmed):
            self._request(missing, unconfirmed, market)
            market = self._receiver.market_time()
            self._last_asked_at = market
            missing = self._missing(market)  # what arrived as a correction is not missing
        for key, group in groupby(missing, key=lambda part: part[:2]):
            parts = list(group)
            appended = self._append_close(parts, market) if key[1] == 0 else self._append_open(parts, market)
            if appended:
                return True
        return False

    def next_wake(self, market: datetime) -> datetime | None:
        """Return when to ask next, or None if nothing is missing."""
        unconfirmed = self._receiver.buffer.unconfirmed_symbols()
        return self._next_ask(market, unconfirmed) if unconfirmed or self._missing(market) else None

    def _next_ask(self, market: datetime, unconfirmed: set[str]) -> datetime:
        """Return when to ask next: every `seek_every`, sooner where a bar awaits confirmation."""
        if self._last_asked_at > market:
            return market  # the clock was set back
        return self._last_asked_at + (self._limits.settle if unconfirmed else self._limits.seek_every)

    def _missing(self, market: datetime) -> list[BarPart]:
        oldest = market - self._limits.look_back
        return sorted(part for part in self._journal.memory.missing if part.at >= oldest)

    def _request(self, missing: list[BarPart], unconfirmed: set[str], market: datetime) -> None:
        oldest = dict.fromkeys(unconfirmed, market)
        for part in missing:
            if part.phase is Phase.CLOSE or part.closes_at <= market:
                oldest[part.symbol] = min(oldest.get(part.symbol, market), part.opens_at)
        if oldest:
            self._receiver.ask_bars(oldest)
        running = {part.symbol: part for part in missing if part.rank and market < part.closes_at}
        if running:
            openings = self._receiver.ask_openings({symbol: part.at for symbol, part in running.items()})
            for symbol, (opening, at) in openings.items():
                part = running[symbol]
                newest = at + self._limits.clock_tolerance
                self._openings[part] = merge_opening(
                    self._openings.get(part, NOTHING), opening, part.at, newest
                )

    def _append_close(self, parts: list[BarPart], market: datetime) -> bool:
        confirmed = {
            part.symbol: self._receiver.buffer.confirmed_bar(part.symbol, part.opens_at) for part in parts
        }
        bars: dict[str, Bar] = {symbol: bar for symbol, bar in confirmed.items() if bar}
        appended = self._journal.append(self._journal.close_events(market, bars, late=True))
        self._receiver.buffer.discard(bars.values())
        return appended

    def _append_open(self, parts: list[BarPart], market: datetime) -> bool:
        openings: dict[str, Opening] = {}
        for part in parts:
            opening = self._openings.get(part, NOTHING)
            bar = (
                self._receiver.buffer.confirmed_bar(part.symbol, part.opens_at)
                if part.closes_at <= market
                else None
            )
            official = bar.open if bar else opening.official
            if official is not None:
                openings[part.symbol] = Opening(official=official, observed=opening.observed)
        sessions = {part.symbol: (part.opens_at, part.closes_at) for part in parts}
        appended = self._journal.append(self._journal.open_events(market, openings, sessions, late=True))
        self._openings = {
            part: opening for part, opening in self._openings.items() if part.symbol not in openings
        }
        return appended

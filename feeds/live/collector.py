"""Collect live bars, quotes and news into the journal, dated when they became known.

The collector is a state machine: `step(now)` asks for what is due, journals at most one slice and returns
when to call again. Its state comes from the journal alone, so that a new collector continues where a killed
one stopped. No transaction is open while a source is asked.

A step journals at most one slice, because a decision on a CLOSE must be journaled before the next OPEN
observes the price at which it fills.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from engine.calendars import Calendar
from engine.instruments import Instrument
from engine.journal.events import StoredEvent, encode
from engine.journal.events.inputs import Collecting
from engine.journal.journal import Event, Journal
from engine.model import Phase, require_utc
from feeds.live.backfill import Backfill
from feeds.live.confirmation import BarReceiver, ConfirmationBuffer
from feeds.live.events import encode_gap
from feeds.live.journal_state import CollectorJournal, JournalState
from feeds.live.pending_slice import PendingSlice
from feeds.live.polling import Executor, SourcePoller, run_sequential
from feeds.live.protocols import BarSource, NewsSource
from feeds.live.schedule import JobSchedule, Schedule, SliceTrigger, interval_trigger
from feeds.live.settings import Limits

_DEFAULTS = Limits()
OnJournaled = Callable[[Sequence[StoredEvent]], None]


class Collector:
    """Appends live bars, quotes and news of some instruments to a journal.

    `step` raises JournalError when the journal cannot be written; what a source raises is journaled as an
    event instead.

    Args:
        journal: The journal to append to.
        instruments: The instruments by symbol.
        calendars: Their calendars by code.
        sources: The source of each symbol; one object may serve many symbols.
        since: The first instant to collect; a journal that was begun keeps its own.
        news: The news feeds.
        limits: How long to wait, and how often to ask.
        clock: Returns this machine's time in UTC, right or wrong; without it, time stands still in a step.
        executor: Runs the requests to several sources.
        provenance: Exchange, library and version of each source, for the journal.
        on_journaled: Called with the events just committed.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        instruments: Mapping[str, Instrument],
        calendars: Mapping[str, Calendar],
        sources: Mapping[str, BarSource],
        since: datetime,
        news: Sequence[NewsSource] = (),
        limits: Limits = _DEFAULTS,
        clock: Callable[[], datetime] | None = None,
        executor: Executor = run_sequential,
        provenance: Mapping[str, str] | None = None,
        on_journaled: OnJournaled | None = None,
    ) -> None:
        require_utc(since, "since")
        self._since = self._now = since
        self._limits = limits
        self._provenance = dict(provenance or {})
        clock = clock or (lambda: self._now)
        state = JournalState()
        self._journal = CollectorJournal(journal, state, clock, on_journaled)
        self._schedule = Schedule(instruments, calendars)
        self._poller = SourcePoller(sources, news, state=state, limits=limits, executor=executor, clock=clock)
        buffer = ConfirmationBuffer(
            self._schedule, state.is_expected, margin=limits.margin, settle=limits.settle
        )
        self._receiver = BarReceiver(self._poller, buffer, self._journal, limits)
        self._backfill = Backfill(self._receiver, self._journal, limits)
        self._jobs = JobSchedule(
            {
                "slices": SliceTrigger(self._schedule, limits.margin),
                "quotes": interval_trigger(limits.quote_every, since),
                "news": interval_trigger(limits.news_every, since),
                "clocks": interval_trigger(limits.clock_every, since),
            }
        )
        self._pending: PendingSlice | None = None
        self._wake: datetime | None = None
        self._resumed_at: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Return whether `step` has something to do at `now`, by this machine's clock."""
        return self._wake is None or now >= self._wake

    def step(self, now: datetime) -> datetime:
        """Do what is due at `now` and return when to call again, both by this machine's clock."""
        require_utc(now, "now")
        self._now = now
        self._check_clocks()
        if not self._poller.clocks.is_trusted:
            # Without an exchange's clock nothing can be dated; nothing is lost but time.
            self._wake = now + self._limits.poll_every
            return self._wake
        if self._resumed_at is None:
            self._resume()
        self._read_news()
        self._read_quotes()
        appended = self._advance()
        self._wake = now if appended else self._next_wake()
        return self._wake

    def observe(self, symbols: Iterable[str]) -> None:
        """Journal the last prices of `symbols` at once, such as the first ones after a decision."""
        self._receiver.journal_quotes(symbols)

    def _market(self) -> datetime:
        return self._poller.market_time()

    def _check_clocks(self) -> None:
        tolerance = self._limits.clock_tolerance
        if self._wake is not None and abs(self._now - self._wake) > tolerance:
            self._poller.clocks.invalidate()
        if not self._poller.clocks.is_trusted or self._jobs.is_due("clocks", self._market()):
            self._journal.append(self._poller.check_clocks())
            self._jobs.mark_done("clocks", self._market())

    def _resume(self) -> None:
        self._resumed_at = self._market()
        resumed = Collecting(
            since=self._journal.memory.since or self._since,
            limits=self._limits.seconds(),
            sources=self._provenance,
        )
        self._journal.append([encode(resumed, self._resumed_at)])

    def _read_news(self) -> None:
        if not self._jobs.is_due("news", self._market()):
            return
        items, events = self._poller.read_news()
        market = self._market()
        fresh = {}
        for item in items:
            key = item.source, item.id
            if key not in self._journal.memory.seen and key not in fresh:
                # Whatever time a feed states, an item was not known here before it was read here.
                known = replace(item, available_at=max(item.available_at, market))
                fresh[key] = encode(known, market)
        self._journal.append([*events, *fresh.values()])
        self._jobs.mark_done("news", market)

    def _read_quotes(self) -> None:
        market = self._market()
        if self._jobs.is_due("quotes", market):
            self.observe(self._schedule.in_session(market))
            self._jobs.mark_done("quotes", market)

    def _advance(self) -> bool:
        """Journal the next slice, or else a late one; return whether there was one."""
        market = self._market()
        due = self._schedule.next_after(self._journal.memory.cursor)
        self._journal_ended_calendars(market)
        if due is None or due.at > market:
            self._pending = None
            return self._backfill.step(market)
        if self._pending is None or self._pending.due.key != due.key:
            self._pending = PendingSlice.create(due, market, self._resumed_at or market, self._limits)
        if market >= self._pending.ask_at:
            self._request_parts(self._pending)
        return (
            self._journal_close(self._pending)
            if due.phase is Phase.CLOSE
            else self._journal_open(self._pending)
        )

    def _request_parts(self, pending: PendingSlice) -> None:
        market, due = self._market(), pending.due
        bars = pending.missing_bars(market, self._receiver.buffer.confirmed_bar)
        if bars:
            self._receiver.ask_bars(dict.fromkeys(bars, due.at))
        if due.phase is Phase.OPEN and (symbols := pending.missing_openings(market)):
            openings = self._receiver.ask_openings(dict.fromkeys(symbols, due.at))
            for symbol, (opening, server_time) in openings.items():
                pending.add_opening(symbol, opening, server_time)
        pending.on_polled(self._market(), confirming=bool(bars & self._receiver.buffer.unconfirmed_symbols()))

    def _journal_close(self, pending: PendingSlice) -> bool:
        market, due = self._market(), pending.due
        confirmed = {
            symbol: self._receiver.buffer.confirmed_bar(symbol, at[0]) for symbol, at in due.sessions.items()
        }
        bars = {symbol: bar for symbol, bar in confirmed.items() if bar}
        missing = dict.fromkeys(sorted(due.sessions.keys() - bars.keys()), "bar")
        if missing and market < pending.deadline:
            return False
        events = self._journal.close_events(due.at, bars, late=pending.is_late(market))
        self._journal.append(events + self._gap_events(pending, missing))
        self._receiver.buffer.discard(bars.values())
        return True

    def _journal_open(self, pending: PendingSlice) -> bool:
        market, due = self._market(), pending.due
        openings = pending.resolve_openings(market, self._receiver.buffer.confirmed_bar)
        missing = pending.missing_parts(openings, market)
        if missing and market < pending.deadline:
            return False
        events = self._journal.open_events(due.at, openings, due.sessions, late=pending.is_late(market))
        self._journal.append(events + self._gap_events(pending, missing))
        return True

    def _gap_events(self, pending: PendingSlice, missing: Mapping[str, str]) -> list[Event]:
        sessions = pending.due.sessions
        return [
            encode_gap(
                pending.due.at,
                symbol,
                sessions[symbol],
                lacks,
                self._receiver.buffer.missing_reason(symbol, sessions[symbol][0], lacks),
            )
            for symbol, lacks in missing.items()
        ]

    def _journal_ended_calendars(self, market: datetime) -> None:
        ended = {
            symbol: reason
            for symbol, reason in self._schedule.ended.items()
            if symbol not in self._journal.memory.ended
        }
        self._journal.append(
            [encode_gap(market, symbol, None, "calendar", reason) for symbol, reason in sorted(ended.items())]
        )

    def _next_wake(self) -> datetime:
        market = self._market()
        self._jobs.mark_done("slices", market)
        instants = [self._jobs.next_due(market), self._backfill.next_wake(market)]
        if self._pending:
            instants += [self._pending.ask_at, self._pending.deadline]
        first = min(at for at in instants if at is not None and at > market)
        return self._poller.clocks.local_time(first)

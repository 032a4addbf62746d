"""Collects live bars, quotes and news into the journal, complete and dated when they became known.

A state machine that time drives: `step(now)` asks what is due, journals at most one slice and says when it
wants to be called again. All it knows comes from the journal, so that a new collector goes on where a killed
one stopped. It knows no strategy and decides nothing; no transaction is open while a source is asked.

At most one slice a step, because a decision on a CLOSE is to be journaled before the next OPEN observes the
price at which it fills.
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
from feeds.live import events as facts
from feeds.live.backfill import Backfill
from feeds.live.confirmation import BarReceiver, ConfirmationBuffer
from feeds.live.journal_state import CollectorJournal, JournalState
from feeds.live.pending_slice import PendingSlice
from feeds.live.polling import Executor, SourcePoller, run_sequential
from feeds.live.protocols import BarSource, NewsSource
from feeds.live.schedule import JobSchedule, Schedule, SliceTrigger, interval_trigger
from feeds.live.settings import Limits

_DEFAULTS = Limits()

OnJournaled = Callable[[Sequence[StoredEvent]], None]


class Collector:
    """Appends what the sources tell of `instruments` to `journal`, from `since` on.

    `sources` names each symbol's source; one object may serve many symbols. `clock` is this machine's
    time in UTC, right or wrong; without it, time stands still within a step. A journal that was begun
    keeps its own `since`. `said_by` says who speaks for each source, for the journal; `on_journaled` is told
    what was just committed. Raises JournalError from `step` when the journal cannot be written; whatever a
    source raises is journaled as an event instead.
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
        ask: Executor = run_sequential,
        provenance: Mapping[str, str] | None = None,
        on_journaled: OnJournaled | None = None,
    ) -> None:
        require_utc(since, "since")
        self._since = self._now = since
        self._limits = limits
        self._provenance = dict(provenance or {})
        clock = clock or (lambda: self._now)
        memory = JournalState()
        self._journal = CollectorJournal(journal, memory, clock, on_journaled)
        self._schedule = Schedule(instruments, calendars)
        self._contacts = SourcePoller(sources, news, memory=memory, limits=limits, ask=ask, clock=clock)
        arrivals = ConfirmationBuffer(
            self._schedule, memory.is_expected, margin=limits.margin, settle=limits.settle
        )
        self._receiver = BarReceiver(self._contacts, arrivals, self._journal, limits)
        self._backfill = Backfill(self._receiver, self._journal, limits)
        self._jobs = JobSchedule(
            {
                "slices": SliceTrigger(self._schedule, limits.margin),
                "quotes": interval_trigger(limits.quote_every, since),
                "news": interval_trigger(limits.news_every, since),
                "clocks": interval_trigger(limits.clock_every, since),
            }
        )
        self._turn: PendingSlice | None = None
        self._wake: datetime | None = None
        self._resumed_at: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether `step` has something to do at `now`, by this machine's clock."""
        return self._wake is None or now >= self._wake

    def step(self, now: datetime) -> datetime:
        """Do what is due at `now`, by this machine's clock, and return when to call again, by the same."""
        require_utc(now, "now")
        self._now = now
        self._check_clocks()
        if not self._contacts.clocks.is_trusted:
            # Without any exchange's clock nothing can be dated; nothing is lost but time.
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
        """Journal the last prices of `symbols` at once, such as the first that are seen after a decision."""
        self._receiver.journal_quotes(symbols)

    def _market(self) -> datetime:
        return self._contacts.market_time()

    def _check_clocks(self) -> None:
        tolerance = self._limits.clock_tolerance
        if self._wake is not None and abs(self._now - self._wake) > tolerance:
            self._contacts.clocks.invalidate()
        if not self._contacts.clocks.is_trusted or self._jobs.is_due("clocks", self._market()):
            self._journal.append(self._contacts.check_clocks())
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
        items, events = self._contacts.read_news()
        market = self._market()
        fresh = {}
        for item in items:
            key = item.source, item.id
            if key not in self._journal.memory.seen and key not in fresh:
                # Whatever a feed states: it was not known here before it was read here.
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
        """Journal the slice whose turn it is, or else a laggard; whether there was one."""
        market = self._market()
        due = self._schedule.next_after(self._journal.memory.cursor)
        self._name_ended(market)
        if due is None or due.at > market:
            self._turn = None
            return self._backfill.step(market)
        if self._turn is None or self._turn.due.key != due.key:
            self._turn = PendingSlice.create(due, market, self._resumed_at or market, self._limits)
        if market >= self._turn.ask_at:
            self._ask_for(self._turn)
        return self._close(self._turn) if due.phase is Phase.CLOSE else self._open(self._turn)

    def _ask_for(self, turn: PendingSlice) -> None:
        market, due = self._market(), turn.due
        bars = turn.without_bar(market, self._receiver.confirmed_bar)
        if bars:
            self._receiver.ask_bars(dict.fromkeys(bars, due.at))
        if due.phase is Phase.OPEN and (symbols := turn.without_opening(market)):
            told = self._receiver.ask_openings(dict.fromkeys(symbols, due.at))
            for symbol, (opening, server_time) in told.items():
                turn.add_opening(symbol, opening, server_time)
        turn.on_asked(self._market(), settling=bool(bars & self._receiver.unconfirmed_symbols()))

    def _close(self, turn: PendingSlice) -> bool:
        market, due = self._market(), turn.due
        settled = {symbol: self._receiver.confirmed_bar(symbol, at[0]) for symbol, at in due.sessions.items()}
        bars = {symbol: bar for symbol, bar in settled.items() if bar}
        lacking = dict.fromkeys(sorted(due.sessions.keys() - bars.keys()), "bar")
        if lacking and market < turn.deadline:
            return False
        events = self._journal.append_close(due.at, bars, late=turn.is_late(market))
        self._journal.append(events + self._gaps(turn, lacking))
        self._receiver.discard(bars.values())
        return True

    def _open(self, turn: PendingSlice) -> bool:
        market, due = self._market(), turn.due
        opened = turn.resolve_openings(market, self._receiver.confirmed_bar)
        lacking = turn.missing_parts(opened, market)
        if lacking and market < turn.deadline:
            return False
        events = self._journal.append_open(due.at, opened, due.sessions, late=turn.is_late(market))
        self._journal.append(events + self._gaps(turn, lacking))
        return True

    def _gaps(self, turn: PendingSlice, lacking: Mapping[str, str]) -> list[Event]:
        sessions = turn.due.sessions
        return [
            facts.encode_gap(
                turn.due.at,
                symbol,
                sessions[symbol],
                lacks,
                self._receiver.missing_reason(symbol, sessions[symbol][0], lacks),
            )
            for symbol, lacks in lacking.items()
        ]

    def _name_ended(self, market: datetime) -> None:
        ended = {
            symbol: why
            for symbol, why in self._schedule.ended.items()
            if symbol not in self._journal.memory.ended
        }
        self._journal.append(
            [facts.encode_gap(market, symbol, None, "calendar", why) for symbol, why in sorted(ended.items())]
        )

    def _next_wake(self) -> datetime:
        market = self._market()
        self._jobs.mark_done("slices", market)
        instants = [self._jobs.next_due(market), self._backfill.next_wake(market)]
        if self._turn:
            instants += [self._turn.ask_at, self._turn.deadline]
        first = min(at for at in instants if at is not None and at > market)
        return self._contacts.clocks.local_time(first)

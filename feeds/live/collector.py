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
from engine.journal.events import news_payload
from engine.journal.journal import Event, Journal
from engine.model import Phase, require_utc
from feeds.live import events as facts
from feeds.live.backfill import Laggards
from feeds.live.confirmation import Arrivals, Receiver
from feeds.live.journal_state import Book, Memory
from feeds.live.pending_slice import Turn
from feeds.live.polling import Ask, Contacts, in_turn
from feeds.live.protocols import BarSource, NewsSource
from feeds.live.schedule import Agenda, Schedule, SliceTrigger, every
from feeds.live.settings import Limits

_DEFAULTS = Limits()

OnJournaled = Callable[[Sequence[Event]], None]


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
        ask: Ask = in_turn,
        said_by: Mapping[str, str] | None = None,
        on_journaled: OnJournaled | None = None,
    ) -> None:
        require_utc(since, "since")
        self._since = self._now = since
        self._limits = limits
        self._said_by = dict(said_by or {})
        clock = clock or (lambda: self._now)
        memory = Memory()
        self._book = Book(journal, memory, clock, on_journaled)
        self._schedule = Schedule(instruments, calendars)
        self._contacts = Contacts(sources, news, memory=memory, limits=limits, ask=ask, clock=clock)
        arrivals = Arrivals(self._schedule, memory.expects, margin=limits.margin, settle=limits.settle)
        self._receiver = Receiver(self._contacts, arrivals, self._book, limits)
        self._laggards = Laggards(self._receiver, self._book, limits)
        self._agenda = Agenda(
            {
                "slices": SliceTrigger(self._schedule, limits.margin),
                "quotes": every(limits.quote_every, since),
                "news": every(limits.news_every, since),
                "clocks": every(limits.clock_every, since),
            }
        )
        self._turn: Turn | None = None
        self._wake: datetime | None = None
        self._resumed_at: datetime | None = None

    def due(self, now: datetime) -> bool:
        """Whether `step` has something to do at `now`, by this machine's clock."""
        return self._wake is None or now >= self._wake

    def step(self, now: datetime) -> datetime:
        """Do what is due at `now`, by this machine's clock, and return when to call again, by the same."""
        require_utc(now, "now")
        self._now = now
        self._check_clocks()
        if not self._contacts.clocks.sure:
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
        self._receiver.observe(symbols)

    def _market(self) -> datetime:
        return self._contacts.market()

    def _check_clocks(self) -> None:
        tolerance = self._limits.clock_tolerance
        if self._wake is not None and abs(self._now - self._wake) > tolerance:
            self._contacts.clocks.doubt()
        if not self._contacts.clocks.sure or self._agenda.due("clocks", self._market()):
            self._book.append(self._contacts.check_clocks())
            self._agenda.done("clocks", self._market())

    def _resume(self) -> None:
        self._resumed_at = self._market()
        payload = {
            "since": self._book.memory.since or self._since,
            "limits": self._limits.seconds(),
            "sources": self._said_by,
        }
        self._book.append([Event(kind="collecting", as_of=self._resumed_at, payload=payload)])

    def _read_news(self) -> None:
        if not self._agenda.due("news", self._market()):
            return
        items, events = self._contacts.read_news()
        market = self._market()
        fresh = {}
        for item in items:
            key = item.source, item.id
            if key not in self._book.memory.seen and key not in fresh:
                # Whatever a feed states: it was not known here before it was read here.
                known = replace(item, available_at=max(item.available_at, market))
                fresh[key] = Event(kind="news", as_of=market, payload=news_payload(known))
        self._book.append([*events, *fresh.values()])
        self._agenda.done("news", market)

    def _read_quotes(self) -> None:
        market = self._market()
        if self._agenda.due("quotes", market):
            self.observe(self._schedule.in_session(market))
            self._agenda.done("quotes", market)

    def _advance(self) -> bool:
        """Journal the slice whose turn it is, or else a laggard; whether there was one."""
        market = self._market()
        due = self._schedule.next_after(self._book.memory.cursor)
        self._name_ended(market)
        if due is None or due.at > market:
            self._turn = None
            return self._laggards.seek(market)
        if self._turn is None or self._turn.due.key != due.key:
            self._turn = Turn.begin(due, market, self._resumed_at or market, self._limits)
        if market >= self._turn.ask_at:
            self._ask_for(self._turn)
        return self._close(self._turn) if due.phase is Phase.CLOSE else self._open(self._turn)

    def _ask_for(self, turn: Turn) -> None:
        market, due = self._market(), turn.due
        bars = turn.without_bar(market, self._receiver.settled)
        if bars:
            self._receiver.ask_bars(dict.fromkeys(bars, due.at))
        if due.phase is Phase.OPEN and (symbols := turn.without_opening(market)):
            told = self._receiver.ask_openings(dict.fromkeys(symbols, due.at))
            for symbol, (opening, server_time) in told.items():
                turn.observe(symbol, opening, server_time)
        turn.asked(self._market(), settling=bool(bars & self._receiver.unsettled()))

    def _close(self, turn: Turn) -> bool:
        market, due = self._market(), turn.due
        settled = {symbol: self._receiver.settled(symbol, at[0]) for symbol, at in due.sessions.items()}
        bars = {symbol: bar for symbol, bar in settled.items() if bar}
        lacking = dict.fromkeys(sorted(due.sessions.keys() - bars.keys()), "bar")
        if lacking and market < turn.deadline:
            return False
        events = self._book.close(due.at, bars, late=turn.late(market))
        self._book.append(events + self._gaps(turn, lacking))
        self._receiver.journaled(bars.values())
        return True

    def _open(self, turn: Turn) -> bool:
        market, due = self._market(), turn.due
        opened = turn.opened(market, self._receiver.settled)
        lacking = turn.lacks(opened, market)
        if lacking and market < turn.deadline:
            return False
        events = self._book.open(due.at, opened, due.sessions, late=turn.late(market))
        self._book.append(events + self._gaps(turn, lacking))
        return True

    def _gaps(self, turn: Turn, lacking: Mapping[str, str]) -> list[Event]:
        sessions = turn.due.sessions
        return [
            facts.gap(
                turn.due.at,
                symbol,
                sessions[symbol],
                lacks,
                self._receiver.why_not(symbol, sessions[symbol][0], lacks),
            )
            for symbol, lacks in lacking.items()
        ]

    def _name_ended(self, market: datetime) -> None:
        ended = {
            symbol: why
            for symbol, why in self._schedule.ended.items()
            if symbol not in self._book.memory.ended
        }
        self._book.append(
            [facts.gap(market, symbol, None, "calendar", why) for symbol, why in sorted(ended.items())]
        )

    def _next_wake(self) -> datetime:
        market = self._market()
        self._agenda.done("slices", market)
        instants = [self._agenda.next(market), self._laggards.wake(market)]
        if self._turn:
            instants += [self._turn.ask_at, self._turn.deadline]
        first = min(at for at in instants if at is not None and at > market)
        return self._contacts.clocks.own(first)

"""Which bars of a source's answer can be believed: closed by its own clock, and no longer changing.

Knows sessions and answers; it knows no journal but what `expects` tells, and asks nobody.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.journal.events import encode
from engine.journal.events.inputs import Refused
from engine.journal.journal import Event
from engine.model import Bar
from feeds.live import events as facts
from feeds.live.journal_state import CollectorJournal
from feeds.live.pending_slice import usable_quotes
from feeds.live.polling import PollResult, SourcePoller, T
from feeds.live.protocols import Opening
from feeds.live.schedule import Schedule
from feeds.live.settings import Limits

DAILY = "1d"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnconfirmedBar:
    """A closed bar as the source has shown it since `shown_at`; settled once it was shown again later."""

    bar: Bar
    shown_at: datetime
    confirmed: bool = False


class ConfirmationBuffer:
    """The closed bars that are not journaled yet, by symbol and open."""

    def __init__(
        self, schedule: Schedule, expects: Callable[[Bar], bool], *, margin: timedelta, settle: timedelta
    ) -> None:
        self._schedule = schedule
        self._expects = expects
        self._margin = margin
        self._settle = settle
        self._bars: dict[str, dict[datetime, UnconfirmedBar]] = {}
        self._why: dict[str, str] = {}
        self._failures: dict[str, str] = {}

    def add_answer(
        self, symbol: str, bars: Iterable[Bar], server_time: datetime, market: datetime
    ) -> list[Event]:
        """Replace what was known of `symbol` by a whole new answer; returns the refusals.

        A bar counts once both the source's clock is past its close by the margin and the market's time is
        past its close. `server_time` was asked for before the bars.
        """
        shown: dict[datetime, UnconfirmedBar] = {}
        refused: dict[datetime, str] = {}
        unfinished = False
        for bar in bars:
            if fault := self._fault(symbol, bar, shown):
                refused[bar.opens_at] = fault
            elif server_time < bar.closes_at + self._margin or market < bar.closes_at:
                unfinished = True
            else:
                shown[bar.opens_at] = self._update_candidate(bar, market)
        for opens_at in refused:
            shown.pop(opens_at, None)
        self._bars[symbol] = {at: each for at, each in shown.items() if self._expects(each.bar)}
        self._why[symbol] = (
            "the source shows the bar as unfinished" if unfinished else "the source has no finished bar"
        )
        return [
            encode(Refused(symbol=symbol, opens_at=opens_at, reason=fault), market)
            for opens_at, fault in refused.items()
        ]

    def on_failure(self, symbol: str, why: str) -> None:
        """The source could not be asked about `symbol`; what is known of it stays."""
        self._failures[symbol] = f"the source failed: {why}"

    def on_answer(self, symbol: str) -> None:
        """The source could be asked about `symbol`."""
        self._failures.pop(symbol, None)

    def discard(self, bars: Iterable[Bar]) -> None:
        """These were journaled."""
        for bar in list(bars):
            self._bars.get(bar.symbol, {}).pop(bar.opens_at, None)

    def confirmed_bar(self, symbol: str, opens_at: datetime) -> Bar | None:
        """The bar, if two answers that lie far enough apart agree on it."""
        found = self._bars.get(symbol, {}).get(opens_at)
        return found.bar if found and found.confirmed else None

    def confirmed_bars(self) -> list[Bar]:
        """Every bar on which two answers agree."""
        held = (each for by_open in self._bars.values() for each in by_open.values())
        return [each.bar for each in held if each.confirmed]

    def unconfirmed_symbols(self) -> set[str]:
        """The symbols with a bar that may still change."""
        return {
            symbol for symbol, held in self._bars.items() if any(not each.confirmed for each in held.values())
        }

    def missing_reason(self, symbol: str, opens_at: datetime) -> str:
        """Why there is no settled bar."""
        if opens_at in self._bars.get(symbol, {}):
            return "the source's bar is still changing"
        return self._failures.get(symbol) or self._why.get(symbol, "the source was not asked")

    def missing_open_reason(self, symbol: str) -> str:
        """Why something of a symbol's open is not known."""
        return self._failures.get(symbol, "the source does not state it")

    def _fault(self, symbol: str, bar: Bar, shown: dict[datetime, UnconfirmedBar]) -> str | None:
        if bar.symbol != symbol or bar.timeframe != DAILY:
            return f"a bar of {bar.symbol} {bar.timeframe} instead"
        if not self._schedule.is_session(symbol, bar.opens_at, bar.closes_at):
            return "a bar of no session in the symbol's calendar"
        if bar.opens_at in shown and shown[bar.opens_at].bar != bar:
            return "two different bars of one session in one answer"
        return None

    def _update_candidate(self, bar: Bar, market: datetime) -> UnconfirmedBar:
        before = self._bars.get(bar.symbol, {}).get(bar.opens_at)
        if before and before.bar == bar and before.shown_at <= market:
            settled = before.confirmed or market - before.shown_at >= self._settle
            return replace(before, confirmed=settled)
        return UnconfirmedBar(bar=bar, shown_at=market)


class BarReceiver:
    """The answers of all sources about bars, opens and last prices."""

    def __init__(
        self, contacts: SourcePoller, arrivals: ConfirmationBuffer, book: CollectorJournal, limits: Limits
    ) -> None:
        self._contacts = contacts
        self._arrivals = arrivals
        self._book = book
        self._limits = limits

    def market_time(self) -> datetime:
        """What time it is on the exchanges."""
        return self._contacts.market_time()

    def confirmed_bar(self, symbol: str, opens_at: datetime) -> Bar | None:
        """The closed bar of that session, once it has stopped changing."""
        return self._arrivals.confirmed_bar(symbol, opens_at)

    def unconfirmed_symbols(self) -> set[str]:
        """The symbols with a closed bar that may still change."""
        return self._arrivals.unconfirmed_symbols()

    def missing_reason(self, symbol: str, opens_at: datetime, lacks: str) -> str:
        """Why the session's closed bar ("bar"), or something of its open, has not come."""
        if lacks == "bar":
            return self._arrivals.missing_reason(symbol, opens_at)
        return self._arrivals.missing_open_reason(symbol)

    def discard(self, bars: Iterable[Bar]) -> None:
        """These bars need not be kept any longer."""
        self._arrivals.discard(bars)

    def ask_bars(self, oldest: Mapping[str, datetime]) -> None:
        """Ask for the bars of each symbol from the given instant on, and further back for corrections."""
        since = {
            symbol: min(at - self._limits.look_back, self._book.recent_open(symbol, at))
            for symbol, at in oldest.items()
        }
        learned = self._contacts.poll(
            sorted(oldest), lambda source, symbol: source.closed_bars(symbol, since[symbol])
        )
        events = learned.events
        market = self.market_time()
        for symbol, (bars, server_time) in learned.values.items():
            events += self._arrivals.add_answer(symbol, bars, server_time, market)
        self._journal_failures(learned)
        differing = [bar for bar in self._arrivals.confirmed_bars() if self._book.contains(bar)]
        self._book.append([*events, *self._book.append_corrections(differing, market)])
        self._arrivals.discard(differing)

    def ask_openings(self, opens_at: Mapping[str, datetime]) -> dict[str, tuple[Opening, datetime]]:
        """What the sources say of each symbol's open at the given instant, with their clock just before."""
        learned = self._contacts.poll(
            sorted(opens_at), lambda source, symbol: source.session_open(symbol, opens_at[symbol])
        )
        self._journal_failures(learned)
        self._book.append(learned.events)
        return learned.values

    def journal_quotes(self, symbols: Iterable[str]) -> None:
        """Journal the last prices of `symbols`."""
        learned = self._contacts.poll(sorted(symbols), lambda source, symbol: source.quote(symbol))
        newest = {symbol: at + self._limits.clock_tolerance for symbol, (_, at) in learned.values.items()}
        quotes = usable_quotes({symbol: value for symbol, (value, _) in learned.values.items()}, newest)
        self._book.append(
            [*learned.events, *([facts.encode_quotes(self.market_time(), quotes)] if quotes else [])]
        )

    def _journal_failures(self, result: PollResult[T]) -> None:
        for symbol in result.values:
            self._arrivals.on_answer(symbol)
        for symbol, why in result.errors.items():
            self._arrivals.on_failure(symbol, why)

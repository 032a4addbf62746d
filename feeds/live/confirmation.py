"""Confirm live bars: closed by the source's own clock, and unchanged between two answers.

`ConfirmationBuffer` decides which bars are confirmed; `BarReceiver` asks the sources and fills it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.journal.events import encode
from engine.journal.events.inputs import Refused
from engine.journal.journal import Event
from engine.model import Bar
from feeds.live.events import encode_quotes
from feeds.live.journal_state import CollectorJournal
from feeds.live.pending_slice import usable_quotes
from feeds.live.polling import PollResult, SourcePoller, T
from feeds.live.protocols import Opening
from feeds.live.schedule import Schedule
from feeds.live.settings import Limits

DAILY = "1d"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnconfirmedBar:
    """A closed bar as the source has shown it since `shown_at`; confirmed once it was shown again later."""

    bar: Bar
    shown_at: datetime
    confirmed: bool = False


class ConfirmationBuffer:
    """The closed bars that are not journaled yet, by symbol and open.

    `is_expected` returns whether the journal lacks a bar or has other values; other bars are dropped.
    """

    def __init__(
        self, schedule: Schedule, is_expected: Callable[[Bar], bool], *, margin: timedelta, settle: timedelta
    ) -> None:
        self._schedule = schedule
        self._is_expected = is_expected
        self._margin = margin
        self._settle = settle
        self._bars: dict[str, dict[datetime, UnconfirmedBar]] = {}
        self._no_bar_reasons: dict[str, str] = {}
        self._failures: dict[str, str] = {}

    def add_answer(
        self, symbol: str, bars: Iterable[Bar], server_time: datetime, market: datetime
    ) -> list[Event]:
        """Replace what is known of a symbol by a new answer.

        A bar counts as closed once the source's clock is past its close by the margin and the market's time
        is past its close.

        Args:
            symbol: The symbol that was asked about.
            bars: The whole answer.
            server_time: The source's time just before the answer.
            market: The exchanges' time.

        Returns:
            The events of refused bars.
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
                shown[bar.opens_at] = self._confirm(bar, market)
        for opens_at in refused:
            shown.pop(opens_at, None)
        self._bars[symbol] = {at: entry for at, entry in shown.items() if self._is_expected(entry.bar)}
        self._no_bar_reasons[symbol] = (
            "the source shows the bar as unfinished" if unfinished else "the source has no finished bar"
        )
        return [
            encode(Refused(symbol=symbol, opens_at=opens_at, reason=fault), market)
            for opens_at, fault in refused.items()
        ]

    def on_failure(self, symbol: str, reason: str) -> None:
        """Record that the source failed for `symbol`; its bars are kept."""
        self._failures[symbol] = f"the source failed: {reason}"

    def on_answer(self, symbol: str) -> None:
        """Record that the source answered about `symbol`."""
        self._failures.pop(symbol, None)

    def discard(self, bars: Iterable[Bar]) -> None:
        """Drop bars that were journaled."""
        for bar in list(bars):
            self._bars.get(bar.symbol, {}).pop(bar.opens_at, None)

    def confirmed_bar(self, symbol: str, opens_at: datetime) -> Bar | None:
        """Return the bar, if two answers that lie far enough apart agree on it."""
        entry = self._bars.get(symbol, {}).get(opens_at)
        return entry.bar if entry and entry.confirmed else None

    def confirmed_bars(self) -> list[Bar]:
        """Return every bar on which two answers agree."""
        entries = (entry for by_open in self._bars.values() for entry in by_open.values())
        return [entry.bar for entry in entries if entry.confirmed]

    def unconfirmed_symbols(self) -> set[str]:
        """Return the symbols with a bar that may still change."""
        return {
            symbol
            for symbol, by_open in self._bars.items()
            if any(not entry.confirmed for entry in by_open.values())
        }

    def missing_reason(self, symbol: str, opens_at: datetime, lacks: str) -> str:
        """Return why the session's closed bar (`lacks` is "bar"), or a part of its open, is missing."""
        if lacks != "bar":
            return self._failures.get(symbol, "the source does not state it")
        if opens_at in self._bars.get(symbol, {}):
            return "the source's bar is still changing"
        return self._failures.get(symbol) or self._no_bar_reasons.get(symbol, "the source was not asked")

    def _fault(self, symbol: str, bar: Bar, shown: dict[datetime, UnconfirmedBar]) -> str | None:
        if bar.symbol != symbol or bar.timeframe != DAILY:
            return f"a bar of {bar.symbol} {bar.timeframe} instead"
        if not self._schedule.is_session(symbol, bar.opens_at, bar.closes_at):
            return "a bar of no session in the symbol's calendar"
        if bar.opens_at in shown and shown[bar.opens_at].bar != bar:
            return "two different bars of one session in one answer"
        return None

    def _confirm(self, bar: Bar, market: datetime) -> UnconfirmedBar:
        earlier = self._bars.get(bar.symbol, {}).get(bar.opens_at)
        if earlier and earlier.bar == bar and earlier.shown_at <= market:
            confirmed = earlier.confirmed or market - earlier.shown_at >= self._settle
            return replace(earlier, confirmed=confirmed)
        return UnconfirmedBar(bar=bar, shown_at=market)


class BarReceiver:
    """Receives the sources' answers about bars, which go to `buffer`, about opens and last prices."""

    def __init__(
        self, poller: SourcePoller, buffer: ConfirmationBuffer, journal: CollectorJournal, limits: Limits
    ) -> None:
        self._poller = poller
        self.buffer = buffer
        self._journal = journal
        self._limits = limits

    def market_time(self) -> datetime:
        """Return the exchanges' time."""
        return self._poller.market_time()

    def ask_bars(self, oldest: Mapping[str, datetime]) -> None:
        """Ask for the bars of each symbol from the given instant on, and further back for corrections."""
        since = {
            symbol: min(at - self._limits.look_back, self._journal.recent_open(symbol, at))
            for symbol, at in oldest.items()
        }
        result = self._poller.poll(
            sorted(oldest), lambda source, symbol: source.closed_bars(symbol, since[symbol])
        )
        events = result.events
        market = self.market_time()
        for symbol, (bars, server_time) in result.values.items():
            events += self.buffer.add_answer(symbol, bars, server_time, market)
        self._record_failures(result)
        differing = [bar for bar in self.buffer.confirmed_bars() if self._journal.contains(bar)]
        self._journal.append([*events, *self._journal.correction_events(differing, market)])
        self.buffer.discard(differing)

    def ask_openings(self, opens_at: Mapping[str, datetime]) -> dict[str, tuple[Opening, datetime]]:
        """Return each symbol's open at the given instant, with the source's time just before."""
        result = self._poller.poll(
            sorted(opens_at), lambda source, symbol: source.session_open(symbol, opens_at[symbol])
        )
        self._record_failures(result)
        self._journal.append(result.events)
        return result.values

    def journal_quotes(self, symbols: Iterable[str]) -> None:
        """Journal the last prices of `symbols`."""
        result = self._poller.poll(sorted(symbols), lambda source, symbol: source.quote(symbol))
        newest = {symbol: at + self._limits.clock_tolerance for symbol, (_, at) in result.values.items()}
        quotes = usable_quotes({symbol: value for symbol, (value, _) in result.values.items()}, newest)
        self._journal.append(
            [*result.events, *([encode_quotes(self.market_time(), quotes)] if quotes else [])]
        )

    def _record_failures(self, result: PollResult[T]) -> None:
        for symbol in result.values:
            self.buffer.on_answer(symbol)
        for symbol, reason in result.errors.items():
            self.buffer.on_failure(symbol, reason)

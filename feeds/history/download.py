"""Download the bars that the store lacks, page by page; an interrupted download keeps what it has.

`reconcile` decides which answers are trusted, `client` retries requests, `store` keeps the files.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from engine.errors import DataError, UsageError
from feeds.history.candles import DAY, Adjustment, Gap, midnight, timeframe_step
from feeds.history.client import BarClient, OnWait, RetryPolicy, Row, SourceError, ignore_wait
from feeds.history.reconcile import ReconciledWindow, reconcile
from feeds.history.store import BarStore
from feeds.history.stored_bars import Span, StoredBars
from feeds.history.symbol_candles import SymbolCandles

OnProgress = Callable[[str, int, int], None]
Window = tuple[datetime, datetime]
_OVERLAP = 5
_RESTATED = 1e-4
_CHECKPOINT = 20
_PAUSE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolReport:
    """What a download did for one symbol.

    Attributes:
        symbol: The symbol.
        new: How many candles are new.
        stored: How many candles are stored now.
        gaps: The gaps that remain.
        strays: How many rows the source gave for times at which no candle is due.
    """

    symbol: str
    new: int
    stored: int
    gaps: tuple[Gap, ...]
    strays: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """What a download did, symbol by symbol, with the source's clock and provenance."""

    source: str
    provenance: str
    server_time: datetime
    symbols: tuple[SymbolReport, ...]


def fetch_bars(
    client: BarClient,
    store: BarStore,
    symbols: Sequence[str],
    since: date,
    until: date | None,
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    on_progress: OnProgress,
    on_wait: OnWait = ignore_wait,
    retry_gaps: bool = False,
    refresh: bool = False,
) -> FetchReport:
    """Download the candles of `symbols` from `since` to `until` into the store, and report on each symbol.

    Only what the store lacks is requested: before and after what it has, a gap at its very end (the source
    may have been late), and with `retry_gaps` all gaps. A candle that is not closed by the source's own clock
    is left for the next download.

    Args:
        client: The source.
        store: Where the candles are kept.
        symbols: The symbols, as the source spells them.
        since: The first day, included.
        until: The last day, included; None for the last closed candle.
        clock: Returns the time of this machine in UTC, for the record.
        sleep: Waits for a number of seconds.
        on_progress: Called with the symbol, how many of the requested candles are done, and how many there
            are.
        on_wait: Called before each pause for a source that did not answer.
        retry_gaps: Request the candles of all gaps again.
        refresh: Download everything again, and replace what is stored once all of it is there.

    Raises:
        SourceError: Where the source gives up; what was downloaded is kept.
        DataError: Where the store holds another adjustment, or prices that the source has restated since.
        UsageError: For an empty window.
    """
    if until is not None and until < since:
        raise UsageError(f"--until {until} is before --since {since}; give a later day")
    with store.writing(client.name):
        RetryPolicy(sleep, on_wait).call(lambda: client.require(symbols), client.name)
        now = RetryPolicy(sleep, on_wait).call(client.server_time, client.name)
        end = midnight(until) + DAY if until is not None else now
        window = (midnight(since), min(end, now))
        if window[1] <= window[0]:
            raise UsageError(
                f"--since {since} is not over yet by the clock of {client.name}; give an earlier day"
            )
        reports, retry_policy = [], RetryPolicy(sleep, on_wait)
        for symbol in dict.fromkeys(symbols):
            fetch = _SymbolFetch(client, store, symbol, now, clock(), sleep, retry_policy, on_progress)
            reports.append(fetch.run(window, retry_gaps=retry_gaps, refresh=refresh))
    return FetchReport(
        source=client.name, provenance=client.provenance, server_time=now, symbols=tuple(reports)
    )


class _SymbolFetch:
    """The download of one symbol."""

    def __init__(
        self,
        client: BarClient,
        store: BarStore,
        symbol: str,
        now: datetime,
        fetched_at: datetime,
        sleep: Callable[[float], None],
        retry_policy: RetryPolicy,
        on_progress: OnProgress,
    ) -> None:
        self.client, self.store, self.symbol = client, store, symbol
        self.now, self.fetched_at = now, fetched_at
        self.sleep, self.retry_policy, self.on_progress = sleep, retry_policy, on_progress
        self.place = f"{client.name} {symbol}"
        self.history = SymbolCandles(client.name, symbol, client.timeframe, client.adjustment)
        self.new = self.strays = self.unwritten = self.done = 0

    def run(self, window: Window, *, retry_gaps: bool, refresh: bool) -> SymbolReport:
        """Download what is missing in `window`, store it, and report what is new."""
        stored = self.store.find(self.client.name, self.symbol, self.client.timeframe)
        if stored is not None:
            window = (min(window[0], stored.since), max(window[1], stored.until))
        self.grid = self.client.grid(self.symbol, *window)
        window = (window[0], self._last_closed(window))
        if stored is None or refresh:
            parts = [window] if window[0] < window[1] else []
        else:
            self._require_adjustment(stored.adjustment)
            self.history.load(stored, self.grid)
            parts = self._missing_windows(window, stored, retry_gaps=retry_gaps)
        parts = [part for part in parts if self.grid.starts(*part)]
        if parts and stored is not None and not refresh and stored.adjustment is not Adjustment.RAW:
            self._require_unrestated()
        self._fetch(parts, hold_back=refresh)
        if not self.history.candles:
            raise SourceError(
                f"{self.place}: no candle from {window[0]:%Y-%m-%d} on; check the symbol and the dates"
            )
        return SymbolReport(
            symbol=self.symbol,
            new=self.new,
            stored=len(self.history.candles),
            gaps=self.history.gaps(),
            strays=self.strays,
        )

    def _last_closed(self, window: Window) -> datetime:
        """Return the end of the window, before the first candle that is not closed by the source's clock."""
        end = window[1]
        for start in reversed(self.grid.starts(*window)):
            if self.grid.closed_at(start) <= self.now:
                break
            end = start
        return end

    def _require_adjustment(self, stored: Adjustment) -> None:
        if stored is not self.client.adjustment:
            raise DataError(
                f"{self.place}: stored with adjustment {stored}, requested with "
                f"{self.client.adjustment}, and the two are never mixed; fetch with --adjustment {stored}, "
                f"or replace it with --refresh"
            )

    def _missing_windows(self, window: Window, stored: StoredBars, *, retry_gaps: bool) -> list[Window]:
        """Return the parts of the window to request, ascending."""
        after = timeframe_step(self.client.timeframe)
        gaps, tail = list(stored.gaps), stored.until
        if gaps and not self.grid.starts(gaps[-1].last + after, stored.until):
            tail = gaps.pop().first
        inside = [(gap.first, gap.last + after) for gap in gaps] if retry_gaps else []
        parts = [(window[0], stored.since), *inside, (tail, window[1])]
        return [part for part in parts if part[0] < part[1]]

    def _require_unrestated(self) -> None:
        """Raise DataError where the source now gives other prices for the newest days that are stored."""
        newest = self.history.latest(_OVERLAP)
        starts = [candle.starts_at for candle in newest]
        until = starts[-1] + timeframe_step(self.client.timeframe)
        due = self.grid.starts(starts[0], until)
        current = {candle.starts_at: candle for candle in self._reconcile(due, until).candles}
        for candle in newest:
            other = current.get(candle.starts_at, candle)
            if any(abs(a / b - 1) > _RESTATED for a, b in zip(other.prices, candle.prices, strict=True)):
                raise DataError(
                    f"{self.place}: {candle.starts_at:%Y-%m-%d} closed at {candle.close:g} in the store and "
                    f"at {other.close:g} now, restated after a split or dividend; fetch again with --refresh"
                )

    def _fetch(self, parts: Sequence[Window], *, hold_back: bool) -> None:
        self.total = sum(len(self.grid.starts(*part)) for part in parts)
        self.on_progress(self.symbol, 0, self.total)
        try:
            for part in parts:
                self._fetch_part(part, hold_back=hold_back)
        except BaseException:  # keep what was downloaded, also on Ctrl-C
            if not hold_back:
                self._write()
            raise
        self._write()

    def _fetch_part(self, part: Window, *, hold_back: bool) -> None:
        starts, since, at = self.grid.starts(*part), part[0], 0
        while at < len(starts):
            ahead = at + self.client.page
            until = starts[ahead] if ahead < len(starts) else part[1]
            settled = self._reconcile(starts[at:ahead], until)
            missing = dict(settled.missing)
            if settled.resumes_at is not None and ahead < len(starts):
                # Every answer jumped beyond the window: skip the pages up to there.
                further = max(ahead, bisect_left(starts, settled.resumes_at))
                missing |= dict.fromkeys(starts[ahead:further], next(iter(missing.values())))
                ahead, until = further, starts[further] if further < len(starts) else part[1]
            provenance, fetched_at = self.client.provenance, self.fetched_at
            span = Span(since=since, until=until, provenance=provenance, fetched_at=fetched_at)
            self.new += self.history.add(settled.candles, missing, span)
            self.strays += settled.strays
            self.unwritten += len(settled.candles) + 1
            self.done += min(ahead, len(starts)) - at
            since, at = until, ahead
            # Writing in growing batches keeps the work proportional to the length of the history.
            if not hold_back and self.unwritten * _CHECKPOINT >= len(self.history.candles):
                self._write()
            self.on_progress(self.symbol, self.done, self.total)

    def _reconcile(self, starts: Sequence[datetime], until: datetime) -> ReconciledWindow:
        asked = False

        def ask(since: datetime, before: datetime) -> Sequence[Row]:
            nonlocal asked
            if asked:
                self.sleep(_PAUSE)
            asked = True

            def request() -> Sequence[Row]:
                return self.client.candles(self.symbol, since, before)

            return self.retry_policy.call(request, self.place)

        known = self.history.neighbours(starts[0], until)
        return reconcile(ask, starts, until, known, repairs_silently=self.client.repairs_silently)

    def _write(self) -> None:
        if self.unwritten and self.history.is_whole():
            self.store.write(self.history.to_stored_bars())
            self.unwritten = 0

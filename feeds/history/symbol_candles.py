"""The candles, gaps and spans of one symbol while a download or an import adds to them."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from feeds.history.candles import Adjustment, Candle, Gap, Grid, find_gaps
from feeds.history.stored_bars import Span, StoredBars

_NEIGHBOURS = 3


class SymbolCandles:
    """The growing history of one symbol of one source. It may have holes while a download runs."""

    def __init__(self, source: str, symbol: str, timeframe: str, adjustment: Adjustment) -> None:
        self.source, self.symbol, self.timeframe, self.adjustment = source, symbol, timeframe, adjustment
        self.candles: dict[datetime, Candle] = {}
        self.missing: dict[datetime, str] = {}
        self.spans: list[Span] = []
        self._order: list[datetime] = []

    def load(self, stored: StoredBars, grid: Grid) -> None:
        """Start from what is stored; `grid` says which candles its gaps are made of."""
        self.candles = {candle.starts_at: candle for candle in stored.candles}
        self._order = list(self.candles)
        self.spans = list(stored.spans)
        for gap in stored.gaps:
            due = [*grid.starts(gap.first, gap.last), gap.last]
            self.missing |= dict.fromkeys(due, gap.reason)

    def add(self, candles: Iterable[Candle], missing: Mapping[datetime, str], span: Span) -> int:
        """Add the answers for `span`, which replace what was known there.

        Args:
            candles: The candles of the span.
            missing: The starts without a candle, with the reason of each.
            span: The window that was requested.

        Returns:
            How many of the candles are new.
        """
        new = 0
        for candle in candles:
            start = candle.starts_at
            if start not in self.candles:
                new += 1
                insort(self._order, start)
            self.candles[start] = candle
            self.missing.pop(start, None)
        self.missing |= {start: reason for start, reason in missing.items() if start not in self.candles}
        self.spans = _overlay_span(self.spans, span)
        return new

    def neighbours(self, since: datetime, until: datetime) -> list[Candle]:
        """Return the three candles before `since` and the three from `until` on, as far as they are known."""
        left, right = bisect_left(self._order, since), bisect_left(self._order, until)
        near = self._order[max(0, left - _NEIGHBOURS) : left] + self._order[right : right + _NEIGHBOURS]
        return [self.candles[start] for start in near]

    def latest(self, count: int) -> list[Candle]:
        """Return the last `count` candles, oldest first."""
        return [self.candles[start] for start in self._order[-count:]]

    def gaps(self) -> tuple[Gap, ...]:
        """Return the missing candles as runs with one reason each."""
        return find_gaps(self.symbol, self.missing, self._order)

    def is_whole(self) -> bool:
        """Return whether there is a candle, and no hole between the spans, so that it may be stored."""
        pairs = zip(self.spans, self.spans[1:], strict=False)
        return bool(self.candles) and all(left.until == right.since for left, right in pairs)

    def to_stored_bars(self) -> StoredBars:
        """Return the history as the store keeps it. Raises ValueError unless `is_whole`."""
        return StoredBars(
            source=self.source,
            symbol=self.symbol,
            timeframe=self.timeframe,
            adjustment=self.adjustment,
            candles=tuple(self.candles[start] for start in self._order),
            gaps=self.gaps(),
            spans=tuple(self.spans),
        )


def _overlay_span(spans: Iterable[Span], new: Span) -> list[Span]:
    """Return the spans with `new` over them; neighbours of one download become one."""
    pieces = [new]
    for span in spans:
        if span.since < new.since:
            pieces.append(replace(span, until=min(span.until, new.since)))
        if span.until > new.until:
            pieces.append(replace(span, since=max(span.since, new.until)))
    joined: list[Span] = []
    for piece in sorted(pieces, key=lambda each: each.since):
        last = joined[-1] if joined else None
        if last and (last.until, last.provenance, last.fetched_at) == (
            piece.since,
            piece.provenance,
            piece.fetched_at,
        ):
            joined[-1] = replace(last, until=piece.until)
        else:
            joined.append(piece)
    return joined

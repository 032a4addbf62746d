"""Cuts bars and news into slices: everything that became known at one instant, in the order it did.

Knows no engine, no calendar and no feed; it sorts facts that carry their own times.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby, pairwise

from engine.errors import DataError
from engine.values import Bar, NewsItem, Phase, Slice

# Within one instant what ended is known before what begins.
_RANK = {Phase.CLOSE: 0, Phase.OPEN: 1}
_PHASES = (Phase.CLOSE, Phase.OPEN)


def merge(bars: Iterable[Bar], news: Iterable[NewsItem]) -> Iterator[Slice]:
    """Yield the slices of `bars` and `news` in the order of time, CLOSE before OPEN at one instant.

    Each bar makes an OPEN slice (see `Bar.opening`) and a CLOSE slice; symbols that open or close at one
    instant share it. A news item rides on the first slice at or after its `available_at`; one that comes
    after the last slice is left out. The order of the arguments' items changes nothing. Raises DataError
    where two bars of one symbol overlap, or where an item is given in another version under one id.
    """
    facts = sorted(_facts(bars), key=lambda fact: fact[:3])
    items = sorted(_distinct(news), key=lambda item: (item.available_at, item.source, item.id))
    taken = 0
    for (as_of, rank), group in groupby(facts, key=lambda fact: fact[:2]):
        first = taken
        while taken < len(items) and items[taken].available_at <= as_of:
            taken += 1
        yield Slice(
            as_of=as_of,
            phase=_PHASES[rank],
            bars={symbol: bar for _, _, symbol, bar in group},
            news=tuple(items[first:taken]),
        )


def _facts(bars: Iterable[Bar]) -> Iterator[tuple[datetime, int, str, Bar]]:
    by_opening = sorted(bars, key=lambda bar: (bar.symbol, bar.opens_at))
    for earlier, later in pairwise(by_opening):
        if earlier.symbol == later.symbol and later.opens_at < earlier.closes_at:
            raise DataError(
                f"{later.symbol}: the bar that opens at {later.opens_at} begins before the one of"
                f" {earlier.opens_at} has closed; remove one of them"
            )
    for bar in by_opening:
        yield bar.opens_at, _RANK[Phase.OPEN], bar.symbol, bar.opening()
        yield bar.closes_at, _RANK[Phase.CLOSE], bar.symbol, bar


def _distinct(news: Iterable[NewsItem]) -> Iterable[NewsItem]:
    known: dict[tuple[str, str], NewsItem] = {}
    for item in news:
        if known.setdefault((item.source, item.id), item) != item:
            raise DataError(f"{item.source}: two different news items have the id {item.id}; remove one")
    return known.values()

"""What could be seen at each close: the one place that cuts facts off at an instant. Knows no prompt."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from engine.values import Bar, NewsItem, Observation

MINIMUM_BARS = 6
"""Fewer closed bars than this say too little for a forecast: five returns and a volatility."""


def observations(
    bars: Mapping[str, Sequence[Bar]],
    news: Sequence[NewsItem],
    *,
    window: int,
    start: datetime,
    minimum: int = MINIMUM_BARS,
) -> list[Observation]:
    """One observation for each close after `start`, ordered by (as_of, symbol).

    Each holds up to `window` closed bars, oldest first, and the news on its symbol that became available
    after the symbol's previous close and not after this one. A close with fewer than `minimum` bars up to
    it is passed over. `bars` must ascend in time.
    """
    by_availability = sorted(news, key=attrgetter("available_at", "published_at", "id"))
    seen = [
        observation
        for symbol, series in bars.items()
        for observation in _of_symbol(symbol, series, by_availability, window, start, minimum)
    ]
    return sorted(seen, key=attrgetter("as_of", "symbol"))


def _of_symbol(
    symbol: str,
    series: Sequence[Bar],
    news: Sequence[NewsItem],
    window: int,
    start: datetime,
    minimum: int,
) -> list[Observation]:
    relevant = [item for item in news if item.concerns(symbol)]
    times = [item.available_at for item in relevant]
    found = []
    for i, bar in enumerate(series):
        if bar.closes_at <= start or i + 1 < minimum:
            continue
        known = bisect_right(times, series[i - 1].closes_at) if i else 0
        found.append(
            Observation(
                symbol=symbol,
                as_of=bar.closes_at,
                bars=tuple(series[max(0, i + 1 - window) : i + 1]),
                news=tuple(relevant[known : bisect_right(times, bar.closes_at)]),
            )
        )
    return found

"""Build slices and observations from bars and news, in the order in which they became known."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from operator import attrgetter

from engine.corporate_actions import Split, split_bar
from engine.errors import DataError
from engine.model import Bar, NewsItem, Observation, Phase, Slice

# At one instant, what ends is known before what begins.
_RANK = {Phase.CLOSE: 0, Phase.OPEN: 1}
_PHASES = (Phase.CLOSE, Phase.OPEN)


def build_slices(bars: Iterable[Bar], news: Iterable[NewsItem]) -> Iterator[Slice]:
    """Yield the slices of `bars` and `news` in the order of time, CLOSE before OPEN at one instant.

    Each bar makes an OPEN slice (see `Bar.at_open`) and a CLOSE slice; symbols that open or close at one
    instant share it. A news item is in the first slice at or after its `available_at`; one that comes after
    the last slice is left out. The order of the inputs does not matter. Raises DataError where two bars of
    one symbol overlap, and where one id has two different items.
    """
    groups = _group_bars(bars)
    items = sorted(_deduplicate(news), key=lambda item: (item.available_at, item.source, item.id))
    taken = 0
    for as_of, rank in sorted(groups):
        first, opens = taken, _PHASES[rank] is Phase.OPEN
        while taken < len(items) and items[taken].available_at <= as_of:
            taken += 1
        yield Slice(
            as_of=as_of,
            phase=_PHASES[rank],
            bars={bar.symbol: bar.at_open() if opens else bar for bar in groups.pop((as_of, rank))},
            news=tuple(items[first:taken]),
        )


def _group_bars(bars: Iterable[Bar]) -> dict[tuple[datetime, int], list[Bar]]:
    """Return the bars that open and those that close at each instant, by it and the rank of the phase."""
    by_symbol: dict[str, list[Bar]] = {}
    for bar in bars:
        by_symbol.setdefault(bar.symbol, []).append(bar)
    groups: dict[tuple[datetime, int], list[Bar]] = {}
    for _, series in sorted(by_symbol.items()):
        series.sort(key=attrgetter("opens_at"))
        for earlier, later in pairwise(series):
            if later.opens_at < earlier.closes_at:
                raise DataError(
                    f"{later.symbol}: the bar that opens at {later.opens_at} begins before the one of"
                    f" {earlier.opens_at} has closed; remove one of them"
                )
        for bar in series:
            groups.setdefault((bar.opens_at, _RANK[Phase.OPEN]), []).append(bar)
            groups.setdefault((bar.closes_at, _RANK[Phase.CLOSE]), []).append(bar)
    return groups


def _deduplicate(news: Iterable[NewsItem]) -> Iterable[NewsItem]:
    known: dict[tuple[str, str], NewsItem] = {}
    for item in news:
        if known.setdefault((item.source, item.id), item) != item:
            raise DataError(f"{item.source}: two different news items have the id {item.id}; remove one")
    return known.values()


MIN_BARS = 6
"""The fewest closed bars for a forecast: they give five returns and a volatility."""


def build_observations(
    bars: Mapping[str, Sequence[Bar]],
    news: Sequence[NewsItem],
    *,
    window: int,
    start: datetime,
    minimum: int = MIN_BARS,
) -> list[Observation]:
    """Build one observation for each close after `start`, ordered by (as_of, symbol).

    Each holds up to `window` closed bars, oldest first, and the news on its symbol that became available
    after the symbol's previous close and not after this one.

    Args:
        bars: The bars of each symbol, oldest first.
        news: All news, in any order.
        window: The most bars in an observation.
        start: Closes up to this instant make no observation.
        minimum: A close with fewer bars up to it makes none either.
    """
    by_availability = sorted(news, key=attrgetter("available_at", "published_at", "id"))
    seen = [
        observation
        for symbol, series in bars.items()
        for observation in _build_for_symbol(symbol, series, by_availability, window, start, minimum)
    ]
    return sorted(seen, key=attrgetter("as_of", "symbol"))


def _build_for_symbol(
    symbol: str,
    series: Sequence[Bar],
    news: Sequence[NewsItem],
    window: int,
    start: datetime,
    minimum: int,
) -> list[Observation]:
    relevant = [item for item in news if item.is_about(symbol)]
    times = [item.available_at for item in relevant]
    observations = []
    for i, bar in enumerate(series):
        if bar.closes_at <= start or i + 1 < minimum:
            continue
        known = bisect_right(times, series[i - 1].closes_at) if i else 0
        observations.append(
            Observation(
                symbol=symbol,
                as_of=bar.closes_at,
                bars=tuple(series[max(0, i + 1 - window) : i + 1]),
                news=tuple(relevant[known : bisect_right(times, bar.closes_at)]),
            )
        )
    return observations


def hide_last_close(observation: Observation) -> Observation:
    """Return an observation of the task same-day: in its last bar, that day, the open stands for the close.

    What is to be forecast is thus in no observation, whatever a prompt shows of it.

    Raises:
        ValueError: For an observation of one bar, which has no close before the day.
    """
    if len(observation.bars) < 2:
        raise ValueError(f"{observation.symbol}: the day {observation.as_of} has no close before it")
    *before, day = observation.bars
    return replace(observation, bars=(*before, replace(day, close=day.open)))


_MAX_NEWS = 2000
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class _SymbolWindow:
    bars: deque[Bar]
    count: int = 0
    news: deque[NewsItem] = field(default_factory=lambda: deque(maxlen=_MAX_NEWS))
    closed_at: datetime = _NEVER


class ObservationBuilder:
    """Builds observations slice by slice, from a window of up to `window` closed bars for each symbol."""

    def __init__(self, symbols: Iterable[str], window: int) -> None:
        self._seen = {symbol: _SymbolWindow(deque(maxlen=window)) for symbol in symbols}

    def add_history(self, bar: Bar) -> None:
        """Add a bar that closed before the session began."""
        self._close(self._seen[bar.symbol], bar)

    def on_slice(self, slice_: Slice) -> list[Observation]:
        """Add a slice, and return the observations at its closes, by symbol."""
        for item in slice_.news:
            for symbol, seen in self._seen.items():
                if item.is_about(symbol):
                    seen.news.append(item)
        if slice_.phase is Phase.OPEN:
            return []
        observed = (self._observe(bar) for bar in slice_.bars.values() if bar.symbol in self._seen)
        return [observation for observation in observed if observation is not None]

    def split(self, split: Split) -> None:
        """Restate a symbol's window in units after a split; bars that opened in them are kept."""
        if seen := self._seen.get(split.symbol):
            restated = (split_bar(bar, split.ratio) if bar.opens_at < split.at else bar for bar in seen.bars)
            seen.bars = deque(restated, seen.bars.maxlen)

    def _observe(self, bar: Bar) -> Observation | None:
        seen = self._seen[bar.symbol]
        if bar.closes_at <= seen.closed_at:
            return None  # it came after its successor, on which a decision was made without it
        since = seen.closed_at
        self._close(seen, bar)
        fresh = [item for item in seen.news if since < item.available_at <= bar.closes_at]
        seen.news = deque((item for item in seen.news if item.available_at > bar.closes_at), _MAX_NEWS)
        if seen.count < MIN_BARS:
            return None
        fresh.sort(key=lambda item: (item.available_at, item.published_at, item.id))
        return Observation(symbol=bar.symbol, as_of=bar.closes_at, bars=tuple(seen.bars), news=tuple(fresh))

    def _close(self, seen: _SymbolWindow, bar: Bar) -> None:
        seen.bars.append(bar)
        seen.count += 1
        seen.closed_at = bar.closes_at

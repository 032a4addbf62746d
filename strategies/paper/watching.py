"""What the student may see at each close, kept up as slices come in: windows of bars and fresh news.

Cuts off as `engine.observations` does, which sees all facts at once; this sees one slice after the other and
keeps no more than the windows.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engine.observations import MINIMUM_BARS
from engine.splits import Split, split_bar
from engine.values import Bar, NewsItem, Observation, Phase, Slice

_MOST_NEWS = 2000
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Seen:
    bars: deque[Bar]
    count: int = 0
    news: deque[NewsItem] = field(default_factory=lambda: deque(maxlen=_MOST_NEWS))
    closed_at: datetime = _NEVER


class Watcher:
    """The windows of `symbols`, each of up to `window` closed bars."""

    def __init__(self, symbols: Iterable[str], window: int) -> None:
        self._seen = {symbol: _Seen(deque(maxlen=window)) for symbol in symbols}

    def remember(self, bar: Bar) -> None:
        """A bar that closed before the session began."""
        self._close(self._seen[bar.symbol], bar)

    def see(self, slice_: Slice) -> list[Observation]:
        """Take in a slice; the observations that its closes make, by symbol."""
        for item in slice_.news:
            for symbol, seen in self._seen.items():
                if item.concerns(symbol):
                    seen.news.append(item)
        if slice_.phase is Phase.OPEN:
            return []
        found = (self._observe(bar) for bar in slice_.bars.values() if bar.symbol in self._seen)
        return [one for one in found if one is not None]

    def split(self, split: Split) -> None:
        """Restate a symbol's window in units of after a split."""
        if seen := self._seen.get(split.symbol):
            seen.bars = deque((split_bar(bar, split.ratio) for bar in seen.bars), seen.bars.maxlen)

    def _observe(self, bar: Bar) -> Observation | None:
        seen = self._seen[bar.symbol]
        if bar.closes_at <= seen.closed_at:
            return None  # it came later than its successor, which was decided on without it
        since = seen.closed_at
        self._close(seen, bar)
        fresh = [item for item in seen.news if since < item.available_at <= bar.closes_at]
        seen.news = deque((item for item in seen.news if item.available_at > bar.closes_at), _MOST_NEWS)
        if seen.count < MINIMUM_BARS:
            return None
        fresh.sort(key=lambda item: (item.available_at, item.published_at, item.id))
        return Observation(symbol=bar.symbol, as_of=bar.closes_at, bars=tuple(seen.bars), news=tuple(fresh))

    def _close(self, seen: _Seen, bar: Bar) -> None:
        seen.bars.append(bar)
        seen.count += 1
        seen.closed_at = bar.closes_at

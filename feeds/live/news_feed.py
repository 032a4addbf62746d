"""A news feed as a live source: each poll is one pass over it, whose new items go into the news store."""

from collections.abc import Callable, Sequence
from datetime import datetime

from engine.errors import DataError
from engine.model import NewsItem
from feeds.news.download import fetch_news
from feeds.news.store import NewsStore
from feeds.symbols import NameTable


class NewsFeed:
    """A `NewsSource` over one feed; it returns each item that concerns a traded symbol once."""

    def __init__(
        self,
        url: str,
        store: NewsStore,
        names: NameTable,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._url, self._store, self._names = url, store, names
        self._clock, self._sleep = clock, sleep

    @property
    def name(self) -> str:
        """Return the feed's address."""
        return self._url

    def poll(self) -> Sequence[NewsItem]:
        """Return the items that were not seen before. Raises DataError where the feed does not answer."""
        report = fetch_news([self._url], self._store, self._names, clock=self._clock, sleep=self._sleep)
        if report.faults:
            raise DataError(report.faults[0])
        return report.items

"""A news feed as a live source: each poll is a pass over it, and what is new is kept with its first sight."""

from collections.abc import Callable, Sequence
from datetime import datetime

from engine.errors import DataError
from engine.model import NewsItem
from feeds.news.download import fetch_news
from feeds.news.store import NewsStore
from feeds.symbols import NameTable


class NewsFeed:
    """A `NewsSource` over one feed, whose items for what is traded it hands on once."""

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
        """The feed's address."""
        return self._url

    def poll(self) -> Sequence[NewsItem]:
        """What the feed shows that was not seen before. Raises DataError where it does not answer."""
        report = fetch_news([self._url], self._store, self._names, clock=self._clock, sleep=self._sleep)
        if report.faults:
            raise DataError(report.faults[0])
        return report.items

"""Feeds and article pages, fetched politely: few tries, pauses, and no end of patience with no host.

Knows addresses and parsers, not what is new or kept.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from engine.errors import DataError
from feeds.press.addresses import Origin, place
from feeds.press.articles import Article, Speaker, read_article
from feeds.press.confined import Run
from feeds.press.syndication import Entry, Feed, read_feed
from feeds.press.web import Limits, Page, SourceBusy, get

_LONGEST_WAIT = 30.0
_HOST_FAULTS = 3
"""After so many pages that did not answer, a host is not asked for more of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings:
    """How a pass fetches.

    `latency` is what reaching a decision takes beyond first sight. An item dated more than `tolerance` after
    now is refused. At most `most_articles` pages are fetched (none at 0), `pause` seconds apart; of any
    further item the feed's own summary is kept. Each address is tried `tries` times at most.
    """

    latency: timedelta = timedelta(0)
    tolerance: timedelta = timedelta(minutes=5)
    most_articles: int = 100
    pause: float = 0.5
    tries: int = 3
    limits: Limits = field(default_factory=Limits)


class Pages:
    """What one pass fetches from the hosts that are `named` and from public ones.

    `sleep` waits for seconds; `run` calls the parsers. `article_faults` has a line for each page that was
    not to be had.
    """

    def __init__(
        self, named: frozenset[Origin], settings: FetchSettings, sleep: Callable[[float], None], run: Run
    ) -> None:
        self._named, self._settings, self._sleep, self._run = named, settings, sleep, run
        self._articles = 0
        self._host_faults: Counter[str] = Counter()
        self.article_faults: list[str] = []

    def feed(self, url: str) -> Feed:
        """The feed at `url`. Raises DataError where it cannot be fetched or read."""
        return read_feed(self._page(url), self._run)

    def article(self, entry: Entry) -> Article:
        """The page behind an entry, or the feed's own summary where it is not to be had."""
        summary = Article(title="", text=entry.summary, speaker=Speaker.SUMMARY)
        host = "".join(place(entry.link).split("/")[2:3])
        if not host or self._articles >= self._settings.most_articles:
            return summary
        if self._host_faults[host] >= _HOST_FAULTS:
            return summary
        self._articles += 1
        self._sleep(self._settings.pause)
        try:
            return read_article(self._page(entry.link), entry.summary, self._run)
        except DataError as error:
            self._host_faults[host] += isinstance(error, SourceBusy)
            self.article_faults.append(str(error))
            return summary

    def _page(self, url: str) -> Page:
        """What `url` answers, after so many tries as the settings allow."""
        for attempt in range(1, self._settings.tries):
            try:
                return get(url, self._named, self._settings.limits)
            except SourceBusy as error:
                self._sleep(min(2.0**attempt if error.wait is None else error.wait, _LONGEST_WAIT))
        return get(url, self._named, self._settings.limits)

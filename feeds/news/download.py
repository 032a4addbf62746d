"""Download news: one pass over the feeds, whose new items go into the store with the time of first sight.

Every loop is bounded: feeds, entries, articles, tries and waits. The clock and the sleep function are passed
in.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from engine.errors import DataError
from engine.model import NewsItem, Precision
from feeds.files.news import SOURCE_LENGTH, TEXT_LENGTH, TITLE_LENGTH, clean_text
from feeds.news.articles import Article, TextSource, read_article
from feeds.news.dedup import DuplicateIndex, DuplicateReason, ItemFingerprint
from feeds.news.entities import find_subjects
from feeds.news.http import Limits, Page, SourceBusy, fetch_page
from feeds.news.rss import Entry, Feed, read_feed
from feeds.news.sandbox import Run, Sandbox
from feeds.news.store import NewsStore, StoredItem
from feeds.news.url_policy import Origin, origins, redact_url
from feeds.symbols import NameTable

_MAX_WAIT = 30.0
_MAX_HOST_FAULTS = 3
"""After so many pages that did not answer, a host is not asked for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings:
    """How a pass fetches.

    An item becomes available `latency` after first sight; one dated more than `tolerance` after now is
    refused. At most `max_articles` pages are fetched (none at 0), `pause` seconds apart; further items keep
    the feed's own summary. Each address is tried up to `tries` times.
    """

    latency: timedelta = timedelta(0)
    tolerance: timedelta = timedelta(minutes=5)
    max_articles: int = 100
    pause: float = 0.5
    tries: int = 3
    limits: Limits = field(default_factory=Limits)


class PageFetcher:
    """Fetches feeds and article pages during one pass, from the hosts in `named` and from public ones.

    `sleep` waits for seconds; `run` calls the parsers. `article_faults` has a line for each page that could
    not be fetched or read.
    """

    def __init__(
        self, named: frozenset[Origin], settings: FetchSettings, sleep: Callable[[float], None], run: Run
    ) -> None:
        self._named, self._settings, self._sleep, self._run = named, settings, sleep, run
        self._articles = 0
        self._host_faults: Counter[str] = Counter()
        self.article_faults: list[str] = []

    def feed(self, url: str) -> Feed:
        """Return the feed at `url`. Raises DataError where it cannot be fetched or read."""
        return read_feed(self._fetch_page(url), self._run)

    def article(self, entry: Entry) -> Article:
        """Return the article of an entry, or the feed's own summary where the page cannot be had."""
        summary = Article(title="", text=entry.summary, text_source=TextSource.SUMMARY)
        host = "".join(redact_url(entry.link).split("/")[2:3])
        if not host or self._articles >= self._settings.max_articles:
            return summary
        if self._host_faults[host] >= _MAX_HOST_FAULTS:
            return summary
        self._articles += 1
        self._sleep(self._settings.pause)
        try:
            return read_article(self._fetch_page(entry.link), entry.summary, self._run)
        except DataError as error:
            self._host_faults[host] += isinstance(error, SourceBusy)
            self.article_faults.append(str(error))
            return summary

    def _fetch_page(self, url: str) -> Page:
        """Return the page at `url`, with as many tries as the settings allow."""
        for attempt in range(1, self._settings.tries):
            try:
                return fetch_page(url, self._named, self._settings.limits)
            except SourceBusy as error:
                self._sleep(min(2.0**attempt if error.wait is None else error.wait, _MAX_WAIT))
        return fetch_page(url, self._named, self._settings.limits)


_COMPARED_SPAN = timedelta(days=30)
"""Titles and texts of this time are compared; feeds list little that is older."""

# The zone that is furthest ahead of UTC; a time without a zone may be in it.
_EASTERNMOST_OFFSET = timedelta(hours=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """The result of one pass.

    `items` are the new ones that concern a traded symbol, in store order. Each of the entries `read` is
    `stored`, `repeated` (by reason), from the `future` or `empty`. `not_traded`, `undated` and `text_sources`
    count the stored ones. `faults` has a line for each feed that could not be read, `article_faults` one for
    each page.
    """

    items: tuple[NewsItem, ...]
    read: int
    stored: int
    not_traded: int
    undated: int
    repeated: Mapping[DuplicateReason, int]
    future: int
    empty: int
    text_sources: Mapping[TextSource, int]
    faults: tuple[str, ...]
    article_faults: tuple[str, ...]


def fetch_news(
    urls: Sequence[str],
    store: NewsStore,
    names: NameTable,
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    settings: FetchSettings | None = None,
    run: Run | None = None,
) -> FetchReport:
    """Fetch each feed of `urls` once and append what was not seen before to `store`.

    Hosts in `urls` may be internal; links and redirects to other internal hosts are refused. A feed that
    fails is in the report, and the others are still fetched.

    Args:
        urls: The addresses of RSS or Atom feeds.
        store: The store to extend.
        names: The names of the traded instruments.
        clock: Returns the time in UTC.
        sleep: Waits for a number of seconds.
        settings: How to fetch; the defaults if None.
        run: Calls the parsers; if None, in a child process that ends with this call.

    Raises:
        DataError: For an address that cannot be used, and a store that cannot be read or written.
    """
    named = origins(urls)
    with Sandbox() as sandbox:
        settings = settings or FetchSettings()
        pages = PageFetcher(named, settings, sleep, run or sandbox)
        return _FetchPass(pages, store, names, clock, settings).report(urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FeedEntry:
    entry: Entry
    feed: str
    source: str
    at: datetime


class _FetchPass:
    """The state of one pass: the index of known items, and the counts."""

    def __init__(
        self,
        pages: PageFetcher,
        store: NewsStore,
        names: NameTable,
        clock: Callable[[], datetime],
        settings: FetchSettings,
    ) -> None:
        self._pages, self._store, self._names = pages, store, names
        self._clock, self._settings = clock, settings
        self._index = _load_recent(store, clock())
        self._counts: Counter[str] = Counter()
        self._repeated: Counter[DuplicateReason] = Counter()
        self._text_sources: Counter[TextSource] = Counter()
        self._faults: list[str] = []
        self._items: list[NewsItem] = []

    def report(self, urls: Sequence[str]) -> FetchReport:
        """Fetch, store and count."""
        entries = [entry for url in dict.fromkeys(urls) for entry in self._fetch_entries(url)]
        # Of several versions the first published is kept, whichever feed was asked first.
        for feed_entry in sorted(entries, key=lambda feed_entry: feed_entry.at):
            self._process_entry(feed_entry)
        count = self._counts
        return FetchReport(
            items=tuple(self._items),
            read=count["read"],
            stored=count["stored"],
            not_traded=count["not traded"],
            undated=count["undated"],
            repeated=dict(self._repeated),
            future=count["future"],
            empty=count["empty"],
            text_sources=dict(self._text_sources),
            faults=tuple(self._faults),
            article_faults=tuple(self._pages.article_faults),
        )

    def _fetch_entries(self, url: str) -> list[_FeedEntry]:
        try:
            feed = self._pages.feed(url)
        except DataError as error:
            self._faults.append(str(error))
            return []
        now = self._clock()
        self._counts["read"] += len(feed.entries) + feed.empty
        self._counts["empty"] += feed.empty
        source = feed.title or clean_text(redact_url(url).split("/")[2], SOURCE_LENGTH)
        known = [entry for entry in feed.entries if not self._is_future(entry, now)]
        self._counts["future"] += len(feed.entries) - len(known)
        return [
            _FeedEntry(entry=entry, feed=redact_url(url), source=source, at=entry.published_at or now)
            for entry in known
        ]

    def _is_future(self, entry: Entry, now: datetime) -> bool:
        zone = timedelta(0) if entry.zone_known else _EASTERNMOST_OFFSET
        return entry.published_at is not None and entry.published_at - zone > now + self._settings.tolerance

    def _process_entry(self, feed_entry: _FeedEntry) -> None:
        """Store an entry unless it duplicates another by the feed's own text or by its whole text."""
        fingerprint = _build_fingerprint(feed_entry, feed_entry.entry.title, feed_entry.entry.summary)
        if reason := self._index.find_reason(fingerprint):
            self._count_duplicate(fingerprint, reason)
            return
        article = self._pages.article(feed_entry.entry)
        title = feed_entry.entry.title or clean_text(article.title, TITLE_LENGTH)
        text = clean_text(article.text, TEXT_LENGTH)
        fingerprint = _build_fingerprint(feed_entry, title, text)
        if reason := self._index.find_reason(fingerprint):
            self._count_duplicate(fingerprint, reason)
            return
        self._store_entry(feed_entry, title, text, article.text_source)
        self._index.add(fingerprint)

    def _count_duplicate(self, fingerprint: ItemFingerprint, reason: DuplicateReason) -> None:
        self._repeated[reason] += 1
        self._index.add(fingerprint, compare=False)

    def _store_entry(self, feed_entry: _FeedEntry, title: str, text: str, text_source: TextSource) -> None:
        # The text is part of the item, so first sight is when its page was fetched.
        first_seen_at = self._clock().astimezone(UTC)
        dated = feed_entry.entry.published_at is not None
        stored = StoredItem(
            source=feed_entry.source,
            title=title,
            text=text,
            published_at=feed_entry.entry.published_at or first_seen_at,
            precision=feed_entry.entry.precision if dated else Precision.SECOND,
            zone_known=feed_entry.entry.zone_known if dated else True,
            dated=dated,
            first_seen_at=first_seen_at,
            subjects=find_subjects(title, text, self._names),
            feed=feed_entry.feed,
            link=feed_entry.entry.link,
            guid=_entry_identity(feed_entry.entry),
            text_source=text_source,
        )
        self._store.append([stored])
        item = stored.item(self._names, self._settings.latency)
        self._counts.update({"stored": 1, "undated": not dated, "not traded": item is None})
        self._text_sources[text_source] += 1
        if item is not None:
            self._items.append(item)


def _load_recent(store: NewsStore, now: datetime) -> DuplicateIndex:
    index = DuplicateIndex()
    for stored in store.read():
        index.add(stored, compare=now - stored.first_seen_at <= _COMPARED_SPAN)
    return index


def _build_fingerprint(feed_entry: _FeedEntry, title: str, text: str) -> ItemFingerprint:
    return ItemFingerprint(
        feed=feed_entry.feed,
        guid=_entry_identity(feed_entry.entry),
        link=feed_entry.entry.link,
        title=title,
        text=text,
        published_at=feed_entry.at,
    )


def _entry_identity(entry: Entry) -> str:
    """Return the entry's guid; without guid and link, what else identifies it in its feed."""
    return entry.guid or ("" if entry.link else f"{entry.title} {entry.published_at} {entry.summary[:100]}")

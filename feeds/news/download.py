"""One pass over news feeds: what is new goes into the store, dated when it became known.

Ties the modules of news together and knows no model. Every loop is bounded: feeds, entries, articles, tries
and waits. The clock and the way to wait are passed in.
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
from feeds.news.http import Limits, Origin, Page, SourceBusy, fetch_page, origins, redact_url
from feeds.news.rss import Entry, Feed, read_feed
from feeds.news.sandbox import Run, Sandbox
from feeds.news.store import NewsStore, StoredItem
from feeds.symbols import NameTable

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
    max_articles: int = 100
    pause: float = 0.5
    tries: int = 3
    limits: Limits = field(default_factory=Limits)


class PageFetcher:
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
        return read_feed(self._fetch_page(url), self._run)

    def article(self, entry: Entry) -> Article:
        """The page behind an entry, or the feed's own summary where it is not to be had."""
        summary = Article(title="", text=entry.summary, text_source=TextSource.SUMMARY)
        host = "".join(redact_url(entry.link).split("/")[2:3])
        if not host or self._articles >= self._settings.max_articles:
            return summary
        if self._host_faults[host] >= _HOST_FAULTS:
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
        """What `url` answers, after so many tries as the settings allow."""
        for attempt in range(1, self._settings.tries):
            try:
                return fetch_page(url, self._named, self._settings.limits)
            except SourceBusy as error:
                self._sleep(min(2.0**attempt if error.wait is None else error.wait, _LONGEST_WAIT))
        return fetch_page(url, self._named, self._settings.limits)


_REMEMBERED = timedelta(days=30)
"""Titles and texts of this time are compared; feeds list little that is older."""

# The clock of the zone that is furthest ahead of UTC; a time without a zone may be of that zone.
_FIRST_ZONE = timedelta(hours=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """What a pass found.

    `items` are the new ones that concern what is traded, in the order of the store. Of the entries `read`,
    each is `stored`, `repeated` (by why), from the `future` or `empty`. `not_traded` and `undated` count
    among the stored, and `speakers` tells whose texts those have. `faults` has a line for each feed that
    could not be read, `article_faults` one for each page.
    """

    items: tuple[NewsItem, ...]
    read: int
    stored: int
    not_traded: int
    undated: int
    repeated: Mapping[DuplicateReason, int]
    future: int
    empty: int
    speakers: Mapping[TextSource, int]
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

    `clock` gives the time in UTC, `sleep` waits for seconds. `run` calls the parsers, by default in a child
    process that ends with this call. Hosts in `urls` are trusted to be meant, also internal ones; links and
    redirects to other internal hosts are refused. A feed that fails is in the report, and the others go on.
    Raises DataError for an address that cannot be used, and for a store that cannot be read or written.
    """
    named = origins(urls)
    with Sandbox() as confined:
        settings = settings or FetchSettings()
        pages = PageFetcher(named, settings, sleep, run or confined)
        return _FetchPass(pages, store, names, clock, settings).report(urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FoundEntry:
    entry: Entry
    feed: str
    source: str
    at: datetime


class _FetchPass:
    """The state of one pass: what is known so far, and what was counted."""

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
        self._repeats = _load_recent(store, clock())
        self._counts: Counter[str] = Counter()
        self._repeated: Counter[DuplicateReason] = Counter()
        self._speakers: Counter[TextSource] = Counter()
        self._faults: list[str] = []
        self._items: list[NewsItem] = []

    def report(self, urls: Sequence[str]) -> FetchReport:
        """Fetch, store and count."""
        found = [one for url in dict.fromkeys(urls) for one in self._fetch_entries(url)]
        # Of several versions the first that was published stays, whichever feed was asked first.
        for one in sorted(found, key=lambda one: one.at):
            self._process_entry(one)
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
            speakers=dict(self._speakers),
            faults=tuple(self._faults),
            article_faults=tuple(self._pages.article_faults),
        )

    def _fetch_entries(self, url: str) -> list[_FoundEntry]:
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
            _FoundEntry(entry=entry, feed=redact_url(url), source=source, at=entry.published_at or now)
            for entry in known
        ]

    def _is_future(self, entry: Entry, now: datetime) -> bool:
        zone = timedelta(0) if entry.zone_known else _FIRST_ZONE
        return entry.published_at is not None and entry.published_at - zone > now + self._settings.tolerance

    def _process_entry(self, one: _FoundEntry) -> None:
        """Store an entry unless it is a repeat, by what the feed says or else by its whole text."""
        sighting = _build_fingerprint(one, one.entry.title, one.entry.summary)
        if why := self._repeats.find_reason(sighting):
            self._count_duplicate(sighting, why)
            return
        article = self._pages.article(one.entry)
        title = one.entry.title or clean_text(article.title, TITLE_LENGTH)
        text = clean_text(article.text, TEXT_LENGTH)
        sighting = _build_fingerprint(one, title, text)
        if why := self._repeats.find_reason(sighting):
            self._count_duplicate(sighting, why)
            return
        self._store_entry(one, title, text, article.text_source)
        self._repeats.add(sighting)

    def _count_duplicate(self, sighting: ItemFingerprint, why: DuplicateReason) -> None:
        self._repeated[why] += 1
        self._repeats.add(sighting, compare=False)

    def _store_entry(self, one: _FoundEntry, title: str, text: str, speaker: TextSource) -> None:
        # The text is part of the item, so it was not seen before its page was.
        first_seen_at = self._clock().astimezone(UTC)
        dated = one.entry.published_at is not None
        seen = StoredItem(
            source=one.source,
            title=title,
            text=text,
            published_at=one.entry.published_at or first_seen_at,
            precision=one.entry.precision if dated else Precision.SECOND,
            zone_known=one.entry.zone_known if dated else True,
            dated=dated,
            first_seen_at=first_seen_at,
            subjects=find_subjects(title, text, self._names),
            feed=one.feed,
            link=one.entry.link,
            guid=_entry_identity(one.entry),
            speaker=speaker,
        )
        self._store.append([seen])
        item = seen.item(self._names, self._settings.latency)
        self._counts.update({"stored": 1, "undated": not dated, "not traded": item is None})
        self._speakers[speaker] += 1
        if item is not None:
            self._items.append(item)


def _load_recent(store: NewsStore, now: datetime) -> DuplicateIndex:
    repeats = DuplicateIndex()
    for seen in store.read():
        recent = now - seen.first_seen_at <= _REMEMBERED
        sighting = ItemFingerprint(
            feed=seen.feed,
            guid=seen.guid,
            link=seen.link,
            title=seen.title,
            text=seen.text,
            at=seen.published_at,
        )
        repeats.add(sighting, compare=recent)
    return repeats


def _build_fingerprint(one: _FoundEntry, title: str, text: str) -> ItemFingerprint:
    return ItemFingerprint(
        feed=one.feed, guid=_entry_identity(one.entry), link=one.entry.link, title=title, text=text, at=one.at
    )


def _entry_identity(entry: Entry) -> str:
    """The entry's guid; where it has neither guid nor link, what else names it in its feed."""
    return entry.guid or ("" if entry.link else f"{entry.title} {entry.published_at} {entry.summary[:100]}")

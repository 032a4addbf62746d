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
from feeds.files.news import SOURCE_LENGTH, TEXT_LENGTH, TITLE_LENGTH, clean
from feeds.news.articles import Article, Speaker, read_article
from feeds.news.dedup import Repeats, Sighting, Why
from feeds.news.entities import subjects_in
from feeds.news.http import Limits, Origin, Page, SourceBusy, get, origins, place
from feeds.news.rss import Entry, Feed, read_feed
from feeds.news.sandbox import Confined, Run
from feeds.news.store import NewsStore, Seen
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
    repeated: Mapping[Why, int]
    future: int
    empty: int
    speakers: Mapping[Speaker, int]
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
    with Confined() as confined:
        settings = settings or FetchSettings()
        pages = Pages(named, settings, sleep, run or confined)
        return _Pass(pages, store, names, clock, settings).report(urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    entry: Entry
    feed: str
    source: str
    at: datetime


class _Pass:
    """The state of one pass: what is known so far, and what was counted."""

    def __init__(
        self,
        pages: Pages,
        store: NewsStore,
        names: NameTable,
        clock: Callable[[], datetime],
        settings: FetchSettings,
    ) -> None:
        self._pages, self._store, self._names = pages, store, names
        self._clock, self._settings = clock, settings
        self._repeats = _remembered(store, clock())
        self._counts: Counter[str] = Counter()
        self._repeated: Counter[Why] = Counter()
        self._speakers: Counter[Speaker] = Counter()
        self._faults: list[str] = []
        self._items: list[NewsItem] = []

    def report(self, urls: Sequence[str]) -> FetchReport:
        """Fetch, store and count."""
        found = [one for url in dict.fromkeys(urls) for one in self._entries(url)]
        # Of several versions the first that was published stays, whichever feed was asked first.
        for one in sorted(found, key=lambda one: one.at):
            self._take(one)
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

    def _entries(self, url: str) -> list[_Found]:
        try:
            feed = self._pages.feed(url)
        except DataError as error:
            self._faults.append(str(error))
            return []
        now = self._clock()
        self._counts["read"] += len(feed.entries) + feed.empty
        self._counts["empty"] += feed.empty
        source = feed.title or clean(place(url).split("/")[2], SOURCE_LENGTH)
        known = [entry for entry in feed.entries if not self._is_future(entry, now)]
        self._counts["future"] += len(feed.entries) - len(known)
        return [
            _Found(entry=entry, feed=place(url), source=source, at=entry.published_at or now)
            for entry in known
        ]

    def _is_future(self, entry: Entry, now: datetime) -> bool:
        zone = timedelta(0) if entry.zone_known else _FIRST_ZONE
        return entry.published_at is not None and entry.published_at - zone > now + self._settings.tolerance

    def _take(self, one: _Found) -> None:
        """Store an entry unless it is a repeat, by what the feed says or else by its whole text."""
        sighting = _sighting(one, one.entry.title, one.entry.summary)
        if why := self._repeats.why(sighting):
            self._repeat(sighting, why)
            return
        article = self._pages.article(one.entry)
        title = one.entry.title or clean(article.title, TITLE_LENGTH)
        text = clean(article.text, TEXT_LENGTH)
        sighting = _sighting(one, title, text)
        if why := self._repeats.why(sighting):
            self._repeat(sighting, why)
            return
        self._keep(one, title, text, article.speaker)
        self._repeats.remember(sighting)

    def _repeat(self, sighting: Sighting, why: Why) -> None:
        self._repeated[why] += 1
        self._repeats.remember(sighting, compare=False)

    def _keep(self, one: _Found, title: str, text: str, speaker: Speaker) -> None:
        # The text is part of the item, so it was not seen before its page was.
        first_seen_at = self._clock().astimezone(UTC)
        dated = one.entry.published_at is not None
        seen = Seen(
            source=one.source,
            title=title,
            text=text,
            published_at=one.entry.published_at or first_seen_at,
            precision=one.entry.precision if dated else Precision.SECOND,
            zone_known=one.entry.zone_known if dated else True,
            dated=dated,
            first_seen_at=first_seen_at,
            subjects=subjects_in(title, text, self._names),
            feed=one.feed,
            link=one.entry.link,
            guid=_identity(one.entry),
            speaker=speaker,
        )
        self._store.append([seen])
        item = seen.item(self._names, self._settings.latency)
        self._counts.update({"stored": 1, "undated": not dated, "not traded": item is None})
        self._speakers[speaker] += 1
        if item is not None:
            self._items.append(item)


def _remembered(store: NewsStore, now: datetime) -> Repeats:
    repeats = Repeats()
    for seen in store.read():
        recent = now - seen.first_seen_at <= _REMEMBERED
        sighting = Sighting(
            feed=seen.feed,
            guid=seen.guid,
            link=seen.link,
            title=seen.title,
            text=seen.text,
            at=seen.published_at,
        )
        repeats.remember(sighting, compare=recent)
    return repeats


def _sighting(one: _Found, title: str, text: str) -> Sighting:
    return Sighting(
        feed=one.feed, guid=_identity(one.entry), link=one.entry.link, title=title, text=text, at=one.at
    )


def _identity(entry: Entry) -> str:
    """The entry's guid; where it has neither guid nor link, what else names it in its feed."""
    return entry.guid or ("" if entry.link else f"{entry.title} {entry.published_at} {entry.summary[:100]}")

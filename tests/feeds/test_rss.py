import calendar
import io
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.errors import DataError
from engine.model import Precision
from feeds.instruments import guess_instrument
from feeds.news.articles import TextSource
from feeds.news.dedup import DuplicateReason
from feeds.news.download import FetchReport, FetchSettings, fetch_news
from feeds.news.http import Limits, Page
from feeds.news.rss import Feed, date_precision, read_feed
from feeds.news.sandbox import Sandbox
from feeds.news.store import NewsStore
from feeds.symbols import NameTable
from tests.support.places import SHARED_DATA
from tests.support.servers.news import bomb, direct, endless, in_turn, missing, moved, news_site, page

FEEDS = SHARED_DATA / "rss_atom_feeds"
needs_feeds = pytest.mark.skipif(not FEEDS.is_dir(), reason="the saved feeds are not on this machine")
NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
NAMES = NameTable.for_instruments([guess_instrument("BTCUSDT")])
QUICK = FetchSettings(tries=1, limits=Limits(connect=1, read=0.5, total=1))


def rss(*items: str, title: str = "Wire") -> str:
    return f'<rss version="2.0"><channel><title>{title}</title>{"".join(items)}</channel></rss>'


def item(title: str = "Bitcoin rises", link: str = "", date: str = "", text: str = "", guid: str = "") -> str:
    parts = {"title": title, "link": link, "pubDate": date, "description": text, "guid": guid}
    return "<item>" + "".join(f"<{tag}>{value}</{tag}>" for tag, value in parts.items() if value) + "</item>"


def make_feed(body: str | bytes, content_type: str = "application/xml") -> Feed:
    data = body.encode() if isinstance(body, str) else body
    return read_feed(Page(url="http://h.example/feed", content_type=content_type, body=data), direct)


class Clock:
    """A clock that moves by a second each time it is asked."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def fetch(
    store: Path,
    *urls: str,
    clock: Clock | None = None,
    settings: FetchSettings = QUICK,
    run: Callable[..., object] = direct,
) -> FetchReport:
    clock = clock or Clock()
    return fetch_news(
        urls, NewsStore(store), NAMES, clock=clock, sleep=clock.sleep, settings=settings, run=run
    )


@pytest.mark.parametrize(
    ("written", "precision", "zone_known"),
    [
        ("Mon, 01 Jan 2024 08:30:15 GMT", Precision.SECOND, True),
        ("Mon, 01 Jan 2024 08:30:15 +0800", Precision.SECOND, True),
        ("Mon, 01 Jan 2024 08:30 EST", Precision.MINUTE, True),
        ("2024-01-01T08:30:15.25Z", Precision.SECOND, True),
        ("2024-01-01T08:30+08:00", Precision.MINUTE, True),
        ("Mon, 01 Jan 2024 08:30:15", Precision.SECOND, False),
        ("Mon, 01 Jan 2024 08:30:15 JST", Precision.SECOND, False),
        ("Mon, 01 Jan 2024 08:30:15 CST", Precision.SECOND, False),
        ("Mon, 01 Jan 2024", Precision.DAY, False),
        ("2024-01-01", Precision.DAY, False),
    ],
)
def test_a_date_is_as_exact_as_it_is_written(written, precision, zone_known):
    assert date_precision(written) == (precision, zone_known)


def test_an_entry_comes_as_plain_text_with_its_time_in_utc():
    made = item(
        "AT&amp;T &lt;b&gt;up&lt;/b&gt; &lt;script&gt;alert(1)&lt;/script&gt;",
        "http://h.example/1",
        "Mon, 01 Jan 2024 08:30:15 +0800",
        "&lt;p&gt;One.&lt;/p&gt;&lt;p&gt;Two.&lt;/p&gt;",
        "g1",
    )
    (entry,) = make_feed(rss(made)).entries
    assert (entry.title, entry.summary) == ("AT&T up", "One. Two.")
    assert (entry.link, entry.guid) == ("http://h.example/1", "http://h.example/g1")
    assert entry.published_at == datetime(2024, 1, 1, 0, 30, 15, tzinfo=UTC)


def test_control_characters_in_a_title_become_spaces():
    (entry,) = make_feed(rss(item("Up&#x202e;&#133;\x07now"))).entries
    assert entry.title.isprintable() and entry.title.startswith("Up") and entry.title.endswith("now")


@pytest.mark.parametrize("date", ["", "soon", "--05-31", "Mon, 01 Jan 1602 00:00:00 GMT"])
def test_a_date_that_is_missing_or_cannot_be_read_is_none(date):
    (entry,) = make_feed(rss(item(date=date))).entries
    assert entry.published_at is None


def test_a_page_that_is_no_feed_is_one_clear_line():
    with pytest.raises(DataError, match=r"^http://h\.example/feed: not an RSS or Atom feed"):
        make_feed("<html><body>Hello</body></html>", "text/html")


def feedparsers_times(path: Path) -> list[int | None]:
    import feedparser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = feedparser.parse(
            io.BytesIO(path.read_bytes()), response_headers={"content-type": "application/xml"}
        )
        times = [one.get("published_parsed") or one.get("updated_parsed") for one in raw.entries]
    return [calendar.timegm(moment) if moment else None for moment in times]


@pytest.mark.slow
@needs_feeds
def test_every_saved_feed_is_read_with_feedparsers_times_and_nothing_before_its_time(tmp_path):
    files = sorted(path for path in FEEDS.iterdir() if path.suffix in (".xml", ".rss", ".atom"))
    clock = Clock(datetime(2026, 1, 1, tzinfo=UTC))
    store = NewsStore(tmp_path / "news.jsonl")
    read: dict[str, list[int | None]] = {}
    with news_site({f"/{path.name}": page(path.read_bytes()) for path in files}) as site, Sandbox() as run:

        def recording(function: Callable[..., object], *arguments: object) -> object:
            found = run(function, *arguments)
            read[str(arguments[2])] = [one["seconds"] for one in found["entries"]]
            return found

        urls = [site.url(f"/{path.name}") for path in files]
        settings = FetchSettings(max_articles=0)
        report = fetch(store.path, *urls, clock=clock, settings=settings, run=recording)
    for path, url in zip(files, urls, strict=True):
        assert read[url] == feedparsers_times(path)
    assert len(files) == 119
    assert sum(moment is not None for moments in read.values() for moment in moments) > 300
    assert all("not an RSS or Atom feed" in line and line.count("\n") == 0 for line in report.faults)
    assert len(report.faults) < 15
    assert report.read == report.stored + sum(report.repeated.values()) + report.future + report.empty
    assert len(store.read()) == report.stored > 300
    for seen in store.read():
        assert seen.published_at <= clock.now and seen.title.isprintable() and seen.text.isprintable()
    for one in report.items:
        assert one.available_at >= max(one.published_at, one.first_seen_at)


ENTITIES = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))

HOSTILE = {
    "entity expansion": f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY e0 "ha">{ENTITIES}]>'
    + rss(item("&e9;", text="laughs")),
    "external entity": '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    + rss(item("&x;", text="reads")),
    "nested": '<rss version="2.0"><channel>' + "<a>" * 1_600_000,
    "markup": '<rss version="2.0"><channel><item><title>' + "<" * 4_900_000,
    "binary": bytes(range(256)) * 10_000,
    "nothing": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_feed_ends_in_time_and_harms_nothing(tmp_path, name):
    started = time.monotonic()
    store = NewsStore(tmp_path / "news.jsonl")
    with news_site({"/feed": page(HOSTILE[name])}) as site, Sandbox(seconds=1.5) as run:
        report = fetch(store.path, site.url("/feed"), run=run)
    assert time.monotonic() - started < 8
    assert all(line.count("\n") == 0 and line.startswith(site.url("/feed")) for line in report.faults)
    assert report.stored + len(report.faults) == 1
    assert all("root:" not in seen.title + seen.text and len(seen.title) <= 300 for seen in store.read())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (bomb(100_000_000), "more than 5,000,000 bytes"),
        (endless(bytes(500_000)), "more than 5,000,000 bytes"),
        (page(bytes(100_000_000)), "more than 5,000,000 bytes"),
        (moved("file:///etc/passwd"), "'file' is not fetched"),
        (moved("http://127.0.0.1:1/"), "leads to an internal address"),
        (missing(), "answered HTTP 404"),
    ],
    ids=["bomb", "endless", "100 MB", "file", "internal", "missing"],
)
def test_one_bad_source_is_one_line_and_the_others_go_on(tmp_path, answer, message):
    with news_site({"/bad": answer, "/good": page(rss(item()))}) as site:
        report = fetch(tmp_path / "s.jsonl", site.url("/bad"), site.url("/good"))
    (line,) = report.faults
    assert message in line and line.startswith(site.url("/bad"))
    assert report.stored == 1


def test_an_item_is_available_from_its_first_sight_on(tmp_path):
    clock = Clock()
    with news_site({"/f": page(rss(item(date="Sat, 01 Jun 2024 08:00:00 GMT")))}) as site:
        (one,) = fetch(tmp_path / "s.jsonl", site.url("/f"), clock=clock).items
    assert one.published_at == datetime(2024, 6, 1, 8, tzinfo=UTC)
    assert NOW < one.first_seen_at == one.available_at <= clock.now


def test_an_undated_item_is_available_when_it_was_first_seen(tmp_path):
    with news_site({"/f": page(rss(item()))}) as site:
        report = fetch(tmp_path / "s.jsonl", site.url("/f"))
    assert report.undated == 1
    (one,) = report.items
    assert one.published_at == one.first_seen_at == one.available_at


def test_an_item_from_the_future_is_refused_and_counted(tmp_path):
    dates = ["Sat, 01 Jun 2024 12:04:00 GMT", "Sat, 01 Jun 2024 12:20:00 GMT", "2024-06-02T01:00:00"]
    entries = [item(f"Bitcoin {word} news today", date=date) for word, date in zip("abc", dates, strict=True)]
    with news_site({"/f": page(rss(*entries))}) as site:
        report = fetch(tmp_path / "s.jsonl", site.url("/f"))
    assert (report.read, report.future) == (3, 1)
    # The last may be of a zone where it is 02:00 of that day already; it waits for the hour it states.
    assert max(one.available_at for one in report.items) == datetime(2024, 6, 2, 1, tzinfo=UTC)


def test_an_item_is_kept_once_with_the_time_of_its_first_version(tmp_path):
    early = item(
        "Bitcoin falls below 60,000 dollars", "http://127.0.0.1:1/a", "Sat, 01 Jun 2024 08:00:00 GMT"
    )
    repost = item(
        "Bitcoin falls below 60,000 dollars - Wire", "http://127.0.0.1:1/b", "Sat, 01 Jun 2024 09:00:00 GMT"
    )
    clock = Clock()
    with news_site({"/late": page(rss(repost)), "/early": page(rss(early))}) as site:
        first = fetch(tmp_path / "s.jsonl", site.url("/late"), site.url("/early"), clock=clock)
        again = fetch(tmp_path / "s.jsonl", site.url("/late"), site.url("/early"), clock=clock)
    (one,) = first.items
    assert one.published_at.hour == 8
    assert first.repeated == {DuplicateReason.TITLE: 1}
    assert again.items == () and sum(again.repeated.values()) == 2
    assert len(NewsStore(tmp_path / "s.jsonl").read()) == 1


def test_the_text_comes_from_the_page_and_counts_from_when_the_page_was_seen(tmp_path):
    words = "The price of bitcoin rose on Saturday because many of the buyers came back to the market. "
    html = "<html><head><title>T</title></head><body>" + f"<p>{words * 3}</p>" * 3 + "</body></html>"
    clock = Clock()
    with news_site({"/a": page(html, "text/html")}) as site:
        site.pages["/f"] = page(rss(item(link=site.url("/a"), text="Short.")))
        report = fetch(tmp_path / "s.jsonl", site.url("/f"), clock=clock)
    (one,) = report.items
    assert one.text.count("many of the buyers came back") == 9 and report.text_sources == {
        TextSource.NEWSPAPER: 1
    }
    assert one.available_at == clock.now


def test_a_page_that_is_not_to_be_had_leaves_the_summary(tmp_path):
    with news_site() as site:
        site.pages["/f"] = page(rss(item(link=site.url("/gone"), text="A summary.")))
        report = fetch(tmp_path / "s.jsonl", site.url("/f"))
    assert [one.text for one in report.items] == ["A summary."]
    assert report.text_sources == {TextSource.SUMMARY: 1}
    assert "HTTP 404" in report.article_faults[0]


def test_a_link_to_an_internal_host_is_not_followed(tmp_path):
    with news_site({"/admin": page("secret", "text/html")}) as inner, news_site() as site:
        site.pages["/f"] = page(rss(item(link=inner.url("/admin"), text="A summary.")))
        report = fetch(tmp_path / "s.jsonl", site.url("/f"))
        assert inner.asked == []
    assert "internal address" in report.article_faults[0]


def test_a_busy_feed_is_asked_again_after_the_wait_it_states(tmp_path):
    clock = Clock()
    answers = in_turn(missing(503, Retry_After="9"), missing(500), page(rss(item())))
    with news_site({"/f": answers}) as site:
        report = fetch(tmp_path / "s.jsonl", site.url("/f"), clock=clock, settings=FetchSettings(tries=3))
    assert report.stored == 1 and clock.slept == [9.0, 4.0]


def test_a_host_that_never_answers_its_pages_is_left_in_peace(tmp_path):
    with news_site() as site:
        entries = [item(f"Bitcoin number {n} of many", site.url(f"/{n}"), text=f"{n}") for n in range(6)]
        for number in range(6):
            site.pages[f"/{number}"] = missing(503)
        site.pages["/f"] = page(rss(*entries))
        report = fetch(tmp_path / "s.jsonl", site.url("/f"))
        assert len(site.asked) == 1 + 3
    assert report.stored == 6 and report.text_sources == {TextSource.SUMMARY: 6}


def test_nothing_of_a_feeds_query_is_written_anywhere(tmp_path):
    with news_site() as site:
        site.pages["/f?key=hunter2"] = page(rss(item()))
        site.pages["/g?key=hunter2"] = missing()
        report = fetch(tmp_path / "s.jsonl", site.url("/f?key=hunter2"), site.url("/g?key=hunter2"))
    assert "hunter2" not in (tmp_path / "s.jsonl").read_text() + "".join(report.faults)

"""Parse RSS 0.9 to 2.0 and Atom feeds with feedparser.

Dates are feedparser's, in UTC, with the precision in which they were written and whether their zone is known.
Titles and summaries are plain text on one line.
"""

import calendar
import io
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.errors import DataError
from engine.model import Precision
from feeds.files.news import SOURCE_LENGTH, TEXT_LENGTH, TITLE_LENGTH, clean_text
from feeds.news.http import Page
from feeds.news.sandbox import Run
from feeds.news.url_policy import redact_url

_MAX_ENTRIES = 2_000
_MAX_RAW_LENGTH = 20_000
_DATES = ("published", "updated", "created")
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?")
_OFFSET = re.compile(r"(?:[+-][0-9]{2}:?[0-9]{2}|[+-][0-9]{2}|(?<![a-z])Z)$", re.IGNORECASE)

# The unambiguous ones of feedparser's zones: CST, AST and AT name several; other names it reads as UTC.
_ZONES = "UT|UTC|GMT|EDT|EST|ET|CDT|CT|MDT|MST|MT|PDT|PST|PT|MET|MEST|ADT"
_ZONE = re.compile(rf"(?:(?:Etc/)?GMT[+-][0-9]{{1,2}}:?[0-9]{{2}}|\b(?:{_ZONES}))$", re.IGNORECASE)
_MARKUP = re.compile(r"<[a-zA-Z/!?]|&[a-zA-Z#]")
_YEARS = range(1970, 2200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a feed.

    `published_at` is None without a readable date; a date without a zone is taken as UTC, and `zone_known`
    is false. `guid` and `link` may be empty, and so may `title` or `summary`, but not both.
    """

    guid: str
    link: str
    title: str
    summary: str
    published_at: datetime | None
    precision: Precision
    zone_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A feed: its title, its usable entries in order, and how many had neither title nor summary."""

    title: str
    entries: tuple[Entry, ...]
    empty: int


def read_feed(page: Page, run: Run) -> Feed:
    """Return the feed on `page`, up to 2,000 entries.

    `run` calls the parser, usually in a `Sandbox`, because hostile input can make it slow or large. Raises
    DataError for a page that is not a feed.
    """
    try:
        parsed = run(parse_feed, page.body, page.content_type, page.url)
    except DataError as error:
        raise DataError(f"{redact_url(page.url)}: {error}") from None
    if not parsed["version"] and not parsed["entries"]:
        raise DataError(f"{redact_url(page.url)}: not an RSS or Atom feed; check the address")
    entries = [_build_entry(raw) for raw in parsed["entries"]]
    usable = tuple(entry for entry in entries if entry.title or entry.summary)
    return Feed(
        title=clean_text(parsed["title"], SOURCE_LENGTH), entries=usable, empty=len(entries) - len(usable)
    )


def parse_feed(data: bytes, content_type: str, url: str) -> dict[str, Any]:
    """Parse a feed without network access and return it as plain JSON.

    Args:
        data: The body of the page; external entities in it are not loaded.
        content_type: The Content-Type header, which names the encoding.
        url: The address, against which links are resolved.

    Returns:
        `version`, `title` and `entries`, whose dates are in seconds since 1970.
    """
    import feedparser

    headers = {"content-type": content_type, "content-location": url}
    parsed = feedparser.parse(io.BytesIO(data), response_headers=headers)
    return {
        "version": str(parsed.get("version") or ""),
        "title": strip_markup(str(parsed.feed.get("title") or "")[:_MAX_RAW_LENGTH]),
        "entries": [_raw_entry(entry) for entry in parsed.entries[:_MAX_ENTRIES]],
    }


def strip_markup(markup: str) -> str:
    """Return the text of an HTML fragment, without scripts, styles and tags."""
    if not _MARKUP.search(markup):
        return markup
    from lxml import etree
    from lxml import html as lxml_html

    try:
        tree = lxml_html.fragment_fromstring(markup.replace("\0", " "), create_parent="div")
    except (etree.LxmlError, ValueError):
        return re.sub(r"<[^>]*>?", " ", markup)
    for element in list(tree.iter("script", "style", "noscript", "template", etree.Comment)):
        element.drop_tree()
    return " ".join(str(piece) for piece in tree.itertext())


def _raw_entry(entry: Any) -> dict[str, Any]:
    written, seconds = _entry_date(entry)
    contents: Iterable[Any] = entry.get("content") or ()
    texts = [str(entry.get("summary") or ""), *(str(content.get("value") or "") for content in contents)]
    return {
        "guid": str(entry.get("id") or "")[:_MAX_RAW_LENGTH],
        "link": str(entry.get("link") or "")[:_MAX_RAW_LENGTH],
        "title": strip_markup(str(entry.get("title") or "")[:_MAX_RAW_LENGTH]),
        "summary": strip_markup(max(texts, key=len)[:_MAX_RAW_LENGTH]),
        "written": written,
        "seconds": seconds,
    }


def _entry_date(entry: Any) -> tuple[str, int | None]:
    """Return the first of an entry's dates that feedparser understood: as written, and in epoch seconds."""
    with warnings.catch_warnings():
        # feedparser returns the creation date for a missing `updated`, and warns about it each time.
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in _DATES:
            parsed = entry.get(f"{name}_parsed")
            written = str(entry.get(name) or "").strip()
            # feedparser completes a date without a year, such as "--05-31", from the clock, which is a guess.
            if parsed and not written.startswith("-"):
                return written[:100], calendar.timegm(parsed)
    return "", None


def _build_entry(raw: dict[str, Any]) -> Entry:
    published_at = _to_datetime(raw["seconds"])
    precision, zone_known = date_precision(raw["written"]) if published_at else (Precision.SECOND, True)
    return Entry(
        guid=clean_text(raw["guid"], 500),
        link=raw["link"].strip(),
        title=clean_text(raw["title"], TITLE_LENGTH),
        summary=clean_text(raw["summary"], TEXT_LENGTH),
        published_at=published_at,
        precision=precision,
        zone_known=zone_known,
    )


def date_precision(date: str) -> tuple[Precision, bool]:
    """Return the precision of a date such as "Mon, 01 Jan 2024 08:30 GMT", and whether its zone is known."""
    clock = _CLOCK.search(date)
    if clock is None:
        return Precision.DAY, False
    zone_known = bool(_OFFSET.search(date[clock.end() :]) or _ZONE.search(date[clock.end() :]))
    return (Precision.SECOND if clock[1] else Precision.MINUTE), zone_known


def _to_datetime(seconds: int | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return moment if moment.year in _YEARS else None

"""Read news archives from CSV and Parquet files.

Titles and texts are untrusted: they are stored on one line, without control characters and cut to a length.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from engine.errors import DataError
from engine.model import NewsItem, Precision
from feeds.availability import available_at
from feeds.files.day_stamps import Clock, DayStamps
from feeds.files.listing import find_tables
from feeds.files.news_forms import COLUMNS, read_news_rows, require_news
from feeds.files.tables import Row, parse_timestamp, quote_value
from feeds.symbols import NameTable

TITLE_LENGTH, TEXT_LENGTH, SOURCE_LENGTH = 300, 2_000, 100
_COARSENESS = [Precision.SECOND, Precision.MINUTE, Precision.HOUR, Precision.DAY]
_WORDS_OF_A_NAME = 4
_SEPARATOR = re.compile(r"[;,|()；，、（）]")
_LIST = re.compile(r"[\[({](.*)[\])}]", re.DOTALL)

# What pandas and others write where there is no value.
_MISSING = frozenset({"", "nan", "NaN", "None", "null", "<NA>"})
_UNMATCHED_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsArchive:
    """The items of an archive for the traded symbols, and what was left out.

    Rows that are not traded, empty or known later count where they became available in the span asked for.

    Attributes:
        items: By `available_at` and then id, of any time.
        read: How many rows there were; without a span each is an item, not traded, a repetition or empty.
        skipped_not_traded: How many rows concern nothing that is traded.
        skipped_repeated: How many rows repeat an item.
        skipped_empty: How many rows have neither a title nor a text.
        unmatched: The most frequent subjects of the rows that are not traded, each with its count, so that a
            user sees which names the table lacks.
        day_stamps: For each file with times of day that stand for a day (see `feeds.files.day_stamps`), those
            times as text and how many of the items are known later for it.
    """

    items: tuple[NewsItem, ...]
    read: int
    skipped_not_traded: int
    skipped_repeated: int
    skipped_empty: int
    unmatched: tuple[tuple[str, int], ...]
    day_stamps: Mapping[Path, tuple[str, int]]


def read_news(
    paths: Sequence[Path],
    names: NameTable,
    latency: timedelta,
    *,
    date_order: str = "",
    span: tuple[datetime, datetime] | None = None,
) -> NewsArchive:
    """Read the news in `paths` for the symbols of `names`.

    Of several rows with one id the first is kept; where they became available together, the item concerns the
    symbols of all.

    Args:
        paths: Files, or folders of files.
        names: Which traded symbols a word stands for.
        latency: How long an archive is assumed to take to deliver an item.
        date_order: "day first", "month first", or empty to infer it.
        span: Two times in UTC, between which rows left out are counted; None for all.

    Raises:
        DataError: For a path that is missing or no news file, a folder without any, and a row without a
            usable time or precision.
    """
    kept: dict[str, NewsItem] = {}
    unmatched: Counter[str] = Counter()
    day_stamps: dict[Path, tuple[str, int]] = {}
    read = not_traded = empty = repeated = 0
    for path in find_tables(paths, COLUMNS, "news", require_news):
        stamps = DayStamps()
        found: list[tuple[NewsItem, datetime | None]] = []
        for row in read_news_rows(path, date_order=date_order):
            read += 1
            subjects = split_subjects(row.cells["symbols"], names)
            item, stamp = _parse_item(row, latency)
            if not (item.title or item.text):
                empty += _is_within(item, span)
                continue
            if stamp is not None:
                stamps.add(item.source, stamp)
            symbols = names.match_symbols(subjects, item.published_at)
            if symbols is not None:
                found.append((replace(item, symbols=symbols), stamp))
            elif _is_within(item, span):
                not_traded += 1
                unmatched.update(clean_text(subject, 40) for subject in subjects)
        times = stamps.find()
        used: Counter[time] = Counter()
        for item, stamp in found:
            if stamp is not None and Clock.of(stamp) in times.get(item.source, ()):
                day_item = _read_as_day(item, stamp, latency)
                used[stamp.time()] += day_item != item and _is_within(day_item, span)
                item = day_item
            repeated += item.id in kept
            kept[item.id] = _merge_items(kept[item.id], item) if item.id in kept else item
        if used.total():
            day_stamps[path] = (" or ".join(f"{clock:%H:%M}" for clock in sorted(used)), used.total())
    return NewsArchive(
        items=tuple(sorted(kept.values(), key=lambda item: (item.available_at, item.id))),
        read=read,
        skipped_not_traded=not_traded,
        skipped_repeated=repeated,
        skipped_empty=empty,
        unmatched=tuple(sorted(unmatched.items(), key=lambda item: (-item[1], item[0]))[:_UNMATCHED_SHOWN]),
        day_stamps=day_stamps,
    )


def _is_within(item: NewsItem, span: tuple[datetime, datetime] | None) -> bool:
    return span is None or span[0] < item.available_at <= span[1]


def news_id(source: str, published_at: datetime, title: str, text: str) -> str:
    """Return the id of an item, the same wherever it was read.

    Args:
        source: The clean name of the source.
        published_at: When it was published, in UTC.
        title: The clean title (see `clean_text`).
        text: The clean text.

    Returns:
        16 hexadecimal digits of a SHA-256.
    """
    parts = (source, published_at.isoformat(), title, text)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def clean_text(text: str, length: int) -> str:
    """Return `text` on one line of at most `length` characters, single-spaced.

    Characters of the Unicode category C (control, format, private, unassigned) become spaces.
    """
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in text)
    return " ".join(text.split())[:length].rstrip()


def split_subjects(cell: str, names: NameTable) -> list[str]:
    """Split a symbols cell at semicolons, commas, bars, brackets and spaces into its subjects.

    A name that the table has is not taken apart: "Bitcoin Cash ETH" has two subjects. Lists as programs write
    them, such as ['BTC', 'ETH'], are read, and an empty one or a missing value has no subject.
    """
    if names.contains(cell):
        return [cell]
    if match := _LIST.fullmatch(cell):
        cell = match[1].replace("' '", "','")  # as numpy writes a list
    parts = [part.strip().strip("'\"") for part in _SEPARATOR.split(cell)]
    if parts and all(part in _MISSING for part in parts):
        return []
    return [subject for part in parts for subject in _phrases(part.split(), names)]


def _phrases(words: list[str], names: NameTable) -> Iterator[str]:
    at = 0
    while at < len(words):
        for length in range(min(_WORDS_OF_A_NAME, len(words) - at), 0, -1):
            phrase = " ".join(words[at : at + length])
            if length == 1 or names.contains(phrase):
                yield phrase
                at += length
                break


def _merge_items(first: NewsItem, again: NewsItem) -> NewsItem:
    if first.available_at != again.available_at:
        return first
    whole_market = not first.symbols or not again.symbols
    return replace(first, symbols=frozenset() if whole_market else first.symbols | again.symbols)


def _read_as_day(item: NewsItem, stamp: datetime, latency: timedelta) -> NewsItem:
    known = available_at(
        stamp,
        Precision.DAY,
        zone_known=item.zone_known,
        first_seen_at=None,
        latency=latency,
        is_day_stamp=True,
    )
    return replace(item, precision=Precision.DAY, available_at=known)


def _parse_item(row: Row, latency: timedelta) -> tuple[NewsItem, datetime | None]:
    """Return the item of a row, and its time of day as written if what it means is to be seen."""
    local, precision, zone_known = _parse_published(row)
    first_seen_at = _parse_first_seen(row)
    source = clean_text(row.cells["source"], SOURCE_LENGTH)
    title, text = clean_text(row.cells["title"], TITLE_LENGTH), clean_text(row.cells["text"], TEXT_LENGTH)
    published_at = local.astimezone(UTC)
    has_clock = len(row.cells["published_at"]) > len("2024-05-31") and first_seen_at is None
    item = NewsItem(
        id=news_id(source, published_at, title, text),
        source=source,
        title=title,
        text=text,
        published_at=published_at,
        precision=precision,
        zone_known=zone_known,
        first_seen_at=first_seen_at,
        available_at=available_at(
            local, precision, zone_known=zone_known, first_seen_at=first_seen_at, latency=latency
        ),
        symbols=frozenset(),
    )
    return item, local if has_clock else None


def _parse_published(row: Row) -> tuple[datetime, Precision, bool]:
    """Return when an item was published in its source's zone, how exactly, and whether the zone is known.

    The precision is the coarser of the stated one and the one in which the time is written: "second" beside a
    date alone would make it known at that day's first instant.
    """
    moment, written, zone_known = _parse_moment(row, "published_at")
    stated = row.cells.get("precision", "").lower()
    if stated and stated not in _COARSENESS:
        known = ", ".join(_COARSENESS)
        raise DataError(
            f"{row.place}: precision {quote_value(stated)} is unknown; write {known} or leave it empty"
        )
    precision = max(Precision(stated or written), written, key=_COARSENESS.index)
    return moment, precision, zone_known


def _parse_first_seen(row: Row) -> datetime | None:
    if not row.cells.get("first_seen_at"):
        return None
    moment, _, zone_known = _parse_moment(row, "first_seen_at")
    if not zone_known:
        raise DataError(f"{row.place}: first_seen_at has no zone; end it in Z or an offset such as +08:00")
    return moment.astimezone(UTC)


def _parse_moment(row: Row, column: str) -> tuple[datetime, Precision, bool]:
    """Return a cell's time, the precision in which it is written, and whether it states a zone."""
    text = row.cells[column]
    moment = parse_timestamp(text)
    if moment is None:
        fault = f"{quote_value(text)} is not a time" if text else "is empty"
        raise DataError(f"{row.place}: {column} {fault}; write it as 2024-05-31T13:45:00Z or 2024-05-31")
    zone_known = moment.tzinfo is not None
    return (moment if zone_known else moment.replace(tzinfo=UTC)), _written_precision(text), zone_known


def _written_precision(timestamp: str) -> Precision:
    clock = re.split(r"[Z+-]", timestamp[len("2024-05-31T") :])[0]
    return _COARSENESS[::-1][clock.count(":") + 1] if clock else Precision.DAY

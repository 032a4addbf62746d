"""The store of downloaded news: an append-only file with one JSON line for each item, in order of sight.

Its columns include those of a news archive, so a store can be read as an archive with first sights.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import DataError
from engine.model import NewsItem, Precision
from feeds.availability import available_at
from feeds.files.news import news_id
from feeds.news.articles import TextSource
from feeds.news.dedup import ItemFingerprint
from feeds.symbols import NameTable

_TEXT_COLUMNS = ("source", "title", "text", "feed", "link", "guid")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem(ItemFingerprint):
    """An item as it was first seen.

    For an item without a date (`dated` is false) `published_at` is the first sight. `subjects` are names and
    topics for `NameTable.match_symbols`, whether traded or not. `feed` is the feed's address without query.
    """

    source: str
    precision: Precision
    zone_known: bool
    dated: bool
    first_seen_at: datetime
    subjects: tuple[str, ...]
    text_source: TextSource

    @property
    def id(self) -> str:
        """Return the item's id, which is the same in an archive."""
        return news_id(self.source, self.published_at, self.title, self.text)

    def item(self, names: NameTable, latency: timedelta) -> NewsItem | None:
        """Return the item, available `latency` after first sight; None if it concerns nothing in `names`."""
        symbols = names.match_symbols(self.subjects, self.published_at)
        if symbols is None:
            return None
        return NewsItem(
            id=self.id,
            source=self.source,
            title=self.title,
            text=self.text,
            published_at=self.published_at,
            precision=self.precision,
            zone_known=self.zone_known,
            first_seen_at=self.first_seen_at,
            available_at=available_at(
                self.published_at,
                self.precision,
                zone_known=self.zone_known,
                first_seen_at=self.first_seen_at,
                latency=latency,
            ),
            symbols=symbols,
        )


class NewsStore:
    """The news store in the file `path`, created with the first item. One process may write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[StoredItem, ...]:
        """Return all items, oldest sight first.

        A last line without a line end is left from a crash and is skipped. Raises DataError for any other
        damaged line.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}; check that it can be read") from None
        lines = data.split(b"\n")[:-1]
        return tuple(self._parse_item(number, line) for number, line in enumerate(lines, start=1))

    def items(self, names: NameTable, latency: timedelta = timedelta(0)) -> tuple[NewsItem, ...]:
        """Return the items that concern instruments in `names`, by `available_at` and then id."""
        items_by_id = {stored.id: item for stored in self.read() if (item := stored.item(names, latency))}
        return tuple(sorted(items_by_id.values(), key=lambda item: (item.available_at, item.id)))

    def append(self, items: Iterable[StoredItem]) -> None:
        """Append items and wait until they are on disk. Raises DataError where that fails."""
        lines = "".join(json.dumps(_encode_item(item), ensure_ascii=False) + "\n" for item in items)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                _drop_unfinished_line(file)
                file.write(lines.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(
                f"{self.path}: {error.strerror}; check the folder and the space on disk"
            ) from None

    def _parse_item(self, number: int, line: bytes) -> StoredItem:
        try:
            row = json.loads(line)
            published_at = datetime.fromisoformat(row["published_at"])
            texts = {name: _require_text(row[name]) for name in _TEXT_COLUMNS}
            return StoredItem(
                **texts,
                published_at=published_at.replace(tzinfo=UTC),
                precision=Precision(row["precision"]),
                zone_known=published_at.tzinfo is not None,
                dated=bool(row["dated"]),
                first_seen_at=datetime.fromisoformat(row["first_seen_at"]).astimezone(UTC),
                subjects=tuple(subject for subject in _require_text(row["symbols"]).split(";") if subject),
                text_source=TextSource(row["text_from"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.path}, line {number}: not an item of this store ({type(error).__name__}); "
                "restore the file or remove the line"
            ) from None


def _encode_item(item: StoredItem) -> dict[str, Any]:
    """Return an item with the column names of an archive; a time without a known zone has none."""
    published_at = item.published_at.replace(tzinfo=None).isoformat()
    return {
        "published_at": published_at + ("Z" if item.zone_known else ""),
        "precision": item.precision.value,
        "first_seen_at": item.first_seen_at.replace(tzinfo=None).isoformat() + "Z",
        "source": item.source,
        "symbols": ";".join(item.subjects),
        "title": item.title,
        "text": item.text,
        "dated": item.dated,
        "text_from": item.text_source.value,
        "feed": item.feed,
        "link": item.link,
        "guid": item.guid,
    }


def _drop_unfinished_line(file: BinaryIO) -> None:
    """Truncate what a crash left after the last line end."""
    file.seek(max(0, file.tell() - 1))
    if file.read() not in (b"", b"\n"):
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _require_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value

"""What was seen of the news, in the order of sight: one JSON line for an item, only ever appended.

Knows the file, not where items come from. The lines have the columns of a news archive and some more, so a
store is also an archive with first sights.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import DataError
from engine.model import NewsItem, Precision
from feeds.availability import available_at
from feeds.files.news import news_id
from feeds.news.articles import TextSource
from feeds.symbols import NameTable

_TEXTS = ("source", "title", "text", "feed", "link", "guid")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    """An item as it was seen.

    Without a date (`dated` false) `published_at` is the first sight. `subjects` are names and topics as
    `NameTable.concerned` takes them, whatever is traded. `feed` is the feed's address without its query, and
    `speaker` says whose text it is.
    """

    source: str
    title: str
    text: str
    published_at: datetime
    precision: Precision
    zone_known: bool
    dated: bool
    first_seen_at: datetime
    subjects: tuple[str, ...]
    feed: str
    link: str
    guid: str
    speaker: TextSource

    @property
    def id(self) -> str:
        """The item's id, as an archive would have it."""
        return news_id(self.source, self.published_at, self.title, self.text)

    def item(self, names: NameTable, latency: timedelta) -> NewsItem | None:
        """The item for what is traded, `latency` after first sight; None if it concerns nothing traded."""
        symbols = names.match_symbols(self.subjects)
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
    """A store in the file `path`, which comes into being with the first item. One process may write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[StoredItem, ...]:
        """All items, oldest sight first.

        A last line without its end is what a crash left of a write, and is passed over. Raises DataError for
        any other line that is damaged.
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
        """The items for what `names` says is traded, by `available_at` and then id."""
        found = {one.id: item for one in self.read() if (item := one.item(names, latency))}
        return tuple(sorted(found.values(), key=lambda item: (item.available_at, item.id)))

    def append(self, seen: Iterable[StoredItem]) -> None:
        """Add items at the end; they are on disk when this returns. Raises DataError where that fails."""
        lines = "".join(json.dumps(_encode_item(one), ensure_ascii=False) + "\n" for one in seen)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                _drop_unfinished_line(self.path, file.tell())
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
            texts = {name: _format_value(row[name]) for name in _TEXTS}
            return StoredItem(
                **texts,
                published_at=published_at.replace(tzinfo=UTC),
                precision=Precision(row["precision"]),
                zone_known=published_at.tzinfo is not None,
                dated=bool(row["dated"]),
                first_seen_at=datetime.fromisoformat(row["first_seen_at"]).astimezone(UTC),
                subjects=tuple(subject for subject in _format_value(row["symbols"]).split(";") if subject),
                speaker=TextSource(row["text_from"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.path}, line {number}: not an item of this store ({type(error).__name__}); "
                "restore the file or remove the line"
            ) from None


def _encode_item(one: StoredItem) -> dict[str, Any]:
    """An item under the names of an archive's columns; a time whose zone is not known is written without."""
    published_at = one.published_at.replace(tzinfo=None).isoformat()
    return {
        "published_at": published_at + ("Z" if one.zone_known else ""),
        "precision": one.precision.value,
        "first_seen_at": one.first_seen_at.replace(tzinfo=None).isoformat() + "Z",
        "source": one.source,
        "symbols": ";".join(one.subjects),
        "title": one.title,
        "text": one.text,
        "dated": one.dated,
        "text_from": one.speaker.value,
        "feed": one.feed,
        "link": one.link,
        "guid": one.guid,
    }


def _drop_unfinished_line(path: Path, size: int) -> None:
    """Cut off what a crash left after the last line's end."""
    if size == 0:
        return
    with contextlib.closing(path.open("r+b")) as file:
        end = size
        while end > 0:
            start = max(0, end - 65_536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def _format_value(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value

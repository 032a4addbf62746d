"""Find news whose times cannot be right: later than the archive around it, or later than now.

An archive is written in order of time, so an item dated after those that follow it was not known at the time
it states.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.errors import DataError
from engine.model import Precision
from feeds.files.day_stamps import DayStamps
from feeds.files.news_forms import read_news_rows
from feeds.files.tables import Row, parse_timestamp, quote_value
from feeds.quality.findings import Finding, FindingFactory, Kind, find_misplaced, pluralize
from feeds.quality.report import FileReport

# Clocks of publishers and readers differ by minutes; a time without a zone by more than half a day.
_CLOCK_SLACK = timedelta(minutes=5)
_ZONE_SLACK = timedelta(hours=14)

# Items of one hour come in any order, and items with a date alone before those with a time.
_ORDER_SLACK = timedelta(days=1)

# Above this share of items out of order, the archive is taken to be unordered.
_MAX_MISPLACED_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class _DatedLine:
    line: int
    at: datetime
    text: str


def check_news(path: Path, *, now: datetime | None = None, date_order: str = "") -> list[Finding]:
    """Return all findings on one news file, whatever it contains.

    Args:
        path: The file.
        now: When it is read, in UTC; None to skip the check for items from the future.
        date_order: "day first", "month first", or empty to infer it.
    """
    return list(NewsCheck(path, now, date_order).report.findings)


class NewsCheck:
    """The check of one news file, whatever it contains; `report` says what was read and found.

    `now` is when it is read, in UTC; None to accept items of any time.
    """

    def __init__(self, path: Path, now: datetime | None, date_order: str = "") -> None:
        self._findings: list[Finding] = []
        self._new_finding, self._now = FindingFactory(file=path), now
        self._date_order = date_order
        self._occurrences: Counter[tuple[str, ...]] = Counter()
        self._empty: list[int] = []
        self._day_stamps = DayStamps()
        items = list(self._read())
        self._check_order(items)
        self._check_day_stamps()
        if repeated := sum(self._occurrences.values()) - len(self._occurrences):
            fault = (
                f"{pluralize(repeated, 'item')} with the time, source and words of another; read once only"
            )
            self._add(Kind.DUPLICATE, None, None, str(repeated), fault, blocking=False)
        if self._empty:
            fault = f"{pluralize(len(self._empty), 'item')} without title and text from here on; left out"
            self._add(Kind.UNREADABLE, self._empty[0], None, "", fault, blocking=False)
        days = [item.at.date() for item in items]
        self.report = FileReport(
            findings=self._findings, news=len(items), days=(min(days), max(days)) if days else None
        )

    def _add(
        self,
        kind: Kind,
        line: int | None,
        at: datetime | None,
        value: str,
        sentence: str,
        *,
        blocking: bool = True,
    ) -> None:
        day = at.date() if at else None
        self._findings.append(self._new_finding(kind, line, day, value, sentence, blocking=blocking))

    def _read(self) -> Iterator[_DatedLine]:
        path = self._new_finding.file
        try:
            for row in read_news_rows(path, self._add_ragged, self._date_order):
                if item := self._check_item(row):
                    yield item
        except DataError as error:
            self._add(Kind.UNREADABLE, None, None, "", str(error).removeprefix(f"{path}").lstrip(":, "))

    def _check_day_stamps(self) -> None:
        clocks = {clock.local for clocks in self._day_stamps.find().values() for clock in clocks}
        if clocks:
            times = " or ".join(f"{clock:%H:%M}" for clock in sorted(clocks))
            fault = (
                f"most times are {times}, which stands for a day; read with the precision of a day, "
                "which `precision` may state"
            )
            self._add(Kind.CLOCK, None, None, times, fault, blocking=False)

    def _add_ragged(self, row: Row, error: DataError) -> None:
        self._add(Kind.UNREADABLE, row.number, None, "", str(error).removeprefix(f"{row.place}: "))

    def _check_item(self, row: Row) -> _DatedLine | None:
        text = row.cells["published_at"]
        published = parse_timestamp(text)
        if published is None:
            fault = (
                f"published_at {quote_value(text)} is not a time; write it as "
                "2024-05-31T13:45:00Z or 2024-05-31"
            )
            self._add(Kind.DATE, row.number, None, text, fault)
            return None
        if not (row.cells["title"] or row.cells["text"]):
            self._empty.append(row.number)
        at = published.astimezone(UTC) if published.tzinfo else published.replace(tzinfo=UTC)
        self._occurrences[text, row.cells["source"], row.cells["title"], row.cells["text"]] += 1
        dated_only = len(text) == len("2024-05-31") or row.cells.get("precision") == Precision.DAY
        if not dated_only and not row.cells.get("first_seen_at"):
            self._day_stamps.add(row.cells["source"], published if published.tzinfo else at)
        slack = _CLOCK_SLACK if published.tzinfo else _ZONE_SLACK
        self._check_first_seen(row, at, slack)
        if self._now is not None and at > self._now + slack:
            self._add_future(row.number, at, text, f"it is read at {self._now:%Y-%m-%d %H:%M} UTC")
        return _DatedLine(line=row.number, at=at, text=text)

    def _check_first_seen(self, row: Row, at: datetime, slack: timedelta) -> None:
        text = row.cells.get("first_seen_at", "")
        seen = parse_timestamp(text)
        if text and (seen is None or seen.tzinfo is None):
            fault = (
                f"first_seen_at {quote_value(text)} is no time with a zone; end it in Z or an "
                "offset such as +08:00"
            )
            self._add(Kind.DATE, row.number, at, text, fault)
        elif seen is not None and at > seen.astimezone(UTC) + slack:
            self._add_future(row.number, at, row.cells["published_at"], f"it was first seen at {text[:40]}")

    def _add_future(self, line: int, at: datetime, value: str, reason: str) -> None:
        fault = f"published at {value[:40]}, but {reason}; correct the time or remove the item"
        self._add(Kind.FUTURE_NEWS, line, at, value, fault)

    def _check_order(self, items: Sequence[_DatedLine]) -> None:
        ordered = [item for item in items if self._now is None or item.at <= self._now + _ZONE_SLACK]
        if ordered and ordered[0].at > ordered[-1].at:
            ordered.reverse()
        misplaced = find_misplaced([item.at for item in ordered])
        if len(misplaced) > max(3, _MAX_MISPLACED_SHARE * len(ordered)):
            return
        excluded = set(misplaced)
        for index in misplaced:
            item = ordered[index]
            following = _nearest(ordered, excluded, range(index + 1, len(ordered)))
            leading = _nearest(ordered, excluded, range(index - 1, -1, -1))
            if following and item.at > following.at + _ORDER_SLACK:
                reason = f"it stands before an item of {following.at:%Y-%m-%d}"
                self._add_future(item.line, item.at, item.text, reason)
            elif leading and item.at < leading.at - _ORDER_SLACK:
                fault = (
                    f"published at {item.text[:40]}, but it stands after an item of {leading.at:%Y-%m-%d}; "
                    "if it was written down late, give its first_seen_at"
                )
                self._add(Kind.ORDER, item.line, item.at, item.text, fault, blocking=False)


def _nearest(items: Sequence[_DatedLine], excluded: set[int], indices: range) -> _DatedLine | None:
    return next((items[index] for index in indices if index not in excluded), None)

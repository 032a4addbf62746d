"""The finding of a data check: what is wrong, where, and what to do about it."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """What a finding is about."""

    UNREADABLE = "unreadable"
    NUMBER = "number"
    OHLC = "ohlc"
    DATE = "date"
    CLOCK = "clock"
    ORDER = "order"
    DUPLICATE = "duplicate"
    GAP = "gap"
    CLOSED_DAY = "closed day"
    SHIFTED = "shifted"
    UNFINISHED = "unfinished"
    ZERO_VOLUME = "zero volume"
    VOLUME_UNIT = "volume unit"
    FROZEN = "frozen"
    FLAT = "flat"
    OPENS = "opens"
    OUTLIER = "outlier"
    SPLIT = "split"
    FUTURE_NEWS = "future news"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault in one file.

    `line` is the first line it concerns (in a Parquet file the row), `day` the date and `value` the text
    there; `symbol` is empty for news. `blocking` is true where a backtest on the file would be refused or
    wrong. `sentence` states the fault and the remedy.
    """

    kind: Kind
    file: Path
    symbol: str
    line: int | None
    day: date | None
    value: str
    blocking: bool
    sentence: str

    @property
    def place(self) -> str:
        """Return the file with the line, as in error messages."""
        what = "row" if self.file.suffix.lower() == ".parquet" else "line"
        return f"{self.file}, {what} {self.line}" if self.line is not None else str(self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingFactory:
    """Create the findings of one file; `symbol` is empty for news."""

    file: Path
    symbol: str = ""

    def __call__(
        self,
        kind: Kind,
        line: int | None,
        day: date | None,
        value: str,
        sentence: str,
        *,
        blocking: bool = True,
    ) -> Finding:
        """Return a finding in this file.

        Args:
            kind: What the finding is about.
            line: The first line it concerns; None for the whole file.
            day: The date in that line, if it has one.
            value: The offending text, cut to 40 characters.
            sentence: The fault and the remedy.
            blocking: Whether a backtest on the file would be refused or wrong.
        """
        return Finding(
            kind=kind,
            file=self.file,
            symbol=self.symbol,
            line=line,
            day=day,
            value=value[:40],
            blocking=blocking,
            sentence=sentence,
        )


def pluralize(count: int, noun: str) -> str:
    """Return a count with its noun: '1 row', '3 rows'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def find_misplaced(times: Sequence[datetime | date]) -> list[int]:
    """Return the indices of the fewest items whose removal leaves `times` in ascending order.

    They are the complement of a longest ascending subsequence (Fredman 1975, in n log n), so that one wrong
    year in the middle of a file is one item, not every item after it.
    """
    keys: list[Any] = []
    ends: list[int] = []
    previous: list[int] = []
    for index, moment in enumerate(times):
        length = bisect_right(keys, moment)
        previous.append(ends[length - 1] if length else -1)
        keys[length : length + 1] = [moment]
        ends[length : length + 1] = [index]
    kept = set()
    index = ends[-1] if ends else -1
    while index >= 0:
        kept.add(index)
        index = previous[index]
    return [index for index in range(len(times)) if index not in kept]

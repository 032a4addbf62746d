"""What a check of data states: one finding, one place, one sentence. Knows no rule."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """What is wrong, or looks so."""

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
    OUTLIER = "outlier"
    SPLIT = "split"
    FUTURE_NEWS = "future news"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing in one file.

    `line` is the first line it concerns (the row in a Parquet file), `day` the date there, `value` what
    stands there; `symbol` is empty for news. `harmful` tells that a backtest on the file would be wrong or be
    refused; what is not harmful is worth knowing. `sentence` says what it is and what to do.
    """

    kind: Kind
    file: Path
    symbol: str
    line: int | None
    day: date | None
    value: str
    harmful: bool
    sentence: str

    @property
    def place(self) -> str:
        """The file with the line, as errors name it."""
        what = "row" if self.file.suffix.lower() == ".parquet" else "line"
        return f"{self.file}, {what} {self.line}" if self.line is not None else str(self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingFactory:
    """Makes the findings of one file, whose `symbol` is empty for news."""

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
        """A finding in this file; a value that is long is cut."""
        return Finding(
            kind=kind,
            file=self.file,
            symbol=self.symbol,
            line=line,
            day=day,
            value=value[:40],
            harmful=blocking,
            sentence=sentence,
        )


def pluralize(count: int, what: str) -> str:
    """'1 row', '3 rows'."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def find_misplaced(times: Sequence[datetime | date]) -> list[int]:
    """The places of the fewest items without which `times` never descends, ascending.

    They are what is left beside a longest ascending run, so that one wrong year in the middle of a file is
    one item and not every item after it (Fredman 1975, in n log n).
    """
    keys: list[Any] = []
    ends: list[int] = []
    before: list[int] = []
    for place, moment in enumerate(times):
        at = bisect_right(keys, moment)
        before.append(ends[at - 1] if at else -1)
        keys[at : at + 1] = [moment]
        ends[at : at + 1] = [place]
    kept = set()
    place = ends[-1] if ends else -1
    while place >= 0:
        kept.add(place)
        place = before[place]
    return [place for place in range(len(times)) if place not in kept]

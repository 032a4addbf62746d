"""Looks at volumes: bars in which nobody traded, and bars that repeat the one before to the last number.

Knows prices and volumes of one symbol in order; no calendar.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from feeds.check_rows import BarRow
from feeds.findings import Finder, Finding, Kind, counted


def check_volume(rows: Sequence[BarRow], find: Finder) -> list[Finding]:
    """What the volumes of `rows`, ascending by date, say; unsound rows are left out."""
    rows = [row for row in rows if row.sound]
    empty = [row for row in rows if row.volume == 0]
    if len(empty) > len(rows) / 2:
        fault = f"{len(empty):,} of {len(rows):,} rows have no volume; nothing can be told from it here"
        return [find(Kind.ZERO_VOLUME, empty[0].line, empty[0].day, "0", fault, harmful=False)]
    return [*_silences(rows, find), *_repeats(rows, find)]


def _silences(rows: Sequence[BarRow], find: Finder) -> Iterator[Finding]:
    for silent, group in groupby(rows, key=lambda row: row.volume == 0):
        if silent:
            several = list(group)
            first, flat = several[0], any(row.high == row.low for row in several)
            why = (
                "and one price: nobody traded, and a fill there is fiction; remove the rows"
                if flat
                else "although the price moved: the volume is wrong or missing, the prices may be right"
            )
            fault = f"volume 0 in {counted(len(several), 'row')} from {first.day}, {why}"
            yield find(Kind.ZERO_VOLUME, first.line, first.day, "0", fault, harmful=flat)


def _repeats(rows: Sequence[BarRow], find: Finder) -> Iterator[Finding]:
    for earlier, later in pairwise(rows):
        if later.volume > 0 and earlier.numbers == later.numbers:
            fault = (
                f"{later.day} has every number of {earlier.day}, and its volume; take it from another source"
            )
            yield find(Kind.DUPLICATE, later.line, later.day, str(later.day), fault)

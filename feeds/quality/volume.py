"""Find volumes that cannot be right: zero volume, and rows repeated with the same volume."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from feeds.quality.findings import Finding, FindingFactory, Kind, pluralize
from feeds.quality.rows import BarRow


def check_volume(rows: Sequence[BarRow], new_finding: FindingFactory) -> list[Finding]:
    """Return the findings on the volumes of `rows`, which ascend by date; invalid rows are skipped."""
    rows = [row for row in rows if row.is_valid]
    empty = [row for row in rows if row.volume == 0]
    if len(empty) > len(rows) / 2:
        fault = f"{len(empty):,} of {len(rows):,} rows have no volume; it cannot be checked here"
        return [new_finding(Kind.ZERO_VOLUME, empty[0].line, empty[0].day, "0", fault, blocking=False)]
    return [*_check_zero_volumes(rows, new_finding), *_check_repeats(rows, new_finding)]


def _check_zero_volumes(rows: Sequence[BarRow], new_finding: FindingFactory) -> Iterator[Finding]:
    for silent, group in groupby(rows, key=lambda row: row.volume == 0):
        if silent:
            zero_rows = list(group)
            first, flat = zero_rows[0], any(row.high == row.low for row in zero_rows)
            explanation = (
                "and one price: nobody traded, so no order could be filled; remove the rows"
                if flat
                else "although the price moved: the volume is wrong or missing, the prices may be right"
            )
            fault = f"volume 0 in {pluralize(len(zero_rows), 'row')} from {first.day}, {explanation}"
            yield new_finding(Kind.ZERO_VOLUME, first.line, first.day, "0", fault, blocking=flat)


def _check_repeats(rows: Sequence[BarRow], new_finding: FindingFactory) -> Iterator[Finding]:
    for earlier, later in pairwise(rows):
        if later.volume > 0 and earlier.numbers == later.numbers:
            fault = (
                f"{later.day} has every number of {earlier.day}, and its volume; take it from another source"
            )
            yield new_finding(Kind.DUPLICATE, later.line, later.day, str(later.day), fault)

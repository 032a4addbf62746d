"""Find volumes that cannot be right: zero, in another unit from a day on, or of a last day not over."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from feeds.quality.findings import Finding, FindingFactory, Kind, pluralize
from feeds.quality.rows import BarRow

# The last bar is unfinished if it traded less than this share of the 20 days before, and half the least share
# in a year. Of 197,000 real days 72 did, most of them half days.
_UNFINISHED, _UNFINISHED_LEAST, _USUAL_DAYS, _YEAR = 0.2, 0.5, 20, 250

# A change of unit: ten days (five at an end) trade this often what the ten before did, and each of them this
# often what any of those did. The widest real changes are 21 and 4.6 times (Litecoin in 2017).
_UNIT, _UNIT_APART, _UNIT_DAYS, _UNIT_LEAST_DAYS = 30.0, 5.0, 10, 5


def check_volume(rows: Sequence[BarRow], new_finding: FindingFactory) -> list[Finding]:
    """Return the findings on the volumes of `rows`, which ascend by date; invalid rows are skipped."""
    rows = [row for row in rows if row.is_valid]
    empty = [row for row in rows if row.volume == 0]
    if len(empty) > len(rows) / 2:
        fault = f"{len(empty):,} of {len(rows):,} rows have no volume; it cannot be checked here"
        return [new_finding(Kind.ZERO_VOLUME, empty[0].line, empty[0].day, "0", fault, blocking=False)]
    return [
        *_check_zero_volumes(rows, new_finding),
        *_check_unit(rows, new_finding),
        *_check_last(rows, new_finding),
    ]


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


def _check_unit(rows: Sequence[BarRow], new_finding: FindingFactory) -> Iterator[Finding]:
    volumes = np.array([row.volume for row in rows])
    for at in range(_UNIT_LEAST_DAYS, len(rows) - _UNIT_LEAST_DAYS + 1):
        if (
            not volumes[at]
            or not volumes[at - 1]
            or 1 / _UNIT_APART < volumes[at] / volumes[at - 1] < _UNIT_APART
        ):
            continue
        before, after = volumes[max(0, at - _UNIT_DAYS) : at], volumes[at : at + _UNIT_DAYS]
        before, after = before[before > 0], after[after > 0]
        factor = float(np.median(after) / np.median(before))
        apart = max(after.min() / before.max(), before.min() / after.max())
        # After a split by the same factor, shares are counted in new ones.
        split = rows[at - 1].close / rows[at].open
        if apart > _UNIT_APART and max(factor, 1 / factor) > _UNIT and not 0.5 < factor / split < 2:
            fault = (
                f"the volume is {factor:.3g} times as high from {rows[at].day} on, as if in another unit; "
                "convert one part, as the student sees volumes against those of the days before"
            )
            yield new_finding(
                Kind.VOLUME_UNIT, rows[at].line, rows[at].day, f"{factor:.3g}", fault, blocking=False
            )


def _check_last(rows: Sequence[BarRow], new_finding: FindingFactory) -> Iterator[Finding]:
    volumes = np.array([row.volume for row in rows[-_YEAR - _USUAL_DAYS :] if row.volume > 0])
    if len(volumes) <= _USUAL_DAYS or not rows[-1].volume:
        return
    usual = np.median(np.lib.stride_tricks.sliding_window_view(volumes[:-1], _USUAL_DAYS), axis=1)
    shares = volumes[_USUAL_DAYS:] / usual
    least = float(np.quantile(shares[:-1], 0.01)) if len(shares) > _USUAL_DAYS else 1.0
    if shares[-1] < min(_UNFINISHED, _UNFINISHED_LEAST * least):
        last = rows[-1]
        fault = (
            f"the last bar, {last.day}, has volume {last.volume:g} where {usual[-1]:g} is usual: its day was "
            "not over when the file was written; remove the row or fetch it again"
        )
        yield new_finding(Kind.UNFINISHED, last.line, last.day, f"{last.volume:g}", fault)

"""Find prices that are not the market's: outliers among their neighbours, and splits never adjusted for."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from engine.instruments import Instrument, is_round_the_clock
from feeds.quality.findings import Finding, FindingFactory, Kind
from feeds.quality.moves import Moves
from feeds.quality.rows import BarRow
from feeds.quality.splits import find_splits

_MIN_ROWS = 8

# An outlier leaves and returns by this much (log), by this many scales, up to this share of the move.
# The widest real ones in a hundred files of coins and shares: 0.13 at 9.6 scales, 0.10 at 11.5.
_SPIKE, _SPIKE_SCALES, _SPIKE_LEFT = 0.12, 12.0, 0.4

# Where one day's close is the next one's open, only a wrong price makes the price move between two days.
# A move as wide as _HUGE that returns does not occur elsewhere either.
_BODY_SCALES, _HUGE, _HUGE_SCALES = 4.0, 0.35, 6.0

# A high or low this far (log) from open and close, by scales within bounds; flash crashes of large shares
# reach 0.21 and 20 scales, those of coins 0.76.
_WICK, _WICK_SCALES, _WIDEST_WICK = 0.35, 30.0, 1.2


def check_prices(
    rows: Sequence[BarRow], instrument: Instrument, new_finding: FindingFactory
) -> list[Finding]:
    """Return the findings on the prices of one file; rows that are not valid are skipped.

    Args:
        rows: The rows, ascending by date.
        instrument: Decides the price limit, and whether the market ever closes.
        new_finding: Creates the findings of this file.
    """
    after_invalid = {later.day for earlier, later in pairwise(rows) if not earlier.is_valid}
    rows = [row for row in rows if row.is_valid]
    if len(rows) < _MIN_ROWS:
        return []
    moves = Moves(rows)
    spikes = dict(_find_spikes(moves, joined=is_round_the_clock(instrument.calendar)))
    findings = [_outlier_finding(rows[index], part, new_finding) for index, part in spikes.items()]
    findings += [
        _wick_finding(rows[index], side, new_finding)
        for index, side in _find_wicks(moves, rows)
        if index not in spikes
    ]
    near_spikes = {neighbour for index in spikes for neighbour in (index, index + 1)}
    findings += [
        finding
        for index, finding in find_splits(moves, rows, instrument, new_finding)
        if index not in near_spikes and rows[index].day not in after_invalid
    ]
    return findings


def _find_spikes(moves: Moves, *, joined: bool) -> Iterator[tuple[int, str]]:
    """Yield rows whose bar, close or open leaves its neighbours and returns.

    `joined` is true for a market that never closes, where a close is the next open.
    """
    gap, body = moves.gap, moves.body
    gaps, bodies = np.abs(gap) / moves.gap_scale, np.abs(body) / moves.body_scale
    for index in range(1, len(gap) - 1):
        away, within, back = gap[index], body[index], gap[index + 1]
        if _returns(away, back, within) and _stands_out(gaps[index], gaps[index + 1], away, back):
            yield index, "bar"
        elif _returns(within, back) and _stands_out(
            gaps[index + 1], bodies[index], within, back, joined=joined
        ):
            yield index, "close"
        elif _returns(away, within) and _stands_out(gaps[index], bodies[index], away, within, joined=joined):
            yield index, "open"


def _returns(away: float, back: float, between: float = 0.0) -> bool:
    least = min(abs(away), abs(back))
    return away * back < 0 and least > _SPIKE and abs(away + between + back) <= _SPIKE_LEFT * least


def _stands_out(overnight: float, other: float, away: float, back: float, *, joined: bool = False) -> bool:
    """Return whether the `overnight` move and the `other` one are many scales wide."""
    if min(abs(away), abs(back)) > _HUGE:
        return min(overnight, other) > _HUGE_SCALES or (joined and other > _BODY_SCALES)
    return overnight > _SPIKE_SCALES and other > (_BODY_SCALES if joined else _SPIKE_SCALES)


def _find_wicks(moves: Moves, rows: Sequence[BarRow]) -> Iterator[tuple[int, str]]:
    for index, row in enumerate(rows):
        least = min(max(_WICK, _WICK_SCALES * float(moves.body_scale[index])), _WIDEST_WICK)
        if math.log(row.high / max(row.open, row.close)) > least:
            yield index, "high"
        elif math.log(min(row.open, row.close) / row.low) > least:
            yield index, "low"


def _outlier_finding(row: BarRow, part: str, new_finding: FindingFactory) -> Finding:
    value = row.open if part == "open" else row.close
    fault = (
        f"the {part} of {row.day} ({value:g}) leaves the prices before and after it, which agree; "
        "compare it with another source"
    )
    return new_finding(Kind.OUTLIER, row.line, row.day, f"{value:g}", fault)


def _wick_finding(row: BarRow, side: str, new_finding: FindingFactory) -> Finding:
    value = row.high if side == "high" else row.low
    fault = (
        f"the {side} of {row.day} ({value:g}) is far from open {row.open:g} and close {row.close:g}; "
        "no fill is made at it, but compare it with another source"
    )
    return new_finding(Kind.OUTLIER, row.line, row.day, f"{value:g}", fault, blocking=False)

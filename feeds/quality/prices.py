"""Find prices that are not the market's: single outliers, and splits that were never adjusted for.

Each price is compared with its neighbours of the same symbol. All scales are median absolute deviations,
which a wrong price does not move (Hampel 1974); moves are natural logarithms of price ratios.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from engine.instruments import AssetClass, Instrument, is_round_the_clock, price_limit
from feeds.quality.findings import Finding, FindingFactory, Kind
from feeds.quality.rows import BarRow

Series = np.ndarray[Any, np.dtype[np.float64]]
_MIN_ROWS = 8
_WINDOW = 61

# A normal distribution's standard deviation over its median absolute deviation.
_MAD_TO_SIGMA = 1.4826
_MIN_SCALE = 0.002

# An outlier leaves and returns by this much (log), by this many scales, up to this share of the move.
# The widest real ones in a hundred files of coins and shares: 0.13 at 9.6 scales, 0.10 at 11.5.
_SPIKE, _SPIKE_SCALES, _SPIKE_LEFT = 0.12, 12.0, 0.4

# Where one day's close is the next one's open, only a wrong price makes the price move between two days.
# A move as wide as _HUGE that returns does not occur elsewhere either.
_BODY_SCALES, _HUGE, _HUGE_SCALES = 4.0, 0.35, 6.0

# A high or low this far (log) from open and close; flash crashes of large shares reach 0.21 and 20 scales.
_WICK, _WICK_SCALES = 0.35, 30.0
_BREAK, _BREAK_SCALES, _BREAK_NEAR, _RATIO_NEAR = 0.2, 10.0, 3.0, 0.04

# Beyond this (log), a lasting overnight change is a split whatever its ratio.
_ANY_RATIO = 0.8
_FORWARD = (1 / 2, 1 / 3, 2 / 3, *(1 / n for n in range(4, 11)), 1 / 15, 1 / 20, 1 / 25, 1 / 50, 1 / 100)
_RATIOS = _FORWARD + tuple(1 / ratio for ratio in _FORWARD)

# A crash trades 5 to 20 times the usual volume, a split 1/ratio times.
_CRASH_VOLUME = 2.5
_LISTING_DAYS = 5


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
    moves = _Moves(rows)
    spikes = dict(_find_spikes(moves, joined=is_round_the_clock(instrument.calendar)))
    findings = [_outlier_finding(rows[index], part, new_finding) for index, part in spikes.items()]
    findings += [
        _wick_finding(rows[index], side, new_finding)
        for index, side in _find_wicks(moves, rows)
        if index not in spikes
    ]
    near_spikes = {neighbour for index in spikes for neighbour in (index, index + 1)}
    findings += [
        _split_finding(rows[index], ratio, moves.relative_volume(index), new_finding)
        for index, ratio in _find_breaks(moves, rows, instrument)
        if index not in near_spikes and rows[index].day not in after_invalid
    ]
    return findings


class _Moves:
    """Log moves and their scales: `gap` from the last close to the open, `body` from open to close."""

    def __init__(self, rows: Sequence[BarRow]) -> None:
        opens, closes = _logs(row.open for row in rows), _logs(row.close for row in rows)
        self.body = closes - opens
        self.gap = np.concatenate([[0.0], opens[1:] - closes[:-1]])
        self.gap_scale, self.body_scale = _scale(self.gap), _scale(self.body)
        self.volume = np.array([row.volume for row in rows])

    def relative_volume(self, index: int) -> float:
        """Return the volume from row `index` on over the usual volume; 1 where either is zero."""
        before = float(np.median(self.volume[max(0, index - 20) : index]))
        after = float(np.median(self.volume[index : index + 5]))
        return after / before if before > 0 and after > 0 else 1.0


def _logs(prices: Iterable[float]) -> Series:
    logs: Series = np.log(np.fromiter(prices, dtype=np.float64))
    return logs


def _scale(moves: Series) -> Series:
    """Return the larger of the scale of all moves and of the 61 around each, so that a wild month passes."""
    deviation = np.abs(moves - np.median(moves))
    scale = np.full(len(moves), max(_MAD_TO_SIGMA * float(np.median(deviation)), _MIN_SCALE))
    if len(moves) <= _WINDOW:
        return scale
    padded = np.pad(deviation, _WINDOW // 2, mode="reflect")
    around = np.median(np.lib.stride_tricks.sliding_window_view(padded, _WINDOW), axis=1)
    wider: Series = np.maximum(scale, _MAD_TO_SIGMA * around)
    return wider


def _find_spikes(moves: _Moves, *, joined: bool) -> Iterator[tuple[int, str]]:
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


def _find_wicks(moves: _Moves, rows: Sequence[BarRow]) -> Iterator[tuple[int, str]]:
    for index, row in enumerate(rows):
        least = max(_WICK, _WICK_SCALES * float(moves.body_scale[index]))
        if math.log(row.high / max(row.open, row.close)) > least:
            yield index, "high"
        elif math.log(min(row.open, row.close) / row.low) > least:
            yield index, "low"


def _find_breaks(
    moves: _Moves, rows: Sequence[BarRow], instrument: Instrument
) -> Iterator[tuple[int, float]]:
    """Yield rows at whose open the price changes for good, with the ratio of the new price to the old."""
    for index in range(1, len(rows)):
        gap = float(moves.gap[index])
        ratio = math.exp(gap)
        if abs(gap + moves.body[index]) < abs(gap) / 2:
            continue
        if instrument.asset_class is AssetClass.A_SHARE:
            limit = price_limit(instrument, rows[index].day)
            if index >= _LISTING_DAYS and limit and abs(ratio - 1) > limit + 0.01:
                yield index, ratio
        elif abs(gap) > max(_BREAK, _BREAK_SCALES * float(moves.gap_scale[index])):
            near = min(_RATIO_NEAR, max(0.025, _BREAK_NEAR * float(moves.gap_scale[index])))
            simple = min(abs(gap - math.log(split)) for split in _RATIOS) <= near
            joined = is_round_the_clock(instrument.calendar)
            quiet = joined or moves.relative_volume(index) < _CRASH_VOLUME * max(1.0, 1 / ratio)
            if quiet and (simple or joined or abs(gap) > _ANY_RATIO):
                yield index, ratio


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


def _split_finding(row: BarRow, ratio: float, relative_volume: float, new_finding: FindingFactory) -> Finding:
    nearest = min(_RATIOS, key=lambda split: abs(math.log(ratio / split)))
    near = f", near {_format_fraction(nearest)}" if abs(math.log(ratio / nearest)) < _RATIO_NEAR else ""
    fault = (
        f"the price opens on {row.day} at {ratio:.4g} of the last close{near}, and stays there with "
        f"{relative_volume:.1f} times the volume: it looks like a split or a dividend that was "
        "not adjusted for; use adjusted prices, or start after it"
    )
    return new_finding(Kind.SPLIT, row.line, row.day, f"{ratio:.4g}", fault)


def _format_fraction(ratio: float) -> str:
    for below in (1, 2, 3):
        for above in (ratio * below, below / ratio):
            if abs(above - round(above)) < 1e-9:
                return f"{round(above)}/{below}" if ratio > 1 else f"{below}/{round(above)}"
    return f"{ratio:.4g}"

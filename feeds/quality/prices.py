"""Looks for prices that are not the market's: single outliers, and splits that were never adjusted for.

Knows opens, closes, ranges and volumes of one symbol in order, and compares them with their neighbours only.
All scales are medians of absolute deviations, which a wrong price does not move (Hampel 1974).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from engine.instruments import ROUND_THE_CLOCK, AssetClass, Instrument, price_limit
from feeds.quality.findings import Finding, FindingFactory, Kind, pluralize
from feeds.quality.rows import BarRow

Series = np.ndarray[Any, np.dtype[np.float64]]

_MIN_ROWS = 8

_WINDOW = 61

_NORMAL = 1.4826  # A normal distribution's standard deviation over its median absolute deviation.

_FLOOR = 0.002

# An outlier goes and comes back by this much (log), by this many scales, and all but this share of the way.
# The widest real ones in a hundred files of coins and shares: 0.13 at 9.6 scales, 0.10 at 11.5.
_SPIKE, _SPIKE_SCALES, _SPIKE_LEFT = 0.12, 12.0, 0.4

# Where one day's close is the next one's open, the price between two days moves by a wrong price only.
# A move as wide as _HUGE that comes back is not seen elsewhere either.
_BODY_SCALES, _HUGE, _HUGE_SCALES = 4.0, 0.35, 6.0

# A high or low this far (log) from open and close; flash crashes of large shares reach 0.21 and 20 scales.
_WICK, _WICK_SCALES = 0.35, 30.0

_BREAK, _BREAK_SCALES, _BREAK_NEAR, _RATIO_NEAR = 0.2, 10.0, 3.0, 0.04

# Beyond this (log), a price that changes overnight and stays is a split whatever its ratio.
_ANY_RATIO = 0.8

_FORWARD = (1 / 2, 1 / 3, 2 / 3, *(1 / n for n in range(4, 11)), 1 / 15, 1 / 20, 1 / 25, 1 / 50, 1 / 100)

_RATIOS = _FORWARD + tuple(1 / ratio for ratio in _FORWARD)

# A crash is traded more than a split: 5 to 20 times the usual volume, against 1/ratio times.
_CRASH_VOLUME = 2.5

_LISTING_DAYS = 5


def check_prices(rows: Sequence[BarRow], instrument: Instrument, find: FindingFactory) -> list[Finding]:
    """What the prices of `rows`, ascending by date, say against their neighbours, without unsound rows."""
    unsound = {later.day for earlier, later in pairwise(rows) if not earlier.is_valid}
    rows = [row for row in rows if row.is_valid]
    if len(rows) < _MIN_ROWS:
        return []
    moves = _Moves(rows)
    spikes = dict(_spikes(moves, joined=instrument.calendar == ROUND_THE_CLOCK))
    found = [_outlier_finding(rows[place], what, find) for place, what in spikes.items()]
    found += [
        _wick_finding(rows[place], side, find) for place, side in _wicks(moves, rows) if place not in spikes
    ]
    beside = {near for place in spikes for near in (place, place + 1)}
    found += [
        _split_finding(rows[place], ratio, moves.busier(place), find)
        for place, ratio in _breaks(moves, rows, instrument)
        if place not in beside and rows[place].day not in unsound
    ]
    return found


class _Moves:
    """Log moves: `gap` from the last close to the open, `body` from open to close; and their scales."""

    def __init__(self, rows: Sequence[BarRow]) -> None:
        opens, closes = _logs(row.open for row in rows), _logs(row.close for row in rows)
        self.body = closes - opens
        self.gap = np.concatenate([[0.0], opens[1:] - closes[:-1]])
        self.gap_scale, self.body_scale = _scale(self.gap), _scale(self.body)
        self.volume = np.array([row.volume for row in rows])

    def busier(self, place: int) -> float:
        """How many times the usual volume was traded from `place` on; 1 where volume says nothing."""
        before = float(np.median(self.volume[max(0, place - 20) : place]))
        after = float(np.median(self.volume[place : place + 5]))
        return after / before if before > 0 and after > 0 else 1.0


def _logs(prices: Iterable[float]) -> Series:
    logs: Series = np.log(np.fromiter(prices, dtype=np.float64))
    return logs


def _scale(moves: Series) -> Series:
    """The larger of the scale of all moves and that of the 61 around each: a wild month is no outlier."""
    deviation = np.abs(moves - np.median(moves))
    scale = np.full(len(moves), max(_NORMAL * float(np.median(deviation)), _FLOOR))
    if len(moves) <= _WINDOW:
        return scale
    padded = np.pad(deviation, _WINDOW // 2, mode="reflect")
    around = np.median(np.lib.stride_tricks.sliding_window_view(padded, _WINDOW), axis=1)
    wider: Series = np.maximum(scale, _NORMAL * around)
    return wider


def _spikes(moves: _Moves, *, joined: bool) -> Iterator[tuple[int, str]]:
    """Rows whose bar, close or open leaves its neighbours and comes back. `joined`: no break between days."""
    gap, body = moves.gap, moves.body
    gaps, bodies = np.abs(gap) / moves.gap_scale, np.abs(body) / moves.body_scale
    for place in range(1, len(gap) - 1):
        there, within, back = gap[place], body[place], gap[place + 1]
        if _returns(there, back, within) and _stands_out(gaps[place], gaps[place + 1], there, back):
            yield place, "bar"
        elif _returns(within, back) and _stands_out(
            gaps[place + 1], bodies[place], within, back, joined=joined
        ):
            yield place, "close"
        elif _returns(there, within) and _stands_out(
            gaps[place], bodies[place], there, within, joined=joined
        ):
            yield place, "open"


def _returns(there: float, again: float, between: float = 0.0) -> bool:
    least = min(abs(there), abs(again))
    return there * again < 0 and least > _SPIKE and abs(there + between + again) <= _SPIKE_LEFT * least


def _stands_out(overnight: float, other: float, there: float, back: float, *, joined: bool = False) -> bool:
    """Whether two moves are many scales wide, the `overnight` one and the `other`."""
    if min(abs(there), abs(back)) > _HUGE:
        return min(overnight, other) > _HUGE_SCALES or (joined and other > _BODY_SCALES)
    return overnight > _SPIKE_SCALES and other > (_BODY_SCALES if joined else _SPIKE_SCALES)


def _wicks(moves: _Moves, rows: Sequence[BarRow]) -> Iterator[tuple[int, str]]:
    for place, row in enumerate(rows):
        least = max(_WICK, _WICK_SCALES * float(moves.body_scale[place]))
        if math.log(row.high / max(row.open, row.close)) > least:
            yield place, "high"
        elif math.log(min(row.open, row.close) / row.low) > least:
            yield place, "low"


def _breaks(moves: _Moves, rows: Sequence[BarRow], instrument: Instrument) -> Iterator[tuple[int, float]]:
    """Rows at whose open the price has changed and stays, with the ratio of the new price to the old."""
    for place in range(1, len(rows)):
        gap = float(moves.gap[place])
        ratio = math.exp(gap)
        if abs(gap + moves.body[place]) < abs(gap) / 2:
            continue
        if instrument.asset_class is AssetClass.A_SHARE:
            limit = price_limit(instrument, rows[place].day)
            if place >= _LISTING_DAYS and limit and abs(ratio - 1) > limit + 0.01:
                yield place, ratio
        elif abs(gap) > max(_BREAK, _BREAK_SCALES * float(moves.gap_scale[place])):
            near = min(_RATIO_NEAR, max(0.025, _BREAK_NEAR * float(moves.gap_scale[place])))
            simple = min(abs(gap - math.log(one)) for one in _RATIOS) <= near
            joined = instrument.calendar == ROUND_THE_CLOCK
            quiet = joined or moves.busier(place) < _CRASH_VOLUME * max(1.0, 1 / ratio)
            if quiet and (simple or joined or abs(gap) > _ANY_RATIO):
                yield place, ratio


def _outlier_finding(row: BarRow, what: str, find: FindingFactory) -> Finding:
    value = row.open if what == "open" else row.close
    fault = (
        f"the {what} of {row.day} ({value:g}) leaves the prices before and after it, which agree; "
        "compare it with another source"
    )
    return find(Kind.OUTLIER, row.line, row.day, f"{value:g}", fault)


def _wick_finding(row: BarRow, side: str, find: FindingFactory) -> Finding:
    value = row.high if side == "high" else row.low
    fault = (
        f"the {side} of {row.day} ({value:g}) is far from open {row.open:g} and close {row.close:g}; "
        "no fill is made at it, but compare it with another source"
    )
    return find(Kind.OUTLIER, row.line, row.day, f"{value:g}", fault, blocking=False)


def _split_finding(row: BarRow, ratio: float, busier: float, find: FindingFactory) -> Finding:
    nearest = min(_RATIOS, key=lambda one: abs(math.log(ratio / one)))
    near = f", near {_fraction(nearest)}" if abs(math.log(ratio / nearest)) < _RATIO_NEAR else ""
    fault = (
        f"the price opens on {row.day} at {ratio:.4g} of the last close{near}, and stays there with "
        f"{busier:.1f} times the volume: it looks like a split or a dividend that was not adjusted for; "
        "use adjusted prices, or start after it"
    )
    return find(Kind.SPLIT, row.line, row.day, f"{ratio:.4g}", fault)


def _fraction(ratio: float) -> str:
    for below in (1, 2, 3):
        for above in (ratio * below, below / ratio):
            if abs(above - round(above)) < 1e-9:
                return f"{round(above)}/{below}" if ratio > 1 else f"{below}/{round(above)}"
    return f"{ratio:.4g}"


def check_volume(rows: Sequence[BarRow], find: FindingFactory) -> list[Finding]:
    """What the volumes of `rows`, ascending by date, say; unsound rows are left out."""
    rows = [row for row in rows if row.is_valid]
    empty = [row for row in rows if row.volume == 0]
    if len(empty) > len(rows) / 2:
        fault = f"{len(empty):,} of {len(rows):,} rows have no volume; nothing can be told from it here"
        return [find(Kind.ZERO_VOLUME, empty[0].line, empty[0].day, "0", fault, blocking=False)]
    return [*_check_zero_volumes(rows, find), *_check_repeats(rows, find)]


def _check_zero_volumes(rows: Sequence[BarRow], find: FindingFactory) -> Iterator[Finding]:
    for silent, group in groupby(rows, key=lambda row: row.volume == 0):
        if silent:
            several = list(group)
            first, flat = several[0], any(row.high == row.low for row in several)
            why = (
                "and one price: nobody traded, and a fill there is fiction; remove the rows"
                if flat
                else "although the price moved: the volume is wrong or missing, the prices may be right"
            )
            fault = f"volume 0 in {pluralize(len(several), 'row')} from {first.day}, {why}"
            yield find(Kind.ZERO_VOLUME, first.line, first.day, "0", fault, blocking=flat)


def _check_repeats(rows: Sequence[BarRow], find: FindingFactory) -> Iterator[Finding]:
    for earlier, later in pairwise(rows):
        if later.volume > 0 and earlier.numbers == later.numbers:
            fault = (
                f"{later.day} has every number of {earlier.day}, and its volume; take it from another source"
            )
            yield find(Kind.DUPLICATE, later.line, later.day, str(later.day), fault)

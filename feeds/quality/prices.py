"""Find prices that are not the market's: single outliers, and splits that were never adjusted for.

Each price is compared with its neighbours of the same symbol. All scales are median absolute deviations,
which a wrong price does not move (Hampel 1974); moves are natural logarithms of price ratios.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from statistics import NormalDist
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

# How often a share has a split of each ratio, by day; of ratios below 2 for 1 only forward splits are common.
# With these the least obvious split of the real files is eighty times likelier than a real move, and the most
# doubtful real move, the worst day of Apple, eight times likelier than a split.
_COMMON = {2.0: 1e-4, 3 / 2: 5e-5, 3.0: 5e-5, 4.0: 5e-5, 5.0: 3e-5, 10.0: 3e-5}
_RARE: tuple[float, ...] = (6 / 5, 5 / 4, 4 / 3, 5 / 3, 6, 7, 8, 9, 15, 20, 25, 50, 100)
_RATIOS = {
    **{1 / shares: 2e-5 for shares in _RARE},
    **{1 / shares: frequency for shares, frequency in _COMMON.items()},
    **{shares: 1e-5 for shares in (*_COMMON, *_RARE) if shares >= 3 / 2 and shares != 5 / 3},
}

# A day of a real move trades about five times the usual volume (2 to 20 in real files), that of a split the
# usual one, in shares of before or after it; spreads are of its logarithm. The last says neither.
_MOVE_VOLUME, _MOVE_SPREAD, _SPLIT_SPREAD = math.log(5), 0.5, 0.4
_MUTE_VOLUME = 2.0

# Overnight changes (log) that are examined. Beyond the second, a lasting one is no real move whatever its
# ratio, and so is any where a close is the next open, unless it trades much more than usual.
_BREAK, _ANY_RATIO, _MOST_VOLUME = 0.15, 0.8, 2.5
_JOINED, _JOINED_SCALES = 0.2, 10.0

# How near (log) an overnight change is to a ratio that its finding names.
_NEAR = 0.04
_LISTING_DAYS = 5

# Across missing days a price may move by anything, which is no split.
_DAY, _LONGEST_CLOSURE = timedelta(days=1), timedelta(days=7)


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
        """Return the volume of row `index` over the usual one; what says nothing where either is zero."""
        before, day = float(np.median(self.volume[max(0, index - 20) : index])), float(self.volume[index])
        return day / before if before > 0 and day > 0 else _MUTE_VOLUME


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
    joined = is_round_the_clock(instrument.calendar)
    for index in range(1, len(rows)):
        gap = float(moves.gap[index])
        if abs(gap + moves.body[index]) < abs(gap) / 2:
            continue
        if instrument.asset_class is AssetClass.A_SHARE:
            limit = price_limit(instrument, rows[index].day)
            suspect = index >= _LISTING_DAYS and limit > 0 and abs(math.exp(gap) - 1) > limit + 0.01
        elif abs(gap) <= _BREAK:
            continue
        else:
            overnight = rows[index].day - rows[index - 1].day <= (_DAY if joined else _LONGEST_CLOSURE)
            scale, volume = float(moves.gap_scale[index]), moves.relative_volume(index)
            suspect = overnight and _is_split(gap, scale, volume, joined=joined)
        if suspect:
            yield index, math.exp(gap)


def _is_split(gap: float, scale: float, volume: float, *, joined: bool) -> bool:
    """Return whether an overnight change is likelier a split than a real move.

    `volume` is that of the day over the usual one; `joined` is true for a market that never closes.
    """
    unusual = abs(gap) > _ANY_RATIO or (joined and abs(gap) > max(_JOINED, _JOINED_SCALES * scale))
    if unusual and volume < _MOST_VOLUME * max(1.0, math.exp(-gap)):
        return True
    for ratio, frequency in _RATIOS.items():
        # In shares of before the split or after it; a volume below both is a fault and no evidence.
        usual = 0.0, -math.log(ratio)
        traded = max(math.log(volume), min(usual))
        crowd = _heavy_density(traded, _MOVE_VOLUME, _MOVE_SPREAD)
        move = _heavy_density(gap, 0.0, scale) * crowd
        quiet = sum(NormalDist(center, _SPLIT_SPREAD).pdf(traded) for center in usual) / 2
        if frequency * _heavy_density(gap, math.log(ratio), scale) * quiet > move:
            return True
    return False


def _heavy_density(value: float, center: float, spread: float) -> float:
    """Return the density of Student's t with three degrees of freedom, which has the tails of returns."""
    return 2 / (math.pi * math.sqrt(3) * spread * (1 + ((value - center) / spread) ** 2 / 3) ** 2)


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
    near = ""
    if abs(math.log(ratio / nearest)) < _NEAR:
        near = f", near {Fraction(nearest).limit_denominator(100)}"
    fault = (
        f"the price opens on {row.day} at {ratio:.4g} of the last close{near}, and stays there with "
        f"{relative_volume:.1f} times the volume: it looks like a split or a dividend that was "
        "not adjusted for; use adjusted prices, or start after it"
    )
    return new_finding(Kind.SPLIT, row.line, row.day, f"{ratio:.4g}", fault)

"""Find splits and dividends that prices were never adjusted for.

At a split the price changes overnight for good, by nearly an exact ratio, and the day trades as usual. A real
move of that width is as rare as the symbol's other nights say, and brings a crowd. The odds are those of a
split against a real move.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta
from fractions import Fraction
from statistics import NormalDist

from engine.instruments import AssetClass, Instrument, is_round_the_clock, price_limit
from feeds.quality.findings import Finding, FindingFactory, Kind
from feeds.quality.moves import Moves
from feeds.quality.rows import BarRow

# New shares for an old one, and how often a night is taken to bring each: more often than in markets, as a
# missed split spoils a backtest. With these the least obvious split of the real files has odds of thousands
# to one, and the most doubtful real move of one to two.
_SHARES = (6 / 5, 5 / 4, 4 / 3, 3 / 2, 5 / 3, 2, 5 / 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 25, 50, 100)
_FORWARD, _REVERSE = 2e-4, 5e-5
_RATIOS = {
    **{1 / shares: _FORWARD for shares in _SHARES},
    **{float(shares): _REVERSE for shares in _SHARES if shares >= 3 / 2},
}

# From these odds on a change is noted; above one to one it is a split.
_DOUBTFUL = 1 / 8

# Of 99,000 real nights: moves are distributed as Student's t with four degrees of freedom, this many scales
# wide. A night of z scales trades (z / 2) ** 0.8 times the usual volume, one of more than 25 as one of 25. A
# split's day trades the usual one, in shares of before or after it. Spreads are of the volume's logarithm.
_MOVE_SPREAD = 1.4
_CROWD_SCALES, _CROWD_POWER, _CROWD_MOST = 2.0, 0.8, 25.0
_CROWD_SPREAD, _QUIET_SPREAD = 0.35, 0.35

# Overnight changes (log) that are examined. A lasting one beyond the second is no real move, whatever its
# ratio, nor is one of many scales where a close is the next open, unless it trades much more than usual.
_BREAK, _ANY_RATIO, _MOST_VOLUME = 0.12, 0.8, 2.5
_JOINED_SCALES = 10.0

# How near (log) an overnight change is to a ratio that its finding names.
_NEAR = 0.04
_LISTING_DAYS, _LIMIT_SLACK = 5, 0.01

# Across missing days a price may move by anything, which is no split.
_DAY, _LONGEST_CLOSURE = timedelta(days=1), timedelta(days=7)


def find_splits(
    moves: Moves, rows: Sequence[BarRow], instrument: Instrument, new_finding: FindingFactory
) -> Iterator[tuple[int, Finding]]:
    """Yield the index of each row at whose open the price changes as at a split, with the finding.

    Args:
        moves: The moves of `rows`.
        rows: The rows, ascending by date and valid.
        instrument: Decides the price limit, and whether the market ever closes.
        new_finding: Creates the findings of this file.
    """
    joined = is_round_the_clock(instrument.calendar)
    for index in range(1, len(rows)):
        row, gap = rows[index], float(moves.gap[index])
        odds = 0.0
        if abs(gap) > _BREAK and row.day - rows[index - 1].day <= (_DAY if joined else _LONGEST_CLOSURE):
            odds = _estimate_odds(moves, index, joined=joined)
        if instrument.asset_class is AssetClass.A_SHARE and (limit := price_limit(instrument, row.day)):
            beyond = abs(math.exp(gap) - 1) - limit
            at_limit = abs(beyond) <= _LIMIT_SLACK or index < _LISTING_DAYS
            odds = 0.0 if at_limit else math.inf if beyond > 0 else odds
        if odds > _DOUBTFUL and not _is_wrong_open(row, gap, float(moves.body[index])):
            yield index, _describe(row, gap, moves.relative_volume(index), odds, new_finding)


def _is_wrong_open(row: BarRow, gap: float, body: float) -> bool:
    """Return whether the day takes most of the gap back and nothing traded beyond its open."""
    extreme = row.low if gap < 0 else row.high
    return abs(gap + body) < abs(gap) / 2 and row.open == extreme


def _estimate_odds(moves: Moves, index: int, *, joined: bool) -> float:
    """Return the odds of a split against a real move.

    `joined` is true for a market that never closes, where a close is the next open.
    """
    gap, scale, volume = float(moves.gap[index]), float(moves.gap_scale[index]), moves.relative_volume(index)
    wide, torn = abs(gap) > _ANY_RATIO, joined and abs(gap) > _JOINED_SCALES * scale
    quiet = volume is None or volume < _MOST_VOLUME * max(1.0, math.exp(-gap))
    if (wide and torn) or ((wide or torn) and quiet):
        return math.inf
    move = _student_density(gap, _MOVE_SPREAD * scale)
    scales = min(abs(gap) / scale, _CROWD_MOST)
    crowd = _CROWD_POWER * math.log(max(1.0, scales / _CROWD_SCALES))
    return max(
        frequency
        * (_student_density(gap - math.log(ratio), scale) / move)
        * (1.0 if volume is None else _weigh_volume(math.log(volume), ratio, crowd))
        for ratio, frequency in _RATIOS.items()
    )


def _weigh_volume(traded: float, ratio: float, crowd: float) -> float:
    """Return how much likelier a log volume is at a split than at a real move, which has the mean `crowd`."""
    usual = 0.0, -math.log(ratio)
    # A volume below that of before the split and of after it is a fault, and no evidence.
    traded = max(traded, min(usual))
    quiet = sum(NormalDist(center, _QUIET_SPREAD).pdf(traded) for center in usual) / 2
    return quiet / _student_density(traded - crowd, _CROWD_SPREAD)


def _student_density(value: float, spread: float) -> float:
    """Return the density of Student's t with four degrees of freedom, which has the tails of returns."""
    return 3 / (8 * spread * (1 + (value / spread) ** 2 / 4) ** 2.5)


def _describe(
    row: BarRow, gap: float, volume: float | None, odds: float, new_finding: FindingFactory
) -> Finding:
    ratio = math.exp(gap)
    nearest = min(_RATIOS, key=lambda split: abs(gap - math.log(split)))
    near = ""
    if abs(gap - math.log(nearest)) < _NEAR:
        near = f", near {Fraction(nearest).limit_denominator(100)}"
    traded = "" if volume is None else f" with {volume:.1f} times the volume"
    blocking = odds > 1
    verdict = (
        "it looks like a split or a dividend that was not adjusted for; use adjusted prices, or start after "
        "it"
        if blocking
        else "a real move may do that, and so may a split that was not adjusted for; look it up"
    )
    fault = f"the price opens on {row.day} at {ratio:.4g} of the last close{near}, and stays there{traded}: "
    return new_finding(Kind.SPLIT, row.line, row.day, f"{ratio:.4g}", fault + verdict, blocking=blocking)

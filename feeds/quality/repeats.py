"""Find copied prices: repeated rows, frozen prices, and files without opens or ranges of their own."""

from collections.abc import Callable, Sequence
from itertools import groupby, pairwise

from engine.instruments import AssetClass, Instrument, price_limit
from feeds.quality.findings import Finding, FindingFactory, Kind, pluralize
from feeds.quality.rows import BarRow

# Equal prices in a row are frozen where chance gives such a run less often than once in ten thousand files.
# Cheap shares repeat prices: of Bank of China a close came nine times in a row.
_LEAST_RUN, _LEAST_SHARE, _MAX_CHANCE = 5, 0.01, 1e-4

# A file of closes: more days in a row than by chance, twenty at least, or this share of all have one price or
# open at the last close. In real files 4.5% of an A-share's days do the one, 56% of another's the other.
_STRETCH, _FLAT_SHARE, _JOINED_SHARE, _LEAST_DAYS = 20, 0.25, 0.9, 20

# A day of an A-share that is locked at its limit has one price. Under special treatment the limit is 5%,
# which no code shows; prices are whole ticks.
_SPECIAL_LIMIT, _TICKS = 0.05, 0.006


def check_repeats(
    rows: Sequence[BarRow], instrument: Instrument, new_finding: FindingFactory
) -> list[Finding]:
    """Return the findings on copied prices; rows that are not valid are skipped.

    Args:
        rows: The rows, ascending by date.
        instrument: Decides whether a day may open at the last close, and have one price.
        new_finding: Creates the findings of this file.
    """
    rows = [row for row in rows if row.is_valid]
    if sum(row.volume > 0 for row in rows) > len(rows) / 2:
        # Days of suspension have the prices of the last day; that nobody traded is reported elsewhere.
        rows = [row for row in rows if row.volume > 0]
    frozen = _find_frozen(rows, lambda row: row.numbers[:4])
    covered = {row.line for run in frozen for row in run}
    findings = [_frozen_finding(run, "all four prices", new_finding, blocking=True) for run in frozen]
    findings += [
        _frozen_finding(run, "the close", new_finding, blocking=False)
        for run in _find_frozen(rows, lambda row: row.close)
        if not covered & {row.line for row in run}
    ]
    pairs = list(pairwise(rows))
    for earlier, later in pairs:
        if later.volume > 0 and earlier.numbers == later.numbers and later.line not in covered:
            fault = (
                f"{later.day} has every number of {earlier.day}, and its volume; take it from another source"
            )
            findings.append(new_finding(Kind.DUPLICATE, later.line, later.day, str(later.day), fault))
    locked = {later.line for earlier, later in pairs if _is_locked(earlier, later, instrument)}
    pairs = [pair for pair in pairs if pair[1].line not in covered | locked]
    if flat := _find_stretch(pairs, lambda pair: pair[1].high == pair[1].low, _FLAT_SHARE):
        days, first = flat
        # A locked day shows nothing by itself; before flat days it is taken for one of them.
        index = next(index for index, row in enumerate(rows) if row.line == first.line)
        while rows[index - 1].line in locked:
            index -= 1
        first = rows[index]
        fault = (
            f"open, high, low and close are one price on {pluralize(days, 'day')}, most of them from "
            f"{first.day} on: these are closes only, and orders fill at the next; use a file with all four"
        )
        findings.append(new_finding(Kind.FLAT, first.line, first.day, str(days), fault, blocking=False))
    elif not instrument.calendar.startswith("24/") and (
        joined := _find_stretch(pairs, lambda pair: pair[0].close == pair[1].open, _JOINED_SHARE)
    ):
        days, first = joined
        fault = (
            f"the open is the last close on {pluralize(days, 'day')}, most of them from {first.day} on, in a "
            "market that closes: the opens were made up, and orders fill at a price that was known before; "
            "use a file with true opens"
        )
        findings.append(new_finding(Kind.OPENS, first.line, first.day, str(days), fault, blocking=False))
    return findings


def _find_frozen(rows: Sequence[BarRow], value: Callable[[BarRow], object]) -> list[list[BarRow]]:
    """Return the runs of rows with one value that chance does not explain."""
    runs = [list(group) for _, group in groupby(rows, key=value)]
    share = max(_LEAST_SHARE, 1 - len(runs) / max(1, len(rows)))
    return [
        run for run in runs if len(run) >= _LEAST_RUN and len(rows) * share ** (len(run) - 1) < _MAX_CHANCE
    ]


def _frozen_finding(
    run: Sequence[BarRow], what: str, new_finding: FindingFactory, *, blocking: bool
) -> Finding:
    first, last = run[1], run[-1]
    fault = (
        f"{what} of {run[0].day} again on each of the next {len(run) - 1} rows, to {last.day}: the source "
        "repeated itself; take these days from another"
    )
    return new_finding(Kind.FROZEN, first.line, first.day, f"{run[0].close:g}", fault, blocking=blocking)


def _is_locked(earlier: BarRow, later: BarRow, instrument: Instrument) -> bool:
    if instrument.asset_class is not AssetClass.A_SHARE or later.high != later.low:
        return False
    move = abs(later.close / earlier.close - 1)
    limits = price_limit(instrument, later.day), _SPECIAL_LIMIT
    return any(abs(move - limit) < _TICKS for limit in limits)


def _find_stretch(
    pairs: Sequence[tuple[BarRow, BarRow]], matches: Callable[[tuple[BarRow, BarRow]], bool], enough: float
) -> tuple[int, BarRow] | None:
    """Return how many pairs match and the first row of the longest run of them.

    None unless they are the share `enough` of all, or a run is longer than chance explains.
    """
    runs = [list(group) for is_match, group in groupby(pairs, key=matches) if is_match]
    if not runs:
        return None
    matching, longest = sum(map(len, runs)), max(runs, key=len)
    share = matching / len(pairs)
    is_large = len(pairs) >= _LEAST_DAYS and share >= enough
    is_long = len(longest) >= _STRETCH and len(pairs) * share ** len(longest) < _MAX_CHANCE
    return (matching, longest[0][1]) if is_large or is_long else None

"""Reconcile the answers of a source into trusted candles, asking again where they are doubtful.

An answer may repeat, reorder, omit and falsify rows. Each start ends either with one candle that the answers
agree on, or with the reason why there is none.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from feeds.history.candles import EPOCH, OHLCV, Candle, parse_start
from feeds.history.client import Row

MAX_ATTEMPTS = 5
OUTLIER_REASON = 10.0
_NEIGHBOURS = 3
_FIRM = 2
_CONTEXT = 25
_NO_CANDLE = "the source has no candle"
Ask = Callable[[datetime, datetime], Sequence[Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciledWindow:
    """The result for each start of a window: its candle, or the reason why there is none.

    Attributes:
        candles: The candles, ascending.
        missing: The reasons, by start.
        resumes_at: Where the window is empty and every answer jumped beyond it, the earliest start of any.
        strays: How many rows inside the window are at times when no candle is due.
    """

    candles: tuple[Candle, ...]
    missing: Mapping[datetime, str]
    resumes_at: datetime | None
    strays: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _SiftedAnswer:
    """One answer: valid candles given in one version only, doubtful starts, and what is outside."""

    candles: Mapping[datetime, Candle]
    doubts: Mapping[datetime, str]
    ordered: bool
    beyond: datetime | None
    strays: int


def reconcile(
    ask: Ask,
    starts: Sequence[datetime],
    until: datetime,
    known: Sequence[Candle],
    *,
    repairs_silently: bool = False,
) -> ReconciledWindow:
    """Ask for the window of `starts` until each is settled, five times at most.

    A candle is settled when one ordered answer, or two others, gave it and more answers agree on it than
    contradict it. An outlier, with a price more than ten times above or below its neighbours on both sides,
    is never settled. Passes on what `ask` raises.

    Args:
        ask: Returns the source's rows from one instant (included) to another (excluded).
        starts: The starts of the candles that are due, ascending.
        until: The end of the window, after the last start.
        known: Candles around the window, as neighbours for the check on outliers.
        repairs_silently: Whether the library drops repeated rows, so that one ordered answer does not
            suffice.

    Returns:
        A candle or a reason for each start.
    """
    window = set(starts)
    seen: defaultdict[datetime, Counter[Candle]] = defaultdict(Counter)
    reasons: dict[datetime, str] = {}
    beyond: list[datetime | None] = []
    strays = 0
    open_, first, end = list(starts), starts[0], until
    settled: dict[datetime, Candle] = {}
    for _ in range(MAX_ATTEMPTS):
        answer = _sift_rows(ask(first, end), window, starts[0], until)
        for start, candle in answer.candles.items():
            seen[start][candle] += _FIRM if answer.ordered and not repairs_silently else 1
        reasons |= answer.doubts
        beyond.append(answer.beyond)
        strays = max(strays, answer.strays)
        settled, faults = _assess_candles(seen, known)
        reasons |= faults
        open_ = [start for start in starts if start not in settled]
        if not open_:
            break
        first, end = _widen_window(starts, open_[0], open_[-1], until)
    missing = {start: f"{reasons.get(start, _NO_CANDLE)} (asked {len(beyond)} times)" for start in open_}
    jumps = [each for each in beyond if each is not None]
    return ReconciledWindow(
        candles=tuple(settled[start] for start in starts if start in settled),
        missing=missing,
        resumes_at=min(jumps) if not seen and len(jumps) == len(beyond) else None,
        strays=strays,
    )


def _widen_window(
    starts: Sequence[datetime], first: datetime, last: datetime, until: datetime
) -> tuple[datetime, datetime]:
    """Return the window to ask again, with candles on both sides that expose an answer about another time."""
    after = bisect_right(starts, last) + _CONTEXT
    since = starts[max(0, bisect_left(starts, first) - _CONTEXT)]
    return since, starts[after] if after < len(starts) else until


def _sift_rows(rows: Sequence[Row], window: set[datetime], since: datetime, until: datetime) -> _SiftedAnswer:
    versions: defaultdict[datetime, set[Candle | str]] = defaultdict(set)
    beyond: list[datetime] = []
    last, ordered, strays = EPOCH, True, 0
    for row in rows:
        start = parse_start(row)
        if start is None:
            strays += 1
            continue
        ordered, last = ordered and start >= last, start
        if start >= until:
            beyond.append(start)
        elif start in window:
            versions[start].add(_parse_candle(start, row))
        elif start >= since:
            strays += 1
    candles: dict[datetime, Candle] = {}
    doubts: dict[datetime, str] = {}
    for start, given in versions.items():
        first = next(iter(given))
        if len(given) > 1:
            doubts[start] = "the source gives several versions of it"
        elif isinstance(first, str):
            doubts[start] = first
        else:
            candles[start] = first
    nearest = min(beyond, default=None)
    return _SiftedAnswer(candles=candles, doubts=doubts, ordered=ordered, beyond=nearest, strays=strays)


def _parse_candle(start: datetime, row: Row) -> Candle | str:
    """Return the row as a candle, or why it cannot be one."""
    if len(row) != 6:
        return f"a row has {len(row)} cells, not 6"
    cells = {}
    for name, cell in zip(OHLCV, row[1:], strict=True):
        if isinstance(cell, bool) or not isinstance(cell, (int, float)):
            return f"{name} is not a number"
        cells[name] = float(cell)
    try:
        return Candle(starts_at=start, **cells)
    except ValueError as error:
        return str(error)


def _assess_candles(
    seen: Mapping[datetime, Counter[Candle]], known: Sequence[Candle]
) -> tuple[dict[datetime, Candle], dict[datetime, str]]:
    """Return the candles that are settled by now, and what is wrong with the others."""
    likely = {candle.starts_at: candle for candle in known}
    likely |= {start: votes.most_common(1)[0][0] for start, votes in seen.items()}
    order = sorted(likely)
    place = {start: number for number, start in enumerate(order)}
    settled: dict[datetime, Candle] = {}
    faults: dict[datetime, str] = {}
    for start, votes in seen.items():
        at = place[start]
        left = [likely[each] for each in order[max(0, at - _NEIGHBOURS) : at]]
        right = [likely[each] for each in order[at + 1 : at + 1 + _NEIGHBOURS]]
        sane = Counter({candle: n for candle, n in votes.items() if not is_outlier(candle, left, right)})
        if not sane:
            close = votes.most_common(1)[0][0].close
            faults[start] = f"a price near {close:g} is more than {OUTLIER_REASON:g} times off its neighbours"
            continue
        best, weight = sane.most_common(1)[0]
        if weight >= _FIRM and weight > sane.total() - weight:
            settled[start] = best
        else:
            faults[start] = "the source's answers differ"
    return settled, faults


def is_outlier(candle: Candle, left: Sequence[Candle], right: Sequence[Candle]) -> bool:
    """Return whether a price is over ten times above, or below a tenth of, the closes on both sides.

    Args:
        candle: The candle to check.
        left: The candles before it.
        right: The candles after it.

    Returns:
        The comparison with the median close of each side; at an end of what is known, with each close of the
            other side. False without any neighbour.
    """
    if left and right:
        levels = [median(each.close for each in side) for side in (left, right)]
    else:
        levels = [each.close for each in (*left, *right)]
    if not levels:
        return False
    return max(candle.prices) > OUTLIER_REASON * max(levels) or min(candle.prices) * OUTLIER_REASON < min(
        levels
    )

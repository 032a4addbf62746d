"""Compute the daily differences between a student and its comparators that verdicts rest on.

Each difference comes with the least and the most that it could have been, which are known before it:

- direction: a hit less the chance that the forecast's side had, by the share of rises of the symbol so far
  (Laplace's rule of succession); between minus that chance and one less it. Against another forecaster, a hit
  less its hit; 0 where both say the same.
- probability: the squared error of that share, or of another forecaster's probability, less the student's;
  it takes one of two values.
- close: the absolute error of the last close, or of another forecaster's close, less the student's, as a
  fraction of the last close; by the triangle inequality within the distance of the two closes.
- pnl: the daily return of the student less that of buy and hold, brought to the mean exposure of the student
  so far, or less that of another forecaster as it traded. Returns have no bound above, and those of a short
  none below; taken for the most is twice the largest daily move of buy and hold so far, and at least 10%, at
  the largest exposure so far. A day that does more than that can ruin a bet, and never speaks for the
  student; gains are not cut. The level is exact up to what such days lose beyond the bound.

A day's difference is the mean over the decisions whose outcome became known on it. Symbols that close at
different hours share a date, so that outcomes of neighbouring days overlap by those hours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from engine.metrics.accuracy import day_ending
from engine.metrics.verdicts import Claim, DailyDifferences
from engine.model import Bar, Direction, Forecast
from engine.outcomes import Outcome, Scored
from engine.trading.records import EquityPoint

if TYPE_CHECKING:
    import numpy as np

SHARE_OF_RISES, LAST_CLOSE, SCALED_BUY_AND_HOLD = "share_of_rises", "last_close", "scaled_buy_and_hold"
DEFAULT_COMPARATORS: Mapping[Claim, str] = {
    Claim.DIRECTION: SHARE_OF_RISES,
    Claim.PROBABILITY: SHARE_OF_RISES,
    Claim.CLOSE: LAST_CLOSE,
    Claim.PNL: SCALED_BUY_AND_HOLD,
}

_DAILY_MOVE = 0.01  # the guess of what one day moves a fully invested portfolio
_LARGE_MOVE = 0.1  # a move that is possible even where none as large was seen

Key = tuple[str, datetime]
Difference = tuple[float, float, float]
"""A difference, and the least and the most that it could have been."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecaster:
    """What one forecaster predicted, and what it earned.

    Attributes:
        scored: Its predictions with their outcomes.
        marks: Its equity after each close.
        cash: Its equity at the start.
    """

    scored: Iterable[Scored]
    marks: Sequence[EquityPoint]
    cash: float


@dataclass(slots=True)
class _DayMeans:
    """Sums of differences and of their bounds, and how many, by day."""

    sums: dict[date, list[float]] = field(default_factory=dict)

    def add(self, day: date, difference: Difference) -> None:
        sums = self.sums.setdefault(day, [0.0, 0.0, 0.0, 0.0])
        for place, value in enumerate((*difference, 1.0)):
            sums[place] += value

    def build(self, comparator: str, guesses: "np.ndarray | None" = None) -> DailyDifferences:
        import numpy as np

        days = tuple(sorted(self.sums))
        table = np.array([self.sums[day] for day in days], dtype=np.float64).reshape(-1, 4)
        values, lows, highs = (table[:, :3] / table[:, 3:]).T
        return DailyDifferences(
            comparator=comparator, days=days, values=values, lows=lows, highs=highs, guess=guesses
        )


def compute_differences(
    student: Forecaster,
    others: Mapping[str, Forecaster],
    bars: Mapping[str, Sequence[Bar]],
    comparators: Mapping[Claim, str],
    *,
    can_short: bool,
) -> dict[Claim, DailyDifferences]:
    """Return the daily differences of each claim.

    Args:
        student: The student.
        others: The forecasters that comparators may name, by name, "buy_and_hold" among them; a claim whose
            comparator is missing has no days.
        bars: The bars of each symbol, oldest first, those before the start included.
        comparators: The comparator of each claim.
        can_short: Whether short positions are allowed; the exposure then counts as at least 1.
    """
    shares = rise_shares(bars)
    named = {comparators[claim] for claim in _RULES if comparators[claim] != DEFAULT_COMPARATORS[claim]}
    rivals = {name: _index_forecasts(others[name].scored) if name in others else {} for name in named}
    means: dict[Claim, _DayMeans] = {claim: _DayMeans() for claim in _RULES}
    for prediction, outcome in student.scored:
        if not isinstance(prediction, Forecast) or outcome is None:
            continue
        day = day_ending(outcome.known_at)
        for claim, rule in _RULES.items():
            rival: Forecast | float | None = shares[prediction.symbol, prediction.as_of]
            if comparators[claim] in rivals:
                rival = rivals[comparators[claim]].get((prediction.symbol, prediction.as_of))
            difference = None if rival is None else rule(prediction, outcome, rival)
            if difference is not None:
                means[claim].add(day, difference)
    found = {claim: each.build(comparators[claim]) for claim, each in means.items()}
    return found | {Claim.PNL: _compare_returns(student, others, comparators[Claim.PNL], can_short=can_short)}


def rise_shares(bars: Mapping[str, Sequence[Bar]]) -> dict[Key, float]:
    """Return the share of rises of each symbol up to each of its closes, by Laplace's rule of succession."""
    shares: dict[Key, float] = {}
    for symbol, series in bars.items():
        ups = moves = 0
        for before, bar in zip([None, *series], series, strict=False):
            if before is not None and bar.close != before.close:
                moves += 1
                ups += bar.close > before.close
            shares[symbol, bar.closes_at] = (ups + 1) / (moves + 2)
    return shares


def _index_forecasts(scored: Iterable[Scored]) -> dict[Key, Forecast]:
    return {(each.symbol, each.as_of): each for each, _ in scored if isinstance(each, Forecast)}


def _compare_direction(forecast: Forecast, outcome: Outcome, rival: "Forecast | float") -> Difference | None:
    if outcome.tie:
        return None
    rose = outcome.next_close > outcome.last_close
    hit = float(rose == (forecast.direction is Direction.UP))
    if isinstance(rival, Forecast):
        if rival.direction is forecast.direction:
            return 0.0, 0.0, 0.0
        return 2.0 * hit - 1.0, -1.0, 1.0
    chance = rival if forecast.direction is Direction.UP else 1.0 - rival
    return hit - chance, -chance, 1.0 - chance


def _compare_probability(
    forecast: Forecast, outcome: Outcome, rival: "Forecast | float"
) -> Difference | None:
    if outcome.tie:
        return None
    theirs = rival.probability_up if isinstance(rival, Forecast) else rival
    ours = forecast.probability_up
    rise, fall = (1.0 - theirs) ** 2 - (1.0 - ours) ** 2, theirs**2 - ours**2
    rose = outcome.next_close > outcome.last_close
    return rise if rose else fall, min(rise, fall), max(rise, fall)


def _compare_close(forecast: Forecast, outcome: Outcome, rival: "Forecast | float") -> Difference | None:
    theirs = rival.close if isinstance(rival, Forecast) else outcome.last_close
    apart = abs(theirs - forecast.close) / outcome.last_close
    gain = abs(theirs - outcome.next_close) - abs(forecast.close - outcome.next_close)
    return max(-apart, min(apart, gain / outcome.last_close)), -apart, apart


_RULES = {
    Claim.DIRECTION: _compare_direction,
    Claim.PROBABILITY: _compare_probability,
    Claim.CLOSE: _compare_close,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    """One day of an equity curve: its return, and the exposure with which it ended, both of equity."""

    day: date
    earned: float
    exposure: float


def _compare_returns(
    student: Forecaster, others: Mapping[str, Forecaster], comparator: str, *, can_short: bool
) -> DailyDifferences:
    import numpy as np

    scaled = comparator == SCALED_BUY_AND_HOLD
    other = others.get("buy_and_hold" if scaled else comparator)
    theirs = {each.day: each for each in _list_days(other)} if other else {}
    market = {each.day: each for each in _list_days(others["buy_and_hold"])}
    means, guesses = _DayMeans(), []
    largest, move = 1.0 if can_short else 0.0, _LARGE_MOVE
    count, ours_so_far, theirs_so_far = 0, 0.0, 0.0
    for each in _list_days(student):
        if each.day not in theirs:
            continue
        rival = theirs[each.day]
        factor = 1.0
        if scaled:
            factor = ours_so_far / theirs_so_far if theirs_so_far > 0 else 0.0
        largest = max(largest, abs(each.exposure), abs(factor * rival.exposure))
        bound = move * largest
        means.add(each.day, (each.earned - factor * rival.earned, -bound, bound))
        guesses.append(_DAILY_MOVE * largest)
        if each.day in market and market[each.day].exposure > 0:
            move = max(move, 2.0 * abs(market[each.day].earned / market[each.day].exposure))
        count += 1
        ours_so_far += (each.exposure - ours_so_far) / count
        theirs_so_far += (rival.exposure - theirs_so_far) / count
    return means.build(comparator, np.array(guesses, dtype=np.float64))


def _list_days(forecaster: Forecaster) -> list[_Day]:
    """Return the days of an equity curve; none after the day on which it falls to zero or below."""
    last = {day_ending(mark.at): mark for mark in forecaster.marks}
    values = [forecaster.cash, *(mark.value for mark in last.values())]
    days = []
    for (before, after), (day, mark) in zip(pairwise(values), last.items(), strict=True):
        if before <= 0:
            break
        exposure = (after - mark.cash) / after if after > 0 else 0.0
        days.append(_Day(day=day, earned=after / before - 1.0, exposure=exposure))
    return days

"""Conclude whether a student is better or worse than fixed comparators, valid on every day one looks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

from engine.metrics.days_needed import Outlook, forecast_days
from engine.metrics.evalues import (
    MAX_LOSS,
    close_tests,
    confidence_bound,
    default_bets,
    effective_sample_size,
    intersections,
    log_mean,
    log_sum_exp,
    log_wealth,
    usual_size,
)

if TYPE_CHECKING:
    from engine.metrics.evalues import Array

LEVEL = 0.05
"""The probability of a false `better` for any of the claims on any day, and of a false `worse`."""

_MOST_LOG = 690.0  # e to this is the largest power of ten that JSON's numbers hold


class Claim(StrEnum):
    """What a verdict is about."""

    DIRECTION = "direction"
    PROBABILITY = "probability"
    CLOSE = "close"
    PNL = "pnl"


class Conclusion(StrEnum):
    """The conclusion about the student against a comparator."""

    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The conclusion of one claim, and what it rests on.

    A unit is a day: the mean over the symbols with a decision whose outcome became known on it. The null
    hypothesis of `better` is that on no day the expected difference, given what was known before, is above
    zero; that of `worse`, below zero. The e-value is that of the side on which the mean difference is: it is
    adjusted for the other claims and never falls, and the verdict is not inconclusive where it is at least
    1 / level (see `engine.metrics.evalues`).

    Attributes:
        result: Better, worse or inconclusive.
        e_value: The adjusted e-value; 1 says nothing, and 1 / level is enough.
        raw_e_value: The largest e-value of this claim alone, on any day so far.
        comparator: The name of the comparator, fixed before the run.
        level: The probability of a false `better` in any claim, and of a false `worse`.
        days: How many days have a difference.
        effective_days: To how many independent days they are equivalent, those without a difference left out.
        days_needed: While inconclusive, how many days in all would have brought the verdict `better` in 80%
            of cases, those so far included; None where the mean difference is not above zero or would take
            longer than a hundred years. Otherwise, after how many days the e-value was enough.
        difference: The mean of the daily differences, above zero where the student is better; None without
            days. Fractions: of decisions for the direction, of squared error for the probability, of the
            last close for the close, of equity a day for PnL.
        low: Its lower bound in a confidence sequence at 1 - level; None without days.
        high: Its upper bound.
    """

    result: Conclusion
    e_value: float
    raw_e_value: float
    comparator: str
    level: float
    days: int
    effective_days: float
    days_needed: int | None
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyDifferences:
    """The daily differences of one claim, oldest first.

    Attributes:
        comparator: The name of the comparator.
        days: The days, in order.
        values: The differences, above zero where the student was better.
        lows: The least that each could have been, known before it; at most zero.
        highs: The most that each could have been; at least zero.
        guess: The usual size of a difference before any was seen; None for that of the lows.
    """

    comparator: str
    days: tuple[date, ...]
    values: "Array"
    lows: "Array"
    highs: "Array"
    guess: "Array | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One side, better or worse, of all claims that have days, on their common days.

    Attributes:
        values: The differences, above zero for this side, (claims, days); 0 on a day without one.
        wealth: The logarithm of the wealth of each bet, (claims, bets, days).
        usual: The usual size of each claim's differences, (claims, days).
        lows: The least that each difference could have been, (claims, days).
    """

    values: "Array"
    wealth: "Array"
    usual: "Array"
    lows: "Array"

    @property
    def evidence(self) -> "Array":
        return log_sum_exp(self.wealth, axis=1)


def conclude(differences: Mapping[Claim, DailyDifferences], *, level: float = LEVEL) -> dict[Claim, Verdict]:
    """Return the verdict of each claim.

    Claims without any day are left out of the adjustment.

    Args:
        differences: The daily differences by claim.
        level: The probability of a false `better` in any claim on any day, and of a false `worse`.
    """
    import numpy as np

    present = [claim for claim, each in differences.items() if each.days]
    verdicts = {claim: _empty_verdict(differences[claim], level) for claim in differences}
    if not present:
        return verdicts
    days = sorted({day for claim in present for day in differences[claim].days})
    better, worse = (
        _build_side([differences[claim] for claim in present], days, sign) for sign in (1.0, -1.0)
    )
    adjusted = {sign: close_tests(side.evidence) for sign, side in ((1, better), (-1, worse))}
    for place, claim in enumerate(present):
        difference = float(np.mean(differences[claim].values))
        sign, side = (-1, worse) if difference < 0 else (1, better)
        verdicts[claim] = _conclude_claim(differences[claim], days, side, adjusted[sign], place, sign, level)
    return verdicts


def _empty_verdict(differences: DailyDifferences, level: float) -> Verdict:
    return Verdict(
        result=Conclusion.INCONCLUSIVE,
        e_value=1.0,
        raw_e_value=1.0,
        comparator=differences.comparator,
        level=level,
        days=0,
        effective_days=0.0,
        days_needed=None,
        difference=None,
        low=None,
        high=None,
    )


def _build_side(claims: list[DailyDifferences], days: list[date], sign: float) -> _Side:
    import numpy as np

    places = {day: place for place, day in enumerate(days)}
    shape = (len(claims), len(days))
    values, lows, usual = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    wealth = np.zeros((len(claims), len(default_bets().sizes), len(days)))
    for row, claim in enumerate(claims):
        own = [places[day] for day in claim.days]
        values[row, own] = claim.values * sign
        lows[row, own] = claim.lows if sign > 0 else -claim.highs
        guess = None
        if claim.guess is not None:
            guess = np.full(len(days), claim.guess[0])
            guess[own] = claim.guess
        usual[row] = usual_size(values[row], lows[row], guess)
        wealth[row] = log_wealth(values[row], lows[row], guess=guess)
    return _Side(values=values, wealth=wealth, usual=usual, lows=lows)


def _conclude_claim(
    differences: DailyDifferences,
    days: list[date],
    side: _Side,
    adjusted: "Array",
    place: int,
    sign: int,
    level: float,
) -> Verdict:
    import numpy as np

    values, guess = differences.values, differences.guess
    enough = adjusted[place] >= -math.log(level)
    reached = bool(enough[-1]) and bool(np.any(values != 0))
    result = Conclusion.INCONCLUSIVE
    if reached:
        result = Conclusion.BETTER if sign > 0 else Conclusion.WORSE
        end = days[int(enough.argmax())]
        needed: int | None = sum(day <= end for day in differences.days)
    else:
        more = _days_to_come(side, place, level) if sign > 0 else None
        share = len(differences.days) / len(days)
        needed = None if more is None else len(differences.days) + max(1, math.ceil(more * share))
    return Verdict(
        result=result,
        e_value=_to_e_value(adjusted[place, -1]),
        raw_e_value=_to_e_value(side.evidence[place].max()),
        comparator=differences.comparator,
        level=level,
        days=len(differences.days),
        effective_days=effective_sample_size(values),
        days_needed=needed,
        difference=float(np.mean(values)),
        low=confidence_bound(values, differences.lows, level=level / 2, guess=guess),
        high=-confidence_bound(-values, -differences.highs, level=level / 2, guess=guess),
    )


def _to_e_value(logarithm: float) -> float:
    return math.exp(min(_MOST_LOG, float(logarithm)))


def _days_to_come(side: _Side, place: int, level: float) -> int | None:
    """Return how many more days a claim waits for; None where that cannot be foreseen."""
    import numpy as np

    count, days = side.values.shape
    usual = side.usual[:, -1:]
    scaled = np.divide(side.values, usual, out=np.zeros_like(side.values), where=usual > 0)
    # What bets are held to by the largest possible loss, on the average of the days that have one.
    losses = np.array([row[row < 0].mean() if np.any(row < 0) else 0.0 for row in side.lows])[:, None]
    most = np.divide(MAX_LOSS * usual, -losses, out=np.ones_like(usual), where=losses < 0)
    threshold = -math.log(level)
    evidence = side.evidence
    outlook = Outlook(
        log_wealths=side.wealth[:, :, -1],
        sizes=np.minimum(default_bets().sizes[None, :], most),
        means=scaled.mean(axis=1),
        covariance=np.atleast_2d(np.cov(scaled, bias=True)),
        days=days,
        threshold=threshold,
    )
    waiting = [
        members
        for members in intersections(count)
        if place in members and float(log_mean(evidence, members).max()) < threshold
    ]
    return forecast_days(outlook, place, waiting)

"""Whether decisions follow the real market where the data show another one.

In a scrambled world each day rises or falls by a coin, so that decisions which rest on its data have nothing
to do with the real moves. The mean agreement with the next real move, over its standard error with days as
clusters, is then about standard normal, whatever the rule.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from engine.model import Bar
from strategies.lookahead.report import Leak, LeakKind

Key = tuple[str, datetime]
MIN_DAYS = 25
"""The fewest days on which one that always knows the next move is found."""

_LIMIT = 4.5
"""Standard errors: by chance in 3 of a million checks."""

MAX_SKILL = 0.35
"""The largest share of agreement that a signal from the past may have: 67% of equal bets right."""


def real_moves(bars: Mapping[str, Sequence[Bar]]) -> dict[Key, int]:
    """Return 1 or -1 by (symbol, close) for the move to the next close; equal closes are left out."""
    return {
        (symbol, bar.closes_at): 1 if later.close > bar.close else -1
        for symbol, series in bars.items()
        for bar, later in pairwise(series)
        if later.close != bar.close
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far stances agree with moves.

    Attributes:
        errors: Standard errors above none, with days as clusters.
        share: The sum of stance times move over that of their amounts: 1 where every one agrees.
        days: The days it rests on.
    """

    errors: float
    share: float
    days: int


def measure_agreement(stances: Mapping[Key, float], moves: Mapping[Key, int]) -> Agreement:
    """Return the agreement of stances with the next real moves.

    Args:
        stances: What was wanted or forecast by (symbol, close): positive expects a rise. Of each symbol the
            mean is taken off, so that one which is always up agrees with nothing.
        moves: The next real moves, 1 or -1.
    """
    by_symbol: dict[str, list[float]] = {}
    for (symbol, _), stance in stances.items():
        by_symbol.setdefault(symbol, []).append(stance)
    means = {symbol: math.fsum(values) / len(values) for symbol, values in by_symbol.items()}
    days: dict[datetime, float] = {}
    amount = 0.0
    for (symbol, at), stance in stances.items():
        if move := moves.get((symbol, at)):
            day = at.replace(hour=0, minute=0, second=0, microsecond=0)
            days[day] = days.get(day, 0.0) + (stance - means[symbol]) * move
            amount += abs(stance - means[symbol])
    products = [product for product in days.values() if abs(product) > 1e-12]
    squares = math.fsum(product**2 for product in products)
    total = math.fsum(products)
    return Agreement(
        errors=total / math.sqrt(squares) if squares else 0.0,
        share=total / amount if amount else 0.0,
        days=len(products),
    )


def judge_agreement(
    stances: Mapping[Key, float], moves: Mapping[Key, int], who: str, *, least_share: float = 0.0
) -> list[Leak]:
    """Return a finding where stances in a scrambled world follow the next real moves.

    Args:
        stances: See `measure_agreement`.
        moves: See `measure_agreement`.
        who: What the stances are of, for the sentence.
        least_share: The least share of agreement that is no skill.
    """
    agreement = measure_agreement(stances, moves)
    if agreement.errors < _LIMIT or agreement.share < least_share:
        return []
    what = (
        f"with every price replaced, {who} still follow the next real moves, {agreement.errors:.1f} standard "
        f"errors above chance on {agreement.days} days: they rest on data that the run does not pass on"
    )
    return [Leak(kind=LeakKind.OUTSIDE, at=min(at for _, at in stances), symbol="", what=what)]

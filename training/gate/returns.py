"""What champion and challenger would each have earned over a window, by the arithmetic of the engine's steps.

It knows calls and what was lived through. It judges nothing and knows no rule.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from engine.accuracy import day_of
from engine.values import Call
from training.outcomes.experience import Experience, Key
from training.outcomes.positions import take


def net_returns(
    champion: Sequence[Call], challenger: Sequence[Call], lived: Sequence[Experience]
) -> tuple[float, float] | None:
    """The mean net return of a day of (champion, challenger); None where nothing was lived through.

    Each side trades its own calls from nothing held: a position is sized as the strategy would, pays for its
    change from the one before, and earns from open to open (see `training.outcomes.positions.take`). A day's
    return is the sum over its decisions, as a fraction of equity. Decisions without an experience are not
    counted; after one, as after a gap or a split, a side begins with nothing held.
    """
    if not lived:
        return None
    ours, theirs = ({(call.symbol, call.as_of): call for call in side} for side in (champion, challenger))
    return _mean_of_days(ours, lived), _mean_of_days(theirs, lived)


def _mean_of_days(calls: dict[Key, Call], lived: Sequence[Experience]) -> float:
    held: dict[str, tuple[datetime | None, float]] = {}
    days: dict[date, float] = {}
    for one in sorted(lived, key=lambda one: one.observation.as_of):
        symbol, call = one.observation.symbol, calls[one.key]
        ended, position = held.get(symbol, (None, 0.0))
        before = position if ended == one.situation.fill_at else 0.0
        taken = take(call, one.outcome, replace(one.situation, held=before))
        held[symbol] = one.outcome.open_known_at, taken.position
        days[day_of(call)] = days.get(day_of(call), 0.0) + taken.net_return
    return math.fsum(days.values()) / len(days)

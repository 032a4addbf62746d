"""Champion and challenger side by side, decision by decision and day by day, with what each got right.

It knows calls and outcomes. It judges nothing and knows no rule.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from engine.accuracy import accuracy, day_of
from engine.errors import DataError
from engine.outcomes import Outcome, Scored
from engine.values import Call, Direction, Forecast

COIN = 0.5
"""What an abstention is scored as: it states nothing, so it is held to what knowing nothing states."""

Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One decision whose close moved: P(up) of each side, and 1.0 where the next close was higher."""

    day: date
    champion: float
    challenger: float
    up: float

    @property
    def difference(self) -> float:
        """The champion's squared error minus the challenger's: above zero where the challenger is better."""
        return (self.champion - self.up) ** 2 - (self.challenger - self.up) ** 2


def pairs_of(champion: Sequence[Scored], challenger: Sequence[Scored]) -> list[Pair]:
    """The decisions of both whose outcome is known and no tie, by time and symbol.

    Raises DataError where one was asked what the other was not, or the market is not the same for both:
    leaving such decisions out would let a student win by silence.
    """
    ours, theirs = _by_key(champion, "champion"), _by_key(challenger, "challenger")
    for key in sorted(ours.keys() ^ theirs.keys(), key=_order):
        silent = "challenger" if key in ours else "champion"
        raise DataError(f"{key[0]} at {key[1]}: the {silent} has no call; forecast the same closes with both")
    pairs = []
    for key in sorted(ours, key=_order):
        (one, outcome), (other, same) = ours[key], theirs[key]
        if outcome != same:
            raise DataError(f"{key[0]} at {key[1]}: the two have other outcomes; score both on the same bars")
        if outcome is not None and not outcome.tie:
            up = float(outcome.next_close > outcome.last_close)
            pairs.append(Pair(day=day_of(one), champion=_stated(one), challenger=_stated(other), up=up))
    return pairs


def against_mirror(pairs: Iterable[Pair]) -> list[Pair]:
    """The same decisions with the reverse of what the challenger said in the champion's place."""
    return [Pair(day=p.day, champion=1.0 - p.challenger, challenger=p.challenger, up=p.up) for p in pairs]


def measures_of(champion: Sequence[Scored], challenger: Sequence[Scored]) -> dict[str, tuple[float, float]]:
    """What is held to a margin, as (champion, challenger); a measure that has no value is left out.

    `accuracy` (a share) and `close_mae_bps` are over the decisions on which both spoke, `abstentions` is
    the share of all. `open_return` is the mean return of a stake of one in the called direction from the
    next open to the one after, before any cost, over all decisions (an abstention earns nothing).
    """
    ours, theirs = _by_key(champion, "champion"), _by_key(challenger, "challenger")
    both = [key for key in ours if _spoke(ours[key]) and _spoke(theirs.get(key))]
    left, right = (accuracy(side[key] for key in both) for side in (ours, theirs))
    found = {
        "accuracy": (left.accuracy, right.accuracy),
        "close_mae_bps": (left.close_mae_bps, right.close_mae_bps),
        "abstentions": (_silent(ours), _silent(theirs)),
        "open_return": (_open_return(ours), _open_return(theirs)),
    }
    return {name: (a, b) for name, (a, b) in found.items() if a is not None and b is not None}


def _by_key(scored: Sequence[Scored], side: str) -> dict[Key, Scored]:
    found: dict[Key, Scored] = {}
    for call, outcome in scored:
        key = (call.symbol, call.as_of)
        if key in found:
            raise DataError(f"{call.symbol} at {call.as_of}: the {side} has two calls; give each close one")
        found[key] = call, outcome
    return found


def _order(key: Key) -> tuple[datetime, str]:
    return key[1], key[0]


def _stated(call: Call) -> float:
    return call.probability_up if isinstance(call, Forecast) else COIN


def _spoke(scored: Scored | None) -> bool:
    return scored is not None and isinstance(scored[0], Forecast)


def _silent(side: Mapping[Key, Scored]) -> float | None:
    return sum(not _spoke(scored) for scored in side.values()) / len(side) if side else None


def _open_return(side: Mapping[Key, Scored]) -> float | None:
    earned = [_earned(call, outcome) for call, outcome in side.values() if outcome and outcome.exit_open]
    return math.fsum(earned) / len(earned) if earned else None


def _earned(call: Call, outcome: Outcome) -> float:
    if not isinstance(call, Forecast) or outcome.open_return is None:
        return 0.0
    return outcome.open_return * (1.0 if call.direction is Direction.UP else -1.0)

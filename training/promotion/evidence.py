"""How surprising a challenger's lead would be if it had none: two one-sided tests that both must pass.

It knows pairs of probabilities and outcomes. It knows no rule, no margin and no student.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from engine.errors import DataError
from engine.metrics.accuracy import compute_accuracy, decision_day
from engine.model import Direction, Forecast, Prediction
from engine.outcomes import Outcome, Scored
from training.dataset.counterfactual import simulate_step
from training.dataset.experience import Experience, Key

COIN = 0.5
"""What an abstention is scored as: it states nothing, so it is held to what knowing nothing states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPair:
    """One decision whose close moved: P(up) of each side, and 1.0 where the next close was higher."""

    day: date
    champion: float
    challenger: float
    up: float

    @property
    def difference(self) -> float:
        """The champion's squared error minus the challenger's: above zero where the challenger is better."""
        return (self.champion - self.up) ** 2 - (self.challenger - self.up) ** 2


def pair_decisions(champion: Sequence[Scored], challenger: Sequence[Scored]) -> list[DecisionPair]:
    """The decisions of both whose outcome is known and no tie, by time and symbol.

    Raises DataError where one was asked what the other was not, or the market is not the same for both:
    leaving such decisions out would let a student win by silence.
    """
    ours, theirs = _index_by_key(champion, "champion"), _index_by_key(challenger, "challenger")
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
            pairs.append(
                DecisionPair(
                    day=decision_day(one),
                    champion=_stated_probability(one),
                    challenger=_stated_probability(other),
                    up=up,
                )
            )
    return pairs


def mirrored_control(pairs: Iterable[DecisionPair]) -> list[DecisionPair]:
    """The same decisions with the reverse of what the challenger said in the champion's place."""
    return [
        DecisionPair(day=p.day, champion=1.0 - p.challenger, challenger=p.challenger, up=p.up) for p in pairs
    ]


def collect_measures(
    champion: Sequence[Scored], challenger: Sequence[Scored]
) -> dict[str, tuple[float, float]]:
    """What is held to a margin, as (champion, challenger); a measure that has no value is left out.

    `accuracy` (a share) and `close_mae_bps` are over the decisions on which both spoke, `abstentions` is
    the share of all. `open_return` is the mean return of a stake of one in the called direction from the
    next open to the one after, before any cost, over all decisions (an abstention earns nothing).
    """
    ours, theirs = _index_by_key(champion, "champion"), _index_by_key(challenger, "challenger")
    both = [key for key in ours if _spoken(ours[key]) and _spoken(theirs.get(key))]
    left, right = (compute_accuracy(side[key] for key in both) for side in (ours, theirs))
    found = {
        "accuracy": (left.accuracy, right.accuracy),
        "close_mae_bps": (left.close_mae_bps, right.close_mae_bps),
        "abstentions": (_abstention_share(ours), _abstention_share(theirs)),
        "open_return": (_open_return(ours), _open_return(theirs)),
    }
    return {name: (a, b) for name, (a, b) in found.items() if a is not None and b is not None}


def _index_by_key(scored: Sequence[Scored], side: str) -> dict[Key, Scored]:
    found: dict[Key, Scored] = {}
    for call, outcome in scored:
        key = (call.symbol, call.as_of)
        if key in found:
            raise DataError(f"{call.symbol} at {call.as_of}: the {side} has two calls; give each close one")
        found[key] = call, outcome
    return found


def _order(key: Key) -> tuple[datetime, str]:
    return key[1], key[0]


def _stated_probability(call: Prediction) -> float:
    return call.probability_up if isinstance(call, Forecast) else COIN


def _spoken(scored: Scored | None) -> bool:
    return scored is not None and isinstance(scored[0], Forecast)


def _abstention_share(side: Mapping[Key, Scored]) -> float | None:
    return sum(not _spoken(scored) for scored in side.values()) / len(side) if side else None


def _open_return(side: Mapping[Key, Scored]) -> float | None:
    earned = [
        _earned_return(call, outcome) for call, outcome in side.values() if outcome and outcome.exit_open
    ]
    return math.fsum(earned) / len(earned) if earned else None


def _earned_return(call: Prediction, outcome: Outcome) -> float:
    if not isinstance(call, Forecast) or outcome.open_return is None:
        return 0.0
    return outcome.open_return * (1.0 if call.direction is Direction.UP else -1.0)


_CHUNK = 2_000

_DRAWS_AT_LEVEL = 20

_MAX_DRAWS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The mean of the days' Brier differences, and how likely one as large is without any lead.

    `difference` is above zero where the challenger is better. `p_days` is that of Student's t over `days`,
    `p_break_even` that of the break-even test, None where it was not needed; `p_value` is the larger.
    """

    difference: float
    days: int
    p_days: float
    p_break_even: float | None

    @property
    def p_value(self) -> float:
        """The larger of the two: each test sees what the other one misses."""
        return max(self.p_days, self.p_break_even or 0.0)


def measure_evidence(pairs: Sequence[DecisionPair], level: float, *, seed: int) -> Evidence:
    """Test that the challenger's expected Brier score is no better, at `level`; needs two days (ValueError).

    A day's mean difference is one observation, so that symbols may move together. *Over days* it is
    Student's t test, one-sided. That test alone takes a lucky run of a skewed difference for proof: with
    one symbol a day, an overconfident student whose expected lead is zero passed it at 0.001 in 0.8% of
    windows of 20 days. *Break-even* is exact where that one fails: a difference of squared errors is
    2 (q - p) (up - (p + q) / 2) for the stated p and q, so its expectation is zero where the close rises
    with probability (p + q) / 2, whatever the two state. Outcomes are drawn with those probabilities, all
    symbols of a day by one draw as often as the symbols were seen to move together and else each by its
    own, and p is (1 + draws with a mean as large) / (1 + draws) (Phipson and Smyth 2010), with 20 / level
    draws, a million at most. It is skipped where the first test has failed already.
    """
    days = _group_by_day(pairs)
    if len(days) < 2:
        raise ValueError("evidence needs two days")
    means = [math.fsum(pair.difference for pair in day) / len(day) for day in days.values()]
    difference = math.fsum(means) / len(means)
    p_days = _p_days(means, difference)
    needed = p_days <= level
    draws = min(_MAX_DRAWS, math.ceil(_DRAWS_AT_LEVEL / level))
    return Evidence(
        difference=difference,
        days=len(days),
        p_days=p_days,
        p_break_even=_p_break_even(list(days.values()), difference, draws, seed) if needed else None,
    )


def _group_by_day(pairs: Sequence[DecisionPair]) -> dict[date, list[DecisionPair]]:
    days: dict[date, list[DecisionPair]] = {}
    for pair in pairs:
        days.setdefault(pair.day, []).append(pair)
    return days


def _p_days(means: Sequence[float], mean: float) -> float:
    from scipy.special import stdtr

    n = len(means)
    error = math.sqrt(math.fsum((one - mean) ** 2 for one in means) / (n - 1) / n)
    if error <= 1e-12 * abs(mean):  # all days alike: their spread says nothing, the other test decides
        return 0.0 if mean > 0 else 1.0
    return float(stdtr(n - 1, -mean / error))


def _p_break_even(days: Sequence[Sequence[DecisionPair]], observed: float, draws: int, seed: int) -> float:
    import numpy as np

    pairs = [(pair, len(day)) for day in days for pair in day]
    weight = np.array([2.0 * (p.challenger - p.champion) / size / len(days) for p, size in pairs])
    middle = np.array([(p.champion + p.challenger) / 2.0 for p, _ in pairs])
    sizes = [len(day) for day in days]
    together = _mean_comovement(days)
    least = observed + float(middle @ weight) - 1e-12
    random = np.random.default_rng(seed)
    as_large = 0
    for first in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - first)
        luck = random.random((size, len(pairs)), dtype=np.float32)
        if together:
            # A shared day has one draw for all its symbols; the others keep those of their own.
            common = random.random((size, len(days)), dtype=np.float32)
            shared = random.random((size, len(days)), dtype=np.float32) < together
            luck = np.where(np.repeat(shared, sizes, axis=1), np.repeat(common, sizes, axis=1), luck)
        as_large += int(((luck < middle) @ weight >= least).sum())
    return (1 + as_large) / (1 + draws)


def _mean_comovement(days: Sequence[Sequence[DecisionPair]]) -> float:
    """How far symbols rose and fell together, 0 to 1: the mean product of the signs of two on one day.

    It is taken about even chances, so that a market that only rose counts as moving together.
    """
    products = counted = 0.0
    for day in days:
        signs = math.fsum(2.0 * pair.up - 1.0 for pair in day)
        products += signs**2 - len(day)
        counted += len(day) * (len(day) - 1)
    return min(1.0, max(0.0, products / counted)) if counted else 0.0


def net_returns(
    champion: Sequence[Prediction], challenger: Sequence[Prediction], experiences: Sequence[Experience]
) -> tuple[float, float] | None:
    """The mean net return of a day of (champion, challenger); None where nothing was lived through.

    Each side trades its own calls from nothing held: a position is sized as the strategy would, pays for its
    change from the one before, and earns from open to open (see
    `training.dataset.counterfactual.simulate_step`). A day's return is the sum over its decisions, as a
    fraction of equity. Decisions without an experience are not counted; after one, as after a gap or a split,
    a side begins with nothing held.
    """
    if not experiences:
        return None
    ours, theirs = ({(call.symbol, call.as_of): call for call in side} for side in (champion, challenger))
    return _mean_of_days(ours, experiences), _mean_of_days(theirs, experiences)


def _mean_of_days(calls: dict[Key, Prediction], experiences: Sequence[Experience]) -> float:
    held: dict[str, tuple[datetime | None, float]] = {}
    days: dict[date, float] = {}
    for one in sorted(experiences, key=lambda one: one.observation.as_of):
        symbol, call = one.observation.symbol, calls[one.key]
        ended, position = held.get(symbol, (None, 0.0))
        before = position if ended == one.trade_context.fill_at else 0.0
        taken = simulate_step(call, one.outcome, replace(one.trade_context, position=before))
        held[symbol] = one.outcome.open_known_at, taken.position
        days[decision_day(call)] = days.get(decision_day(call), 0.0) + taken.net_return
    return math.fsum(days.values()) / len(days)

"""Test a challenger's lead over the champion: two one-sided tests, both of which must pass."""

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
"""The probability of a rise that an abstention is scored with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPair:
    """One decision whose close moved: P(up) of each side, and 1.0 where the next close was higher."""

    day: date
    champion: float
    challenger: float
    up: float

    @property
    def difference(self) -> float:
        """Return the champion's squared error minus the challenger's: positive if the latter is better."""
        return (self.champion - self.up) ** 2 - (self.challenger - self.up) ** 2


def pair_decisions(champion: Sequence[Scored], challenger: Sequence[Scored]) -> list[DecisionPair]:
    """Pair the decisions of both sides whose outcome is known and no tie, by time and symbol.

    Raises:
        DataError: Where only one side has a call, or the outcomes differ. Leaving such decisions out would
            let a student win by not answering.
    """
    ours, theirs = _index_by_key(champion, "champion"), _index_by_key(challenger, "challenger")
    for key in sorted(ours.keys() ^ theirs.keys(), key=_order):
        silent = "challenger" if key in ours else "champion"
        raise DataError(f"{key[0]} at {key[1]}: the {silent} has no call; forecast the same closes with both")
    pairs = []
    for key in sorted(ours, key=_order):
        (champion_call, outcome), (challenger_call, other_outcome) = ours[key], theirs[key]
        if outcome != other_outcome:
            raise DataError(f"{key[0]} at {key[1]}: the outcomes differ; score both sides on the same bars")
        if outcome is not None and not outcome.tie:
            up = float(outcome.next_close > outcome.last_close)
            pairs.append(
                DecisionPair(
                    day=decision_day(champion_call),
                    champion=_stated_probability(champion_call),
                    challenger=_stated_probability(challenger_call),
                    up=up,
                )
            )
    return pairs


def mirrored_control(pairs: Iterable[DecisionPair]) -> list[DecisionPair]:
    """Return the pairs with the reverse of the challenger's forecast in the champion's place."""
    return [
        DecisionPair(day=p.day, champion=1.0 - p.challenger, challenger=p.challenger, up=p.up) for p in pairs
    ]


def collect_measures(
    champion: Sequence[Scored], challenger: Sequence[Scored]
) -> dict[str, tuple[float, float]]:
    """Compute the measures that have a margin, as (champion, challenger); those without a value are left out.

    `accuracy` (a share) and `close_mae_bps` are over the decisions that both sides forecast, `abstentions` is
    the share of all. `open_return` is the mean return of a unit position in the forecast direction from the
    next open to the one after, before any cost, over all decisions; an abstention returns 0.
    """
    ours, theirs = _index_by_key(champion, "champion"), _index_by_key(challenger, "challenger")
    both = [key for key in ours if _is_forecast(ours[key]) and _is_forecast(theirs.get(key))]
    left, right = (compute_accuracy(side[key] for key in both) for side in (ours, theirs))
    measures = {
        "accuracy": (left.accuracy, right.accuracy),
        "close_mae_bps": (left.close_mae_bps, right.close_mae_bps),
        "abstentions": (_abstention_share(ours), _abstention_share(theirs)),
        "open_return": (_open_return(ours), _open_return(theirs)),
    }
    return {name: (a, b) for name, (a, b) in measures.items() if a is not None and b is not None}


def _index_by_key(scored: Sequence[Scored], side: str) -> dict[Key, Scored]:
    by_key: dict[Key, Scored] = {}
    for call, outcome in scored:
        key = (call.symbol, call.as_of)
        if key in by_key:
            raise DataError(f"{call.symbol} at {call.as_of}: the {side} has two calls; give each close one")
        by_key[key] = call, outcome
    return by_key


def _order(key: Key) -> tuple[datetime, str]:
    return key[1], key[0]


def _stated_probability(call: Prediction) -> float:
    return call.probability_up if isinstance(call, Forecast) else COIN


def _is_forecast(scored: Scored | None) -> bool:
    return scored is not None and isinstance(scored[0], Forecast)


def _abstention_share(side: Mapping[Key, Scored]) -> float | None:
    return sum(not _is_forecast(scored) for scored in side.values()) / len(side) if side else None


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
MIN_P_VALUE = 1 / (1 + _MAX_DRAWS)
"""The smallest p-value that the break-even test can give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The evidence for a challenger's lead.

    Attributes:
        difference: Mean of the days' Brier differences; positive if the challenger is better.
        days: How many days were compared.
        p_days: p-value of Student's t over days.
        p_break_even: p-value of the break-even test; None where it was not needed.
    """

    difference: float
    days: int
    p_days: float
    p_break_even: float | None

    @property
    def p_value(self) -> float:
        """Return the larger of the two p-values: each test sees what the other one misses."""
        return max(self.p_days, self.p_break_even or 0.0)


def measure_evidence(pairs: Sequence[DecisionPair], level: float, *, seed: int) -> Evidence:
    """Test the hypothesis that the challenger's expected Brier score is no better than the champion's.

    *Over days*: Student's t test, one-sided; a day's mean difference is one observation, so that symbols may
    move together. That test alone is too lenient with a skewed difference: with one symbol a day, an
    overconfident student whose expected lead is zero passed it at 0.001 in 0.8% of windows of 20 days.

    *Break-even*: exact where the first fails. A difference of squared errors is 2 (q - p) (up - (p + q) / 2)
    for the stated p and q, so its expectation is zero where the close rises with probability (p + q) / 2.
    Outcomes are drawn with those probabilities: all symbols of a day by one draw as often as the symbols
    moved together, and else each by its own. The p-value is (1 + draws with a mean as large) / (1 + draws)
    (Phipson and Smyth 2010).

    Args:
        pairs: The decisions of both sides.
        level: The level of the test. It sets the number of draws, 20 / level, a million at most; the
            break-even test is skipped where the first has already failed.
        seed: Of the break-even test.

    Raises:
        ValueError: For fewer than two days.
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
    error = math.sqrt(math.fsum((day_mean - mean) ** 2 for day_mean in means) / (n - 1) / n)
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
    """Return how far symbols moved together, 0 to 1: the mean product of the signs of two on one day.

    It is taken about even odds, so that a market that only rose counts as moving together.
    """
    products = counted = 0.0
    for day in days:
        signs = math.fsum(2.0 * pair.up - 1.0 for pair in day)
        products += signs**2 - len(day)
        counted += len(day) * (len(day) - 1)
    return min(1.0, max(0.0, products / counted)) if counted else 0.0


def compute_net_returns(
    champion: Sequence[Prediction], challenger: Sequence[Prediction], experiences: Sequence[Experience]
) -> tuple[float, float] | None:
    """Compute the mean daily net return of both sides.

    Each side trades its own calls from an empty portfolio, by
    `training.dataset.counterfactual.simulate_step`. A day's return is the sum over its decisions, as a
    fraction of equity. Decisions without an experience are not counted; after one, as after a gap or a split,
    a side begins without a position.

    Args:
        champion: Its calls, one for each experience.
        challenger: Its calls for the same decisions.
        experiences: The outcomes of those decisions.

    Returns:
        (champion, challenger), or None without experiences.
    """
    if not experiences:
        return None
    ours, theirs = ({(call.symbol, call.as_of): call for call in side} for side in (champion, challenger))
    return _mean_of_days(ours, experiences), _mean_of_days(theirs, experiences)


def _mean_of_days(calls: dict[Key, Prediction], experiences: Sequence[Experience]) -> float:
    open_positions: dict[str, tuple[datetime | None, float]] = {}
    days: dict[date, float] = {}
    for experience in sorted(experiences, key=lambda experience: experience.observation.as_of):
        symbol, call = experience.observation.symbol, calls[experience.key]
        ended, position = open_positions.get(symbol, (None, 0.0))
        previous = position if ended == experience.trade_context.fill_at else 0.0
        step = simulate_step(call, experience.outcome, replace(experience.trade_context, position=previous))
        open_positions[symbol] = experience.outcome.open_known_at, step.position
        days[decision_day(call)] = days.get(decision_day(call), 0.0) + step.net_return
    return math.fsum(days.values()) / len(days)

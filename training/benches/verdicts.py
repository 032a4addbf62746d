"""The bench of verdicts: how often are they false, how often do they find an edge, are promises kept?

No engine is run. A market is a path of daily returns, its student's forecasts and positions are arrays, and
verdicts are those of `engine.metrics.verdicts`, looked at on every day. Markets without edge have returns
with fat tails and without memory, half of them with a drift; students without knowledge depend on the past,
or on chance, alone.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from engine.metrics.evalues import close_tests, log_e_process
from engine.metrics.verdicts import LEVEL, Claim, Conclusion, DailyDifferences, conclude
from engine.model import Direction

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator

    from engine.metrics.evalues import Array

HISTORY = 60
"""How many days of bars there are before the first decision."""

_VOLATILITY, _DRIFT, _TAIL = 0.02, 0.0015, 4
_CHUNK = 50
_LONGEST = 12_000  # promises of more days are not waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Returns and forecasts, (paths, days); positions are fractions of equity, held over the same day.

    Attributes:
        returns: What each day did after its decision.
        shares: The share of rises so far, at the decision.
        ups: Whether the student says up.
        confidence: How sure it is of that.
    """

    returns: "Array"
    shares: "Array"
    ups: "np.ndarray"
    confidence: "Array"


def measure_verdicts(markets: int, seed: int) -> dict[str, Any]:
    """Measure false verdicts over two years of daily looks, power, and the share of promises kept.

    Args:
        markets: How many markets are drawn for each figure.
        seed: Of the random draw.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    return {
        "markets": markets,
        "false": {name: measure_false(student, markets, random) for name, student in STUDENTS.items()},
        "power": [
            measure_power(accuracy, days, markets, random) for accuracy, days in ((0.58, 1500), (0.55, 1000))
        ],
        "days_needed": measure_promises(max(1, markets // 20), random),
    }


Student = Callable[["Array", "Array", "Generator"], "tuple[np.ndarray, np.ndarray | float]"]
"""From returns and shares of rises, (paths, HISTORY + days), to whether it says up, and how sure it is."""


def _say(direction: Direction) -> Student:
    import numpy as np

    return lambda returns, _shares, _random: (np.full(returns.shape, direction is Direction.UP), 0.55)


def _flip(confidence: float) -> Student:
    return lambda returns, _shares, random: (_draw_uniform(returns, random) < 0.5, confidence)


def _draw_uniform(returns: "Array", random: "Generator") -> "np.ndarray":
    import numpy as np

    return np.asarray(random.random(returns.shape))


def _follow(days: int) -> Student:
    """Say up where the last days rose in sum; what is decided on a day knows the returns before it."""

    def student(returns: "Array", _shares: "Array", _random: "Generator") -> "tuple[np.ndarray, float]":
        import numpy as np

        levels = np.concatenate([np.zeros((len(returns), days)), np.cumsum(returns, axis=1)], axis=1)
        before = np.concatenate([np.zeros((len(returns), 1)), levels[:, days:-1]], axis=1)
        return before >= levels[:, :-days], 0.55

    return student


def _join_majority(_returns: "Array", shares: "Array", _random: "Generator") -> "tuple[np.ndarray, Array]":
    import numpy as np

    return shares >= 0.5, np.maximum(shares, 1.0 - shares)


def _hold_but_four(returns: "Array", _shares: "Array", random: "Generator") -> "tuple[np.ndarray, float]":
    import numpy as np

    ups = np.ones(returns.shape, dtype=bool)
    for path in ups:
        path[HISTORY + random.choice(len(path) - HISTORY, 4, replace=False)] = False
    return ups, 0.55


STUDENTS: Mapping[str, Student] = {
    "always up": _say(Direction.UP),
    "always down": _say(Direction.DOWN),
    "coin": _flip(0.55),
    "persistence": _follow(1),
    "majority": _join_majority,
    "momentum": _follow(20),
    "buy and hold but four calls": _hold_but_four,
    "overconfident coin": _flip(0.9),
}
"""Eight kinds of students without knowledge."""


def draw_market(
    paths: int, days: int, random: "Generator", drift: "Array | float" = 0.0
) -> "tuple[Array, Array]":
    """Draw daily returns of fat tails, and the share of rises before each.

    Args:
        paths: How many markets.
        days: How many days after `HISTORY`.
        random: The generator.
        drift: The mean daily return, which broadcasts to (paths, 1).

    Returns:
        Returns and shares, (paths, HISTORY + days).
    """
    import numpy as np

    shape = (paths, HISTORY + days)
    moves = random.standard_t(_TAIL, shape) * _VOLATILITY * math.sqrt((_TAIL - 2) / _TAIL)
    returns: Array = np.maximum(moves + drift, -0.9)
    up = (returns > 0).astype(np.float64)
    rises = np.cumsum(up, axis=1) - up
    return returns, (rises + 1.0) / (np.arange(shape[1]) + 2.0)


def compare_paths(paths: Paths) -> dict[Claim, tuple["Array", "Array", "Array", "Array | None"]]:
    """Return differences, least, most and guess by claim, as `engine.metrics.differences` computes them.

    The predicted move is the one that the confidence gives: its excess over one half of two mean moves. The
    position is the same share of equity if the student says up, and none if down.
    """
    import numpy as np

    rises = paths.returns > 0
    hits = rises == paths.ups
    chance = np.where(paths.ups, paths.shares, 1.0 - paths.shares)
    ours = np.where(paths.ups, paths.confidence, 1.0 - np.asarray(paths.confidence))
    rise = (1 - paths.shares) ** 2 - (1 - ours) ** 2
    fall = paths.shares**2 - ours**2
    edge = 2.0 * np.asarray(paths.confidence) - 1.0
    move = np.where(paths.ups, 1.0, -1.0) * edge * _VOLATILITY
    apart = np.abs(move)
    closer = np.clip(np.abs(paths.returns) - np.abs(paths.returns - move), -apart, apart)
    position = np.where(paths.ups, np.minimum(0.95, edge * 4.0), 0.0)
    before = np.cumsum(position, axis=1) - position
    mean = before / np.maximum(1, np.arange(position.shape[1]))
    largest = np.maximum.accumulate(np.maximum(position, mean), axis=1)
    moves = np.maximum.accumulate(np.maximum(0.05, np.abs(paths.returns)), axis=1) * 2.0
    bound = largest * np.concatenate([np.full((len(moves), 1), 0.1), moves[:, :-1]], axis=1)
    return {
        Claim.DIRECTION: (hits - chance, -chance, 1.0 - chance, None),
        Claim.PROBABILITY: (
            np.where(rises, rise, fall),
            np.minimum(rise, fall),
            np.maximum(rise, fall),
            None,
        ),
        Claim.CLOSE: (closer, -apart, apart, None),
        Claim.PNL: ((position - mean) * paths.returns, -bound, bound, 0.01 * largest),
    }


def look_daily(paths: Paths) -> "tuple[Array, Array]":
    """Return the adjusted e-values of `better` and `worse`, as logarithms, (claims, paths, days)."""
    import numpy as np

    found = compare_paths(paths)
    better = [log_e_process(values, low, guess=guess) for values, low, _, guess in found.values()]
    worse = [log_e_process(-values, -high, guess=guess) for values, _, high, guess in found.values()]
    return close_tests(np.array(better)), close_tests(np.array(worse))


def _draw_paths(student: Student, returns: "Array", shares: "Array", random: "Generator") -> Paths:
    import numpy as np

    ups, confidence = student(returns, shares, random)
    sure = np.broadcast_to(confidence, returns.shape)[:, HISTORY:]
    return Paths(
        returns=returns[:, HISTORY:], shares=shares[:, HISTORY:], ups=ups[:, HISTORY:], confidence=sure
    )


def measure_false(student: Student, markets: int, random: "Generator") -> dict[str, dict[str, float]]:
    """Return the share of markets with a verdict on any day of two years, by side and claim.

    Args:
        student: A student without knowledge.
        markets: How many markets are drawn; every other one drifts.
        random: The generator.
    """
    import numpy as np

    counts = np.zeros((2, len(Claim)))
    done = 0
    while done < markets:
        size = min(_CHUNK, markets - done)
        drift = np.where((np.arange(done, done + size) % 2 == 0)[:, None], _DRIFT, 0.0)
        sides = look_daily(_draw_paths(student, *draw_market(size, 730, random, drift), random))
        for row, evidence in enumerate(sides):
            counts[row] += (evidence[:, :, -1] >= -math.log(LEVEL)).sum(axis=1)
        done += size
    return {
        side: {claim.value: float(share) for claim, share in zip(Claim, row / markets, strict=True)}
        for side, row in zip(("better", "worse"), counts, strict=True)
    }


def know(accuracy: float) -> Student:
    """Return a student that is right in a share of cases and states 55%."""

    def student(returns: "Array", _shares: "Array", random: "Generator") -> "tuple[np.ndarray, float]":
        return (_draw_uniform(returns, random) < accuracy) == (returns > 0), 0.55

    return student


def measure_power(accuracy: float, days: int, markets: int, random: "Generator") -> dict[str, Any]:
    """Return the share of markets in which a student's direction is better, alone and after adjustment.

    Args:
        accuracy: In which share of cases it is right.
        days: How many days there are.
        markets: How many markets are drawn.
        random: The generator.
    """
    alone = adjusted = done = 0
    while done < markets:
        size = min(_CHUNK, markets - done)
        paths = _draw_paths(know(accuracy), *draw_market(size, days, random), random)
        values, low, _, _ = compare_paths(paths)[Claim.DIRECTION]
        alone += int((log_e_process(values, low).max(axis=-1) >= -math.log(LEVEL)).sum())
        adjusted += int((look_daily(paths)[0][0, :, -1] >= -math.log(LEVEL)).sum())
        done += size
    return {"accuracy": accuracy, "days": days, "alone": alone / markets, "adjusted": adjusted / markets}


def measure_promises(
    markets: int,
    random: "Generator",
    *,
    accuracies: Sequence[float] = (0.53, 0.55, 0.58),
    days: Sequence[int] = (60, 125, 250, 500),
) -> dict[str, Any]:
    """Return the share of the days needed for a verdict of the direction after which there was one.

    Args:
        markets: How many markets are drawn for each accuracy and day of the promise.
        random: The generator.
        accuracies: In which share of cases the student is right.
        days: The days on which it is promised.
    """
    cases = {}
    for accuracy in accuracies:
        for day in days:
            made = kept = 0
            for _ in range(markets):
                promised = _promise(accuracy, day, random)
                made += promised is not None
                kept += bool(promised)
            cases[f"{accuracy:.0%} on day {day}"] = {"made": made, "kept": kept}
    made, kept = (sum(case[key] for case in cases.values()) for key in ("made", "kept"))
    return {"cases": cases, "made": made, "kept": kept, "share": kept / made if made else None}


def _promise(accuracy: float, day: int, random: "Generator") -> bool | None:
    """Return whether the promise that is made on a day is kept; None where none is made."""
    whole = _draw_paths(know(accuracy), *draw_market(1, day + _LONGEST, random), random)
    verdict = conclude(_list_differences(_cut(whole, day)))[Claim.DIRECTION]
    if verdict.result is not Conclusion.INCONCLUSIVE or verdict.days_needed is None:
        return None
    if verdict.days_needed > day + _LONGEST:
        return None
    evidence = look_daily(_cut(whole, verdict.days_needed))[0]
    return bool(evidence[0, 0, -1] >= -math.log(LEVEL))


def _cut(paths: Paths, days: int) -> Paths:
    return Paths(
        returns=paths.returns[:, :days],
        shares=paths.shares[:, :days],
        ups=paths.ups[:, :days],
        confidence=paths.confidence[:, :days],
    )


def _list_differences(paths: Paths) -> dict[Claim, DailyDifferences]:
    first = date(2020, 1, 1)
    days = tuple(first + timedelta(days=place) for place in range(paths.returns.shape[1]))
    return {
        claim: DailyDifferences(
            comparator="",
            days=days,
            values=values[0],
            lows=low[0],
            highs=high[0],
            guess=None if guess is None else guess[0],
        )
        for claim, (values, low, high, guess) in compare_paths(paths).items()
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_verdicts(*map(int, sys.argv[1:3])), indent=2) + "\n")

"""The gate bench: how often does the gate promote, on random windows where the better side is known?

No student and no market are run: calls are drawn from assumptions.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from engine.model import Direction, Forecast
from engine.outcomes import Outcome, Scored
from training.promotion.rule import GateRule, evaluate_challenger

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import Generator

SYMBOLS = 12
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowWindow:
    """The assumptions of a shadow window.

    Attributes:
        edge: Whether the probability of up is uniform in [0, 1] at each close, so that a side that knows it
            is right in 75% of cases; otherwise it is one half.
        champion: In which share of cases the champion sees that probability (from, to; drawn for each
            window); otherwise it sees noise.
        challenger: The same of the challenger.
        champion_sure: How far the champion's stated probability is from one half, relative to the one it
            sees; None: its share, which is calibrated.
        challenger_sure: The same of the challenger.
        inverted: Whether the champion's news now means the opposite.
        common: Correlation of the outcomes of the symbols of one day, given their probabilities.
    """

    edge: bool
    champion: tuple[float, float]
    challenger: tuple[float, float]
    champion_sure: float | None = None
    challenger_sure: float | None = None
    inverted: bool = False
    common: float = 0.0


NO_LEAD: Mapping[str, ShadowWindow] = {
    "no edge, both unsure": ShadowWindow(
        edge=False, champion=(0, 0), challenger=(0, 0), champion_sure=0.2, challenger_sure=0.2
    ),
    "no edge, champion sure of itself": ShadowWindow(
        edge=False, champion=(0, 0), challenger=(0, 0), champion_sure=0.9, challenger_sure=0.1
    ),
    "no edge, both sure, symbols together": ShadowWindow(
        edge=False, champion=(0, 0), challenger=(0, 0), champion_sure=0.9, challenger_sure=0.9, common=0.5
    ),
    "equal edge": ShadowWindow(edge=True, champion=(0.8, 0.8), challenger=(0.8, 0.8)),
}

LEAD: Mapping[str, ShadowWindow] = {
    "reversed market": ShadowWindow(edge=True, champion=(0.9, 0.9), challenger=(0.6, 0.9), inverted=True),
    "reversed market, symbols together": ShadowWindow(
        edge=True, champion=(0.9, 0.9), challenger=(0.6, 0.9), inverted=True, common=0.5
    ),
    "mediocre champion": ShadowWindow(edge=True, champion=(0.2, 0.2), challenger=(0.6, 0.9)),
}


def measure_gate(
    n: int, seed: int, *, days: Sequence[int] = (20, 30), rule: GateRule | None = None
) -> dict[str, Any]:
    """Measure the share of windows in which the gate promotes.

    Args:
        n: How many windows are drawn for each assumption.
        seed: Of the random draw.
        days: The lengths of the windows.
        rule: The rule of the gate; None: the default.

    Returns:
        Shares by assumption and length, as JSON types: under "false" the challenger has no lead and a
        promotion is an error, under "right" it has one. With each share are the shares of windows in which
        each part of the rule objected.
    """
    import numpy as np

    rule = rule or GateRule()
    random = np.random.default_rng(seed)
    report: dict[str, Any] = {"windows": n, "symbols": SYMBOLS, "rule": rule.as_json()}
    for name, windows in (("false", NO_LEAD), ("right", LEAD)):
        report[name] = {
            f"{assumption}, {length} days": _promotion_share(window, length, rule, n, random)
            for length in days
            for assumption, window in windows.items()
        }
    return report


def _promotion_share(
    window: ShadowWindow, days: int, rule: GateRule, n: int, random: "Generator"
) -> dict[str, Any]:
    promoted = 0
    against: Counter[str] = Counter()
    for _ in range(n):
        verdict = evaluate_challenger(*draw_window(window, days, random), rule, passed_guards=True)
        promoted += verdict.promoted
        against.update(verdict.against)
    return {"promoted": promoted / n, "against": {name: count / n for name, count in against.items()}}


def draw_window(window: ShadowWindow, days: int, random: "Generator") -> tuple[list[Scored], list[Scored]]:
    """Draw the calls of champion and challenger on one window, with their outcomes.

    Args:
        window: The assumptions.
        days: The length of the window.
        random: The source of random numbers.
    """
    import numpy as np
    from scipy.special import ndtr

    shape = (days, SYMBOLS)
    chance = random.random(shape) if window.edge else np.full(shape, 0.5)
    shared = np.sqrt(window.common) * random.standard_normal((days, 1))
    luck = ndtr(shared + np.sqrt(1.0 - window.common) * random.standard_normal(shape))
    moves = np.where(luck < chance, 1.0, -1.0) * np.abs(0.01 * random.standard_t(4, shape)) + 0.0
    seen = 1.0 - chance if window.inverted else chance
    champion = _draw_stated(seen, window.champion, window.champion_sure, random)
    challenger = _draw_stated(chance, window.challenger, window.challenger_sure, random)
    gaps = 0.002 * random.standard_normal((2, *shape))
    sides: tuple[list[Scored], list[Scored]] = ([], [])
    for day in range(days):
        for symbol in range(SYMBOLS):
            outcome = _outcome(day, symbol, float(moves[day, symbol]), gaps[:, day, symbol])
            for side, probabilities in zip(sides, (champion, challenger), strict=True):
                side.append((_forecast(outcome, float(probabilities[day, symbol])), outcome))
    return sides


def _draw_stated(
    chance: "ndarray[Any, Any]", share: tuple[float, float], sure: float | None, random: "Generator"
) -> "ndarray[Any, Any]":
    import numpy as np

    drawn = random.uniform(*share)
    view = np.where(random.random(chance.shape) < drawn, chance, random.random(chance.shape))
    return 0.5 + (drawn if sure is None else sure) * (view - 0.5)


def _outcome(day: int, symbol: int, move: float, gaps: "ndarray[Any, Any]") -> Outcome:
    as_of = _FIRST + timedelta(days=day)
    following = as_of + timedelta(days=1)
    return Outcome(
        symbol=f"S{symbol:02}",
        as_of=as_of,
        last_close=100.0,
        next_close=100.0 * (1.0 + max(move, -0.9)),
        known_at=following,
        fill_open=100.0 * (1.0 + float(gaps[0])),
        exit_open=100.0 * (1.0 + max(move, -0.9)) * (1.0 + float(gaps[1])),
        open_known_at=following,
    )


def _forecast(outcome: Outcome, up: float) -> Forecast:
    """Return a call with this P(up); its close deviates from the last one as P(up) does from one half."""
    return Forecast(
        symbol=outcome.symbol,
        as_of=outcome.as_of,
        direction=Direction.UP if up >= 0.5 else Direction.DOWN,
        confidence=max(up, 1.0 - up),
        close=100.0 * (1.0 + 0.02 * (up - 0.5)),
        last_close=100.0,
    )

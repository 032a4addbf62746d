"""How often the gate promotes, on made-up windows of which it is known who is better.

Knows the gate and random numbers. No student and no market are run: calls are drawn from what is assumed.
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
    """What is assumed of a shadow window.

    With an `edge` the chance of up is uniform between 0 and 1 at each close, so that who knows it is right
    in 75% of cases; without, it is one half. A side sees that chance in the stated share of cases (from,
    to; drawn for each window) and noise otherwise, and states `sure` times its lean from one half: a side
    that is as sure as its share is calibrated. `inverted`: the champion's news now means the reverse.
    `common` is the correlation that symbols of one day have in what the market does with those chances.
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
    """The share of `n` windows in which the gate promotes, by length in days and by what is assumed.

    Under "false" nobody has a lead and a promotion is a mistake, under "right" the challenger has one. With
    each share stand the shares of windows in which each part of the rule stood against it.
    """
    import numpy as np

    rule = rule or GateRule()
    random = np.random.default_rng(seed)
    found: dict[str, Any] = {"windows": n, "symbols": SYMBOLS, "rule": rule.as_json()}
    for name, windows in (("false", NO_LEAD), ("right", LEAD)):
        found[name] = {
            f"{assumed}, {length} days": _promotion_share(window, length, rule, n, random)
            for length in days
            for assumed, window in windows.items()
        }
    return found


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
    """The calls of champion and challenger on one window, with what the market then did."""
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
            for side, stated in zip(sides, (champion, challenger), strict=True):
                side.append((_forecast(outcome, float(stated[day, symbol])), outcome))
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
    """A call with this P(up); the close leans from the last one as far as the probability from one half."""
    return Forecast(
        symbol=outcome.symbol,
        as_of=outcome.as_of,
        direction=Direction.UP if up >= 0.5 else Direction.DOWN,
        confidence=max(up, 1.0 - up),
        close=100.0 * (1.0 + 0.02 * (up - 0.5)),
        last_close=100.0,
    )

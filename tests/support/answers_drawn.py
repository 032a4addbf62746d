"""Answers and days for the tests of what an answer earns: drawn at random, and by laws that are known."""

import json
import math
from itertools import product

from hypothesis import strategies as st
from scipy import stats

from engine.instruments import Costs
from engine.model import Direction
from llm.answers import format_answer
from strategies.sizing import PositionSizing
from tests.support.experiences_by_hand import make_experience, shares
from tests.support.markets import instrument
from training.rewards import LABEL_LIMIT

COIN_COSTS = Costs(fee_bps=10, slippage_bps=5, latency_bps=0, borrow_rate=0.1)
STOCK_COSTS = Costs(fee_bps=1, slippage_bps=2, latency_bps=1, borrow_rate=0.03)
CONFIDENCES = [number / 100 for number in range(50, 101)]
NODES = 8
RETURNS = st.floats(-0.9, 5)

INVALID = [
    "",
    "up",
    '{"direction": "up", "confidence": 0.60, "close": 99.00}',
    '{"direction": "up", "confidence": 1.10, "close": 101.00}',
    '{"direction": "sideways", "confidence": 0.60, "close": 101.00}',
    '{"direction": "up", "confidence": NaN, "close": 101.00}',
    '{"direction": "up", "confidence": 0.60, "close": 1e400}',
    '{"direction": "up", "confidence": 0.60, "close": 101.00} and more',
    "[" * 100_000,
]


@st.composite
def random_days(draw):
    """One day as it may come: any return, volatility, lot, cost of getting there, and position before."""
    lot = draw(st.sampled_from([0.0, 1.0, 100.0]))
    return make_experience(
        draw(st.one_of(RETURNS, st.just(0.0))),
        volatility=draw(st.floats(0.0, 0.2)),
        instrument=shares(lot=lot, shortable=draw(st.booleans())),
        position=draw(st.sampled_from([0.0, 300.0, -500.0])),
        equity=draw(st.sampled_from([100_000.0, 0.0, -5.0])),
        fill_equity=draw(st.sampled_from([100_000.0, 1.0, 0.0])),
    )


valid_answers = st.builds(
    lambda up, confidence, away: format_answer(
        Direction.UP if up else Direction.DOWN, confidence, 100 + away if up else 100 - away * 0.9
    ),
    st.booleans(),
    st.floats(0.5, 1.0),
    st.one_of(st.floats(0, 99), st.just(0.0)),
)

anything = st.one_of(
    st.text(max_size=60),
    valid_answers,
    st.builds(
        '{{"direction": "{}", "confidence": {}, "close": {}}}'.format,
        st.sampled_from(["up", "down", "UP", "", "\ud800"]),
        st.one_of(st.floats(), st.integers(), st.integers(10**300, 10**301), st.text(max_size=5)),
        st.one_of(st.floats(), st.floats(10, 1000), st.integers(10**300, 10**301), st.text(max_size=5)),
    ),
    st.recursive(st.one_of(st.none(), st.floats(), st.text(max_size=4)), st.lists, max_leaves=5).map(
        json.dumps
    ),
)


def quantiles(count):
    return [(number + 0.5) / count for number in range(count)]


def returns_for(law, probability):
    """Returns in standard deviations, each with its probability, that rise with exactly `probability`.

    "signs" is what the sizing rule assumes: a sign, and a size that knows nothing of it. The others are one
    bell that is moved until it rises as often: the simulated market is Student's t.
    """
    if law == "signs":
        sizes = stats.halfnorm.ppf(quantiles(NODES))
        rises, falls = sizes, -sizes
    else:
        bell = stats.norm() if law == "normal" else stats.t(5, scale=math.sqrt(3 / 5))
        moved = bell.ppf(probability)
        rises = [moved + bell.ppf(1 - probability * (1 - u)) for u in quantiles(NODES)]
        falls = [moved + bell.ppf((1 - probability) * u) for u in quantiles(NODES)]
    return [(z, probability / NODES) for z in rises] + [(z, (1 - probability) / NODES) for z in falls]


def random_answers(close):
    """Each direction and confidence with the close nearest to `close` that does not contradict it."""
    for direction, confidence in product(Direction, CONFIDENCES):
        side = max(close, 100.0) if direction is Direction.UP else min(close, 100.0)
        probability = confidence if direction is Direction.UP else 1 - confidence
        yield format_answer(direction, confidence, side), probability


@st.composite
def markets_of_known_odds(draw, ties=(0.0,)):
    """A market: its days with their odds, all answers with the mean close and what they state, the truth."""
    probability = draw(st.one_of(st.floats(0.03, 0.97), st.floats(0.47, 0.53)))
    tie = draw(st.sampled_from(ties))
    law = draw(st.sampled_from(["signs", "normal", "student"]))
    low, high, costs = draw(st.sampled_from([(0.02, 0.07, COIN_COSTS), (0.01, 0.03, STOCK_COSTS)]))
    volatility = low + draw(st.floats(0, 1)) * (high - low)
    held, shortable = draw(st.sampled_from([0.0, 0.0, 400.0, -400.0])), draw(st.booleans())
    situation = {
        "volatility": volatility,
        "costs": costs,
        "position": held if shortable else abs(held),
        "instrument": instrument("AAA", shortable=shortable),
        "sizing": PositionSizing(
            risk_aversion=draw(st.floats(5, 60)),
            cap=draw(st.sampled_from([0.07, 0.3, 0.95])),
            shortable=frozenset(["AAA"] if shortable else []),
        ),
    }
    drawn = [(z, odds * (1 - tie)) for z, odds in returns_for(law, probability)] + [(0.0, tie)] * bool(tie)
    days = [(make_experience(max(-0.9, volatility * z), **situation), odds) for z, odds in drawn]
    middle = math.fsum(odds * max(-LABEL_LIMIT, min(LABEL_LIMIT, z)) for z, odds in drawn)
    stated = dict(random_answers(100 * (1 + volatility * middle)))
    return days, stated, probability * (1 - tie) + tie / 2


def constants():
    closes = [10.0, 50.0, 90.0, 97.0, 99.5, 100.0, 100.5, 103.0, 110.0, 200.0, 999.0]
    for direction, confidence, close in product(Direction, [*CONFIDENCES[::5], 0.51], closes):
        if (close - 100) * direction.sign >= 0:
            yield format_answer(direction, confidence, close)

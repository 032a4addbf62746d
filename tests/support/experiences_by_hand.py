"""Single experiences for tests: one day of one coin with a stated return, and sets of them."""

from typing import Any

from engine.instruments import Costs, Instrument
from engine.model import Bar, Observation
from engine.outcomes import Outcome
from engine.timeline import build_observations
from strategies.sizing import PositionSizing
from tests.support.markets import CALENDARS, DAY, MONDAY, coin, instrument
from training.dataset.experience import Experience, TradeContext, build_experiences

COIN = Costs(fee_bps=10, slippage_bps=5, latency_bps=0, borrow_rate=0.1)
SIZING = PositionSizing(risk_aversion=25, cap=0.95, shortable=frozenset(["AAA"]))


def make_facts(days: int = 12, **changes: Any) -> dict[str, Any]:
    """Bars of one coin over some days, as the keyword arguments of `experiences`."""
    prices = [(100 + number % 3, 100 + (number * 7) % 5) for number in range(days)]
    return {
        "bars": {"AAA": coin("AAA", *prices)},
        "instruments": {"AAA": instrument("AAA", shortable=True)},
        "calendars": CALENDARS,
        "costs": {"AAA": COIN},
        "sizing": SIZING,
    } | changes


def build_all_experiences(given: dict[str, Any]) -> list[Experience]:
    """All experience that some facts hold, with windows of six bars."""
    observed = build_observations(given["bars"], [], window=6, start=MONDAY - DAY)
    return build_experiences(observed, **given)


def make_trade_context(volatility: float = 0.03, **changes: Any) -> TradeContext:
    """Nothing held and 100,000 to spend at a price of 100."""
    settings: dict[str, Any] = {
        "instrument": instrument("AAA", shortable=True),
        "costs": COIN,
        "sizing": SIZING,
        "volatility": volatility,
        "equity": 100_000.0,
        "position": 0.0,
        "price": 100.0,
        "fill_at": MONDAY,
        "fill_equity": 100_000.0,
    }
    return TradeContext(**(settings | changes))


def make_outcome(change: float, last: float = 100.0) -> Outcome:
    """A day that opens at the last close and ends, and opens again, `change` (a fraction) away from it."""
    after = last if change == 0 else last * (1 + change)
    return Outcome(
        symbol="AAA",
        as_of=MONDAY,
        last_close=last,
        next_close=after,
        known_at=MONDAY + DAY,
        fill_open=last,
        exit_open=after,
        open_known_at=MONDAY + DAY,
    )


def make_experience(change: float, base_rate: float = 0.5, **changes: Any) -> Experience:
    """One day with that return, seen after a single bar; `changes` are those of its situation."""
    seen = Observation(symbol="AAA", as_of=MONDAY, bars=(flat(),), news=())
    return Experience(
        observation=seen,
        outcome=make_outcome(change),
        trade_context=make_trade_context(**changes),
        base_rate=base_rate,
    )


def flat() -> Bar:
    """The bar before the day."""
    return coin("AAA", (100.0, 100.0), start=MONDAY - DAY)[0]


def shares(**changes: Any) -> Instrument:
    """The same symbol in whole lots."""
    return instrument("AAA", **({"lot": 1.0, "shortable": True} | changes))

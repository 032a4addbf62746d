"""Decisions whose whole outcome is known, with the facts of their steps. Knows no position and no call."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from engine.calendars import Calendar
from engine.errors import DataError
from engine.instruments import Instrument
from engine.outcomes import Outcome, outcomes
from engine.values import Abstention, Bar, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was seen, what happened, when the next open came, and the `base_rate` of rises known by then."""

    observation: Observation
    outcome: Outcome
    fill_at: datetime
    base_rate: float


def decisions(
    observed: Sequence[Observation],
    bars: Mapping[str, Sequence[Bar]],
    instruments: Mapping[str, Instrument],
    calendars: Mapping[str, Calendar],
) -> Iterator[Decision]:
    """Those of `observed`, in their order, whose step has ended by the last of `bars` (closed, oldest first).

    Left out are closes after which the next open did not come when the symbol's calendar says: an order would
    have expired, and the next close lies further ahead than the student was asked for. Raises DataError as
    `engine.outcomes.outcomes` does.
    """
    asked = [
        Abstention(symbol=one.symbol, as_of=one.as_of, reason="", last_close=one.last_close)
        for one in observed
    ]
    openings = {symbol: _openings(series) for symbol, series in bars.items()}
    rates = {symbol: _base_rates(series) for symbol, series in bars.items()}
    for observation, (_, outcome) in zip(observed, outcomes(asked, bars), strict=True):
        symbol, as_of = observation.symbol, observation.as_of
        if outcome is None or outcome.exit_open is None:
            continue
        fill_at = openings[symbol][as_of]
        if _due(calendars[instruments[symbol].calendar], as_of, fill_at):
            yield Decision(
                observation=observation, outcome=outcome, fill_at=fill_at, base_rate=rates[symbol][as_of]
            )


def _openings(bars: Sequence[Bar]) -> dict[datetime, datetime]:
    """When the next bar opened, by the instant of each close."""
    return {bar.closes_at: following.opens_at for bar, following in pairwise(bars)}


def _base_rates(bars: Sequence[Bar]) -> dict[datetime, float]:
    """The share of rises among the moves up to each close, by Laplace's rule of succession; ties are none."""
    ups = moves = 0
    rates = {bars[0].closes_at: 0.5} if bars else {}
    for before, bar in pairwise(bars):
        ups += bar.close > before.close
        moves += bar.close != before.close
        rates[bar.closes_at] = (ups + 1) / (moves + 2)
    return rates


def _due(calendar: Calendar, as_of: datetime, fill_at: datetime) -> bool:
    try:
        return fill_at <= calendar.next_open(as_of)
    except DataError:
        return False

"""Ways to alter what a student sees of a day, and what its altered answers say about the others.

A student is asked about the same days again with something of each changed: by `strategies.ablations` in a
backtest, and by `strategies.memory_check`. What a change costs in accuracy shows what the answers rest on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from enum import StrEnum

import numpy as np

from engine.metrics.accuracy import day_ending, decision_day, proportion_ci
from engine.model import Bar, NewsItem, Observation, Prediction
from llm.masked_dates import mask_dates
from llm.masking import Names, hide_dates, mask_observation, shift_observation
from llm.student import MaskableStudent, Student

_MOST_CHARACTERS = 2_000
"""Of a headline, in which dates are looked for; no prompt shows as many."""


class Basis(StrEnum):
    """What the answers rest on: the student's memory of the days, their news, their prices, or nothing."""

    MEMORY = "memory"
    NEWS = "news"
    PRICES = "prices"
    NOTHING = "nothing"


def remove_news(observed: Sequence[Observation]) -> list[Observation]:
    """Return the observations without their news."""
    return [replace(seen, news=()) for seen in observed]


def keep_prices(observed: Sequence[Observation]) -> list[Observation]:
    """Return the observations without their news, and with the same volume in every bar."""
    return [
        replace(seen, news=(), bars=tuple(replace(bar, volume=1.0) for bar in seen.bars)) for seen in observed
    ]


def swap_news(
    observed: Sequence[Observation], rng: np.random.Generator, returns: Sequence[float] | None = None
) -> list[Observation]:
    """Return each observation that has news with that of another day of its symbol, drawn at random.

    Args:
        observed: The observations; one for each symbol and time.
        rng: The source of chance.
        returns: The return after each observation, to draw from days that ended otherwise only.
    """
    rises = [None if returns is None else value > 0 for value in returns or [0.0] * len(observed)]
    pools: dict[tuple[str, bool | None], list[int]] = {}
    for place, seen in enumerate(observed):
        if seen.news:
            pools.setdefault((seen.symbol, rises[place]), []).append(place)
    ranks = {place: rank for pool in pools.values() for rank, place in enumerate(pool)}
    swapped = []
    for place, seen in enumerate(observed):
        rise = rises[place]
        pool = pools.get((seen.symbol, rise if rise is None else not rise), [])
        is_own = returns is None and place in ranks
        if not seen.news or len(pool) <= is_own:
            swapped.append(seen)
            continue
        drawn = int(rng.integers(len(pool) - is_own))
        # The day itself is skipped.
        drawn += is_own and drawn >= ranks[place]
        swapped.append(replace(seen, news=_move_news(observed[pool[drawn]], seen)))
    return swapped


def take_other_news(observed: Sequence[Observation], rng: np.random.Generator) -> list[Observation] | None:
    """Return the observations with news about another symbol in place of that about their own.

    It is that of a symbol drawn at random among those with news on the same day, or else of any day. News
    about the whole market stays.

    Args:
        observed: The observations.
        rng: The source of chance.

    Returns:
        The observations; None where no other symbol has news.
    """
    days: dict[date | None, list[Observation]] = {None: []}
    for seen in observed:
        if any(item.symbols for item in seen.news):
            days.setdefault(day_ending(seen.as_of), []).append(seen)
            days[None].append(seen)
    if len({seen.symbol for seen in days[None]}) < 2:
        return None
    changed = []
    for seen in observed:
        own = [item for item in seen.news if item.symbols]
        if not own:
            changed.append(seen)
            continue
        pool = [other for other in days[day_ending(seen.as_of)] if other.symbol != seen.symbol]
        other = _draw_other(pool or days[None], seen.symbol, rng)
        taken = [item for item in _move_news(other, seen) if item.symbols]
        market = [item for item in seen.news if not item.symbols]
        news = sorted((*taken, *market), key=lambda item: item.available_at)
        changed.append(replace(seen, news=tuple(news)))
    return changed


def _draw_other(pool: Sequence[Observation], symbol: str, rng: np.random.Generator) -> Observation:
    while (other := pool[int(rng.integers(len(pool)))]).symbol == symbol:
        pass  # some observation in the pool is of another symbol
    return other


def _move_news(source: Observation, target: Observation) -> tuple[NewsItem, ...]:
    """Return the news of one observation with the times that it would have in another."""
    return shift_observation(source, target.as_of - source.as_of).news


def turn_prices(observation: Observation) -> Observation:
    """Return the observation with every past return turned round; the last close stays."""
    square = observation.last_close**2

    def turn(bar: Bar) -> Bar:
        return replace(
            bar,
            open=square / bar.open,
            high=square / bar.low,
            low=square / bar.high,
            close=square / bar.close,
        )

    *before, last = (turn(bar) for bar in observation.bars)
    # The square of a float over it may differ from it in the last digit.
    close = min(last.high, max(last.low, observation.last_close))
    return replace(observation, bars=(*before, replace(last, close=close)))


def shift_dates(observation: Observation, by: timedelta) -> Observation:
    """Return the observation with all its times moved, and dates in its headlines made relative.

    "March 5" becomes "3 days ago", which is as true on the day to which the observation is moved.
    """
    today = day_ending(observation.as_of)
    news = tuple(_relate_dates(item, today) for item in observation.news)
    return shift_observation(replace(observation, news=news), by)


def _relate_dates(item: NewsItem, today: date) -> NewsItem:
    text = item.headline[:_MOST_CHARACTERS]
    related = mask_dates(text, today)
    return item if related == text else replace(item, title=related, text="")


def mask_names(
    student: Student, observed: Sequence[Observation], names: Names
) -> tuple[Student, Sequence[Observation]]:
    """Return a student and what to ask it, so that its prompts have no names and dates.

    Args:
        student: A student whose prompts are not masked.
        observed: The observations.
        names: The names of each symbol.
    """
    if isinstance(student, MaskableStudent):
        return student.with_mask(names), observed
    return student, [hide_dates(mask_observation(seen, names)) for seen in observed]


def interval_by_day(values: Sequence[tuple[Prediction, float]], *, low: float) -> tuple[float, float] | None:
    """Return the 95% interval of the mean of whole numbers, with the days of the predictions as clusters.

    Args:
        values: Predictions, each with its value: -1, 0 or 1.
        low: The lowest value that is possible.
    """
    days: dict[date, tuple[int, int]] = {}
    for call, value in values:
        total, count = days.get(decision_day(call), (0, 0))
        days[decision_day(call)] = (total + round(value), count + 1)
    return proportion_ci(list(days.values()), low=low)


def mean(values: Sequence[float]) -> float | None:
    """Return the mean; None of nothing."""
    return sum(values) / len(values) if values else None


def largest(measures: Mapping[Basis, float]) -> Basis:
    """Return the basis of the largest measure, of equals the first; nothing where none is above zero."""
    basis = max(measures, key=lambda each: measures[each])
    return basis if measures[basis] > 0 else Basis.NOTHING

"""What the tiny student is taught: prompts of simulated markets, answered as the oracle would.

A label is the oracle's probability, not what happened: raw outcomes teach a stated confidence of 1.00.
Headlines are roughened on the way, with words left out and lines of invented words between them that
change no label, so that the student learns words rather than sentences and that unknown text says nothing.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from engine.observations import observations
from engine.values import Direction, NewsItem, Observation
from feeds.headlines import HeadlineSet
from feeds.simulated import MarketSettings, OracleView, simulate
from llm.answers import write
from llm.prompts import BASE, CompactTemplate, Messages, rebase

_SHORTENED = 0.3
_WORD_LEFT_OUT = 0.2
_INVENTED = 0.2
_SYLLABLES = ("ba", "cor", "del", "fin", "gra", "hol", "ix", "jun", "kel", "lo", "mar", "nes", "or", "um")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A prompt as chat messages, and the answer that the oracle would give."""

    messages: Messages
    answer: str


def oracle_answer(view: OracleView, observation: Observation) -> str:
    """The best answer: the likelier direction, its probability, and the median next close."""
    up = view.probability_up >= 0.5
    close = rebase(view.close, observation.last_close)
    close = max(BASE, close) if up else min(BASE, close)
    return write(
        Direction.UP if up else Direction.DOWN, max(view.probability_up, 1 - view.probability_up), close
    )


def lessons(seed: int, *, days: int = 365) -> Iterator[Lesson]:
    """Every close of one simulated market of seven coins and seven stocks, in the order of time.

    Only headlines that are not withheld occur.
    """
    market = simulate(MarketSettings(seed=seed, coins=7, stocks=7, days=days, headlines=HeadlineSet.FAMILIAR))
    template = CompactTemplate()
    rng = random.Random(seed)  # noqa: S311  # lessons, not secrets
    start = datetime.min.replace(tzinfo=UTC)
    for observation in observations(market.bars, market.news, window=template.window, start=start):
        view = market.oracle[observation.symbol, observation.as_of]
        news = [_shortened(item, rng) for item in observation.news]
        if news and len(news) < template.headlines and rng.random() < _INVENTED:
            news.insert(rng.randrange(len(news) + 1), replace(rng.choice(news), title=_invented(rng)))
        yield Lesson(
            messages=template.messages(replace(observation, news=tuple(news)), template.headlines),
            answer=oracle_answer(view, observation),
        )


def _shortened(item: NewsItem, rng: random.Random) -> NewsItem:
    """The item as it is, or with some of its words left out."""
    if rng.random() >= _SHORTENED:
        return item
    words = item.title.split()
    kept = [word for word in words if rng.random() >= _WORD_LEFT_OUT]
    return replace(item, title=" ".join(kept or words))


def _invented(rng: random.Random) -> str:
    """A line of words that mean nothing."""
    words = ("".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4))) for _ in range(rng.randint(4, 11)))
    return " ".join(words).capitalize()

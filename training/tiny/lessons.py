"""What the tiny student is taught: prompts of simulated markets, answered as the oracle would.

A label is the oracle's probability, not what happened: raw outcomes teach a stated confidence of 1.00.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.observations import observations
from engine.values import Direction, Observation
from feeds.headlines import HeadlineSet
from feeds.simulated import MarketSettings, OracleView, simulate
from llm.answers import write
from llm.prompts import BASE, CompactTemplate, Messages, rebase


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
    """Every close of one simulated market, in the order of time.

    Only headlines that are not withheld occur.
    """
    market = simulate(MarketSettings(seed=seed, coins=2, stocks=2, days=days, headlines=HeadlineSet.FAMILIAR))
    template = CompactTemplate()
    start = datetime.min.replace(tzinfo=UTC)
    for observation in observations(market.bars, market.news, window=template.window, start=start):
        view = market.oracle[observation.symbol, observation.as_of]
        yield Lesson(
            messages=template.messages(observation, template.headlines),
            answer=oracle_answer(view, observation),
        )

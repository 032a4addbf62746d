"""Asks the right source about each symbol, and keeps account of who answers and what time they have.

Knows back-off, clocks and what the journal was told of them; it knows nothing of bars and slices.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar

from engine.journal import Event
from engine.values import NewsItem
from feeds.live.clock import ClockCheck
from feeds.live.limits import Limits
from feeds.live.memory import Memory
from feeds.live.requests import Answers, Ask, BackOff, visit
from feeds.live.sources import BarSource, NewsSource

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Inquiry(Generic[T]):
    """What was learned: values with the source's clock just before, errors by symbol, events to journal."""

    values: dict[str, tuple[T, datetime]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


class Contacts:
    """The sources of all symbols, the feeds of news, and their clocks."""

    def __init__(
        self,
        sources: Mapping[str, BarSource],
        news: Sequence[NewsSource],
        *,
        memory: Memory,
        limits: Limits,
        ask: Ask,
        clock: Callable[[], datetime],
    ) -> None:
        self._sources = {source.name: source for source in sources.values()}
        self._name_of = {symbol: source.name for symbol, source in sources.items()}
        self._news = {source.name: source for source in news}
        if shared := self._sources.keys() & self._news.keys():
            raise ValueError(f"two sources are called {min(shared)}; each needs a name of its own")
        self._memory = memory
        self._ask = ask
        self._clock = clock
        self._back_off = BackOff(first=limits.back_off, longest=limits.back_off_at_most)
        self.clocks = ClockCheck(tolerance=limits.clock_tolerance)

    def market(self) -> datetime:
        """What time it is on the exchanges."""
        return self.clocks.market(self._clock())

    def check_clocks(self) -> list[Event]:
        """Ask every source what time it has."""
        return self._visit({name: [] for name in self._sources}, lambda _source, _symbol: None).events

    def inquire(self, symbols: Iterable[str], question: Callable[[BarSource, str], T]) -> Inquiry[T]:
        """Ask each symbol's source the question, but for sources that have failed just now."""
        wanted: dict[str, list[str]] = {}
        for symbol in symbols:
            wanted.setdefault(self._name_of[symbol], []).append(symbol)
        return self._visit(wanted, question)

    def read_news(self) -> tuple[list[NewsItem], list[Event]]:
        """What the feeds show now."""
        now = self._clock()
        tasks = {name: feed.poll for name, feed in self._news.items() if self._back_off.open(name, now)}
        items: list[NewsItem] = []
        events: list[Event] = []
        for name, answer in self._ask(tasks).items():
            if isinstance(answer, Exception):
                events += self._failed(name, answer)
            else:
                events += self._answered(name)
                items += answer
        return items, events

    def _visit(self, wanted: Mapping[str, list[str]], question: Callable[[BarSource, str], T]) -> Inquiry[T]:
        now = self._clock()
        tasks = {
            name: partial(visit, self._sources[name], symbols, question, self._clock)
            for name, symbols in wanted.items()
            if self._back_off.open(name, now)
        }
        learned: Inquiry[T] = Inquiry()
        for name, answer in self._ask(tasks).items():
            if isinstance(answer, Exception):
                learned.errors |= dict.fromkeys(wanted[name], type(answer).__name__)
                learned.events += self._failed(name, answer)
            else:
                self._take(learned, answer)
                learned.events += self._answered(name)
        return learned

    def _take(self, learned: Inquiry[T], answer: Answers[T]) -> None:
        learned.errors |= answer.errors
        for symbol, value in answer.values.items():
            learned.values[symbol] = value, answer.clock.server_time
        if told := self.clocks.note(answer.clock, self._memory.offsets):
            learned.events.append(told)

    def _failed(self, name: str, error: Exception) -> list[Event]:
        self._back_off.failed(name, self._clock())
        return [] if name in self._memory.down else [self._state(name, "down", type(error).__name__)]

    def _answered(self, name: str) -> list[Event]:
        self._back_off.answered(name)
        return [self._state(name, "up", "it answers again")] if name in self._memory.down else []

    def _state(self, name: str, state: str, reason: str) -> Event:
        payload = {"source": name, "state": state, "reason": reason}
        return Event(kind="source", as_of=self.market(), payload=payload)

"""Poll the sources: ask the right one about each symbol, and track which answer and what time they have.

A source that fails is asked again after a growing pause, and its state goes into the journal.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Generic, Protocol, TypeVar

from engine.journal.events import encode
from engine.journal.events.inputs import SourceState
from engine.journal.journal import Event
from engine.model import NewsItem, require_utc
from feeds.live.clock_sync import ClockCheck, ClockReading
from feeds.live.journal_state import JournalState
from feeds.live.protocols import BarSource, NewsSource
from feeds.live.settings import Limits

_R = TypeVar("_R")
T = TypeVar("T")


class Executor(Protocol):
    """Runs one task for each source and returns its result, or the exception that ended it."""

    def __call__(self, tasks: Mapping[str, Callable[[], _R]]) -> dict[str, "_R | Exception"]:
        """Run the tasks, by source."""
        ...


def run_sequential(tasks: Mapping[str, Callable[[], _R]]) -> dict[str, _R | Exception]:
    """Run one task after the other in this thread, in the given order."""
    return {name: _run_task(task) for name, task in tasks.items()}


class ConcurrentExecutor:
    """Run each task in a thread of its own; one that is not done in `seconds` counts as failed.

    A source whose task still hangs is not asked again before that task has ended.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[str, Future[object]] = {}

    def __call__(self, tasks: Mapping[str, Callable[[], _R]]) -> dict[str, _R | Exception]:
        """Run the tasks, by source."""
        hanging = {name for name, future in self._running.items() if not future.done()}
        futures: dict[str, Future[_R]] = {}
        for name, task in tasks.items():
            if name not in hanging:
                self._running[name] = futures[name] = _start_thread(task)  # type: ignore[assignment]  # tasks of one name have one type
        wait(futures.values(), timeout=self._seconds)
        return {
            name: _run_task(futures[name].result)
            if name in futures and futures[name].done()
            else TimeoutError()
            for name in tasks
        }


def _start_thread(task: Callable[[], _R]) -> Future[_R]:
    future: Future[_R] = Future()

    def run() -> None:
        try:
            future.set_result(task())
        except BaseException as error:  # whatever ends the thread, the caller must not wait forever
            future.set_exception(error)

    # A daemon thread, because a source that hangs must not keep the program from ending.
    threading.Thread(target=run, daemon=True).start()
    return future


def _run_task(task: Callable[[], _R]) -> _R | Exception:
    try:
        return task()
    except Exception as error:  # raised or journaled by the caller, who knows the source
        return error


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAnswers(Generic[T]):
    """The answers of one poll of a source: its clock first, then a value or an error for each symbol."""

    clock: ClockReading
    values: Mapping[str, T]
    errors: Mapping[str, str]


def poll_source(
    source: BarSource,
    symbols: Iterable[str],
    request: Callable[[BarSource, str], T],
    clock: Callable[[], datetime],
) -> SourceAnswers[T]:
    """Ask a source for its time, then about each symbol.

    Args:
        source: The source.
        symbols: The symbols to ask about.
        request: Asks the source about one symbol.
        clock: Returns this machine's time, in UTC.

    Raises:
        Exception: What `server_time` raises, and what `request` raises if it does so for every symbol.
    """
    asked_at = clock()
    server_time = source.server_time()
    require_utc(server_time, f"the time of {source.name}")
    reading = ClockReading(
        source=source.name, asked_at=asked_at, answered_at=clock(), server_time=server_time
    )
    values: dict[str, T] = {}
    errors: dict[str, Exception] = {}
    for symbol in symbols:
        try:
            values[symbol] = request(source, symbol)
        except Exception as error:  # one symbol must not cost the others their answers; it is journaled
            errors[symbol] = error
    if errors and not values:
        raise next(iter(errors.values()))
    return SourceAnswers(
        clock=reading,
        values=values,
        errors={symbol: _journal_name(error) for symbol, error in errors.items()},
    )


def _journal_name(error: Exception) -> str:
    """Return what journals call a kind of error; its text may hold an address."""
    return str(getattr(error, "journal_name", type(error).__name__))


@dataclass(slots=True, kw_only=True)
class BackOff:
    """Exponential back-off: when a source that fails may be asked again.

    The pause is `first` after its first failure and doubles with each further one, up to `longest`.
    """

    first: timedelta
    longest: timedelta
    failures: dict[str, int] = field(default_factory=dict)
    until: dict[str, datetime] = field(default_factory=dict)

    def may_ask(self, name: str, now: datetime) -> bool:
        """Return whether the source may be asked at `now`."""
        # A wait longer than any back-off means that the clock was set back.
        return name not in self.until or not now < self.until[name] <= now + self.longest

    def on_failure(self, name: str, now: datetime) -> None:
        """Record that the source failed at `now`."""
        count = self.failures[name] = self.failures.get(name, 0) + 1
        self.until[name] = now + min(self.longest, self.first * 2 ** min(count - 1, 16))

    def on_answer(self, name: str) -> None:
        """Record that the source answered."""
        self.failures.pop(name, None)
        self.until.pop(name, None)


@dataclass(slots=True, kw_only=True)
class PollResult(Generic[T]):
    """The result of a poll: values with the source's time, errors by symbol, events to journal."""

    values: dict[str, tuple[T, datetime]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


class SourcePoller:
    """The sources of all symbols, the news feeds, and the sources' clocks."""

    def __init__(
        self,
        sources: Mapping[str, BarSource],
        news: Sequence[NewsSource],
        *,
        state: JournalState,
        limits: Limits,
        executor: Executor,
        clock: Callable[[], datetime],
    ) -> None:
        self._sources = {source.name: source for source in sources.values()}
        self._source_by_symbol = {symbol: source.name for symbol, source in sources.items()}
        self._news = {source.name: source for source in news}
        if shared := self._sources.keys() & self._news.keys():
            raise ValueError(f"two sources are called {min(shared)}; give each a name of its own")
        self._state = state
        self._executor = executor
        self._clock = clock
        self._back_off = BackOff(first=limits.back_off, longest=limits.back_off_at_most)
        self.clocks = ClockCheck(tolerance=limits.clock_tolerance)

    def market_time(self) -> datetime:
        """Return the exchanges' time."""
        return self.clocks.market_time(self._clock())

    def check_clocks(self) -> list[Event]:
        """Ask every source for its time; return the events to journal."""
        return self._poll_sources({name: [] for name in self._sources}, lambda _source, _symbol: None).events

    def poll(self, symbols: Iterable[str], request: Callable[[BarSource, str], T]) -> PollResult[T]:
        """Ask each symbol's source, except those in back-off."""
        wanted: dict[str, list[str]] = {}
        for symbol in symbols:
            wanted.setdefault(self._source_by_symbol[symbol], []).append(symbol)
        return self._poll_sources(wanted, request)

    def read_news(self) -> tuple[list[NewsItem], list[Event]]:
        """Poll the news feeds; return their items and the events to journal."""
        now = self._clock()
        tasks = {name: feed.poll for name, feed in self._news.items() if self._back_off.may_ask(name, now)}
        items: list[NewsItem] = []
        events: list[Event] = []
        for name, answer in self._executor(tasks).items():
            if isinstance(answer, Exception):
                events += self._on_failure(name, answer)
            else:
                events += self._on_answer(name)
                items += answer
        return items, events

    def _poll_sources(
        self, wanted: Mapping[str, list[str]], request: Callable[[BarSource, str], T]
    ) -> PollResult[T]:
        now = self._clock()
        tasks = {
            name: partial(poll_source, self._sources[name], symbols, request, self._clock)
            for name, symbols in wanted.items()
            if self._back_off.may_ask(name, now)
        }
        result: PollResult[T] = PollResult()
        for name, answer in self._executor(tasks).items():
            if isinstance(answer, Exception):
                result.errors |= dict.fromkeys(wanted[name], _journal_name(answer))
                result.events += self._on_failure(name, answer)
            else:
                self._merge_answer(result, answer)
                result.events += self._on_answer(name)
        return result

    def _merge_answer(self, result: PollResult[T], answer: SourceAnswers[T]) -> None:
        result.errors |= answer.errors
        for symbol, value in answer.values.items():
            result.values[symbol] = value, answer.clock.server_time
        if event := self.clocks.add_reading(answer.clock, self._state.offsets):
            result.events.append(event)

    def _on_failure(self, name: str, error: Exception) -> list[Event]:
        self._back_off.on_failure(name, self._clock())
        return [] if name in self._state.down else [self._state_event(name, "down", _journal_name(error))]

    def _on_answer(self, name: str) -> list[Event]:
        self._back_off.on_answer(name)
        return [self._state_event(name, "up", "it answers again")] if name in self._state.down else []

    def _state_event(self, name: str, state: str, reason: str) -> Event:
        return encode(SourceState(source=name, state=state, reason=reason), self.market_time())

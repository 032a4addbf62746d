"""Asks the sources, each by itself, so that one that fails or hangs holds up no other.

Knows time limits and back-off. It knows neither what is asked nor what the answer is good for; of an error it
tells the type alone.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from engine.values import require_utc
from feeds.live.clock import ClockReading
from feeds.live.sources import BarSource

T = TypeVar("T")
_R = TypeVar("_R")


class Ask(Protocol):
    """Runs one task for each source and hands back its result, or the exception that ended it."""

    def __call__(self, tasks: Mapping[str, Callable[[], _R]]) -> dict[str, "_R | Exception"]:
        """Run the tasks, by source."""
        ...


def in_turn(tasks: Mapping[str, Callable[[], _R]]) -> dict[str, _R | Exception]:
    """One task after the other, in this thread: the same order every time."""
    return {name: _outcome(task) for name, task in tasks.items()}


class AtOnce:
    """Each task in a thread of its own; one that is not done in `seconds` counts as failed.

    A source that still hangs is not asked again before it has come back.
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
                self._running[name] = futures[name] = _started(task)  # type: ignore[assignment]  # tasks of one name have one type
        wait(futures.values(), timeout=self._seconds)
        return {
            name: _outcome(futures[name].result)
            if name in futures and futures[name].done()
            else TimeoutError()
            for name in tasks
        }


def _started(task: Callable[[], _R]) -> Future[_R]:
    future: Future[_R] = Future()

    def run() -> None:
        try:
            future.set_result(task())
        except BaseException as error:  # whatever ends the thread must not leave its asker waiting
            future.set_exception(error)

    # A daemon, because a source that hangs must not keep the program from ending.
    threading.Thread(target=run, daemon=True).start()
    return future


def _outcome(task: Callable[[], _R]) -> _R | Exception:
    try:
        return task()
    except Exception as error:
        return error


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers(Generic[T]):
    """What a source said in one visit: its clock first, then a value or an error for each symbol."""

    clock: ClockReading
    values: Mapping[str, T]
    errors: Mapping[str, str]


def visit(
    source: BarSource,
    symbols: Iterable[str],
    question: Callable[[BarSource, str], T],
    clock: Callable[[], datetime],
) -> Answers[T]:
    """Ask one source the time, then the question for each symbol.

    Raises what `server_time` raises, and what the question raises where it does so for every symbol.
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
            values[symbol] = question(source, symbol)
        except Exception as error:
            errors[symbol] = error
    if errors and not values:
        raise next(iter(errors.values()))
    return Answers(
        clock=reading,
        values=values,
        errors={symbol: type(error).__name__ for symbol, error in errors.items()},
    )


@dataclass(slots=True, kw_only=True)
class BackOff:
    """When a source that fails may be asked again.

    That is `first` after its first failure, twice as long after each further one, at most `longest`.
    """

    first: timedelta
    longest: timedelta
    failures: dict[str, int] = field(default_factory=dict)
    until: dict[str, datetime] = field(default_factory=dict)

    def open(self, name: str, now: datetime) -> bool:
        """Whether the source may be asked at `now`."""
        # A wait longer than any back-off means that the clock was set back meanwhile.
        return name not in self.until or not now < self.until[name] <= now + self.longest

    def failed(self, name: str, now: datetime) -> None:
        """The source failed at `now`."""
        count = self.failures[name] = self.failures.get(name, 0) + 1
        self.until[name] = now + min(self.longest, self.first * 2 ** min(count - 1, 16))

    def answered(self, name: str) -> None:
        """The source is there."""
        self.failures.pop(name, None)
        self.until.pop(name, None)

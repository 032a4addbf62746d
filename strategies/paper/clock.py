"""Where inputs come from, and how time is known and passed. Knows no session and no wall clock."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

POLL_INTERVAL = 0.2


class Source(Protocol):
    """Appends inputs to the session's journal; `feeds.live.collector.Collector` is one."""

    def step(self, now: datetime) -> datetime | None:
        """Append what is due at `now`, and return when to call again, or None if nothing will ever come."""
        ...


class Clock(Protocol):
    """The time of a session: this machine's, or a simulated one."""

    @property
    def simulated(self) -> bool:
        """Whether time is that of the inputs, so that nothing is ever waited for."""
        ...

    def now(self) -> datetime:
        """What time it is, in UTC."""
        ...

    def wait(self, until: datetime) -> None:
        """Come back at `until`, or earlier."""
        ...

    def advance_to(self, at: datetime) -> None:
        """The input of this instant is worked on; it is that time now, where time is simulated."""
        ...

    def wait_real_time(self, until: datetime) -> None:
        """Like `wait`, for something of this machine's: simulated time stands still meanwhile."""
        ...


class SimulatedClock:
    """Time that jumps to whatever is waited for, or passes `speed` times as fast as `sleep` takes.

    `pause` lets seconds of this machine pass, where it is this machine that is waited for.
    """

    simulated = True

    def __init__(
        self,
        start: datetime,
        sleep: Callable[[float], None] | None = None,
        speed: float = 1.0,
        *,
        pause: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._now = start
        self._sleep = sleep
        self._speed = speed
        self._pause = pause

    def now(self) -> datetime:
        """The simulated instant."""
        return self._now

    def wait(self, until: datetime) -> None:
        """Jump to `until`, or let a moment pass; time never goes back."""
        if self._sleep is None:
            self._now = max(self._now, until)
            return
        seconds = min(max(0.0, (until - self._now).total_seconds() / self._speed), POLL_INTERVAL)
        self._sleep(seconds)
        moved = self._now + timedelta(seconds=seconds * self._speed)
        self._now = until if seconds < POLL_INTERVAL else min(until, moved)

    def advance_to(self, at: datetime) -> None:
        """It is `at` now, also when inputs were journaled ahead."""
        self._now = at

    def wait_real_time(self, until: datetime) -> None:
        """A moment of this machine's, and none of the simulated time."""
        del until
        self._pause(POLL_INTERVAL)


class SystemClock:
    """This machine's clock and a way to sleep, passed in; a wait ends after `look_up` seconds at most."""

    simulated = False

    def __init__(
        self,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        poll_interval: float = POLL_INTERVAL,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._poll_interval = poll_interval

    def now(self) -> datetime:
        """What the clock says."""
        return self._clock()

    def wait(self, until: datetime) -> None:
        """Sleep until then, or for a moment."""
        seconds = (until - self._clock()).total_seconds()
        if seconds > 0:
            self._sleep(min(seconds, self._poll_interval))

    def advance_to(self, at: datetime) -> None:
        """Nothing: real time passes by itself."""

    def wait_real_time(self, until: datetime) -> None:
        """The same as `wait`: this machine's time is the session's."""
        self.wait(until)

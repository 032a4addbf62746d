"""Sources of inputs, and the clocks of sessions, real or simulated. The wall clock is passed in."""

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
        """Return whether time is that of the inputs."""
        ...

    def now(self) -> datetime:
        """Return the current time, in UTC."""
        ...

    def wait(self, until: datetime) -> None:
        """Wait until an instant, or return earlier."""
        ...

    def advance_to(self, at: datetime) -> None:
        """Set simulated time to the instant of the input that is processed; real time is left alone."""
        ...

    def wait_real_time(self, until: datetime) -> None:
        """Wait in real time, for a condition of this machine; simulated time stands still meanwhile."""
        ...


class SimulatedClock:
    """Simulated time: it jumps to the instant waited for, or passes `speed` times as fast as real time.

    `sleep` and `pause` take seconds of real time; `pause` is for waits on this machine, such as a full disk.
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
        """Return the simulated instant."""
        return self._now

    def wait(self, until: datetime) -> None:
        """Jump to `until`, or let a moment pass; time never moves back."""
        if self._sleep is None:
            self._now = max(self._now, until)
            return
        seconds = min(max(0.0, (until - self._now).total_seconds() / self._speed), POLL_INTERVAL)
        self._sleep(seconds)
        moved = self._now + timedelta(seconds=seconds * self._speed)
        self._now = until if seconds < POLL_INTERVAL else min(until, moved)

    def advance_to(self, at: datetime) -> None:
        """Set the time to `at`, also when inputs were journaled ahead."""
        self._now = at

    def wait_real_time(self, until: datetime) -> None:
        """Pause for a moment of real time."""
        del until
        self._pause(POLL_INTERVAL)


class SystemClock:
    """This machine's clock and sleep, passed in; a wait ends after `poll_interval` seconds at most."""

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
        """Return the machine's time."""
        return self._clock()

    def wait(self, until: datetime) -> None:
        """Sleep until then, or for one poll interval."""
        seconds = (until - self._clock()).total_seconds()
        if seconds > 0:
            self._sleep(min(seconds, self._poll_interval))

    def advance_to(self, at: datetime) -> None:
        """Do nothing: real time passes by itself."""

    def wait_real_time(self, until: datetime) -> None:
        """Wait as `wait` does: this machine's time is the session's."""
        self.wait(until)

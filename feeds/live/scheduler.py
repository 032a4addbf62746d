"""Run a collector by the wall clock, in the calling thread."""

import threading
from collections.abc import Callable
from datetime import datetime

from feeds.live.collector import Collector

_LONGEST_WAIT_SECONDS = 1.0


def run_scheduler(collector: Collector, *, clock: Callable[[], datetime], stop: threading.Event) -> None:
    """Step `collector` whenever it is due, until `stop` is set.

    A step that has begun is finished first. What it raises, such as a JournalError, ends the run. `clock`
    returns this machine's time, in UTC.
    """
    while not stop.is_set():
        wake = collector.step(clock())
        # The clock is read often, because it may be set, or the machine suspended, during the wait.
        while (left := (wake - clock()).total_seconds()) > 0:
            if stop.wait(min(left, _LONGEST_WAIT_SECONDS)):
                return

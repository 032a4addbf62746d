"""Run a collector by the wall clock, with APScheduler as its alarm.

The collector works in the calling thread; the scheduler only wakes it.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from feeds.live.collector import Collector

_STOP_CHECK_SECONDS = 0.2


def run_scheduler(collector: Collector, *, clock: Callable[[], datetime], stop: threading.Event) -> None:
    """Step `collector` whenever it is due, until `stop` is set.

    A step that has begun is finished first. What it raises, such as a JournalError, ends the run.

    Args:
        collector: The collector to run.
        clock: Returns this machine's time, in UTC.
        stop: Ends the run when set.
    """
    from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]  # has none
    from apscheduler.triggers.date import DateTrigger  # type: ignore[import-untyped]  # has none

    alarm = threading.Event()
    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.start()
    try:
        while not stop.is_set():
            wake = collector.step(clock())
            scheduler.add_job(
                alarm.set,
                DateTrigger(run_date=wake, timezone=UTC),
                id="collector",
                replace_existing=True,
                misfire_grace_time=None,  # a late alarm must still wake the loop
            )
            while not alarm.wait(_STOP_CHECK_SECONDS) and not stop.is_set():
                pass
            alarm.clear()
    finally:
        scheduler.shutdown()

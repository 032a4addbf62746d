"""Runs a collector by the wall clock, with APScheduler as its alarm.

Knows no source and no journal: the collector works in the thread that calls, the scheduler only wakes it.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from feeds.live.collector import Collector

_LOOK_UP = 0.2


def run_scheduler(collector: Collector, *, clock: Callable[[], datetime], stop: threading.Event) -> None:
    """Step `collector` whenever it wants to be called, until `stop` is set.

    `clock` is this machine's time in UTC. A step that has begun is finished first; whatever it raises, a
    JournalError above all, ends the run and is raised here.
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
                misfire_grace_time=None,  # an alarm that comes too late still has to wake
            )
            while not alarm.wait(_LOOK_UP) and not stop.is_set():
                pass
            alarm.clear()
    finally:
        scheduler.shutdown()

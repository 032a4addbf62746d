"""How long work shows on stderr: a bar with a rate in a terminal, a line now and then elsewhere."""

import math
import sys
import time
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from strategies.console import print_stderr, print_wait, wait_line
from tui.formatting import format_duration

_LINE_EVERY_SECONDS = 15.0
_RATE_SECONDS = 86_400.0
_READING = ("reading", "checking")
_READING_PATIENCE = 2.0
"""An error in what is read shall stand alone, unless reading it takes long."""
_SHORT_SECONDS = 5.0
"""Over how long a rate is measured: a fold of a walk-forward may take an hour."""


class ProgressDisplay:
    """Takes `(stage, done, total)` and shows it; total 0 means that the length is not known.

    Outside a terminal a stage is shown once it has lasted `patience` seconds.
    """

    def __init__(self, *, quiet: bool = False, patience: float = 0.0) -> None:
        self._quiet = quiet
        self._patience = patience
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._begun: dict[str, tuple[float, int]] = {}
        self._last_line: dict[str, float] = {}
        self._ended: set[str] = set()

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                speed_estimate_period=_RATE_SECONDS,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is; what follows a comma in its name may change from call to call."""
        stage, _, detail = stage.partition(", ")
        if self._bar is not None:
            self._move(stage, done, total, detail)
        elif not self._quiet:
            self._line(stage, done, total, detail)

    def show_wait(self, wait: Any) -> None:
        """Say why a source is asked again, and when."""
        if self._bar is not None:
            self._bar.console.print(wait_line(wait), markup=False, highlight=False, soft_wrap=True)
        elif not self._quiet:
            print_wait(wait)

    def _move(self, stage: str, done: int, total: int, detail: str) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total or None, rate="")
        speed = self._bar.tasks[self._tasks[stage]].speed
        rate = detail or (f"{speed:.0f}/s" if speed else "")
        self._bar.update(self._tasks[stage], completed=done, total=total or None, rate=rate)

    def _line(self, stage: str, done: int, total: int, detail: str) -> None:
        if not total:
            return  # nothing to tell yet, and an error that follows shall stand alone
        now = time.monotonic()
        patience = _READING_PATIENCE if stage.startswith(_READING) else self._patience
        if now - self._begun.setdefault(stage, (now, done))[0] < patience:
            return
        ended = done == total and stage not in self._ended
        if now - self._last_line.get(stage, -math.inf) < _LINE_EVERY_SECONDS and not ended:
            return
        if done == total:
            self._ended.add(stage)
        self._last_line[stage] = now
        detail = f", {detail}" if detail else ""
        print_stderr(f"{stage} {done}/{total}{detail}{self._time_left(stage, done, total, now)}")

    def _time_left(self, stage: str, done: int, total: int, now: float) -> str:
        """Return the time left at the stage's rate so far; empty where that is short or not known."""
        begun, first = self._begun[stage]
        if done <= first or done >= total:
            return ""
        left = (now - begun) / (done - first) * (total - done)
        return f", about {format_duration(timedelta(seconds=left))} left" if left >= _SHORT_SECONDS else ""

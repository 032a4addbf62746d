"""When a session's student is retrained, and the process that does it.

In a replay the session waits for it, so that the new adapter comes at the same simulated instant each time;
live it goes on meanwhile. Knows no trainer and no registry.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.digests import utc_text
from engine.errors import JournalError
from engine.journal import Event, Journal
from strategies.paper.faults import passes
from strategies.paper_config import Retraining
from tui.paper.places import learning_dir
from tui.paper.plan import Plan
from tui.progress import say

RETRAINED, RETRAINING = "retrained", "retraining"
RETRAIN_COMMAND = (sys.executable, "-P", "-m", "tui.paper.retrain_process")
_EVERY: Mapping[Retraining, timedelta] = {
    Retraining.DAILY: timedelta(days=1),
    Retraining.WEEKLY: timedelta(days=7),
    Retraining.MONTHLY: timedelta(days=30),
    Retraining.QUARTERLY: timedelta(days=91),
    Retraining.ON_DRIFT: timedelta(days=7),
}
_LOOK_EVERY = 0.1
_LONGEST = 6 * 3600.0
_TRIES = 3


class Schedule:
    """The instants at which a session of a plan retrains: evenly from its start on."""

    def __init__(self, plan: Plan, journal: Journal) -> None:
        self._every = _EVERY.get(plan.config.paper.retrain)
        first = next(journal.read(0))
        self._start = first.as_of
        done = [datetime.fromisoformat(row.payload["due"]) for row in journal.read(kinds=(RETRAINED,))]
        self._done = max(done, default=self._start)

    def due(self, at: datetime) -> datetime | None:
        """The last instant that was due at `at` and is not done; those missed before it are passed over."""
        if self._every is None:
            return None
        last = self._start + (at - self._start) // self._every * self._every
        return last if last > self._done else None

    def done(self, due: datetime) -> None:
        """What was due is done, or could not be."""
        self._done = due


class Retrainer:
    """Does what is due for one session. `look` is called while a replay waits and may raise."""

    def __init__(self, plan: Plan, journal: Journal, look: Callable[[], None]) -> None:
        self._plan = plan
        self._journal = journal
        self._look = look
        self._schedule = Schedule(plan, journal)
        self._running: subprocess.Popen[bytes] | None = None
        self._due: datetime | None = None

    def step(self, at: datetime) -> None:
        """See to what is due at `at`."""
        if self._running is not None:
            self._see(at)
        elif (due := self._schedule.due(at)) is not None:
            self._due = due
            if self._plan.replay:
                say(f"retraining as of {due:%Y-%m-%d}; the replay waits for it")
                self._note(due, self._waited_for(due), at)
            else:
                self._running = self._started(due)

    def end(self) -> None:
        """Break off what runs; it is done again when it is next due."""
        if self._running is not None:
            self._running.kill()
            self._running.communicate()
            self._running = None

    def _see(self, at: datetime) -> None:
        if self._running is None or self._due is None or self._running.poll() is None:
            return
        out, _ = self._running.communicate()
        code, self._running = self._running.returncode, None
        self._note(self._due, _said(out, code), at)

    def _waited_for(self, due: datetime) -> Mapping[str, Any]:
        said: Mapping[str, Any] = {}
        for _ in range(_TRIES):
            self._running = self._started(due)
            until = time.monotonic() + _LONGEST
            try:
                while self._running.poll() is None and time.monotonic() < until:
                    self._look()
                    time.sleep(_LOOK_EVERY)
            except BaseException:
                self.end()
                raise
            process, self._running = self._running, None
            process.kill()
            out, _ = process.communicate()
            said = _said(out, process.returncode)
            if process.returncode == 0:
                break
        return said

    def _started(self, due: datetime) -> "subprocess.Popen[bytes]":
        plan = self._plan
        wanted = {
            "data_dir": str(plan.data_dir),
            "learning": str(learning_dir(plan.data_dir, plan.name, replay=plan.replay)),
            "name": plan.name,
            "at": utc_text(due),
            "paper": plan.config.paper.model_dump(mode="json"),
            "seed": plan.config.seed,
            "if_drift": plan.config.paper.retrain is Retraining.ON_DRIFT,
        }
        process = subprocess.Popen(RETRAIN_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  # ours
        if process.stdin is None:
            raise RuntimeError("a process was started without its pipes")
        process.stdin.write(json.dumps(wanted).encode() + b"\n")
        process.stdin.flush()
        return process

    def _note(self, due: datetime, said: Mapping[str, Any], at: datetime) -> None:
        event = Event(kind=RETRAINED, as_of=at, payload={"due": due, **said})
        try:
            self._journal.append([event], at)
        except JournalError as error:
            if not passes(error):
                raise
            return  # it stays due, and the same round is found done
        self._schedule.done(due)


def _said(out: bytes, code: int) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(out)
    except ValueError:
        how = f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"
        return {"failed": f"the training's process {how}"}
    return found

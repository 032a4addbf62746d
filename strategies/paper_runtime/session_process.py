"""The process of a session: collector and engine, or a replay; the student is a child of it.

Reads its plan from stdin. Ends with exit code 0 when the session has ended, 10 when it was told to stop or
its supervisor is gone, and as any command where something is wrong.
"""

import json
import logging
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.errors import ClosecallError
from engine.journal.journal import Journal
from engine.parent_process import tell_at_end_of_stdin
from engine.timeline import observations
from llm.answer_cache import Ledger
from llm.student import TimelyStudent
from llm.worker.host import STUDENT_COMMAND, RemoteStudent, StudentHost
from strategies.config import Retraining, student_settings
from strategies.console import now, say
from strategies.market_data import Facts, gather
from strategies.paper.clock import RealTime, SimulatedTime
from strategies.paper.files import begun, open_session
from strategies.paper.journal_writer import Faults, Stopped
from strategies.paper.replay import ReplaySource, scripted
from strategies.paper.session import Parts
from strategies.paper_runtime.launch import Plan, about_replay, begin, require_same
from strategies.paper_runtime.model_updates import Champions
from strategies.paper_runtime.prefetch import AheadStudent, Interruptible, Interruptions

STOPPED = 10

_AHEAD = 200

_TELL_EVERY = 5.0


class SessionProcess:
    """One run of the session of a plan, until it ends or `stop` is set."""

    def __init__(self, plan: Plan, stop: threading.Event, student: tuple[str, ...] = STUDENT_COMMAND) -> None:
        self._plan = plan
        self._stop = stop
        self._faults: Faults | None = None
        self._host = StudentHost(look=self._look, died=self._died, command=student)
        self._led: Champions | None = None
        self._told = 0.0
        self._students: dict[str | None, TimelyStudent] = {}

    def run(self) -> bool:
        """Whether the session has ended; False where it was told to stop."""
        plan = self._plan
        with self._host, Ledger(plan.data_dir / "ledger.sqlite") as ledger:
            try:
                parts = self._replay(ledger) if plan.replay else self._live(ledger)
            except Stopped:
                return False
            try:
                self._look()
                with open_session(plan.data_dir, plan.name, parts) as session:
                    self._faults = session.faults
                    return session.run()
            except Stopped:
                return False
            finally:
                if self._led is not None:
                    self._led.close()

    def _replay(self, ledger: Ledger) -> Callable[[Journal], Parts]:
        plan = self._plan
        say("reading the days that are replayed" if plan.config.bars or plan.config.store else "simulating")
        facts, script = scripted(plan.config.paper.script, gather(plan.config, plan.data_dir))
        if (said := begun(plan.data_dir, plan.name)) is None:
            say("loading the student")
            begin(plan, facts, self._remote(None), facts.start, about_replay(facts))
        else:
            require_same(facts, said)
        learns = plan.config.paper.retrain is not Retraining.NEVER

        def parts(journal: Journal) -> Parts:
            together = _AHEAD if plan.speed is None and not learns else 1
            champions = self._champions(journal) if learns else None
            return Parts(
                source=ReplaySource(journal, facts, script, together),
                time=self._time(facts),
                answers=ledger,
                load=self._foreseeing(facts, ledger, Interruptions(journal)),
                champion=champions or (lambda _at: None),
                stop=self._stop.is_set,
                say=say,
            )

        return parts

    def _live(self, ledger: Ledger) -> Callable[[Journal], Parts]:
        from strategies.paper_runtime.live_sources import LiveSources

        plan = self._plan
        sources = LiveSources(plan, clock=now, sleep=time.sleep, look=self._look)
        if begun(plan.data_dir, plan.name) is None:
            facts = sources.facts()
            say("loading the student")
            begin(plan, facts, self._remote(None), now(), {"tied": sources.tied})

        def parts(journal: Journal) -> Parts:
            return Parts(
                source=sources.collector(journal),
                time=RealTime(now, time.sleep),
                answers=ledger,
                load=lambda adopted: Interruptible(self._remote(_adapter(adopted)), Interruptions(journal)),
                champion=self._champions(journal),
                stop=self._stop.is_set,
                say=say,
            )

        return parts

    def _time(self, facts: Facts) -> SimulatedTime:
        if self._plan.speed is None:
            return SimulatedTime(facts.start, pause=time.sleep)
        return SimulatedTime(facts.start, time.sleep, self._plan.speed, pause=time.sleep)

    def _champions(self, journal: Journal) -> Champions:
        self._led = Champions(
            self._plan,
            journal,
            fingerprint=lambda adapter: self._remote(adapter).fingerprint,
            look=self._look,
            happened=self._happened,
        )
        return self._led

    def _foreseeing(
        self, facts: Facts, ledger: Ledger, interruptions: Interruptions
    ) -> Callable[[Mapping[str, Any] | None], TimelyStudent]:
        """Students that are asked ahead, and that a person's command interrupts as it does a live one."""

        def load(adopted: Mapping[str, Any] | None) -> TimelyStudent:
            key = adopted["fingerprint"] if adopted else None
            if key not in self._students:
                remote = self._remote(_adapter(adopted))
                if self._plan.speed is not None:
                    return Interruptible(remote, interruptions)
                foreseen = observations(facts.bars, facts.news, window=remote.window, start=facts.start)
                ahead = AheadStudent(remote, foreseen, ledger, self._tell_progress)
                self._students = {key: Interruptible(ahead, interruptions)}
            return self._students[key]

        return load

    def _remote(self, adapter: Path | None) -> RemoteStudent:
        wanted = student_settings(self._plan.config, adapter)
        return RemoteStudent(self._host, wanted, self._plan.config.paper.deadline_seconds)

    def _tell_progress(self, done: int, of: int) -> None:
        if time.monotonic() - self._told >= _TELL_EVERY:
            self._told = time.monotonic()
            say(f"forecasting {done:,}/{of:,}")

    def _look(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _died(self, how: str) -> None:
        self._happened("student", how)

    def _happened(self, part: str, reason: str) -> None:
        say(reason)
        if self._faults is not None:
            self._faults.happened(part, reason)


def _adapter(adopted: Mapping[str, Any] | None) -> Path | None:
    return Path(adopted["adapter"]) if adopted and adopted.get("adapter") else None


def main(student: tuple[str, ...] = STUDENT_COMMAND) -> None:
    """Run the session that the plan on stdin names, and end with an exit code.

    `student` is the command that starts the student's process.
    """
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the supervisor decides
    plan = Plan.of(sys.stdin.readline())
    tell_at_end_of_stdin(stop.set)
    try:
        ended = SessionProcess(plan, stop, student).run()
    except ClosecallError as error:
        sys.stdout.write(json.dumps({"error": " ".join(str(error).split())}) + "\n")
        sys.exit(error.exit_code)
    sys.exit(0 if ended else STOPPED)


if __name__ == "__main__":
    main()

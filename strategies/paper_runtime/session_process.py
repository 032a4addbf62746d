"""The process of a session: collector and engine, or a replay; the student is its child process.

Reads its plan from stdin. Exits with 0 when the session has ended, with 10 when it was stopped or its
supervisor is gone, and with a command's exit code on errors.
"""

import json
import logging
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from engine.errors import ClosecallError
from engine.instruments import Instrument
from engine.journal.events.inputs import ModelAdopted
from engine.journal.journal import Journal
from engine.parent_process import call_at_stdin_eof
from engine.timeline import build_observations
from llm.answer_cache import AnswerCache
from llm.student import StudentClient
from llm.worker.host import STUDENT_COMMAND, RemoteStudent, StudentHost
from strategies.config import Retraining
from strategies.console import print_stderr, utc_now
from strategies.market_data import MarketData, load_market_data
from strategies.paper.announced_actions import AnnouncedActions
from strategies.paper.clock import SimulatedClock, SystemClock
from strategies.paper.files import open_session, read_start
from strategies.paper.journal_writer import FaultTracker, StopRequested
from strategies.paper.replay import ReplaySource, apply_script
from strategies.paper.session import SessionDeps
from strategies.paper_runtime.launch import (
    LaunchSpec,
    about_replay,
    create_session_from_plan,
    require_same_data,
)
from strategies.paper_runtime.model_updates import ChampionWatcher
from strategies.paper_runtime.prefetch import CancellableStudent, CommandWatcher, PrefetchingStudent
from strategies.students import recorded_settings, settle_mask

STOPPED = 10
_AHEAD = 200
_PROGRESS_INTERVAL = 5.0


class SessionProcess:
    """Runs the session of a plan until it ends or `stop` is set."""

    def __init__(
        self, plan: LaunchSpec, stop: threading.Event, student: tuple[str, ...] = STUDENT_COMMAND
    ) -> None:
        self._plan = plan
        self._stop = stop
        self._faults: FaultTracker | None = None
        self._host = StudentHost(look=self._check_stop, on_death=self._on_student_death, command=student)
        self._champion_watcher: ChampionWatcher | None = None
        self._progress_announced_at = 0.0
        self._students: dict[str | None, StudentClient] = {}
        self._instruments: Mapping[str, Instrument] = {}

    def run(self) -> bool:
        """Run, and return whether the session has ended; False where it was stopped."""
        plan = self._plan
        with self._host, AnswerCache(plan.data_dir / "ledger.sqlite") as ledger:
            try:
                parts = self._replay(ledger) if plan.replay else self._live(ledger)
            except StopRequested:
                return False
            try:
                self._check_stop()
                with open_session(plan.data_dir, plan.name, parts) as session:
                    self._faults = session.faults
                    return session.run()
            except StopRequested:
                return False
            finally:
                if self._champion_watcher is not None:
                    self._champion_watcher.close()

    def _replay(self, ledger: AnswerCache) -> Callable[[Journal], SessionDeps]:
        plan = self._plan
        print_stderr("reading the days to replay" if plan.config.bars or plan.config.store else "simulating")
        facts, script = apply_script(plan.config.paper.script, load_market_data(plan.config, plan.data_dir))
        if (started := read_start(plan.data_dir, plan.name)) is None:
            print_stderr("loading the student")
            about = about_replay(facts)
            plan, facts = self._settle_mask(facts)
            create_session_from_plan(plan, facts, self._remote_student(None), facts.start, about)
        else:
            require_same_data(facts, started)
        self._instruments = facts.instruments
        learns = plan.config.paper.retrain is not Retraining.NEVER

        def parts(journal: Journal) -> SessionDeps:
            # What was announced takes effect between the inputs, which must not be journaled before.
            one_by_one = plan.speed is not None or learns or AnnouncedActions(journal).pending
            together = 1 if one_by_one else _AHEAD
            champions = self._champions(journal) if learns else None
            return SessionDeps(
                source=ReplaySource(journal, facts, script, together),
                time=self._time(facts),
                answers=ledger,
                load_student=self._prefetching_students(facts, ledger, CommandWatcher(journal)),
                champion=champions or (lambda _at: None),
                stop=self._stop.is_set,
                on_message=print_stderr,
            )

        return parts

    def _live(self, ledger: AnswerCache) -> Callable[[Journal], SessionDeps]:
        from strategies.paper_runtime.live_sources import LiveSources

        plan = self._plan
        sources = LiveSources(plan, clock=utc_now, sleep=time.sleep, look=self._check_stop)
        if (started := read_start(plan.data_dir, plan.name)) is not None:
            self._instruments = started.instruments
        else:
            print_stderr("loading the student")
            plan, facts = self._settle_mask(sources.load_market_data())
            create_session_from_plan(
                plan, facts, self._remote_student(None), utc_now(), {"tied": sources.symbol_overrides}
            )

        def parts(journal: Journal) -> SessionDeps:
            return SessionDeps(
                source=sources.create_source(journal),
                time=SystemClock(utc_now, time.sleep),
                answers=ledger,
                load_student=lambda adopted: CancellableStudent(
                    self._remote_student(_adapter_folder(adopted)), CommandWatcher(journal)
                ),
                champion=self._champions(journal),
                stop=self._stop.is_set,
                on_message=print_stderr,
            )

        return parts

    def _time(self, facts: MarketData) -> SimulatedClock:
        if self._plan.speed is None:
            return SimulatedClock(facts.start, pause=time.sleep)
        return SimulatedClock(facts.start, time.sleep, self._plan.speed, pause=time.sleep)

    def _champions(self, journal: Journal) -> ChampionWatcher:
        self._champion_watcher = ChampionWatcher(
            self._plan,
            journal,
            fingerprint=lambda adapter: self._remote_student(adapter).fingerprint,
            look=self._check_stop,
            record_fault=self._record_fault,
        )
        return self._champion_watcher

    def _prefetching_students(
        self, facts: MarketData, ledger: AnswerCache, interruptions: CommandWatcher
    ) -> Callable[[ModelAdopted | None], StudentClient]:
        """Return a loader of students that answer ahead of time, and that commands interrupt."""

        def load(adopted: ModelAdopted | None) -> StudentClient:
            key = adopted.fingerprint if adopted else None
            if key not in self._students:
                remote = self._remote_student(_adapter_folder(adopted))
                if self._plan.speed is not None:
                    return CancellableStudent(remote, interruptions)
                upcoming = build_observations(facts.bars, facts.news, window=remote.window, start=facts.start)
                ahead = PrefetchingStudent(remote, upcoming, ledger, self._print_progress)
                self._students = {key: CancellableStudent(ahead, interruptions)}
            return self._students[key]

        return load

    def _settle_mask(self, facts: MarketData) -> tuple[LaunchSpec, MarketData]:
        """Decide whether prompts are masked, for as long as the session lives."""
        seconds = self._plan.config.paper.deadline_seconds
        config, facts = settle_mask(
            self._plan.config, facts, lambda wanted: RemoteStudent(self._host, wanted, seconds)
        )
        self._plan, self._instruments = replace(self._plan, config=config), facts.instruments
        return self._plan, facts

    def _remote_student(self, adapter: Path | None) -> RemoteStudent:
        wanted = recorded_settings(self._plan.config, self._instruments, adapter)
        return RemoteStudent(self._host, wanted, self._plan.config.paper.deadline_seconds)

    def _print_progress(self, done: int, of: int) -> None:
        if time.monotonic() - self._progress_announced_at >= _PROGRESS_INTERVAL:
            self._progress_announced_at = time.monotonic()
            print_stderr(f"forecasting {done:,}/{of:,}")

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StopRequested

    def _on_student_death(self, how: str) -> None:
        self._record_fault("student", how)

    def _record_fault(self, part: str, reason: str) -> None:
        print_stderr(reason)
        if self._faults is not None:
            self._faults.record(part, reason)


def _adapter_folder(adopted: ModelAdopted | None) -> Path | None:
    return Path(adopted.adapter) if adopted and adopted.adapter else None


def main(student: tuple[str, ...] = STUDENT_COMMAND) -> None:
    """Run the session that the plan on stdin names, and end with an exit code.

    `student` is the command that starts the student's process.
    """
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the supervisor decides
    plan = LaunchSpec.from_json(sys.stdin.readline())
    call_at_stdin_eof(stop.set)
    try:
        ended = SessionProcess(plan, stop, student).run()
    except ClosecallError as error:
        sys.stdout.write(json.dumps({"error": " ".join(str(error).split())}) + "\n")
        sys.exit(error.exit_code)
    sys.exit(0 if ended else STOPPED)


if __name__ == "__main__":
    main()

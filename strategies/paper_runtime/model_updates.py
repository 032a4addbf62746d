"""Finds the registry's champion at each instant of a session, and retrains when that is due.

The session journals which student it adopts; the registry's changes are journaled here.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import ClosecallError, JournalError
from engine.journal.canonical import format_utc
from engine.journal.events import Kind, decode_as, encode
from engine.journal.events.inputs import ModelAdopted
from engine.journal.events.sessions import RegistryChanged, Retrained
from engine.journal.journal import Event, Journal
from engine.journal.store import is_transient
from llm.registry.adapters import Adapter
from llm.registry.registry import Registry, registry_exists
from strategies.config import Retraining
from strategies.console import print_stderr
from strategies.paper.files import learning_dir
from strategies.paper_runtime.launch import LaunchSpec

RETRAIN_COMMAND = (sys.executable, "-P", "-m", "training.retraining.worker")

_EVERY: Mapping[Retraining, timedelta] = {
    Retraining.DAILY: timedelta(days=1),
    Retraining.WEEKLY: timedelta(days=7),
    Retraining.MONTHLY: timedelta(days=30),
    Retraining.QUARTERLY: timedelta(days=91),
    Retraining.ON_DRIFT: timedelta(days=7),
}

_LOOK_EVERY = 0.1
_MAX_DURATION = 6 * 3600.0
_MAX_TRIES = 3


class RetrainSchedule:
    """The instants at which a session retrains: at even intervals from its start."""

    def __init__(self, plan: LaunchSpec, journal: Journal) -> None:
        self._every = _EVERY.get(plan.config.paper.retrain)
        first = next(journal.read(0))
        self._start = first.as_of
        done = [decode_as(Retrained, row).due for row in journal.read(kinds=(Kind.RETRAINED,))]
        self._done = max(done, default=self._start)

    def due(self, at: datetime) -> datetime | None:
        """Return the latest instant that is due at `at` and not done; earlier missed ones are skipped."""
        if self._every is None:
            return None
        last = self._start + (at - self._start) // self._every * self._every
        return last if last > self._done else None

    def mark_done(self, due: datetime) -> None:
        """Record that the retraining due at an instant has ended."""
        self._done = due


class Retrainer:
    """Retrains one session when due. `look` is called while a replay waits, and may raise."""

    def __init__(self, plan: LaunchSpec, journal: Journal, look: Callable[[], None]) -> None:
        self._plan = plan
        self._journal = journal
        self._look = look
        self._schedule = RetrainSchedule(plan, journal)
        self._running: subprocess.Popen[bytes] | None = None
        self._due: datetime | None = None

    def step(self, at: datetime) -> None:
        """Start or continue the retraining that is due at `at`."""
        if self._running is not None:
            self._poll(at)
        elif (due := self._schedule.due(at)) is not None:
            self._due = due
            if self._plan.replay:
                print_stderr(f"retraining as of {due:%Y-%m-%d}; the replay waits for it")
                self._append_result(due, self._wait_for(due), at)
            else:
                self._running = self._start(due)

    def end(self) -> None:
        """Kill a running retraining; it is started again when it is next due."""
        if self._running is not None:
            self._running.kill()
            self._running.communicate()
            self._running = None

    def _poll(self, at: datetime) -> None:
        if self._running is None or self._due is None or self._running.poll() is None:
            return
        out, _ = self._running.communicate()
        code, self._running = self._running.returncode, None
        self._append_result(self._due, _parse_result(out, code), at)

    def _wait_for(self, due: datetime) -> Mapping[str, Any]:
        result: Mapping[str, Any] = {}
        for _ in range(_MAX_TRIES):
            self._running = self._start(due)
            until = time.monotonic() + _MAX_DURATION
            try:
                while self._running.poll() is None and time.monotonic() < until:
                    self._look()
                    time.sleep(_LOOK_EVERY)
            except BaseException:  # also Ctrl-C must not leave the training process
                self.end()
                raise
            process, self._running = self._running, None
            process.kill()
            out, _ = process.communicate()
            result = _parse_result(out, process.returncode)
            if process.returncode == 0:
                break
        return result

    def _start(self, due: datetime) -> "subprocess.Popen[bytes]":
        plan = self._plan
        wanted = {
            "data_dir": str(plan.data_dir),
            "learning": str(learning_dir(plan.data_dir, plan.name, replay=plan.replay)),
            "name": plan.name,
            "at": format_utc(due),
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

    def _append_result(self, due: datetime, result: Mapping[str, Any], at: datetime) -> None:
        if _try_append(self._journal, [encode(Retrained(due=due, **result), at)], at):
            self._schedule.mark_done(due)  # else it stays due, and the worker reports the same round again


def _try_append(journal: Journal, events: Sequence[Event], at: datetime) -> bool:
    """Append events and return True, False where the journal cannot be written for the moment."""
    try:
        journal.append(events, at)
    except JournalError as error:
        if not is_transient(error):
            raise
        return False
    return True


def _parse_result(out: bytes, code: int) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(out)
    except ValueError:
        how = f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"
        return {"failed": f"the training's process {how}"}
    return result


class ChampionWatcher:
    """The `strategies.paper.session.Champion` of a plan's session.

    `fingerprint` returns the fingerprint of the student with an adapter's folder, or with none.
    `record_fault` is called once for each fault.
    """

    def __init__(
        self,
        plan: LaunchSpec,
        journal: Journal,
        *,
        fingerprint: Callable[[Path | None], str],
        look: Callable[[], None],
        record_fault: Callable[[str, str], None],
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._fingerprint = fingerprint
        self._record_fault = record_fault
        self._home = learning_dir(plan.data_dir, plan.name, replay=plan.replay)
        learns = plan.config.paper.retrain is not Retraining.NEVER
        self._retrainer = Retrainer(plan, journal, look) if learns else None
        self._registry: Registry | None = None
        changes = journal.read(kinds=(Kind.REGISTRY_CHANGED,))
        self._known = max((decode_as(RegistryChanged, row).registry_seq for row in changes), default=0)
        self._fingerprints: dict[str, str] = {}
        self._reported = ""

    def __call__(self, at: datetime) -> ModelAdopted | None:
        """Return the student at an instant, None to keep the one in use."""
        if self._retrainer is not None:
            self._retrainer.step(at)
        if self._plan.config.adapter is not None or not registry_exists(self._home):
            return None
        try:
            champion = self._champion(at)
        except ClosecallError as error:
            if str(error) != self._reported:
                self._record_fault("registry", str(error))
            self._reported = str(error)
            return None
        self._reported = ""
        return champion

    def close(self) -> None:
        """Close the registry, and kill a running retraining."""
        if self._retrainer is not None:
            self._retrainer.end()
        if self._registry is not None:
            self._registry.close()
            self._registry = None

    def _champion(self, at: datetime) -> ModelAdopted:
        if self._registry is None:
            self._registry = Registry.open(self._home)
        student = self._plan.config.student
        replay = self._plan.replay
        adapter = self._registry.champion_at(student, at) if replay else self._registry.champion(student)
        self._journal_changes(self._registry, at)
        return ModelAdopted(
            fingerprint=self._cached_fingerprint(adapter),
            name=adapter.name if adapter else student,
            adapter=str(adapter.folder) if adapter else None,
        )

    def _cached_fingerprint(self, adapter: Adapter | None) -> str:
        name = adapter.name if adapter else ""
        if name not in self._fingerprints:
            self._fingerprints[name] = self._fingerprint(adapter.folder if adapter else None)
        return self._fingerprints[name]

    def _journal_changes(self, registry: Registry, at: datetime) -> None:
        """Journal the registry's changes in the session's journal, each once."""
        changes = registry.changes(self._known)
        if changes and _try_append(self._journal, [change.event(at) for change in changes], at):
            self._known = changes[-1].seq

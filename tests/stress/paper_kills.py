"""A replayed session killed with -9 again and again, against one that was never killed; prints JSON.

The processes are those of the program: supervisor, session, student, retraining. The scene "doubles" has
three simulated years with doubles of student and trainer, which start in moments; the others have the
shipped student and are typed as a user types them: "simulated" the same three years with real training,
"real" two real years without, "real-learning" with it.
Each kill has a moment of its own: at the start (reading the days), at a write of the journal, at a fill,
while the student works, in a round of retraining, at a change of the registry. `--folder` keeps the results,
and the same call resumes there.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.stress.kill_scenes import NAME, SCENES
from tests.stress.kill_verdicts import CLOSECALL, check_altered_copy, read_verdict
from tests.support.own_processes import started
from tests.support.paper_doubles import command

WEIGHTS = {"start": 10, "journal": 30, "fill": 15, "student": 15, "retraining": 18, "registry": 12}
VICTIMS = {"everything": 60, "supervisor": 15, "session": 15, "student": 10}
LONGEST = 240.0
PATIENCE = 40

PARTS = {
    "session": ("session_process",),
    "student": ("student_process", "llm.worker.process"),
    "retrain": ("retrain_process", "training.retraining.worker"),
}
"""What the command line of each part contains, with the doubles and with the program's own."""


_processes = ExitStack()
"""Ends every started process."""


class WatchedSession:
    """One session's folder as seen from outside, by files and processes alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "sessions" / NAME / "journal.sqlite"
        self._seen = 0
        self.slices = 0
        self.fills = 0
        self.rounds: list[int] = []

    def poll(self) -> None:
        """Count the new events. A round is identified by how many slices came before it."""
        if not self.journal.is_file():
            return
        # The journal may be locked or half created just now; the next poll sees it.
        with suppress(sqlite3.OperationalError), closing(self._connected()) as journal:
            query = "SELECT seq, kind FROM journal_events WHERE session = ? AND seq > ? ORDER BY seq"
            for seq, kind in journal.execute(query, (NAME, self._seen)):
                self._seen = seq
                self.slices += kind == "slice"
                self.fills += kind == "fill"
                if kind == "retrained":
                    self.rounds.append(self.slices)

    def written(self) -> object:
        """Return a value that changes whenever the journal is written."""
        return _stamp(self.journal.with_name("journal.sqlite-wal"))

    def registered(self) -> object:
        """Return a value that changes whenever the session's registry is written."""
        home = self.journal.parent / "learning" / "models"
        return [_stamp(path) for path in sorted(home.glob("*.sqlite*"))]

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True, timeout=1.0)


@dataclass(slots=True)
class RunningSession:
    """The processes of one start, by part."""

    process: subprocess.Popen
    started: float = field(default_factory=time.monotonic)

    def parts(self) -> dict[str, int]:
        """Return the ids of the running processes by part."""
        running = {"supervisor": self.process.pid}
        pending = _children(self.process.pid)
        while pending:
            pid = pending.pop()
            line = _command(pid)
            for part, names in PARTS.items():
                if any(name in line for name in names):
                    running[part] = pid
            pending += _children(pid)
        return running

    def kill(self, victim: str) -> str:
        """Kill a part with -9, or all of them at once, and return which."""
        parts = self.parts()
        if victim not in parts:
            victim = "everything"
        pids = list(parts.values()) if victim == "everything" else [parts[victim]]
        for pid in pids:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, signal.SIGKILL)
        if victim in ("everything", "supervisor"):
            self.process.communicate()
        return victim


def start_scene(folder: Path, scene: str) -> RunningSession:
    """Start or resume the scene's session."""
    config = folder / "closecall.toml"
    config.write_text("\n".join(SCENES[scene]) + "\n", encoding="utf-8")
    words = [
        CLOSECALL,
        "paper",
        "start",
        "--replay",
        "--config",
        config,
        "--name",
        NAME,
        "--data-dir",
        folder,
    ]
    if scene == "doubles":
        words = [*command("supervisor_process"), config, folder]
    starting = started(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return RunningSession(_processes.enter_context(starting))


def run_uninterrupted(folder: Path, scene: str) -> tuple[float, WatchedSession]:
    """Run the scene to its end without a kill; return the seconds it took, and the session at its end."""
    started = time.monotonic()
    if not (folder / "seconds").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _wait_for_end(start_scene(folder, scene))
        (folder / "seconds").write_text(str(time.monotonic() - started))
    watched = WatchedSession(folder)
    watched.poll()
    return float((folder / "seconds").read_text()), watched


def run_with_kills(
    folder: Path, scene: str, reference: WatchedSession, kills: int, seed: int
) -> list[dict[str, object]]:
    """Run the scene, killed `kills` times, and return what was killed at which moment."""
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "kills.jsonl"
    done = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
    dice = random.Random(f"{seed} {len(done)}")
    watched = WatchedSession(folder)
    watched.poll()
    plan = _plan(dice, reference, watched.slices, kills - len(done))
    running: RunningSession | None = None
    for aim, moment in plan:
        if running is None or running.process.poll() is not None:
            if running is not None and running.process.returncode == 0:
                break
            running = start_scene(folder, scene)
        if not _wait_for_moment(running, watched, moment, aim, dice):
            continue
        victim = running.kill(dice.choices(list(VICTIMS), VICTIMS.values())[0])
        watched.poll()
        kill = {"moment": moment, "victim": victim, "slices": watched.slices, "rounds": len(watched.rounds)}
        done.append(kill)
        with record.open("a") as file:
            file.write(json.dumps(kill) + "\n")
        sys.stderr.write(f"{len(done)}/{kills} {json.dumps(kill)}\n")
    if running is None or running.process.poll() is not None:
        running = start_scene(folder, scene)
    _wait_for_end(running)
    return done


def _plan(dice: random.Random, reference: WatchedSession, since: int, kills: int) -> list[tuple[int, str]]:
    """Return how many slices to wait for before which moment, in order."""
    chosen = []
    for _ in range(kills):
        aim = dice.randint(since, max(since, reference.slices - 1))
        moment = dice.choices(list(WEIGHTS), WEIGHTS.values())[0]
        if moment in ("retraining", "registry"):
            coming = [count for count in reference.rounds if count > since]
            aim = dice.choice(coming) - 1 if coming else aim
            moment = moment if coming else "journal"
        chosen.append((aim, moment))
    return sorted(chosen)


def _wait_for_moment(
    running: RunningSession, watched: WatchedSession, moment: str, aim: int, dice: random.Random
) -> bool:
    """Return at the moment; False if the session ended by itself before it."""
    until = time.monotonic() + LONGEST
    if moment == "start":
        time.sleep(max(0.0, running.started + dice.uniform(0.0, 12.0) - time.monotonic()))
        return running.process.poll() is None
    if moment in ("journal", "fill", "registry") and not _wait_until(
        running, until, lambda: watched.poll() or watched.slices >= aim
    ):
        return False
    if moment == "journal":
        before = watched.written()
        return _wait_until(running, until, lambda: watched.written() != before, every=0.0002)
    if moment == "fill":
        # A halted session fills nothing for months, and other moments are still to come.
        before, last = watched.fills, watched.slices + PATIENCE
        return _wait_until(
            running,
            until,
            lambda: watched.poll() or watched.fills > before or watched.slices > last,
            every=0.001,
        )
    if moment == "registry":
        before = watched.registered()
        came = _wait_until(running, until, lambda: watched.registered() != before, every=0.0005)
        time.sleep(dice.choice([0.0, 0.0, 0.003, 0.02, 0.3]))
        return came and running.process.poll() is None
    part = "retrain" if moment == "retraining" else "student"
    came = _wait_until(running, until, lambda: part in running.parts(), every=0.02)
    time.sleep(dice.uniform(0.0, 20.0 if part == "retrain" else 8.0))
    return came and running.process.poll() is None


def _wait_until(running: RunningSession, until: float, reached: object, every: float = 0.005) -> bool:
    """Wait for a condition, the end of the session or a time; return False if the session ended first."""
    while not reached():
        if running.process.poll() is not None:
            return False
        if time.monotonic() > until:
            return True
        time.sleep(every)
    return True


def _wait_for_end(running: RunningSession) -> None:
    _, errors = running.process.communicate()
    if running.process.returncode != 0:
        raise SystemExit(f"the session ended with {running.process.returncode}: {errors[-2000:]}")


def _stamp(path: Path) -> object:
    with suppress(OSError):  # gone meanwhile
        stat = path.stat()
        return path.name, stat.st_mtime_ns, stat.st_size
    return None


def _children(pid: int) -> list[int]:
    with suppress(OSError):  # gone meanwhile
        by_task = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
        return [int(child) for children in by_task for child in children]
    return []


def _command(pid: int) -> str:
    with suppress(OSError):  # gone meanwhile
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def _folder() -> Path:
    memory = Path("/dev/shm")  # processes are killed here, not the power
    return Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))


def main() -> None:
    """Kill, compare and print; exit code 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", choices=sorted(SCENES), default="doubles")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep everything here, and resume what is there")
    arguments = parser.parse_args()
    folder, scene = arguments.folder or _folder(), arguments.scene
    with _processes:
        seconds, reference = run_uninterrupted(folder / "whole", scene)
        kills = run_with_kills(folder / "killed", scene, reference, arguments.kills, arguments.seed)
    was, now = read_verdict(folder / "whole"), read_verdict(folder / "killed")
    report = {
        "scene": scene,
        "seconds_of_the_whole": round(seconds, 1),
        "slices": reference.slices,
        "rounds": len(reference.rounds),
        "kills": len(kills),
        "by_moment": {name: sum(kill["moment"] == name for kill in kills) for name in WEIGHTS},
        "by_victim": {name: sum(kill["victim"] == name for kill in kills) for name in VICTIMS},
        "whole": was,
        "same": {name: was[name] == now[name] for name in was},
        "differs": {name: [was[name], now[name]] for name in was if was[name] != now[name]},
        "altered_fill_exit_code": check_altered_copy(folder / "whole", folder / "altered"),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    if arguments.folder is None:
        shutil.rmtree(folder)
    sys.exit(0 if all(report["same"].values()) and was["parity"] == 0 else 1)


if __name__ == "__main__":
    main()

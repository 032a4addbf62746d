"""Run the command line on a folder, for the makers and the tests of the golden files.

Everything goes through the command line, so that another version can be driven as well: in processes of its
command, where CLOSECALL_COMMAND names one. This version runs in the process that asks, which imports once.
"""

import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.own_processes import ran, started
from tui.cli.main import run

OTHER_COMMAND = os.environ.get("CLOSECALL_COMMAND")
"""The command of another version, such as that of another checkout."""
CLOSECALL = OTHER_COMMAND or str(Path(sys.executable).with_name("closecall"))
HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "data"
VERSION = "v1"
DATA = Path("data")


def environment() -> dict[str, str]:
    """One thread, no network of a model hub, no user's record, and whatever path the caller imports from."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CLOSECALL_TRIALS": ""}


def closecall(*words: object, cwd: Path, codes: Sequence[int] = (0,)) -> str:
    """Run the command in a folder; what it printed. Raises RuntimeError for another exit code."""
    code, out, err = (_run_in_process if OTHER_COMMAND else _run_here)([*map(str, words)], cwd)
    if code not in codes:
        raise RuntimeError(f"closecall {' '.join(map(str, words))}: exit code {code}: {err.strip()[-800:]}")
    return out


def _run_in_process(words: Sequence[str], cwd: Path) -> tuple[int, str, str]:
    how = {"cwd": cwd, "env": environment(), "capture_output": True, "text": True}
    done = ran([CLOSECALL, *words], seconds=600, **how)
    return done.returncode, done.stdout, done.stderr


def _run_here(words: list[str], cwd: Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    return code, out.getvalue(), err.getvalue()


def answer(*words: object, cwd: Path, codes: Sequence[int] = (0,)) -> dict[str, Any]:
    """The JSON object that a command printed."""
    found: dict[str, Any] = json.loads(closecall(*words, "--json", cwd=cwd, codes=codes))
    return found


def kinds(journal: Path) -> dict[str, int]:
    """How many events of each kind a journal has; empty where there is no journal yet."""
    if not journal.is_file():
        return {}
    with contextlib.closing(sqlite3.connect(journal, timeout=30)) as database:
        try:
            return dict(database.execute("SELECT kind, count(*) FROM journal_events GROUP BY kind"))
        except sqlite3.OperationalError:
            return {}


@contextlib.contextmanager
def running(*words: object, cwd: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The command in the background; it is interrupted at the end of the block and waited for."""
    with started(
        [CLOSECALL, *words],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(timeout=120)


def wait_for(found: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float = 600) -> None:
    """Return once `found` says so. Raises RuntimeError where the process ends first, or takes too long."""
    until = time.monotonic() + seconds
    while not found():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("the process did not come to what was waited for")
        time.sleep(0.05)

"""The supervisor of a session without a terminal: reads its plan from stdin and writes to a file.

Also starts it so.
"""

import os
import signal
import subprocess
import sys
import threading
import time

from engine.errors import ClosecallError, UsageError
from strategies.paper.opening import session_folder
from tui.paper.places import OUTPUT, journal_path, runner_of, supervisor_of
from tui.paper.plan import Plan
from tui.paper.supervisor import Supervisor
from tui.progress import say

BACKGROUND_COMMAND = (sys.executable, "-P", "-m", "tui.paper.background")
_PATIENCE = 90.0
_BACKGROUND_POLL_INTERVAL = 0.2


def start_in_background(plan: Plan) -> int:
    """Start the supervisor of a plan and wait until its session runs; its process's number.

    Raises UsageError where another process runs the session, or whatever kept it from running.
    """
    folder = session_folder(plan.data_dir, plan.name)
    if holder := supervisor_of(folder):
        raise UsageError(
            f"session {plan.name} runs already, in process {holder}; closecall paper stop ends it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / OUTPUT
    with output.open("wb") as written:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            BACKGROUND_COMMAND, stdin=subprocess.PIPE, stdout=written, stderr=written, start_new_session=True
        )
    if process.stdin is None:
        raise RuntimeError("a process was started without its pipe")
    process.stdin.write(plan.text().encode() + b"\n")
    process.stdin.close()
    until = time.monotonic() + _PATIENCE
    journal = journal_path(plan.data_dir, plan.name)
    while process.poll() is None and time.monotonic() < until:
        if runner_of(folder) is not None and journal.is_file():
            return process.pid
        time.sleep(_BACKGROUND_POLL_INTERVAL)
    if (code := process.poll()) not in (None, 0):
        lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        error = UsageError(lines[-1].removeprefix("closecall: ") if lines else f"ended with exit code {code}")
        error.exit_code = code if code in (2, 3) else 3
        raise error
    return process.pid


def main() -> None:
    """Supervise until the session ends or this process is told to."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGINT, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal that started it may go
    plan = Plan.of(sys.stdin.readline())
    try:
        Supervisor(plan, show=lambda _row: None, say=say, stop=stop).run()
    except ClosecallError as error:
        say(f"closecall: {' '.join(str(error).split())}")
        sys.exit(error.exit_code)
    os._exit(0)  # threads that read a killed child's pipes are not waited for


if __name__ == "__main__":
    main()

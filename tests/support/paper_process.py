"""A session's processes with a student that answers by a rule, run as `python paper_process.py PART`.

The parts are those of the program; only the student is another, so that trying takes moments.
"""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from tests.support.places import ROOT


def main(part):
    """Be one of the processes."""
    from strategies.console import print_stderr
    from strategies.paper_runtime.launch import LaunchSpec
    from tests.support.students import RuleStudent

    if part == "student":
        from engine.parent_process import die_with_parent
        from llm.worker.process import serve

        die_with_parent()
        serve(sys.stdin, sys.stdout, lambda _wanted: RuleStudent())
    elif part == "session":
        from strategies.paper_runtime.session_process import main as session

        session(command("student"))
    else:
        from strategies.paper_runtime.supervisor import Supervisor

        plan = LaunchSpec.from_json(sys.stdin.readline())
        stop = threading.Event()
        Supervisor(
            plan, show=lambda _row: None, on_message=print_stderr, stop=stop, command=command("session")
        ).run()


def command(part):
    return (sys.executable, "-m", "tests.support.paper_process", part)


@contextmanager
def start_supervised(plan):
    """A plan's session under a supervisor in a process of its own; neither outlives the block."""
    from tests.support.own_processes import started

    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with started(command("supervisor"), cwd=ROOT, **pipes) as process:
        process.stdin.write(plan.to_json() + "\n")
        process.stdin.close()
        process.stdin = None
        yield process


def children(pid):
    """The numbers of a process's children."""
    try:
        found = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(one) for some in found for one in some]


def wait_until(found, seconds=60.0):
    """What `found` gives, once it gives something."""
    until = time.monotonic() + seconds
    while not (thing := found()):
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.05)
    return thing


if __name__ == "__main__":
    main(sys.argv[1])

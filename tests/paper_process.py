"""A session's processes with a student that answers by a rule, run as `python paper_process.py PART`.

The parts are those of the program; only the student is another, so that trying takes moments.
"""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve()


def main(part):
    """Be one of the processes."""
    from students import RuleStudent

    from tui.paper.plan import Plan
    from tui.progress import say

    if part == "student":
        from tui.paper.lifeline import die_with_parent
        from tui.paper.student_process import serve

        die_with_parent()
        serve(sys.stdin, sys.stdout, lambda _wanted: RuleStudent())
    elif part == "session":
        from tui.paper.session_process import main as session

        session(command("student"))
    else:
        from tui.paper.supervisor import Supervisor

        plan = Plan.of(sys.stdin.readline())
        stop = threading.Event()
        Supervisor(plan, show=lambda _row: None, say=say, stop=stop, command=command("session")).run()


def command(part):
    return (sys.executable, str(HERE), part)


@contextmanager
def supervised(plan):
    """A plan's session under a supervisor in a process of its own; none of both outlives the block."""
    from own_processes import started

    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with started(command("supervisor"), cwd=HERE.parent, **pipes) as process:
        process.stdin.write(plan.text() + "\n")
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


def eventually(found, seconds=60.0):
    """What `found` gives, once it gives something."""
    until = time.monotonic() + seconds
    while not (thing := found()):
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.05)
    return thing


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main(sys.argv[1])

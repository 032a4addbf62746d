"""What a test starts ends with it, even where nothing of the test is left to end it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.own_processes import none_left, ran, started
from tests.support.paper_process import wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
SLEEPS = "import time; time.sleep(600)"
PARENT = f"""
import subprocess, sys, time
for more in ({{}}, {{"start_new_session": True}}):
    child = subprocess.Popen([sys.executable, "-c", {SLEEPS!r}], stdin=subprocess.DEVNULL, **more)
    print(child.pid, flush=True)
if sys.argv[1:] != ["ends"]:
    time.sleep(600)
"""
"""A process with a child in its own group and one in the background, as a session's supervisor may be."""
TESTS = f"""
import os, subprocess, sys, time
sys.path[:0] = {sys.path!r}
from tests.support.own_processes import started
from tests.support.paper_sessions import run_in_child

def test_that_is_killed():
    with started([sys.executable, "-c", {PARENT!r}], stdout=subprocess.PIPE, text=True) as parent:
        for child in (parent.pid, *(int(parent.stdout.readline()) for _ in range(2))):
            os.write(2, b"%d\\n" % child)
        run_in_child(lambda: (os.write(2, b"%d\\n" % os.getpid()), time.sleep(600)))
"""


def alive(pid):
    """Whether there is such a process, and not only its exit status."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def numbers(pipe, count):
    return [int(pipe.readline()) for _ in range(count)]


def test_a_test_process_that_is_killed_leaves_no_process_behind(tmp_path):
    path = tmp_path / "test_killed.py"
    path.write_text(TESTS)
    words = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", path]
    with none_left(), started(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as tests:
        left = numbers(tests.stderr, 4)
        assert all(alive(pid) for pid in left)
        os.kill(tests.pid, signal.SIGKILL)
        tests.wait(30)
        wait_until(lambda: not any(alive(pid) for pid in left), seconds=20)


def test_a_test_that_fails_leaves_no_process_behind():
    with (
        pytest.raises(ZeroDivisionError),
        none_left(),
        started([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent,
    ):
        same_group, background = numbers(parent.stdout, 2)
        raise ZeroDivisionError
    assert not any(alive(pid) for pid in (parent.pid, same_group, background))


def test_a_process_that_has_ended_leaves_none_of_its_group_behind():
    with started([sys.executable, "-c", PARENT, "ends"], stdout=subprocess.PIPE, text=True) as parent:
        same_group, background = numbers(parent.stdout, 2)
        assert parent.wait(30) == 0
        assert alive(same_group)
    wait_until(lambda: not alive(same_group))
    assert alive(background)  # it is for `none_left`
    with none_left():
        pass
    assert not alive(background)


def test_a_process_that_takes_too_long_is_ended(tmp_path):
    noted = tmp_path / "pid"
    code = f"import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); {SLEEPS}"
    with pytest.raises(subprocess.TimeoutExpired):
        ran([sys.executable, "-c", code, noted], seconds=1.0)
    assert not alive(int(noted.read_text()))


def test_no_test_starts_a_process_that_may_outlive_it():
    helper = {"own_processes.py", Path(__file__).name}
    ways = ("subprocess.run(", "subprocess.Popen(", "subprocess.check_", "multiprocessing", "os.system(")
    for path in Path(__file__).parent.rglob("*.py"):
        if path.name not in helper:
            assert [way for way in ways if way in path.read_text()] == [], path.name

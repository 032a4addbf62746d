"""Processes that a test starts, and that end with it: where it passes, where it fails, where it is killed.

Each is started in a session, and so in a process group, of its own, and the whole group is ended when the
`with` block is left. What a process has put into another group, such as a supervisor in the background, is
known by a word in its environment, which all that it starts have from it. A keeper waits for the end of the
process that runs the tests, however that comes, and then ends all that have the word: the kernel's signal at
the death of a parent would not reach what is in the background. Looking into environments takes Linux;
elsewhere only the `with` blocks are there.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

CLOSECALL = Path(sys.executable).with_name("closecall")
_WORD = "OWNED_BY_TESTS"
_owner = f"{os.getpid()}-{uuid.uuid4().hex}"
_QUIET = 0.5
"""Seconds without a new one after which none is coming: what forks just now is not seen at once."""
_keeper = None

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # In the background of a shell SIGINT is ignored, and what a test starts would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def started(words, **how):
    """A process as `subprocess.Popen` starts it; it and its group are killed at the end of the block."""
    _keep()
    environment = {**(how.pop("env", None) or os.environ), _WORD: _owner}
    process = subprocess.Popen(list(map(str, words)), env=environment, start_new_session=True, **how)
    try:
        yield process
    finally:
        _end_group(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what was still to be written goes nowhere
                    pipe.close()


def ran(words, *, seconds=120.0, check=False, **how):
    """What a process came to, as `subprocess.run` says it; none runs longer than so many seconds."""
    if how.pop("capture_output", False):
        how |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(words, **how) as process:
        out, err = process.communicate(timeout=seconds)
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check and done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}: {err or out}")
    return done


def typed(*arguments, code=0, seconds=120.0, **environment):
    """What a command line printed, as (stdout, stderr), once it has ended with this code."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = ran([CLOSECALL, *arguments], env=env, capture_output=True, text=True, seconds=seconds)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@contextmanager
def none_left():
    """End, at the end of the block, all that was started so, and all that has come of it."""
    _keep()
    try:
        yield
    finally:
        end_all(_owner)


def end_all(owner):
    """Kill whatever has the word of `owner` in its environment, until no more come."""
    until = time.monotonic() + _QUIET
    while time.monotonic() < until:
        for pid in owned_by(owner):
            until = time.monotonic() + _QUIET
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def owned_by(owner):
    """The living processes that have the word of `owner`."""
    wanted, found = f"{_WORD}={owner}".encode(), []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone between the look and the read, or another user's
            if wanted in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


def _end_group(process):
    # Once it has been waited for, its number may be another's, unless one of its group still lives.
    if process.poll() is None or process.pid in map(_group, owned_by(_owner)):
        with suppress(ProcessLookupError):  # none of it is left
            os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def _group(pid):
    with suppress(ProcessLookupError):  # it has ended since
        return os.getpgid(pid)
    return None


def _keep():
    """Start the keeper, once in a process; what this one starts without `started` has the word too."""
    global _keeper
    if _keeper is not None:
        return
    os.environ[_WORD] = _owner
    without = {name: value for name, value in os.environ.items() if name != _WORD}
    reader, writer = os.pipe()  # the system closes the writer with this process; no other one has it
    _keeper = subprocess.Popen(
        [sys.executable, "-S", __file__, _owner],
        stdin=reader,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=without,
        start_new_session=True,
    )
    os.close(reader)
    _keeper.lifeline = writer


if __name__ == "__main__":
    while os.read(0, 4096):
        pass
    end_all(sys.argv[1])

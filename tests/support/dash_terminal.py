"""The dashboard on a pseudo-terminal, seen from outside: what it paints, how soon, and at what cost."""

import fcntl
import os
import pty
import random
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

from tests.support.own_processes import started
from tests.support.places import ROOT

ROWS, COLUMNS = 60, 200
_TICKS = os.sysconf("SC_CLK_TCK")
_COMMAND = "from tui.cli.main import main; main()"
_HEALTH = b"7 Health"
"""Stands in the line of tabs, which is painted again when a screen is opened, and at no other time."""


def alone(times, work_ms=20.0):
    """How long a little work takes on this machine now, with no dashboard: whatever else runs delays both."""
    found = []
    for _ in range(times):
        time.sleep(0.1)
        began, cpu = time.perf_counter(), time.thread_time()
        while (time.thread_time() - cpu) * 1000 < work_ms:
            pass
        found.append((time.perf_counter() - began) * 1000)
    found.sort()
    return {"work_ms": work_ms, "median_ms": round(found[times // 2]), "p95_ms": round(found[-times // 20])}


class Terminal:
    """One dashboard in a process of its own. Times are seconds where no unit is named."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._painted = bytearray()
        self._changed = threading.Condition()

    def __enter__(self):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        words = ["dash", "--data-dir", str(self._data_dir), "--utc"]
        self._began = time.perf_counter()
        self._running = started(
            [sys.executable, "-c", _COMMAND, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        self._process = self._running.__enter__()
        os.close(slave)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.press("q")
        try:
            self._process.wait(10)
        finally:
            self._running.__exit__(None, None, None)
            os.close(self._master)

    def opening(self):
        """Seconds until something stands there, and until the journal does."""
        found = {}
        for name, wanted in (("first_paint", b"PAPER"), ("journal", b"S big")):
            found[f"{name}_s"] = round(self._wait(wanted, 0) - self._began, 2)
            found[f"{name}_cpu_s"] = round(self._cpu(), 2)
        return found

    def press(self, keys):
        """Type."""
        os.write(self._master, keys.encode())

    def keys(self, times):
        """From a digit to its screen, at any instant; `cpu` is what all its threads did meanwhile."""
        dice, found, work = random.Random(3), [], []
        for number in range(times):
            time.sleep(dice.uniform(0.05, 0.25))
            with self._changed:
                start = len(self._painted)
            began, cpu = time.perf_counter(), self._has_worked()
            self.press("1234567"[(number + 1) % 7])
            found.append((self._wait(_HEALTH, start) - began) * 1000)
            work.append(self._has_worked() - cpu)
        found.sort()
        work.sort()
        last = max(0, round(0.95 * times) - 1)
        said = {"median_ms": found[times // 2], "p95_ms": found[last], "max_ms": found[-1]}
        said |= {"cpu_median_ms": work[times // 2], "cpu_p95_ms": work[last]}
        return {name: round(value) for name, value in said.items()}

    def counted(self):
        """Wait until the past is counted: seconds since the start, and the memory then."""
        self.press("1")
        while self._shows_counting(5.0):
            pass
        return {"seconds": round(time.perf_counter() - self._began), "rss_mb": self.memory()}

    def _shows_counting(self, seconds):
        """Whether it says within so many seconds that it counts."""
        with self._changed:
            start = len(self._painted)
        time.sleep(seconds)
        with self._changed:
            return re.search(rb"counting the past", self._painted[start:]) is not None

    def cost(self, seconds):
        """The share of one core over so many seconds, and the memory after them."""
        before = self._cpu()
        time.sleep(seconds)
        return {"cpu_percent": round((self._cpu() - before) / seconds * 100, 1), "rss_mb": self.memory()}

    def memory(self):
        """Resident memory in MB."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self._process.pid}/status").read_text())
        return round(int(found[1]) / 1000)

    def settled_memory(self):
        """The memory once all that was written is counted."""
        time.sleep(5.0)
        self.counted()
        return self.memory()

    def _has_worked(self):
        """Milliseconds of processor that all threads of the dashboard have had."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e6

    def _cpu(self):
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _wait(self, wanted, start, patience=30.0):
        """When a text was first painted after a place in what was painted."""
        with self._changed:
            met = self._changed.wait_for(lambda: wanted in self._painted[start:], patience)
            if not met:
                raise TimeoutError(f"{wanted!r} was not painted within {patience:g} s")
            return time.perf_counter()

    def _read(self):
        while True:
            try:
                piece = os.read(self._master, 65_536)
            except OSError:
                return
            with self._changed:
                self._painted += piece
                self._changed.notify_all()


class Writer:
    """The process that writes into the journal meanwhile."""

    def __init__(self, path: Path) -> None:
        self._words = [sys.executable, "-m", "tests.support.dash_journal", str(path)]

    def __enter__(self):
        self._running = started(
            self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self._process = self._running.__enter__()
        return self

    def __exit__(self, *_):
        try:
            self._process.stdin.close()
            self._process.wait(60)
        finally:
            self._running.__exit__(None, None, None)

    def hurry(self, events):
        """Write so many events at once, and wait for it; the seconds it took."""
        began = time.perf_counter()
        self._process.stdin.write(f"{events}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()
        return round(time.perf_counter() - began)

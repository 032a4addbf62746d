"""End a child process with its parent, however the parent ended.

The parent holds the other end of the child's stdin, and the system closes that end with it.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def die_with_parent() -> None:
    """Have the system kill this process when its parent ends, where it can: on Linux.

    This also reaches a process that is stopped or hangs, and so does not read its stdin.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def call_at_stdin_eof(callback: Callable[[], None]) -> None:
    """Call `callback`, in a thread of its own, once nobody holds the other end of stdin any longer.

    Whatever else is written to stdin is discarded.
    """

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        callback()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()

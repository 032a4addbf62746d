"""A process that ends with the one that started it, however that one ended. Knows no session.

The one that started it holds the other end of its stdin, and the system closes that end with it.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def die_with_parent() -> None:
    """Have the system end this process with the one that started it, where it can: on Linux.

    Reaches a process that is stopped or hangs too, which reads no stdin.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def call_at_stdin_eof(callback: Callable[[], None]) -> None:
    """Call `tell`, in a thread of its own, once nobody holds the other end of stdin any longer.

    Whatever else is written there is lost.
    """

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        callback()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()

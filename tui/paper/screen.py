"""What a person sees of a session that runs in the foreground: what matters as lines, the rest as one line.

Writes to stderr; reads no journal. Figures are in the account's currency.
"""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from engine.calendars import Calendar
from engine.journal import Row
from tui.paper.next_close import calendars_in, next_close
from tui.paper.telling import call_text, decision_text, instant_of, log_line, waiting_text
from tui.progress import say

_LINE_EVERY = 10.0


class Screen:
    """Takes a session's events. `quiet_fills` leaves fills out, as a replay at full speed has thousands."""

    def __init__(self, now: Callable[[], datetime], *, quiet_fills: bool) -> None:
        self._now = now
        self._quiet_fills = quiet_fills
        self._cash = 0.0
        self._value: float | None = None
        self._state = "active"
        self._call = ""
        self._reached: datetime | None = None
        self._waiting: dict[str, Any] = {}
        self._calendars: Mapping[str, Calendar] = {}
        self._shown = 0.0
        self._open = False
        self._last = ""
        self._over = False
        self._turn = threading.RLock()

    def begun(self, said: Mapping[str, Any]) -> None:
        """The first event of the session, which a start that goes on does not meet again."""
        self._cash = said["cash"]
        if not said["simulated"]:
            self._calendars = calendars_in(said, self._now())

    def event(self, row: Row) -> None:
        """One event of the session's journal."""
        with self._turn:
            self._take(row)
        if row.kind == "fill" and self._quiet_fills:
            return
        if (line := log_line(row)) is not None:
            self.say(line)

    def say(self, line: str) -> None:
        """A line of its own."""
        with self._turn:
            self._clear()
            say(line)

    def tick(self) -> None:
        """Show where the session stands: again and again on a terminal, now and then elsewhere."""
        with self._turn:
            self._show()

    def _show(self) -> None:
        line = self._line()
        every = 0.2 if sys.stderr.isatty() else _LINE_EVERY
        if self._over or (line == self._last and not sys.stderr.isatty()):
            return
        if not line or time.monotonic() - self._shown < every:
            return
        self._shown, self._last = time.monotonic(), line
        if sys.stderr.isatty():
            self._clear()
            width = _width()
            sys.stderr.write(line[: width - 1])
            sys.stderr.flush()
            self._open = True
        else:
            say(line)

    def end(self) -> None:
        """Leave the screen to what comes next."""
        with self._turn:
            self._clear()

    def _take(self, row: Row) -> None:
        said = row.payload
        match row.kind:
            case "session_started":
                self.begun(said)
            case "progress":
                self._value, self._state = said["value"], said["state"]
                self._reached = instant_of(row)
            case "valuation":
                self._value = said["value"]
            case "forecast":
                self._call = call_text(said)
            case "waiting":
                self._waiting = dict(said)
            case "session_stopped" | "session_finished":
                self._over = True

    def _line(self) -> str:
        parts = []
        if self._reached is not None:
            parts.append(f"{self._reached:%Y-%m-%d %H:%M}")
        if self._state != "active":
            parts.append(self._state.upper())
        if self._value is not None:
            change = f" ({self._value / self._cash - 1:+.1%})" if self._cash else ""
            parts.append(f"equity {self._value:,.2f}{change}")
        if self._call:
            parts.append(self._call)
        if self._calendars and (close := next_close(self._calendars, self._now())):
            parts.append(decision_text(close, self._now()))
        if self._waiting:
            parts.append(waiting_text(self._waiting, self._now()))
        return " · ".join(parts)

    def _clear(self) -> None:
        if self._open:
            sys.stderr.write("\r\x1b[2K")
            self._open = False


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns

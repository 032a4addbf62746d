"""Run a session in the foreground and show its progress."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from engine.calendars import Calendar
from engine.journal.events import Kind, decode
from engine.journal.events.inputs import SessionFinished
from engine.journal.events.outputs import PredictionRecord
from engine.journal.events.sessions import SessionStarted, SessionStopped, Waiting
from engine.journal.journal import Row
from engine.trading.records import SessionSnapshot, Valuation
from engine.trading.risk import RiskState
from strategies.config import Retraining
from strategies.console import print_stderr, utc_now
from strategies.monitor.descriptions import (
    decision_text,
    log_line,
    prediction_text,
    waiting_text,
)
from strategies.monitor.status import calendars_in, next_close
from strategies.paper.files import LOG, read_start, session_folder
from strategies.paper_runtime.launch import LaunchSpec
from strategies.paper_runtime.supervisor import SessionEnd, Supervisor, require_stopped

_TICK = 0.2


def introduce(plan: LaunchSpec) -> None:
    """Print what is about to run, where its journal is, and how to end it.

    Raises UsageError where another process runs the session.
    """
    require_stopped(plan)
    config = plan.config
    if plan.replay:
        days = "recorded days" if config.bars or config.store else "a SIMULATED market"
        pace = "as fast as possible" if plan.speed is None else f"at {plan.speed:g} times real time"
        print_stderr(f"session {plan.name}: a replay of {days}, {pace}; no order is real")
    else:
        print_stderr(f"session {plan.name}: live prices of {', '.join(config.symbols)}; no order is real")
    verb = "resumes" if read_start(plan.data_dir, plan.name) is not None else "begins"
    print_stderr(
        f"it {verb} in {session_folder(plan.data_dir, plan.name)} (its log is {LOG}); Ctrl-C stops it"
    )
    if config.paper.retrain is Retraining.NEVER:
        print_stderr(
            "the student is not retrained; add --retrain weekly (daily, monthly, quarterly, on-drift)"
        )
    else:
        print_stderr(f"the student is retrained: {config.paper.retrain} ({config.paper.method})")


def run_in_foreground(plan: LaunchSpec, stop: threading.Event) -> bool:
    """Run a session and return True when it has ended, False when it was stopped.

    Raises KeyboardInterrupt for Ctrl-C, after the session has stopped.
    """
    screen = ProgressLine(utc_now, quiet_fills=plan.replay and plan.speed is None)
    if (started := read_start(plan.data_dir, plan.name)) is not None:
        screen.on_start(started)
    done = threading.Event()

    def tick() -> None:
        while not done.wait(_TICK):
            screen.refresh()

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    again = f"to resume: closecall paper start --name {plan.name}"
    try:
        supervisor = Supervisor(plan, show=screen.on_event, on_message=screen.print_line, stop=stop)
        ended = supervisor.run()
    except KeyboardInterrupt:
        done.set()
        screen.close()
        print_stderr(f"stopped; {again}")
        raise
    finally:
        done.set()
        ticking.join()
        screen.close()
    if ended is SessionEnd.STOPPED:
        print_stderr(f"stopped; {again}")
    return ended is SessionEnd.FINISHED


_LINE_EVERY = 10.0


class ProgressLine:
    """Takes a session's events. `quiet_fills` leaves fills out, as a replay at full speed has thousands."""

    def __init__(self, now: Callable[[], datetime], *, quiet_fills: bool) -> None:
        self._now = now
        self._quiet_fills = quiet_fills
        self._cash = 0.0
        self._value: float | None = None
        self._state: str = RiskState.ACTIVE
        self._call = ""
        self._reached: datetime | None = None
        self._waiting: Waiting | None = None
        self._calendars: Mapping[str, Calendar] = {}
        self._shown = 0.0
        self._open = False
        self._last = ""
        self._over = False
        self._turn = threading.RLock()

    def on_start(self, started: SessionStarted) -> None:
        """Take the session's first event, which is not shown again when it resumes."""
        self._cash = started.cash
        if not started.simulated:
            self._calendars = calendars_in(started.calendars, self._now())

    def on_event(self, row: Row) -> None:
        """One event of the session's journal."""
        with self._turn:
            self._apply(row)
        if row.kind == Kind.FILL and self._quiet_fills:
            return
        if (line := log_line(row)) is not None:
            self.print_line(line)

    def print_line(self, line: str) -> None:
        """A line of its own."""
        with self._turn:
            self._clear()
            print_stderr(line)

    def refresh(self) -> None:
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
            print_stderr(line)

    def close(self) -> None:
        """Leave the screen to what comes next."""
        with self._turn:
            self._clear()

    def _apply(self, row: Row) -> None:
        match decode(row):
            case SessionStarted() as started:
                self.on_start(started)
            case SessionSnapshot() as snapshot:
                self._value, self._state, self._reached = snapshot.value, snapshot.state, snapshot.at
            case Valuation() as valuation:
                self._value = valuation.value
            case PredictionRecord() as record:
                self._call = f"{record.call.symbol} {prediction_text(record.call)}"
            case Waiting() as waiting:
                self._waiting = waiting
            case SessionStopped() | SessionFinished():
                self._over = True

    def _line(self) -> str:
        parts = []
        if self._reached is not None:
            parts.append(f"{self._reached:%Y-%m-%d %H:%M}")
        if self._state != RiskState.ACTIVE:
            parts.append(self._state.upper())
        if self._value is not None:
            change = f" ({self._value / self._cash - 1:+.1%})" if self._cash else ""
            parts.append(f"equity {self._value:,.2f}{change}")
        if self._call:
            parts.append(self._call)
        if self._calendars and (close := next_close(self._calendars, self._now())):
            parts.append(decision_text(close, self._now()))
        if self._waiting:
            parts.append(waiting_text(self._waiting.awaited, self._waiting.until, self._now()))
        return " · ".join(parts)

    def _clear(self) -> None:
        if self._open:
            sys.stderr.write("\r\x1b[2K")
            self._open = False


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns

"""A paper session: walks its journaled inputs in order, trades them, and commits what came of each.

Starting anew and going on are one path: the journal is walked from its beginning, what was done before is
done again and must come out the same, and what has no effects yet is decided now. Knows no exchange, no model
and no process; whatever it needs is passed in. It stops by an exception through the engine, so that a session
that was stopped and goes on later has never ended.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from engine.calendars import Calendar
from engine.errors import JournalError
from engine.journal.events import COMMAND, FORECAST, OUTPUT_KINDS
from engine.journal.journal import Journal, Row
from engine.journal.recovery import Checkpoint
from engine.trading.inputs import EngineInput
from engine.trading.risk import CommandKind
from llm.student import StudentClient, StudentUnavailable
from strategies.paper.clock import REPLAYED, Clock, Source
from strategies.paper.forecasting import (
    ARRIVED_LATE,
    Answers,
    PredictionRecord,
    abstain,
    predict,
    replay_predictions,
)
from strategies.paper.journal_writer import ClockJumpDetector, JournalWriter, StopRequested
from strategies.paper.loop import create_context, run_engine
from strategies.paper.outputs import EventCursor, OutputLog
from strategies.paper.state import ADOPTED, CALENDAR, FINISHED, INPUTS, AppliedInput, SessionState
from strategies.run_spec import STARTED, RunSpec, decode_run_spec
from strategies.sizing import volatility

RESUMED, STOPPED, WAITING = "session_resumed", "session_stopped", "waiting"

_MAX_PENDING = 4000

_COMMITS_A_NOTE = 32

_CALENDAR_LEFT, _CALENDAR_AHEAD = timedelta(days=60), timedelta(days=366)

Champion = Callable[[datetime], Mapping[str, Any] | None]
"""What student the registry had at an instant: a payload with at least its `fingerprint`, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDeps:
    """What a session works with.

    `load` makes the student of an adoption's payload (None: the one the session began with), and is called
    again whenever that student is needed and gone. `stop` says whether to stop. `say` is told what cannot be
    journaled. `at` is called at each boundary with its name, for tests that kill there. `calendars` replaces
    those that codes name.
    """

    source: Source
    time: Clock
    answers: Answers
    load_student: Callable[[Mapping[str, Any] | None], StudentClient]
    champion: Champion = lambda _at: None
    stop: Callable[[], bool] = lambda: False
    on_message: Callable[[str], None] = lambda _line: None
    failpoint: Callable[[str], None] = lambda _boundary: None
    calendars: Mapping[str, Calendar] = field(default_factory=dict)


_UNAVAILABLE = (
    "its last {} events are gone; what follows from prices is made again, commands and adoptions among them "
    "are not: give a lost command again"
)


class PaperSession:
    """One session on an open journal, which begins with its settings. The caller holds the session's lock.

    `tip` notes beside the journal how far it has come.
    """

    def __init__(self, journal: Journal, deps: SessionDeps, checkpoint: Checkpoint) -> None:
        first = next(journal.read(kinds=(STARTED,)), None)
        if first is None or first.seq != 1:
            raise JournalError(f"session {journal.session} has no settings; start it anew under another name")
        self._journal = journal
        self._checkpoint = checkpoint
        self._deps = deps
        self._time = deps.time
        self.settings: RunSpec = decode_run_spec(first.payload)
        self.state = SessionState(self.settings, deps.calendars)
        self._inputs = EventCursor(journal, INPUTS)
        self._outputs = OutputLog(journal, self._time.now)
        self.context = create_context(self.settings, self.state, self._outputs.emit)
        self._writer = JournalWriter(journal, self._time, deps.stop, deps.on_message)
        self.faults = self._writer.faults
        self._clock = ClockJumpDetector()
        self._student: StudentClient | None = None
        self._student_adoption: Mapping[str, Any] | None = None
        self._ended: Row | None = None
        self._wake: datetime | None = None
        self._progress_announced = ""
        self._commits = 0

    def run(self) -> bool:
        """Go on until the source has nothing left, or until told to stop; whether the session has ended.

        Raises JournalError for a journal that is damaged, or whose effects do not come out again.
        """
        self._journal.verify()
        if missing := self._checkpoint.missing_events(self._journal):
            self.faults.record("journal", _UNAVAILABLE.format(missing))
            self._checkpoint.save(
                self._journal
            )  # the old note is told of, and would speak of other events soon
        self._resume()
        try:
            run_engine(self._items(), self.settings, self.state, self.context)
            if self._ended is not None:
                self._outputs.finish_input()
                self._commit()
        except StopRequested:
            with suppress(StopRequested):  # the journal cannot be written either
                self._writer.append(STOPPED, {"reason": "told to stop"})
            return False
        finally:
            with suppress(JournalError):  # what was raised tells of it; the last note stays true
                self._checkpoint.save(self._journal)
        return True

    def _resume(self) -> None:
        now = self._time.now()
        if next(iter(self._journal.read(kinds=OUTPUT_KINDS)), None) is not None:
            self._writer.append(RESUMED, {"events": self._journal.last_seq})
        for code, last in self.state.known_until.items():
            if date.max > last < (now + _CALENDAR_LEFT).date() and not self._time.simulated:
                ahead = (now + _CALENDAR_AHEAD).date()
                self._writer.append(CALENDAR, {"code": code, "last": ahead})

    def _items(self) -> Iterator[EngineInput]:
        while True:
            row = self._writer.retrying(self._inputs.next, confirms_recovery=False)
            if row is None:
                self._commit()
                self._idle()
                continue
            if row.kind != COMMAND or REPLAYED in row.payload:
                self._time.advance_to(row.as_of)
            before = self._outputs.begin_input(row, self.state.effective_time(row))
            if row.kind == FINISHED:
                self._ended = row
                return
            taken = self.state.apply(row)
            self._predict(row, taken, before)
            yield from taken.items
            self._outputs.finish_input()
            self.context.predictions.clear()
            self.context.volatilities.clear()
            if self._outputs.pending >= _MAX_PENDING:
                self._commit()

    def _predict(self, row: Row, taken: AppliedInput, before: list[Row]) -> None:
        """Put the calls on a slice's closes where the strategy looks for them."""
        observed = taken.observed
        if not observed:
            return
        rows = [one for one in before if one.kind == FORECAST]
        for made in replay_predictions(observed, rows) if before else self._decide(row, taken):
            key = made.call.symbol, row.as_of
            self.context.predictions[key] = made.call
            self._outputs.emit_forecast(made.call.as_of, made.encode() | {"adapter": self.state.adapter})
        for one in observed:
            self.context.volatilities[one.symbol, row.as_of] = volatility(one.bars)

    def _decide(self, row: Row, taken: AppliedInput) -> list[PredictionRecord]:
        observed = taken.observed
        now = self._time.now()
        if taken.late or now > row.as_of + self.settings.late_after:
            return abstain(observed, ARRIVED_LATE)
        if not self._time.simulated:
            self._commit()  # whatever happened before must be on record while the student thinks
            symbols = ", ".join(one.symbol for one in observed)
            self._wait_for(f"the student's calls on {symbols}", now + self.settings.deadline)
        self._deps.failpoint("before the forecast")
        found = predict(
            observed,
            self._load_student,
            self._deps.answers,
            seconds=self.settings.deadline.total_seconds(),
            interrupted=lambda: self._interrupted(row.seq),
            fault=self.faults.set_status,
        )
        self._deps.failpoint("after the forecast")
        if "student" in self.faults.down:
            self._student = None  # it is asked for anew at the next close
        return found

    def _load_student(self) -> StudentClient:
        adopted = self.state.active_model
        if self._student is None or self._student_adoption != adopted:
            student = self._deps.load_student(adopted)
            wanted = adopted["fingerprint"] if adopted else self.settings.fingerprint
            if student.fingerprint != wanted:
                raise StudentUnavailable(
                    f"the student is not the one on record: fingerprint {student.fingerprint[:12]}, "
                    f"not {str(wanted)[:12]}; give that one back, or start a new session"
                )
            if student.window != self.settings.window:
                bars = f"{student.window} bars, not {self.settings.window}"
                raise StudentUnavailable(f"the student looks at {bars}; give one with the same window")
            self._student, self._student_adoption = student, adopted
        return self._student

    def _interrupted(self, since: int) -> bool:
        """Whether a person stopped all orders after that event; simulated commands wait their turn."""
        if self._time.simulated:
            return False
        rows = self._journal.read(since, (COMMAND,))
        return any(CommandKind(row.payload["command"]).blocks_orders for row in rows)

    def _idle(self) -> None:
        """Ask the source for more; pass time if it has none."""
        self._writer.flush_faults()
        if self._deps.stop():
            raise StopRequested
        now = self._time.now()
        if not self._time.simulated and (wrong := self._clock.check(now, self._wake)):
            self.faults.record("clock", wrong)
            self._wake = None
        if self._wake is not None and now < self._wake:
            self._time.wait(self._wake)
            return
        self._adopt_champion(now)
        wake = self._writer.retrying(lambda: self._deps.source.step(now))
        self._deps.failpoint("after the input")
        if wake is None:
            self._writer.append(FINISHED, {}, at=self._time.now())
        self._wake = wake if wake is not None and wake > now else None
        if self._wake is not None:
            self._wait_for("the next input", self._wake)

    def _adopt_champion(self, now: datetime) -> None:
        champion = self._deps.champion(now)
        current = self.state.active_model
        of = current["fingerprint"] if current else self.settings.fingerprint
        if champion is not None and champion["fingerprint"] != of:
            self._writer.append(ADOPTED, champion, at=now)

    def _commit(self) -> None:
        if self._outputs.pending:
            self._deps.failpoint("before the effects")
            self._writer.retrying(self._outputs.flush)
            self._deps.failpoint("after the effects")
            self._commits += 1
            if not self._time.simulated or self._commits % _COMMITS_A_NOTE == 0:
                self._writer.retrying(lambda: self._checkpoint.save(self._journal), confirms_recovery=False)
        self._writer.flush_faults()

    def _wait_for(self, what: str, until: datetime) -> None:
        if not self._time.simulated and what != self._progress_announced:
            self._writer.append(WAITING, {"for": what, "until": until, "state": self.context.risk.state})
            self._progress_announced = what

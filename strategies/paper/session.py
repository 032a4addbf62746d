"""A paper session: reads its journaled inputs in order, trades them, and commits the outputs of each.

A new session and a resumed one take the same path: the journal is read from its beginning, what was done
before is replayed and must match, and what has no outputs yet is decided now. Source, clock and student are
passed in. A stop is an exception through the engine, so that a stopped session has not ended and can resume.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from engine.calendars import Calendar
from engine.errors import JournalError
from engine.journal.events import INPUT_KINDS, OUTPUT_KINDS, Kind, decode_as, replay_number
from engine.journal.events.inputs import CalendarExtended, ModelAdopted, SessionFinished
from engine.journal.events.outputs import PredictionRecord
from engine.journal.events.sessions import SessionResumed, SessionStopped, Waiting
from engine.journal.journal import Journal, Row
from engine.journal.recovery import Checkpoint
from engine.trading.inputs import EngineInput
from engine.trading.risk import Command
from llm.student import StudentClient, StudentUnavailable
from strategies.paper.announced_actions import AnnouncedActions
from strategies.paper.clock import Clock, Source
from strategies.paper.forecasting import (
    ARRIVED_LATE,
    Answers,
    abstain,
    predict,
    replay_predictions,
)
from strategies.paper.journal_writer import ClockJumpDetector, JournalWriter, StopRequested
from strategies.paper.loop import create_context, run_engine
from strategies.paper.outputs import EventCursor, OutputLog
from strategies.paper.state import AppliedInput, SessionState
from strategies.run_spec import RunSpec, decode_run_spec, read_replayable_start
from strategies.sizing import volatility

_MAX_PENDING = 4000
_COMMITS_A_NOTE = 32
_CALENDAR_LEFT, _CALENDAR_AHEAD = timedelta(days=60), timedelta(days=366)
Champion = Callable[[datetime], ModelAdopted | None]
"""Returns the registry's student at an instant, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDeps:
    """What a session works with.

    `load_student` loads the adopted student (None: the one the session began with), and is called again when
    that student is gone. `champion` is asked at each instant. `stop` says whether to stop. `on_message` is
    called with what cannot be journaled. `failpoint` is called at each boundary with its name, so that a test
    can kill the session there. `calendars` replaces calendars by code.
    """

    source: Source
    time: Clock
    answers: Answers
    load_student: Callable[[ModelAdopted | None], StudentClient]
    champion: Champion = lambda _at: None
    stop: Callable[[], bool] = lambda: False
    on_message: Callable[[str], None] = lambda _line: None
    failpoint: Callable[[str], None] = lambda _boundary: None
    calendars: Mapping[str, Calendar] = field(default_factory=dict)


_UNAVAILABLE = (
    "its last {} events are missing; prices and their outputs are restored, commands and adoptions are not: "
    "repeat lost commands"
)


class PaperSession:
    """One session on an open journal, which begins with its settings. The caller holds the session's lock.

    `checkpoint` stores the number of the newest event beside the journal. Raises JournalError for a journal
    that is not a session's, and RulesError for one whose rules this version lacks.
    """

    def __init__(self, journal: Journal, deps: SessionDeps, checkpoint: Checkpoint) -> None:
        self._journal = journal
        self._checkpoint = checkpoint
        self._deps = deps
        self._time = deps.time
        self.settings: RunSpec = decode_run_spec(read_replayable_start(journal))
        self.state = SessionState(self.settings, deps.calendars)
        self._inputs = EventCursor(journal, INPUT_KINDS)
        self._outputs = OutputLog(journal, self._time.now)
        self.context = create_context(self.settings, self.state, self._outputs.emit)
        self._writer = JournalWriter(journal, self._time, deps.stop, deps.on_message)
        self.faults = self._writer.faults
        self._clock = ClockJumpDetector()
        self._actions = AnnouncedActions(journal)
        self._student: StudentClient | None = None
        self._student_adoption: ModelAdopted | None = None
        self._ended: Row | None = None
        self._wake: datetime | None = None
        self._progress_announced = ""
        self._commits = 0

    def run(self) -> bool:
        """Run until the source has nothing left or `stop` says so; return whether the session has ended.

        Raises JournalError for a journal that is damaged, or whose outputs do not match on replay.
        """
        self._journal.verify()
        if missing := self._checkpoint.missing_events(self._journal):
            self.faults.record("journal", _UNAVAILABLE.format(missing))
            self._checkpoint.save(
                self._journal
            )  # the loss is reported; the old checkpoint would soon be wrong
        self._resume()
        try:
            run_engine(self._items(), self.settings, self.state, self.context)
            if self._ended is not None:
                self._outputs.finish_input()
                self._commit()
        except StopRequested:
            with suppress(StopRequested):  # the journal cannot be written either
                self._writer.append(SessionStopped(reason="stop requested"))
            return False
        finally:
            with suppress(JournalError):  # the session raises it anyway; the last checkpoint stays valid
                self._checkpoint.save(self._journal)
        return True

    def _resume(self) -> None:
        now = self._time.now()
        if next(iter(self._journal.read(kinds=OUTPUT_KINDS)), None) is not None:
            self._writer.append(SessionResumed(events=self._journal.last_seq))
        for code, last in self.state.known_until.items():
            if date.max > last < (now + _CALENDAR_LEFT).date() and not self._time.simulated:
                ahead = (now + _CALENDAR_AHEAD).date()
                self._writer.append(CalendarExtended(code=code, last=ahead))

    def _items(self) -> Iterator[EngineInput]:
        while True:
            row = self._writer.retrying(self._inputs.next, confirms_recovery=False)
            if row is None:
                self._commit()
                self._idle()
                continue
            if row.kind != Kind.COMMAND or replay_number(row) is not None:
                self._time.advance_to(row.as_of)
            before = self._outputs.begin_input(row, self.state.effective_time(row))
            if row.kind == Kind.SESSION_FINISHED:
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
        """Put the predictions on a slice's closes into the context."""
        observed = taken.observed
        if not observed:
            return
        rows = [output for output in before if output.kind == Kind.FORECAST]
        for record in replay_predictions(observed, rows) if before else self._decide(row, taken):
            self.context.predictions[record.call.symbol, row.as_of] = record.call
            self._outputs.emit_prediction(replace(record, adapter=self.state.adapter))
        for observation in observed:
            self.context.volatilities[observation.symbol, row.as_of] = volatility(observation.bars)

    def _decide(self, row: Row, taken: AppliedInput) -> list[PredictionRecord]:
        observed = taken.observed
        now = self._time.now()
        if taken.late or now > row.as_of + self.settings.late_after:
            return abstain(observed, ARRIVED_LATE)
        if not self._time.simulated:
            self._commit()  # everything before must be committed while the student answers
            symbols = ", ".join(observation.symbol for observation in observed)
            self._wait_for(f"the student's calls on {symbols}", now + self.settings.deadline)
        self._deps.failpoint("before the forecast")
        records = predict(
            observed,
            self._load_student,
            self._deps.answers,
            seconds=self.settings.deadline.total_seconds(),
            interrupted=lambda: self._interrupted(row.seq),
            fault=self.faults.set_status,
            token_probabilities=self.settings.token_probabilities,
        )
        self._deps.failpoint("after the forecast")
        if "student" in self.faults.down:
            self._student = None  # it is loaded again at the next close
        return records

    def _load_student(self) -> StudentClient:
        adopted = self.state.active_model
        if self._student is None or self._student_adoption != adopted:
            student = self._deps.load_student(adopted)
            wanted = adopted.fingerprint if adopted else self.settings.fingerprint
            if student.fingerprint != wanted:
                raise StudentUnavailable(
                    f"the student has changed: fingerprint {student.fingerprint[:12]}, "
                    f"not {wanted[:12]}; restore it, or start a new session"
                )
            if student.window != self.settings.window:
                bars = f"{student.window} bars, not {self.settings.window}"
                raise StudentUnavailable(f"the student has a window of {bars}; use one with the same window")
            self._student, self._student_adoption = student, adopted
        return self._student

    def _interrupted(self, since: int) -> bool:
        """Return whether a command after that event blocks orders; simulated commands wait their turn."""
        if self._time.simulated:
            return False
        rows = self._journal.read(since, (Kind.COMMAND,))
        return any(decode_as(Command, row).kind.blocks_orders for row in rows)

    def _idle(self) -> None:
        """Ask the source for inputs; wait if it has none."""
        self._writer.flush_faults()
        if self._deps.stop():
            raise StopRequested
        now = self._time.now()
        if not self._time.simulated and (wrong := self._clock.check(now, self._wake)):
            self.faults.record("clock", wrong)
            self._wake = None
        due = self._writer.retrying(lambda: self._actions.due(now), confirms_recovery=False)
        for action in due:
            self._writer.append(action, at=action.at)
        if due:
            return  # they are inputs, which come before those of the source
        if self._wake is not None and now < self._wake:
            self._time.wait(self._wake)
            return
        self._adopt_champion(now)
        wake = self._writer.retrying(lambda: self._deps.source.step(now))
        self._deps.failpoint("after the input")
        if wake is None:
            self._writer.append(SessionFinished(), at=self._time.now())
        self._wake = wake if wake is not None and wake > now else None
        if self._wake is not None:
            self._wait_for("the next input", self._wake)

    def _adopt_champion(self, now: datetime) -> None:
        champion = self._deps.champion(now)
        current = self.state.active_model
        fingerprint = current.fingerprint if current else self.settings.fingerprint
        if champion is not None and champion.fingerprint != fingerprint:
            self._writer.append(champion, at=now)

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
            self._writer.append(Waiting(awaited=what, until=until, state=self.context.risk.state))
            self._progress_announced = what

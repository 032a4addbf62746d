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
from engine.journal.events import COMMAND, EFFECTS, FORECAST
from engine.journal.journal import Journal, Row
from engine.journal.recovery import Tip
from engine.trading.inputs import Item
from engine.trading.risk import CommandKind
from llm.student import StudentGone, TimelyStudent
from strategies.paper.clock import REPLAYED, Source, Timekeeper
from strategies.paper.forecasting import LATE, Answers, Made, abstain, ask, made_before
from strategies.paper.journal_writer import JumpWatch, Stopped, Writing
from strategies.paper.loop import new_board, trade
from strategies.paper.outputs import Effects, Rows
from strategies.paper.state import ADOPTED, CALENDAR, FINISHED, INPUTS, Taken, World
from strategies.run_spec import STARTED, SessionSettings, settings_from_payload
from strategies.sizing import volatility

RESUMED, STOPPED, WAITING = "session_resumed", "session_stopped", "waiting"

_MOST_PENDING = 4000

_COMMITS_A_NOTE = 32

_CALENDAR_LEFT, _CALENDAR_AHEAD = timedelta(days=60), timedelta(days=366)

Champion = Callable[[datetime], Mapping[str, Any] | None]
"""What student the registry had at an instant: a payload with at least its `fingerprint`, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a session works with.

    `load` makes the student of an adoption's payload (None: the one the session began with), and is called
    again whenever that student is needed and gone. `stop` says whether to stop. `say` is told what cannot be
    journaled. `at` is called at each boundary with its name, for tests that kill there. `calendars` replaces
    those that codes name.
    """

    source: Source
    time: Timekeeper
    answers: Answers
    load: Callable[[Mapping[str, Any] | None], TimelyStudent]
    champion: Champion = lambda _at: None
    stop: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda _line: None
    at: Callable[[str], None] = lambda _boundary: None
    calendars: Mapping[str, Calendar] = field(default_factory=dict)


_GONE = (
    "its last {} events are gone; what follows from prices is made again, commands and adoptions among them "
    "are not: give a lost command again"
)


class PaperSession:
    """One session on an open journal, which begins with its settings. The caller holds the session's lock.

    `tip` notes beside the journal how far it has come.
    """

    def __init__(self, journal: Journal, parts: Parts, tip: Tip) -> None:
        first = next(journal.read(kinds=(STARTED,)), None)
        if first is None or first.seq != 1:
            raise JournalError(f"session {journal.session} has no settings; start it anew under another name")
        self._journal = journal
        self._tip = tip
        self._parts = parts
        self._time = parts.time
        self.settings: SessionSettings = settings_from_payload(first.payload)
        self.world = World(self.settings, parts.calendars)
        self._inputs = Rows(journal, INPUTS)
        self._effects = Effects(journal, self._time.now)
        self.board = new_board(self.settings, self.world, self._effects.state)
        self._writing = Writing(journal, self._time, parts.stop, parts.say)
        self.faults = self._writing.faults
        self._clock = JumpWatch()
        self._student: TimelyStudent | None = None
        self._of: Mapping[str, Any] | None = None
        self._ended: Row | None = None
        self._wake: datetime | None = None
        self._said = ""
        self._commits = 0

    def run(self) -> bool:
        """Go on until the source has nothing left, or until told to stop; whether the session has ended.

        Raises JournalError for a journal that is damaged, or whose effects do not come out again.
        """
        self._journal.verify()
        if missing := self._tip.missing(self._journal):
            self.faults.happened("journal", _GONE.format(missing))
            self._tip.note(self._journal)  # the old note is told of, and would speak of other events soon
        self._resume()
        try:
            trade(self._items(), self.settings, self.world, self.board)
            if self._ended is not None:
                self._effects.end()
                self._commit()
        except Stopped:
            with suppress(Stopped):  # the journal cannot be written either
                self._writing.note(STOPPED, {"reason": "told to stop"})
            return False
        finally:
            with suppress(JournalError):  # what was raised tells of it; the last note stays true
                self._tip.note(self._journal)
        return True

    def _resume(self) -> None:
        now = self._time.now()
        if next(iter(self._journal.read(kinds=EFFECTS)), None) is not None:
            self._writing.note(RESUMED, {"events": self._journal.last_seq})
        for code, last in self.world.known_until.items():
            if date.max > last < (now + _CALENDAR_LEFT).date() and not self._time.simulated:
                ahead = (now + _CALENDAR_AHEAD).date()
                self._writing.note(CALENDAR, {"code": code, "last": ahead})

    def _items(self) -> Iterator[Item]:
        while True:
            row = self._writing.through(self._inputs.next, proves=False)
            if row is None:
                self._commit()
                self._idle()
                continue
            if row.kind != COMMAND or REPLAYED in row.payload:
                self._time.reach(row.as_of)
            before = self._effects.begin(row, self.world.acts_at(row))
            if row.kind == FINISHED:
                self._ended = row
                return
            taken = self.world.take(row)
            self._call(row, taken, before)
            yield from taken.items
            self._effects.end()
            self.board.calls.clear()
            self.board.volatilities.clear()
            if self._effects.pending >= _MOST_PENDING:
                self._commit()

    def _call(self, row: Row, taken: Taken, before: list[Row]) -> None:
        """Put the calls on a slice's closes where the strategy looks for them."""
        observed = taken.observed
        if not observed:
            return
        rows = [one for one in before if one.kind == FORECAST]
        for made in made_before(observed, rows) if before else self._decide(row, taken):
            key = made.call.symbol, row.as_of
            self.board.calls[key] = made.call
            self._effects.forecast(made.call.as_of, made.payload() | {"adapter": self.world.adapter})
        for one in observed:
            self.board.volatilities[one.symbol, row.as_of] = volatility(one.bars)

    def _decide(self, row: Row, taken: Taken) -> list[Made]:
        observed = taken.observed
        now = self._time.now()
        if taken.late or now > row.as_of + self.settings.late_after:
            return abstain(observed, LATE)
        if not self._time.simulated:
            self._commit()  # whatever happened before must be on record while the student thinks
            symbols = ", ".join(one.symbol for one in observed)
            self._wait_for(f"the student's calls on {symbols}", now + self.settings.deadline)
        self._parts.at("before the forecast")
        found = ask(
            observed,
            self._load,
            self._parts.answers,
            seconds=self.settings.deadline.total_seconds(),
            interrupted=lambda: self._interrupted(row.seq),
            fault=self.faults.tell,
        )
        self._parts.at("after the forecast")
        if "student" in self.faults.down:
            self._student = None  # it is asked for anew at the next close
        return found

    def _load(self) -> TimelyStudent:
        adopted = self.world.adopted
        if self._student is None or self._of != adopted:
            student = self._parts.load(adopted)
            wanted = adopted["fingerprint"] if adopted else self.settings.fingerprint
            if student.fingerprint != wanted:
                raise StudentGone(
                    f"the student is not the one on record: fingerprint {student.fingerprint[:12]}, "
                    f"not {str(wanted)[:12]}; give that one back, or start a new session"
                )
            if student.window != self.settings.window:
                bars = f"{student.window} bars, not {self.settings.window}"
                raise StudentGone(f"the student looks at {bars}; give one with the same window")
            self._student, self._of = student, adopted
        return self._student

    def _interrupted(self, since: int) -> bool:
        """Whether a person stopped all orders after that event; simulated commands wait their turn."""
        if self._time.simulated:
            return False
        rows = self._journal.read(since, (COMMAND,))
        return any(CommandKind(row.payload["command"]).stops for row in rows)

    def _idle(self) -> None:
        """Ask the source for more; pass time if it has none."""
        self._writing.tell_faults()
        if self._parts.stop():
            raise Stopped
        now = self._time.now()
        if not self._time.simulated and (wrong := self._clock.look(now, self._wake)):
            self.faults.happened("clock", wrong)
            self._wake = None
        if self._wake is not None and now < self._wake:
            self._time.wait(self._wake)
            return
        self._adopt(now)
        wake = self._writing.through(lambda: self._parts.source.step(now))
        self._parts.at("after the input")
        if wake is None:
            self._writing.note(FINISHED, {}, at=self._time.now())
        self._wake = wake if wake is not None and wake > now else None
        if self._wake is not None:
            self._wait_for("the next input", self._wake)

    def _adopt(self, now: datetime) -> None:
        champion = self._parts.champion(now)
        current = self.world.adopted
        of = current["fingerprint"] if current else self.settings.fingerprint
        if champion is not None and champion["fingerprint"] != of:
            self._writing.note(ADOPTED, champion, at=now)

    def _commit(self) -> None:
        if self._effects.pending:
            self._parts.at("before the effects")
            self._writing.through(self._effects.flush)
            self._parts.at("after the effects")
            self._commits += 1
            if not self._time.simulated or self._commits % _COMMITS_A_NOTE == 0:
                self._writing.through(lambda: self._tip.note(self._journal), proves=False)
        self._writing.tell_faults()

    def _wait_for(self, what: str, until: datetime) -> None:
        if not self._time.simulated and what != self._said:
            self._writing.note(WAITING, {"for": what, "until": until, "state": self.board.guard.state})
            self._said = what

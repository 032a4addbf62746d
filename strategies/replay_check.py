"""Whether a session can be had again from its inputs: replays them without its effects and compares.

The inputs are those of `strategies.paper.state`, and each forecast as it was made: its prompt, its raw
output, or the reason of its abstention. Orders, fills, marks and all else are regenerated and then held
against what the journal says. Knows no student.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.calendars import Calendar
from engine.errors import JournalError
from engine.journal.canonical import canonical_json, format_utc
from engine.journal.events import FILL, FORECAST, MARK, ORDER, STEP, SessionOutput, encode_statement
from engine.journal.journal import Journal, Row
from engine.trading.inputs import EngineInput
from strategies.paper.forecasting import FORECAST_KEYS, replay_predictions
from strategies.paper.journal_writer import StopRequested
from strategies.paper.loop import create_context, run_engine
from strategies.paper.outputs import Effect, EventCursor, load_outputs, plain_payload, session_digests
from strategies.paper.state import FINISHED, INPUTS, SLICE, SessionState
from strategies.run_spec import (
    HISTORY,
    RATE,
    SETTINGS,
    STARTED,
    decode_run_spec,
)
from strategies.sizing import volatility


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What was compared. `digests` are those of the journal, `replayed` those of the inputs alone.

    The first four are as a backtest states them; `effects` is over everything that was done. `difference`
    says where the first one is, empty if there is none. `inputs` and `undecided` count events: the latter are
    those after the newest one with effects. `chain` is empty, or what is wrong with the chain of the journal.
    """

    session: str
    digests: Mapping[str, str]
    replayed: Mapping[str, str]
    difference: str
    inputs: int
    undecided: int
    chain: str

    @property
    def equal(self) -> bool:
        """Whether everything came out again and nothing was altered."""
        return not self.difference and not self.chain and self.digests == self.replayed


def check_session_replay(journal: Journal, calendars: Mapping[str, Calendar] | None = None) -> ReplayReport:
    """Replay the session from its inputs and compare. Raises JournalError for what cannot be read at all."""
    effects = load_outputs(journal)
    replay = _SessionReplay(journal, calendars, until=max((e["input"] for _, e in effects), default=0))
    made = replay.run()
    return compare(journal, effects, made, inputs=replay.inputs, undecided=replay.undecided)


def compare(
    journal: Journal, journaled: list[Effect], replayed: list[Effect], *, inputs: int, undecided: int
) -> ReplayReport:
    """What the journal states, held against what was made of its inputs."""
    return ReplayReport(
        session=journal.session,
        digests=session_digests(journaled),
        replayed=session_digests(replayed),
        difference=_find_difference(journaled, replayed),
        inputs=inputs,
        undecided=undecided,
        chain=_first_broken_event(journal),
    )


class _SessionReplay:
    def __init__(self, journal: Journal, calendars: Mapping[str, Calendar] | None, until: int) -> None:
        first = next(journal.read(kinds=(STARTED,)), None)
        if first is None:
            raise JournalError(f"{journal.session} is no session with settings of its own; name a session")
        self._settings = decode_run_spec(first.payload)
        self._world = SessionState(self._settings, calendars)
        self._board = create_context(self._settings, self._world, self._state)
        self._rows = EventCursor(journal, INPUTS)
        self._forecasts = EventCursor(journal, (FORECAST,))
        self._until = until
        self._row: Row | None = None
        self._made: list[Effect] = []
        self.inputs = self.undecided = 0

    def run(self) -> list[Effect]:
        with suppress(StopRequested):
            run_engine(self._items(), self._settings, self._world, self._board)
        while self._rows.next() is not None:
            self.undecided += 1
        return self._made

    def _items(self) -> Iterator[EngineInput]:
        while (row := self._rows.peek()) is not None and row.seq <= self._until:
            self._rows.next()
            self._row = row
            self.inputs += 1
            if row.kind == FINISHED:
                return
            taken = self._world.apply(row)
            if taken.observed:
                rows = self._journaled_forecasts(row)
                for made in replay_predictions(taken.observed, rows):
                    self._board.predictions[made.call.symbol, row.as_of] = made.call
                    payload = {**made.encode(), "adapter": self._world.adapter, "input": row.seq}
                    self._made.append((FORECAST, plain_payload(payload)))
                for one in taken.observed:
                    self._board.volatilities[one.symbol, row.as_of] = volatility(one.bars)
            yield from taken.items
            self._board.predictions.clear()
            self._board.volatilities.clear()
        raise StopRequested

    def _journaled_forecasts(self, row: Row) -> list[Row]:
        found = []
        while (known := self._forecasts.peek()) is not None and known.payload["input"] <= row.seq:
            found.append(known)
            self._forecasts.next()
        return found

    def _state(self, statement: SessionOutput) -> None:
        if self._row is not None:
            event = encode_statement(statement, self._row.seq, self._row.as_of)
            self._made.append((event.kind, plain_payload(event.payload)))


def _find_difference(journaled_: list[Effect], replayed: list[Effect]) -> str:
    """The first effect that differs, with both values."""
    for number in range(max(len(journaled_), len(replayed))):
        was = journaled_[number] if number < len(journaled_) else None
        now = replayed[number] if number < len(replayed) else None
        if was != now:
            return f"the journal says {_describe_output(was)}, its inputs lead to {_describe_output(now)}"
    return ""


def _describe_output(effect: Effect | None) -> str:
    if effect is None:
        return "nothing"
    kind, payload = effect
    return f"{kind} {canonical_json(payload)}"


def _first_broken_event(journal: Journal) -> str:
    try:
        journal.verify()
    except JournalError as error:
        return str(error)
    return ""


_KINDS = (FORECAST, ORDER, FILL, MARK, STEP)


def check_run_replay(journal: Journal, calendars: Mapping[str, Calendar] | None = None) -> ReplayReport:
    """Replay a backtest from its inputs and compare. Raises JournalError for one that cannot be."""
    stated = [(row.kind, _stated_payload(row)) for row in journal.read(kinds=_KINDS)]
    replay = _RunReplay(journal, calendars)
    made = replay.run()
    # A run states all its forecasts first; what is compared is each kind in its own order.
    first = [effect for effect in made if effect[0] == FORECAST]
    rest = [effect for effect in made if effect[0] != FORECAST]
    return compare(journal, stated, first + rest, inputs=replay.inputs, undecided=0)


def _stated_payload(row: Row) -> Mapping[str, Any]:
    """The payload, of a forecast as a session states it: with its instant, without what only runs add."""
    if row.kind != FORECAST:
        return row.payload
    return {"as_of": format_utc(row.as_of)} | {
        name: value for name, value in row.payload.items() if name in FORECAST_KEYS
    }


class _RunReplay:
    def __init__(self, journal: Journal, calendars: Mapping[str, Calendar] | None) -> None:
        first = next(journal.read(kinds=(SETTINGS,)), None)
        if first is None:
            raise JournalError(
                f"run {journal.session} does not state its instruments, as older ones do not; run it again"
            )
        self._journal = journal
        self._settings = decode_run_spec(first.payload)
        self._world = SessionState(self._settings, calendars)
        self._board = create_context(self._settings, self._world, self._state)
        self._forecasts: list[Effect] = []
        self._now = first.as_of
        self.inputs = 0

    def run(self) -> list[Effect]:
        run_engine(self._items(), self._settings, self._world, self._board)
        return self._forecasts

    def _items(self) -> Iterator[EngineInput]:
        forecasts: dict[datetime, list[Row]] = {}
        for row in self._journal.read(kinds=(FORECAST,)):
            forecasts.setdefault(row.as_of, []).append(row)
        rates = sorted(self._journal.read(kinds=(RATE,)), key=lambda row: row.as_of, reverse=True)
        for row in self._journal.read(kinds=(HISTORY, SLICE)):
            while rates and rates[-1].as_of <= row.as_of:
                self._world.apply(rates.pop())
            self.inputs += 1
            self._now = row.as_of
            taken = self._world.apply(row)
            for made in (
                replay_predictions(taken.observed, forecasts.get(row.as_of, [])) if taken.observed else ()
            ):
                self._board.predictions[made.call.symbol, row.as_of] = made.call
                self._forecasts.append((FORECAST, plain_payload(made.encode())))
            for one in taken.observed:
                self._board.volatilities[one.symbol, row.as_of] = volatility(one.bars)
            yield from taken.items
            self._board.predictions.clear()
            self._board.volatilities.clear()

    def _state(self, statement: SessionOutput) -> None:
        event = encode_statement(statement, 0, self._now)
        if event.kind in _KINDS:
            payload: dict[str, Any] = plain_payload(event.payload)
            del payload["input"]
            self._forecasts.append((event.kind, payload))

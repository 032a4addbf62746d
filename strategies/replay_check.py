"""Replays a session or run from its recorded inputs and verifies that the outputs match.

The inputs are those of `strategies.paper.state`, and each forecast as it was made: its prompt, its raw
output, or the reason of its abstention. Orders, fills, equity and all else are computed again and compared
with the journal. No student is loaded. A journal of rules that this version lacks is refused.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from engine.calendars import Calendar
from engine.errors import JournalError
from engine.journal.canonical import canonical_json
from engine.journal.events import (
    INPUT_KINDS,
    RECORD_KINDS,
    Kind,
    decode_as,
    encode,
    encode_output,
    input_seq,
    without_input,
)
from engine.journal.events.outputs import SessionOutput, comparable_prediction
from engine.journal.events.rules import require_rules
from engine.journal.events.sessions import RunSettings
from engine.journal.journal import Event, Journal, Row
from engine.trading.inputs import EngineInput
from strategies.paper.forecasting import replay_predictions
from strategies.paper.journal_writer import StopRequested
from strategies.paper.loop import create_context, run_engine
from strategies.paper.outputs import Effect, EventCursor, load_outputs, plain_payload, session_digests
from strategies.paper.state import SessionState
from strategies.run_spec import decode_run_spec, read_replayable_start
from strategies.sizing import volatility


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """A comparison. `digests` are those of the journal, `replayed` those of its inputs replayed.

    The first four are as a backtest states them; `effects` is over all outputs. `difference` states the first
    one, empty if there is none. `inputs` and `undecided` count inputs, the latter those after the newest with
    outputs. `chain` is empty, or states what is wrong with the chain of the journal.
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
        """Return whether all outputs match and nothing was altered."""
        return not self.difference and not self.chain and self.digests == self.replayed


def check_session_replay(journal: Journal, calendars: Mapping[str, Calendar] | None = None) -> ReplayReport:
    """Replay the session from its inputs and compare.

    Raises JournalError for a journal that cannot be read, RulesError for rules that this version lacks.
    """
    outputs = load_outputs(journal)
    replay = _SessionReplay(journal, calendars, until=max((e["input"] for _, e in outputs), default=0))
    replayed = replay.run()
    return compare(journal, outputs, replayed, inputs=replay.inputs, undecided=replay.undecided)


def compare(
    journal: Journal, journaled: list[Effect], replayed: list[Effect], *, inputs: int, undecided: int
) -> ReplayReport:
    """Compare the journaled outputs with the replayed ones."""
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
        self._settings = decode_run_spec(read_replayable_start(journal))
        self._state = SessionState(self._settings, calendars)
        self._context = create_context(self._settings, self._state, self._emit)
        self._rows = EventCursor(journal, INPUT_KINDS)
        self._forecasts = EventCursor(journal, (Kind.FORECAST,))
        self._until = until
        self._row: Row | None = None
        self._outputs: list[Effect] = []
        self.inputs = self.undecided = 0

    def run(self) -> list[Effect]:
        with suppress(StopRequested):  # raised where the recorded inputs end
            run_engine(self._items(), self._settings, self._state, self._context)
        while self._rows.next() is not None:
            self.undecided += 1
        return self._outputs

    def _items(self) -> Iterator[EngineInput]:
        while (row := self._rows.peek()) is not None and row.seq <= self._until:
            self._rows.next()
            self._row = row
            self.inputs += 1
            if row.kind == Kind.SESSION_FINISHED:
                return
            taken = self._state.apply(row)
            if taken.observed:
                rows = self._journaledforecasts(row)
                for record in replay_predictions(taken.observed, rows):
                    self._context.predictions[record.call.symbol, row.as_of] = record.call
                    self._add(encode_output(replace(record, adapter=self._state.adapter), row.seq, row.as_of))
                for observation in taken.observed:
                    self._context.volatilities[observation.symbol, row.as_of] = volatility(observation.bars)
            yield from taken.items
            self._context.predictions.clear()
            self._context.volatilities.clear()
        raise StopRequested

    def _journaledforecasts(self, row: Row) -> list[Row]:
        rows = []
        while (known := self._forecasts.peek()) is not None and input_seq(known) <= row.seq:
            rows.append(known)
            self._forecasts.next()
        return rows

    def _emit(self, output: SessionOutput) -> None:
        if self._row is not None:
            self._add(encode_output(output, self._row.seq, self._row.as_of))

    def _add(self, event: Event) -> None:
        self._outputs.append((event.kind, plain_payload(event.payload)))


def _find_difference(journaled: list[Effect], replayed: list[Effect]) -> str:
    """Return the first output that differs, with both values; empty if none does."""
    for number in range(max(len(journaled), len(replayed))):
        was = journaled[number] if number < len(journaled) else None
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


def check_run_replay(journal: Journal, calendars: Mapping[str, Calendar] | None = None) -> ReplayReport:
    """Replay a backtest from its inputs and compare.

    Raises JournalError for a journal that cannot be read, RulesError for rules that this version lacks.
    """
    stated = [(row.kind, _stated_payload(row)) for row in journal.read(kinds=RECORD_KINDS)]
    replay = _RunReplay(journal, calendars)
    replayed = replay.run()
    # A run states all its forecasts first; what is compared is each kind in its own order.
    first = [effect for effect in replayed if effect[0] == Kind.FORECAST]
    rest = [effect for effect in replayed if effect[0] != Kind.FORECAST]
    return compare(journal, stated, first + rest, inputs=replay.inputs, undecided=0)


def _stated_payload(row: Row) -> Mapping[str, Any]:
    return comparable_prediction(row.as_of, row.payload) if row.kind == Kind.FORECAST else row.payload


class _RunReplay:
    def __init__(self, journal: Journal, calendars: Mapping[str, Calendar] | None) -> None:
        first = next(journal.read(kinds=(Kind.SETTINGS,)), None)
        if first is None:
            raise JournalError(
                f"run {journal.session} does not state its instruments, as runs of early versions; "
                "run the backtest again"
            )
        self._journal = journal
        settings = decode_as(RunSettings, first)
        if strategy := settings.about.get("strategy"):
            raise JournalError(
                f"run {journal.session} was traded by the strategy {strategy}, which its journal does not "
                "hold; run the backtest twice and compare the digests"
            )
        if task := settings.about.get("task"):
            raise JournalError(
                f"run {journal.session} has the task {task}, which is scored and never traded; "
                "there is nothing to replay"
            )
        require_rules(settings.rules, f"run {journal.session}", "run the backtest again")
        self._settings = decode_run_spec(settings)
        self._state = SessionState(self._settings, calendars)
        self._context = create_context(self._settings, self._state, self._emit)
        self._outputs: list[Effect] = []
        self._now = first.as_of
        self.inputs = 0

    def run(self) -> list[Effect]:
        run_engine(self._items(), self._settings, self._state, self._context)
        return self._outputs

    def _items(self) -> Iterator[EngineInput]:
        forecasts: dict[datetime, list[Row]] = {}
        for row in self._journal.read(kinds=(Kind.FORECAST,)):
            forecasts.setdefault(row.as_of, []).append(row)
        rates = sorted(self._journal.read(kinds=(Kind.RATE,)), key=lambda row: row.as_of, reverse=True)
        for row in self._journal.read(kinds=(Kind.HISTORY, Kind.SLICE)):
            while rates and rates[-1].as_of <= row.as_of:
                self._state.apply(rates.pop())
            self.inputs += 1
            self._now = row.as_of
            taken = self._state.apply(row)
            rows = forecasts.get(row.as_of, [])
            for record in replay_predictions(taken.observed, rows) if taken.observed else ():
                self._context.predictions[record.call.symbol, row.as_of] = record.call
                stored = plain_payload(encode(record, row.as_of).payload)
                self._outputs.append((Kind.FORECAST, comparable_prediction(row.as_of, stored)))
            for observation in taken.observed:
                self._context.volatilities[observation.symbol, row.as_of] = volatility(observation.bars)
            yield from taken.items
            self._context.predictions.clear()
            self._context.volatilities.clear()

    def _emit(self, output: SessionOutput) -> None:
        event = encode_output(output, 0, self._now)
        if event.kind in RECORD_KINDS:
            self._outputs.append((event.kind, without_input(plain_payload(event.payload))))

"""Whether a session can be had again from its inputs: replays them without its effects and compares.

The inputs are those of `strategies.paper.world`, and each forecast as it was made: its prompt, its raw
output, or the reason of its abstention. Orders, fills, marks and all else are regenerated and then held
against what the journal says. Knows no student.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from engine.calendars import Calendar
from engine.digests import canonical_json, digest
from engine.errors import JournalError
from engine.items import Item
from engine.journal import Journal, Row
from strategies.paper.calling import made_before
from strategies.paper.effects import EFFECTS, FILL, FORECAST, MARK, ORDER, Rows, statement_event
from strategies.paper.engine import new_board, trade
from strategies.paper.settings import STARTED, settings_from_payload
from strategies.paper.trading import Statement
from strategies.paper.world import FINISHED, INPUTS, World
from strategies.paper.writing import Stopped
from strategies.sizing import volatility

_COLUMNS = {
    FORECAST: ("as_of", "symbol", "direction", "confidence", "close", "last_close", "abstention"),
    ORDER: ("number", "decided_at", "due_at", "at", "symbol", "size", "status", "reason"),
    FILL: ("at", "symbol", "size", "price", "cost"),
    MARK: ("at", "value", "cash"),
}
_NAMES = {FORECAST: "forecasts", ORDER: "orders", FILL: "fills", MARK: "equity"}

Effect = tuple[str, Mapping[str, Any]]
"""Kind and payload as JSON types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
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


def session_digests(effects: list[Effect]) -> dict[str, str]:
    """SHA-256 over the canonical rows of forecasts, orders, fills and equity, as a backtest's, and over all.

    An order counts in its last status; one that still waits counts as pending.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in _COLUMNS}
    orders: dict[int, tuple[Any, ...]] = {}
    for kind, payload in effects:
        if kind in _COLUMNS:
            row = tuple(payload.get(column) for column in _COLUMNS[kind])
            if kind == ORDER:
                orders[payload["number"]] = row
            else:
                rows[kind].append(row)
    rows[ORDER] = [orders[number] for number in sorted(orders)]
    found = {_NAMES[kind]: digest(some) for kind, some in rows.items()}
    return found | {"effects": digest((kind, _without_number(payload)) for kind, payload in effects)}


def _without_number(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Notes on restarts stand between the inputs of some journals and shift their numbers."""
    return {name: value for name, value in payload.items() if name != "input"}


def journaled(journal: Journal) -> list[Effect]:
    """All effects that the journal holds."""
    return [(row.kind, row.payload) for row in journal.read(kinds=EFFECTS)]


def check_parity(journal: Journal, calendars: Mapping[str, Calendar] | None = None) -> Parity:
    """Replay the session from its inputs and compare. Raises JournalError for what cannot be read at all."""
    effects = journaled(journal)
    replay = _Replay(journal, calendars, until=max((e["input"] for _, e in effects), default=0))
    made = replay.run()
    return compared(journal, effects, made, inputs=replay.inputs, undecided=replay.undecided)


def compared(
    journal: Journal, stated: list[Effect], made: list[Effect], *, inputs: int, undecided: int
) -> Parity:
    """What the journal states, held against what was made of its inputs."""
    return Parity(
        session=journal.session,
        digests=session_digests(stated),
        replayed=session_digests(made),
        difference=_difference(stated, made),
        inputs=inputs,
        undecided=undecided,
        chain=_broken(journal),
    )


class _Replay:
    def __init__(self, journal: Journal, calendars: Mapping[str, Calendar] | None, until: int) -> None:
        first = next(journal.read(kinds=(STARTED,)), None)
        if first is None:
            raise JournalError(f"{journal.session} is no session with settings of its own; name a session")
        self._settings = settings_from_payload(first.payload)
        self._world = World(self._settings, calendars)
        self._board = new_board(self._settings, self._world, self._state)
        self._rows = Rows(journal, INPUTS)
        self._forecasts = Rows(journal, (FORECAST,))
        self._until = until
        self._row: Row | None = None
        self._made: list[Effect] = []
        self.inputs = self.undecided = 0

    def run(self) -> list[Effect]:
        with suppress(Stopped):
            trade(self._items(), self._settings, self._world, self._board)
        while self._rows.next() is not None:
            self.undecided += 1
        return self._made

    def _items(self) -> Iterator[Item]:
        while (row := self._rows.peek()) is not None and row.seq <= self._until:
            self._rows.next()
            self._row = row
            self.inputs += 1
            if row.kind == FINISHED:
                return
            taken = self._world.take(row)
            if taken.observed:
                rows = self._forecasts_of(row)
                for made in made_before(taken.observed, rows):
                    self._board.calls[made.call.symbol, row.as_of] = made.call
                    payload = {**made.payload(), "adapter": self._world.adapter, "input": row.seq}
                    self._made.append((FORECAST, plain_payload(payload)))
                for one in taken.observed:
                    self._board.volatilities[one.symbol, row.as_of] = volatility(one.bars)
            yield from taken.items
            self._board.calls.clear()
            self._board.volatilities.clear()
        raise Stopped

    def _forecasts_of(self, row: Row) -> list[Row]:
        found = []
        while (known := self._forecasts.peek()) is not None and known.payload["input"] <= row.seq:
            found.append(known)
            self._forecasts.next()
        return found

    def _state(self, statement: Statement) -> None:
        if self._row is not None:
            event = statement_event(statement, self._row.seq, self._row.as_of)
            self._made.append((event.kind, plain_payload(event.payload)))


def _difference(journaled_: list[Effect], replayed: list[Effect]) -> str:
    """The first effect that differs, with both values."""
    for number in range(max(len(journaled_), len(replayed))):
        was = journaled_[number] if number < len(journaled_) else None
        now = replayed[number] if number < len(replayed) else None
        if was != now:
            return f"the journal says {_said(was)}, its inputs lead to {_said(now)}"
    return ""


def _said(effect: Effect | None) -> str:
    if effect is None:
        return "nothing"
    kind, payload = effect
    return f"{kind} {canonical_json(payload)}"


def _broken(journal: Journal) -> str:
    try:
        journal.verify()
    except JournalError as error:
        return str(error)
    return ""


def plain_payload(payload: Mapping[str, object]) -> dict[str, Any]:
    """A payload as a journal hands it back."""
    plain: dict[str, Any] = json.loads(canonical_json(payload))
    return plain

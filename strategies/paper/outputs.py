"""What a session did about its inputs: collected, committed after them, and compared when it is done again.

Each effect names the number of its input as `input`. All effects of one input stand in one transaction. Knows
payloads and the journal's order; it does not know why anything was done.
"""

import json
from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from engine.errors import JournalError
from engine.journal.canonical import canonical_json, format_utc, row_digest
from engine.journal.events import FILL, FORECAST, MARK, ORDER, OUTPUT_KINDS, SessionOutput, encode_statement
from engine.journal.journal import Event, Journal, Row

_PAGE = 1000


class EventCursor:
    """The events of some kinds in the order of their numbers, as far as the journal goes at each look."""

    def __init__(self, journal: Journal, kinds: Collection[str], since_seq: int = 0) -> None:
        self._journal = journal
        self._kinds = kinds
        self._since = since_seq
        self._waiting: deque[Row] = deque()

    def peek(self) -> Row | None:
        """The next event, or None if there is none yet."""
        if not self._waiting:
            self._waiting.extend(islice(self._journal.read(self._since, self._kinds), _PAGE))
            if self._waiting:
                self._since = self._waiting[-1].seq
        return self._waiting[0] if self._waiting else None

    def next(self) -> Row | None:
        """The next event, which is then behind; None if there is none yet."""
        found = self.peek()
        if found is not None:
            self._waiting.popleft()
        return found


class OutputLog:
    """The effects of one input after the other. `now` dates what is committed.

    An input whose effects stand in the journal is done again to the letter, or JournalError is raised with
    what was and what is now.
    """

    def __init__(self, journal: Journal, now: Callable[[], datetime]) -> None:
        self._journal = journal
        self._now = now
        self._replayed = EventCursor(journal, OUTPUT_KINDS)
        self._input: Row | None = None
        self._at: datetime | None = None
        self._emitted: list[Event] = []
        self._journaled: list[Row] = []
        self._pending: list[Event] = []
        self._at_end = False

    def begin_input(self, row: Row, at: datetime) -> list[Row]:
        """All that is stated belongs to this input, which acts at `at`; returns its journaled effects."""
        self._input, self._at, self._emitted, self._journaled = row, at, [], []
        while (known := self._peek()) is not None and known.payload["input"] <= row.seq:
            if known.payload["input"] < row.seq:
                raise self._divergence_error(
                    f"event {known.seq} follows from {known.payload['input']}, which leads to nothing"
                )
            self._journaled.append(known)
            self._replayed.next()
        return self._journaled

    def emit(self, statement: SessionOutput) -> None:
        """The engine or the strategy did something about the input."""
        row = self._current()
        self._emitted.append(encode_statement(statement, row.seq, self._at or row.as_of))

    def emit_forecast(self, as_of: datetime, payload: Mapping[str, Any]) -> None:
        """A call was made, or not made, for the input."""
        self._emitted.append(
            Event(kind=FORECAST, as_of=as_of, payload={**payload, "input": self._current().seq})
        )

    def finish_input(self) -> None:
        """The input is done: compare its effects with those of before, or keep them to be committed."""
        if self._journaled:
            self._compare()
        elif self._emitted and (later := self._peek()) is not None:
            raise self._divergence_error(
                f"event {self._current().seq} has no effects, and event {later.payload['input']} has"
            )
        else:
            self._pending += self._emitted
        self._emitted, self._journaled = [], []

    @property
    def pending(self) -> int:
        """How many effects wait to be committed."""
        return len(self._pending)

    def flush(self) -> None:
        """Commit what waits in one transaction; what could not be written waits on. Raises JournalError."""
        if self._pending:
            self._journal.append(self._pending, self._now())
            self._pending = []

    def _peek(self) -> Row | None:
        """The next effect from before this run; nobody else appends any, so its first end is the last."""
        found = None if self._at_end else self._replayed.peek()
        self._at_end = found is None
        return found

    def _compare(self) -> None:
        """Raise JournalError at the first effect that is not the one of before."""
        for number in range(max(len(self._journaled), len(self._emitted))):
            was = self._journaled[number] if number < len(self._journaled) else None
            now = self._emitted[number] if number < len(self._emitted) else None
            if (
                was is None
                or now is None
                or was.kind != now.kind
                or not _is_same_value(now.payload, was.payload)
            ):
                old, new = (f"{e.kind} {canonical_json(e.payload)}" if e else "nothing" for e in (was, now))
                raise self._divergence_error(
                    f"event {self._current().seq} led to {old} and now leads to {new}"
                )

    def _current(self) -> Row:
        if self._input is None:
            raise RuntimeError("nothing can be stated before the first input")
        return self._input

    def _divergence_error(self, what: str) -> JournalError:
        return JournalError(
            f"session {self._journal.session}: {what}; restore the journal from a copy, or use the version "
            "that wrote it"
        )


def _is_same_value(made: object, stored: object) -> bool:
    """Whether a value is what a journal hands back as `stored`, which holds JSON types only."""
    if isinstance(made, datetime):
        return format_utc(made) == stored
    if isinstance(made, Mapping):
        alike = isinstance(stored, Mapping) and made.keys() == stored.keys()
        return alike and all(_is_same_value(value, stored[key]) for key, value in made.items())  # type: ignore[index]  # alike: a mapping too
    if isinstance(made, list | tuple):
        alike = isinstance(stored, list) and len(made) == len(stored)
        return alike and all(map(_is_same_value, made, stored))  # type: ignore[call-overload]  # a list too
    return made == stored


_COLUMNS = {
    FORECAST: ("as_of", "symbol", "direction", "confidence", "close", "last_close", "abstention"),
    ORDER: ("number", "decided_at", "due_at", "at", "symbol", "size", "status", "reason"),
    FILL: ("at", "symbol", "size", "price", "cost"),
    MARK: ("at", "value", "cash"),
}

_NAMES = {FORECAST: "forecasts", ORDER: "orders", FILL: "fills", MARK: "equity"}

Effect = tuple[str, Mapping[str, Any]]
"""Kind and payload as JSON types."""


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
    found = {_NAMES[kind]: row_digest(some) for kind, some in rows.items()}
    return found | {
        "effects": row_digest((kind, _without_replay_number(payload)) for kind, payload in effects)
    }


def _without_replay_number(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Notes on restarts stand between the inputs of some journals and shift their numbers."""
    return {name: value for name, value in payload.items() if name != "input"}


def load_outputs(journal: Journal) -> list[Effect]:
    """All effects that the journal holds."""
    return [(row.kind, row.payload) for row in journal.read(kinds=OUTPUT_KINDS)]


def plain_payload(payload: Mapping[str, object]) -> dict[str, Any]:
    """A payload as a journal hands it back."""
    plain: dict[str, Any] = json.loads(canonical_json(payload))
    return plain

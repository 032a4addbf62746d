"""The outputs of a session's inputs: collected, committed after them, and compared on replay.

Each output names the number of its input. All outputs of one input are in one transaction.
"""

import json
from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from engine.errors import JournalError
from engine.journal.canonical import canonical_json, format_utc, row_digest
from engine.journal.events import OUTPUT_KINDS, Kind, encode_output, input_seq, without_input
from engine.journal.events.outputs import PredictionRecord, SessionOutput
from engine.journal.journal import Event, Journal, Row

_PAGE = 1000


class EventCursor:
    """Reads the events of some kinds in order, as far as the journal goes at each call."""

    def __init__(self, journal: Journal, kinds: Collection[str], since_seq: int = 0) -> None:
        self._journal = journal
        self._kinds = kinds
        self._since = since_seq
        self._waiting: deque[Row] = deque()

    def peek(self) -> Row | None:
        """Return the next event, None if there is none yet."""
        if not self._waiting:
            self._waiting.extend(islice(self._journal.read(self._since, self._kinds), _PAGE))
            if self._waiting:
                self._since = self._waiting[-1].seq
        return self._waiting[0] if self._waiting else None

    def next(self) -> Row | None:
        """Return the next event and move past it; None if there is none yet."""
        row = self.peek()
        if row is not None:
            self._waiting.popleft()
        return row


class OutputLog:
    """Collects the outputs of one input after the other. `now` dates what is committed.

    An input whose outputs are in the journal must lead to the same ones on replay, else JournalError is
    raised with both values.
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
        """Begin an input, which acts at `at`, and return its journaled outputs."""
        self._input, self._at, self._emitted, self._journaled = row, at, [], []
        while (known := self._peek()) is not None and (number := input_seq(known)) <= row.seq:
            if number < row.seq:
                raise self._divergence_error(
                    f"event {known.seq} follows from {number}, which leads to nothing"
                )
            self._journaled.append(known)
            self._replayed.next()
        return self._journaled

    def emit(self, output: SessionOutput) -> None:
        """Add an output of the engine or the strategy for the input."""
        row = self._current()
        self._emitted.append(encode_output(output, row.seq, self._at or row.as_of))

    def emit_prediction(self, record: PredictionRecord) -> None:
        """Add a prediction, or an abstention, on the input."""
        self._emitted.append(encode_output(record, self._current().seq, record.call.as_of))

    def finish_input(self) -> None:
        """End the input: compare its outputs with the journaled ones, or keep them to be committed."""
        if self._journaled:
            self._compare()
        elif self._emitted and (later := self._peek()) is not None:
            raise self._divergence_error(
                f"event {self._current().seq} has no effects, and event {input_seq(later)} has"
            )
        else:
            self._pending += self._emitted
        self._emitted, self._journaled = [], []

    @property
    def pending(self) -> int:
        """The number of outputs that wait to be committed."""
        return len(self._pending)

    def flush(self) -> None:
        """Commit what waits in one transaction; it is kept where that fails. Raises JournalError."""
        if self._pending:
            self._journal.append(self._pending, self._now())
            self._pending = []

    def _peek(self) -> Row | None:
        """Return the next output of an earlier run; there are no more once the first end is reached."""
        row = None if self._at_end else self._replayed.peek()
        self._at_end = row is None
        return row

    def _compare(self) -> None:
        """Raise JournalError at the first output that is not the journaled one."""
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
            raise RuntimeError("no output can be emitted before the first input")
        return self._input

    def _divergence_error(self, what: str) -> JournalError:
        return JournalError(
            f"session {self._journal.session}: {what}; restore the journal from a copy, or use the version "
            "that wrote it"
        )


def _is_same_value(value: object, stored: object) -> bool:
    """Return whether a journal hands back a value as `stored`, which holds JSON types only."""
    if isinstance(value, datetime):
        return format_utc(value) == stored
    if isinstance(value, Mapping):
        alike = isinstance(stored, Mapping) and value.keys() == stored.keys()
        return alike and all(_is_same_value(inner, stored[key]) for key, inner in value.items())  # type: ignore[index]  # alike: a mapping too
    if isinstance(value, list | tuple):
        alike = isinstance(stored, list) and len(value) == len(stored)
        return alike and all(map(_is_same_value, value, stored))  # type: ignore[call-overload]  # a list too
    return value == stored


_COLUMNS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    Kind.FORECAST: (
        "forecasts",
        ("as_of", "symbol", "direction", "confidence", "close", "last_close", "abstention"),
    ),
    Kind.ORDER: ("orders", ("number", "decided_at", "due_at", "at", "symbol", "size", "status", "reason")),
    Kind.FILL: ("fills", ("at", "symbol", "size", "price", "cost")),
    Kind.MARK: ("equity", ("at", "value", "cash")),
}
"""Name of the digest and columns of its canonical rows, by kind."""

Effect = tuple[str, Mapping[str, Any]]
"""Kind and payload as JSON types."""


def session_digests(effects: list[Effect]) -> dict[str, str]:
    """Return the SHA-256 of the canonical rows of forecasts, orders, fills and equity, and of all outputs.

    The first four are those of a backtest. An order counts in its last status, pending where it still waits.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in _COLUMNS}
    orders: dict[int, tuple[Any, ...]] = {}
    for kind, payload in effects:
        if kind in _COLUMNS:
            row = tuple(payload.get(column) for column in _COLUMNS[kind][1])
            if kind == Kind.ORDER:
                orders[payload["number"]] = row
            else:
                rows[kind].append(row)
    rows[Kind.ORDER] = [orders[number] for number in sorted(orders)]
    digests = {_COLUMNS[kind][0]: row_digest(some) for kind, some in rows.items()}
    # Notes on restarts stand between the inputs of some journals and shift their numbers.
    return digests | {"effects": row_digest((kind, without_input(payload)) for kind, payload in effects)}


def load_outputs(journal: Journal) -> list[Effect]:
    """Return all outputs that the journal holds."""
    return [(row.kind, row.payload) for row in journal.read(kinds=OUTPUT_KINDS)]


def plain_payload(payload: Mapping[str, object]) -> dict[str, Any]:
    """Return a payload as a journal hands it back."""
    plain: dict[str, Any] = json.loads(canonical_json(payload))
    return plain

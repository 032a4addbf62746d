"""Writes a run into its journal: slices as they come in, then all that followed from them.

Knows no model and no screen. Inputs and effects of a slice stand in the journal in the order in which the
engine saw them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from engine.journal import Event, Journal
from engine.payloads import slice_payload
from engine.records import Fill, Mark, OrderRecord, Record, Step
from engine.values import Call, Forecast, Slice

_BATCH = 2000


class Recorder:
    """Collects events and appends them in batches; call `flush` at the end.

    With `batch` None nothing is appended before that, so that all of it stands in the journal or nothing.
    """

    def __init__(self, journal: Journal, recorded_at: datetime, *, batch: int | None = _BATCH) -> None:
        self._journal = journal
        self._batch = batch
        self._recorded_at = recorded_at
        self._waiting: list[Event] = []
        self._now = recorded_at

    def note(self, kind: str, as_of: datetime, payload: dict[str, Any]) -> None:
        """Add an event of any kind."""
        self._waiting.append(Event(kind=kind, as_of=as_of, payload=payload))
        if self._batch is not None and len(self._waiting) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Append what waits, in one transaction."""
        self._journal.append(self._waiting, self._recorded_at)
        self._waiting = []

    def slices(self, slices: Iterable[Slice]) -> Iterator[Slice]:
        """The same slices, each journaled before it is handed on."""
        for slice_ in slices:
            self._now = slice_.as_of
            self.note("slice", slice_.as_of, slice_payload(slice_))
            yield slice_

    def call(self, call: Call, prompt: str, adapter: str | None) -> None:
        """Journal a forecast or an abstention with its prompt, raw output and adapter.

        `adapter` is the fingerprint of the adapter that spoke; None is the base model alone.
        """
        made = {"prompt": prompt, "output": call.text, "adapter": adapter}
        self.note("forecast", call.as_of, call_payload(call) | made)

    def record(self, record: Record) -> None:
        """Journal what the engine did at the current slice."""
        self.note(_KINDS[type(record)], self._now, asdict(record))


_KINDS: dict[type, str] = {OrderRecord: "order", Fill: "fill", Mark: "mark", Step: "step"}


def call_payload(call: Call) -> dict[str, Any]:
    """A call as JSON; what an abstention lacks is None."""
    stated = isinstance(call, Forecast)
    return {
        "symbol": call.symbol,
        "direction": call.direction if isinstance(call, Forecast) else None,
        "confidence": call.confidence if isinstance(call, Forecast) else None,
        "close": call.close if isinstance(call, Forecast) else None,
        "last_close": call.last_close,
        "abstention": None if stated else getattr(call, "reason", None),
    }

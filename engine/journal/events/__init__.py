"""Every kind of event of all journals with its payload, encoded and decoded here only.

Independent of who writes a journal and of what follows from an event.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from engine.corporate_actions import Dividend, Split
from engine.errors import INCOMPATIBLE, JournalError
from engine.journal.events import inputs, outputs, sessions, training
from engine.journal.events.codec import decode_fields, encode_fields
from engine.journal.events.inputs import SliceRecord
from engine.journal.events.kinds import END_KINDS, INPUT_KINDS, OUTPUT_KINDS, RECORD_KINDS, Kind
from engine.journal.events.outputs import PredictionRecord, SessionOutput
from engine.journal.journal import Event
from engine.model import NewsItem
from engine.trading.risk import Command

__all__ = [
    "END_KINDS",
    "INPUT_KINDS",
    "OUTPUT_KINDS",
    "PAYLOADS",
    "RECORD_KINDS",
    "Kind",
    "StoredEvent",
    "decode",
    "decode_as",
    "encode",
    "encode_output",
    "input_seq",
    "output_instant",
    "replay_number",
    "with_replay_number",
    "without_input",
]

T = TypeVar("T")


class StoredEvent(Protocol):
    """An event as a journal hands it back, its payload as JSON types."""

    @property
    def kind(self) -> str:
        """A value of `Kind`, unless another version wrote it."""
        ...

    @property
    def as_of(self) -> datetime:
        """The instant that it belongs to."""
        ...

    @property
    def payload(self) -> Mapping[str, Any]:
        """Its payload."""
        ...


PAYLOADS: Mapping[str, type] = {
    **sessions.PAYLOADS,
    **inputs.PAYLOADS,
    **outputs.PAYLOADS,
    **training.PAYLOADS,
}
"""The payload of each kind."""

_KINDS: Mapping[type, str] = {payload: kind for kind, payload in PAYLOADS.items()}

_ENCODERS: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    SliceRecord: inputs.encode_slice_record,
    NewsItem: inputs.encode_news,
    inputs.History: inputs.encode_history,
    Command: inputs.encode_command,
    Split: inputs.encode_split,
    Dividend: inputs.encode_dividend,
    PredictionRecord: partial(outputs.encode_prediction, dated=False),
}

_DECODERS: Mapping[str, Callable[[datetime, Mapping[str, Any]], Any]] = {
    Kind.SLICE: inputs.decode_slice_record,
    Kind.NEWS: lambda _as_of, stored: inputs.decode_news(stored),
    Kind.HISTORY: inputs.decode_history,
    Kind.COMMAND: inputs.decode_command,
    Kind.SPLIT: inputs.decode_split,
    Kind.DIVIDEND: inputs.decode_dividend,
    Kind.FORECAST: outputs.decode_prediction,
}

_INPUT, _REPLAY = "input", "replay"


def encode(payload: object, as_of: datetime) -> Event:
    """Return the event that states `payload` at `as_of`. Raises KeyError for what is no payload."""
    kind = _KINDS[type(payload)]
    return Event(kind=kind, as_of=as_of, payload=_ENCODERS.get(type(payload), encode_fields)(payload))


def encode_output(output: SessionOutput | PredictionRecord, input_: int, as_of: datetime) -> Event:
    """Return the event of what a session did about its input numbered `input_`."""
    if isinstance(output, PredictionRecord):
        stored = outputs.encode_prediction(output, dated=True)
    else:
        stored = encode_fields(output)
    return Event(kind=_KINDS[type(output)], as_of=as_of, payload=stored | {_INPUT: input_})


def decode(event: StoredEvent) -> Any:
    """Return the payload of an event, one of `PAYLOADS`. Raises JournalError where it cannot be read."""
    kind = event.kind
    try:
        if (custom := _DECODERS.get(kind)) is not None:
            return custom(event.as_of, event.payload)
        return decode_fields(PAYLOADS[kind], event.payload)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        seq = getattr(event, "seq", None)
        raise JournalError(
            f"event {seq or 'of ' + str(event.as_of)} ({kind}) cannot be read "
            f"({type(error).__name__}: {error}); {INCOMPATIBLE}"
        ) from error


def decode_as(payload: type[T], event: StoredEvent) -> T:
    """Return the payload of an event that must be of one type. Raises JournalError if it is not."""
    decoded = decode(event)
    if not isinstance(decoded, payload):
        raise JournalError(f"event of {event.as_of} is a {event.kind}, not a {_KINDS[payload]}")
    return decoded


def input_seq(event: StoredEvent) -> int:
    """Return the number of the input that an output follows from. Raises JournalError if it names none."""
    number = event.payload.get(_INPUT)
    if not isinstance(number, int):
        raise JournalError(
            f"the {event.kind} of {event.as_of} names no input; restore the journal from a copy"
        )
    return number


def output_instant(event: StoredEvent) -> datetime:
    """Return when an output was made: in a replay a person's command has the time of the person's clock."""
    stated = event.payload.get("at") or event.payload.get("ended_at")
    return datetime.fromisoformat(stated) if isinstance(stated, str) else event.as_of


def without_input(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return an output's payload without the number of its input, which notes on restarts shift."""
    return {key: value for key, value in stored.items() if key != _INPUT}


def replay_number(event: StoredEvent) -> int | None:
    """Return the place of an input in the replay that wrote it; None for one that came from outside."""
    return event.payload.get(_REPLAY)


def with_replay_number(event: Event, number: int) -> Event:
    """Return the input as a replay journals it."""
    return Event(kind=event.kind, as_of=event.as_of, payload={**event.payload, _REPLAY: number})

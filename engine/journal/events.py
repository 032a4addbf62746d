"""Slices and news as the journal keeps them, and back again.

Knows JSON and values; it knows neither who writes a journal nor what is decided on a slice. What is known of
a bar at a slice's instant is all that its payload holds: one price at OPEN, five numbers at CLOSE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from engine.corporate_actions import Dividend, Split
from engine.errors import JournalError
from engine.journal.journal import Event
from engine.model import Bar, NewsItem, Phase, Precision, Slice
from engine.trading.records import (
    EquityPoint,
    Fill,
    HoldingPeriod,
    OrderRecord,
    OrderStatus,
    Record,
    SessionSnapshot,
    Valuation,
)
from engine.trading.risk import RISK, Command, CommandKind, RiskChange


def encode_slice(slice_: Slice) -> dict[str, Any]:
    """A slice as JSON: prices by symbol as far as they are known at its instant, and its news.

    `bars` holds [open] at OPEN and [open, high, low, close, volume] at CLOSE, in the quote currency;
    `sessions` holds [opens_at, closes_at].
    """
    return {
        "phase": slice_.phase,
        "bars": {
            symbol: [bar.open] if slice_.phase is Phase.OPEN else encode_bar_values(bar)
            for symbol, bar in slice_.bars.items()
        },
        "sessions": {symbol: [bar.opens_at, bar.closes_at] for symbol, bar in slice_.bars.items()},
        "news": [encode_news(item) for item in slice_.news],
    }


def decode_slice(as_of: datetime, payload: Mapping[str, Any]) -> Slice:
    """The slice that `encode_slice` wrote, as a journal hands it back. Raises JournalError if it is none."""
    try:
        phase = Phase(payload["phase"])
        sessions = payload["sessions"]
        bars = {symbol: _bar(symbol, values, sessions[symbol]) for symbol, values in payload["bars"].items()}
        news = tuple(decode_news(item) for item in payload["news"])
        return Slice(as_of=as_of, phase=phase, bars=bars, news=news)
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(
            f"the slice of {as_of} cannot be read ({error}); it was written by another version, use that one"
        ) from error


def is_late(payload: Mapping[str, Any]) -> bool:
    """Whether a collector journaled the slice too long after its instant for a decision on it."""
    return bool(payload.get("late", False))


def encode_bar_values(bar: Bar) -> list[float]:
    """[open, high, low, close, volume] of a closed bar."""
    return [bar.open, bar.high, bar.low, bar.close, bar.volume]


def encode_bar(bar: Bar) -> list[Any]:
    """[opens at, closes at, open, high, low, close, volume] of a closed bar that stands by itself."""
    return [bar.opens_at, bar.closes_at, *encode_bar_values(bar)]


def decode_bar(symbol: str, stored: Sequence[Any]) -> Bar:
    """The bar that `encode_bar` wrote, once it was JSON."""
    opens_at, closes_at, *values = stored
    return _bar(symbol, values, [opens_at, closes_at])


def encode_news(item: NewsItem) -> dict[str, Any]:
    """A news item as JSON, its symbols in order."""
    return asdict(item) | {"symbols": sorted(item.symbols)}


def decode_news(payload: Mapping[str, Any]) -> NewsItem:
    """The item that `encode_news` wrote. Raises KeyError, TypeError or ValueError if it is none."""
    seen = payload["first_seen_at"]
    return NewsItem(
        id=payload["id"],
        source=payload["source"],
        title=payload["title"],
        text=payload["text"],
        published_at=datetime.fromisoformat(payload["published_at"]),
        precision=Precision(payload["precision"]),
        zone_known=payload["zone_known"],
        first_seen_at=None if seen is None else datetime.fromisoformat(seen),
        available_at=datetime.fromisoformat(payload["available_at"]),
        symbols=frozenset(payload["symbols"]),
    )


def _bar(symbol: str, values: list[float], session: list[str]) -> Bar:
    opens_at, closes_at = (datetime.fromisoformat(text) for text in session)
    open_, high, low, close, volume = values if len(values) > 1 else [*values * 4, 0.0]
    return Bar(
        symbol=symbol,
        opens_at=opens_at,
        closes_at=closes_at,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
    )


COMMAND = "command"


def encode_command(command: Command) -> Event:
    """The command as the journal keeps it."""
    payload = {"command": command.kind, "author": command.author, "text": command.text}
    return Event(kind=COMMAND, as_of=command.at, payload=payload)


def decode_command(as_of: datetime, payload: Mapping[str, Any]) -> Command:
    """The command that `encode_command` wrote. Raises JournalError if it is none."""
    try:
        return Command(
            at=as_of,
            kind=CommandKind(payload["command"]),
            author=payload["author"],
            text=payload["text"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalError(
            f"the command of {as_of} cannot be read ({error}); another version wrote it, use that one"
        ) from error


SPLIT, DIVIDEND = "split", "dividend"


def encode_corporate_action(action: Split | Dividend) -> Event:
    """The split or dividend as the journal keeps it."""
    if isinstance(action, Split):
        return Event(kind=SPLIT, as_of=action.at, payload={"symbol": action.symbol, "ratio": action.ratio})
    return Event(kind=DIVIDEND, as_of=action.at, payload={"symbol": action.symbol, "amount": action.amount})


def decode_corporate_action(kind: str, as_of: datetime, payload: Mapping[str, Any]) -> Split | Dividend:
    """What `encode_corporate_action` wrote. Raises JournalError if it is neither."""
    try:
        if kind == SPLIT:
            return Split(at=as_of, symbol=payload["symbol"], ratio=payload["ratio"])
        return Dividend(at=as_of, symbol=payload["symbol"], amount=payload["amount"])
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(
            f"the {kind} of {as_of} cannot be read ({error}); another version wrote it, use that one"
        ) from error


SessionOutput = Record | RiskChange | Valuation | SessionSnapshot


FORECAST, ORDER, FILL, MARK, STEP = "forecast", "order", "fill", "mark", "step"

VALUATION, PROGRESS = "valuation", "progress"

OUTPUT_KINDS = (FORECAST, ORDER, FILL, MARK, STEP, RISK, VALUATION, PROGRESS)

_KINDS: dict[type, str] = {
    OrderRecord: ORDER,
    Fill: FILL,
    EquityPoint: MARK,
    HoldingPeriod: STEP,
    RiskChange: RISK,
    Valuation: VALUATION,
    SessionSnapshot: PROGRESS,
}


def encode_statement(statement: SessionOutput, input_: int, at: datetime) -> Event:
    """A statement as an effect of the event numbered `input_`."""
    payload = {name: getattr(statement, name) for name in statement.__slots__}
    return Event(kind=_KINDS[type(statement)], as_of=at, payload=payload | {"input": input_})


KINDS: Mapping[str, type[Record]] = {
    "order": OrderRecord,
    "fill": Fill,
    "mark": EquityPoint,
    "step": HoldingPeriod,
}

_MOMENTS = ("at", "decided_at", "due_at", "started_at", "ended_at")


def decode_record(kind: str, payload: Mapping[str, Any]) -> Record:
    """The record that a journal holds as an event of `kind`. Raises KeyError, TypeError or ValueError."""
    made = KINDS[kind]
    values = {one.name: payload[one.name] for one in fields(made) if one.name in payload}
    for name in _MOMENTS:
        if values.get(name) is not None:
            values[name] = datetime.fromisoformat(values[name])
    if "status" in values:
        values["status"] = OrderStatus(values["status"])
    return made(**values)


CHANGED = "registry_changed"


RETRAINED, RETRAINING = "retrained", "retraining"

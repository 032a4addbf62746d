"""Inputs of sessions and notes of collectors: slices, prices, news, commands, gaps and corrections.

Slices, bars, news and commands are the engine's own values; their stored form is written out here because a
session reads tens of thousands of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from engine.corporate_actions import Dividend, Split
from engine.fx import FxRates
from engine.journal.events.codec import decode_number, require
from engine.journal.events.kinds import Kind
from engine.model import Bar, NewsItem, Phase, Precision, Slice
from engine.trading.risk import Command, CommandKind

PriceAt = tuple[float, datetime]
"""A traded price in the quote currency, and its instant."""

SessionTimes = tuple[datetime, datetime]
"""When a session of a market opens and closes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRecord:
    """A slice, and what a collector adds to it.

    `late` says whether it arrived too late to be decided on. At OPEN `official` holds the official opens by
    symbol (None: not known) and `observed` the first prices that were seen. All three are None where no
    collector wrote the slice.
    """

    slice: Slice
    late: bool | None = None
    official: Mapping[str, float | None] | None = None
    observed: Mapping[str, PriceAt | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The bars of a symbol that closed before the start."""

    symbol: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """From here on one unit of `currency` is worth `value` in the base currency."""

    currency: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarExtended:
    """A calendar is known up to the day `last`."""

    code: str
    last: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotes:
    """The last traded price by symbol."""

    quotes: Mapping[str, PriceAt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Data that did not arrive in time.

    `lacks` is "bar" for all that a close states, "open" for all that an open states, "official" or
    "observed" for one of its two prices, and "calendar" where its calendar ends.
    """

    symbol: str
    session: SessionTimes | None
    lacks: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAdopted:
    """Another student forecasts from here on. `adapter` is its folder, None for the base model alone."""

    fingerprint: str
    name: str
    adapter: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """A collector begins or resumes: since when it collects, its limits in seconds, and what it asks."""

    since: datetime
    limits: Mapping[str, float]
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A source now states other values for a session than were journaled; no past decision changes.

    Five values at CLOSE (open, high, low, close, volume), the official open alone at OPEN.
    """

    symbol: str
    phase: Phase
    session: SessionTimes
    was: tuple[float | None, ...]
    now: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockMeasured:
    """A source's clock against this machine's, and whether they agree."""

    source: str
    own: datetime
    exchange: datetime
    offset_seconds: float
    agrees: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """A source is "down" or "up" again."""

    source: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A bar of a source that is invalid and was left out."""

    symbol: str
    opens_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFinished:
    """No input is left; the session is complete."""


def encode_slice(slice_: Slice) -> dict[str, Any]:
    """Return a slice as JSON: prices by symbol as far as they are known at its instant, and its news.

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


def encode_slice_record(record: SliceRecord) -> dict[str, Any]:
    """Return what a collector journals of a slice."""
    stored = encode_slice(record.slice)
    if record.late is not None:
        stored["late"] = record.late
    if record.official is not None and record.observed is not None:
        stored |= {"official": dict(record.official), "observed": dict(record.observed)}
    return stored


def decode_slice_record(as_of: datetime, stored: Mapping[str, Any]) -> SliceRecord:
    """Return the slice of an event. Raises KeyError, TypeError or ValueError if it is none."""
    phase, sessions = Phase(stored["phase"]), stored["sessions"]
    bars = {
        symbol: _decode_bar(symbol, values, sessions[symbol]) for symbol, values in stored["bars"].items()
    }
    news = tuple(map(decode_news, stored["news"]))
    slice_ = Slice(as_of=as_of, phase=phase, bars=bars, news=news)
    if "late" not in stored:
        return SliceRecord(slice=slice_)
    seen = stored.get("observed")
    observed = seen and {symbol: price and _decode_price(price) for symbol, price in seen.items()}
    return SliceRecord(
        slice=slice_,
        late=bool(stored["late"]),
        official=stored.get("official"),
        observed=observed,
    )


def encode_bar_values(bar: Bar) -> list[float]:
    """Return [open, high, low, close, volume] of a closed bar."""
    return [bar.open, bar.high, bar.low, bar.close, bar.volume]


def encode_bar(bar: Bar) -> list[Any]:
    """Return [opens at, closes at, open, high, low, close, volume] of a closed bar."""
    return [bar.opens_at, bar.closes_at, *encode_bar_values(bar)]


def decode_bar(symbol: str, stored: Sequence[Any]) -> Bar:
    """Return the bar that `encode_bar` wrote, once it was JSON."""
    opens_at, closes_at, *values = stored
    return _decode_bar(symbol, values, [opens_at, closes_at])


def encode_news(item: NewsItem) -> dict[str, Any]:
    """Return a news item as JSON, its symbols in order."""
    return asdict(item) | {"symbols": sorted(item.symbols)}


def decode_news(stored: Mapping[str, Any]) -> NewsItem:
    """Return the item that `encode_news` wrote. Raises KeyError, TypeError or ValueError if it is none."""
    seen = stored["first_seen_at"]
    return NewsItem(
        id=require(stored["id"], str),
        source=require(stored["source"], str),
        title=require(stored["title"], str),
        text=require(stored["text"], str),
        published_at=datetime.fromisoformat(stored["published_at"]),
        precision=Precision(stored["precision"]),
        zone_known=stored["zone_known"],
        first_seen_at=None if seen is None else datetime.fromisoformat(seen),
        available_at=datetime.fromisoformat(stored["available_at"]),
        symbols=frozenset(require(symbol, str) for symbol in require(stored["symbols"], list)),
    )


def encode_history(history: History) -> dict[str, Any]:
    """Return the bars as lists."""
    return {"symbol": history.symbol, "bars": [encode_bar(bar) for bar in history.bars]}


def decode_history(_as_of: datetime, stored: Mapping[str, Any]) -> History:
    """Return what `encode_history` wrote. Raises KeyError, TypeError or ValueError."""
    symbol = require(stored["symbol"], str)
    return History(symbol=symbol, bars=tuple(decode_bar(symbol, each) for each in stored["bars"]))


def encode_command(command: Command) -> dict[str, Any]:
    """Return a command without its instant, which is that of its event."""
    return {"command": command.kind, "author": command.author, "text": command.text}


def decode_command(as_of: datetime, stored: Mapping[str, Any]) -> Command:
    """Return what `encode_command` wrote. Raises KeyError, TypeError, ValueError or AttributeError."""
    return Command(
        at=as_of,
        kind=CommandKind(stored["command"]),
        author=require(stored["author"], str),
        text=require(stored["text"], str),
    )


def encode_split(split: Split) -> dict[str, Any]:
    """Return a split without its instant, which is that of its event."""
    return {"symbol": split.symbol, "ratio": split.ratio}


def decode_split(as_of: datetime, stored: Mapping[str, Any]) -> Split:
    """Return what `encode_split` wrote. Raises KeyError, TypeError or ValueError."""
    return Split(at=as_of, symbol=require(stored["symbol"], str), ratio=stored["ratio"])


def encode_dividend(dividend: Dividend) -> dict[str, Any]:
    """Return a dividend without its instant, which is that of its event."""
    return {"symbol": dividend.symbol, "amount": dividend.amount}


def decode_dividend(as_of: datetime, stored: Mapping[str, Any]) -> Dividend:
    """Return what `encode_dividend` wrote. Raises KeyError, TypeError or ValueError."""
    return Dividend(at=as_of, symbol=require(stored["symbol"], str), amount=stored["amount"])


def _decode_price(stored: Sequence[Any]) -> PriceAt:
    price, at = stored
    return decode_number(price), datetime.fromisoformat(at)


def _decode_bar(symbol: str, values: list[float], session: Sequence[str]) -> Bar:
    opens_at, closes_at = map(datetime.fromisoformat, session)
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


PAYLOADS: Mapping[str, type] = {
    Kind.SESSION_FINISHED: SessionFinished,
    Kind.HISTORY: History,
    Kind.RATE: Rate,
    Kind.CALENDAR: CalendarExtended,
    Kind.SLICE: SliceRecord,
    Kind.QUOTE: Quotes,
    Kind.GAP: Gap,
    Kind.COMMAND: Command,
    Kind.SPLIT: Split,
    Kind.DIVIDEND: Dividend,
    Kind.ADOPTED: ModelAdopted,
    Kind.COLLECTING: Collecting,
    Kind.CORRECTION: Correction,
    Kind.NEWS: NewsItem,
    Kind.CLOCK: ClockMeasured,
    Kind.SOURCE: SourceState,
    Kind.REFUSED: Refused,
    Kind.RATES: FxRates,
}
"""The payload of each kind of inputs."""

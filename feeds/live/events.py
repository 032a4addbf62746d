"""The events in which a collector states what it found: slices, gaps, corrections and quotes.

Knows payloads and nothing of how the facts were come by. Prices are in the quote currency.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.calendars import Session
from engine.journal.events import encode
from engine.journal.events.inputs import Correction, Gap, PriceAt, Quotes, SliceRecord, encode_bar_values
from engine.journal.journal import Event
from engine.model import Bar, NewsItem, Phase, Slice, widen_range
from feeds.history.candles import EPOCH, find_price_fault
from feeds.live.protocols import Opening, Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceStamp:
    """How a slice is dated: its place in the journal's order, and whether it comes too late to decide on."""

    as_of: datetime
    late: bool


def encode_close_slice(stamp: SliceStamp, bars: Mapping[str, Bar], waiting: Iterable[NewsItem]) -> Event:
    """The CLOSE slice of `bars`, with the news that was available by then."""
    return _encode_slice(stamp, Phase.CLOSE, bars, waiting)


def encode_open_slice(
    stamp: SliceStamp,
    openings: Mapping[str, Opening],
    sessions: Mapping[str, Session],
    waiting: Iterable[NewsItem],
) -> Event:
    """The OPEN slice of `openings`, each of which states at least one price.

    Its bars carry the price that a fill gets: the observed one where there is one, else the official open.
    Both stand beside it: `official` by symbol, and `observed` as [price, at], or null where not known.
    """
    bars = {
        symbol: _flat_bar(symbol, _first_price(each), sessions[symbol]) for symbol, each in openings.items()
    }
    official = {symbol: each.official for symbol, each in openings.items()}
    observed = {symbol: _price(each.observed) for symbol, each in openings.items()}
    return _encode_slice(stamp, Phase.OPEN, bars, waiting, official, observed)


def encode_gap(at: datetime, symbol: str, session: Session | None, lacks: str, reason: str) -> Event:
    """Return the event of what did not come in time; `lacks` is explained at `Gap`."""
    return encode(Gap(symbol=symbol, session=session, lacks=lacks, reason=reason), at)


def encode_correction(at: datetime, bar: Bar, was: list[float]) -> Event:
    """A closed bar that now differs from what was journaled. It changes no past decision."""
    return _encode_correction(at, bar, Phase.CLOSE, was, encode_bar_values(bar))


def encode_open_correction(at: datetime, bar: Bar, was: float | None) -> Event:
    """An official open that differs from what was journaled, or was not known then."""
    return _encode_correction(at, bar, Phase.OPEN, [was], [bar.open])


def encode_quotes(at: datetime, quotes: Mapping[str, Quote]) -> Event:
    """Last prices by symbol, as [price, at]."""
    return encode(
        Quotes(quotes={symbol: (each.price, each.at) for symbol, each in sorted(quotes.items())}), at
    )


def is_price(value: float | None) -> bool:
    """Whether a value from outside is a number above zero."""
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _encode_slice(
    stamp: SliceStamp,
    phase: Phase,
    bars: Mapping[str, Bar],
    waiting: Iterable[NewsItem],
    official: Mapping[str, float | None] | None = None,
    observed: Mapping[str, PriceAt | None] | None = None,
) -> Event:
    known = (item for item in waiting if item.available_at <= stamp.as_of)
    news = tuple(sorted(known, key=lambda item: (item.available_at, item.source, item.id)))
    slice_ = Slice(as_of=stamp.as_of, phase=phase, bars=bars, news=news)
    record = SliceRecord(slice=slice_, late=stamp.late, official=official, observed=observed)
    return encode(record, stamp.as_of)


def _encode_correction(
    at: datetime, bar: Bar, phase: Phase, was: Sequence[float | None], now: list[float]
) -> Event:
    session = bar.opens_at, bar.closes_at
    correction = Correction(symbol=bar.symbol, phase=phase, session=session, was=tuple(was), now=tuple(now))
    return encode(correction, at)


def _flat_bar(symbol: str, price: float, session: Session) -> Bar:
    opens_at, closes_at = session
    return Bar(
        symbol=symbol,
        opens_at=opens_at,
        closes_at=closes_at,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=0.0,
    )


def _first_price(opening: Opening) -> float:
    stated = opening.observed.price if opening.observed else opening.official
    if stated is None:
        raise ValueError("an opening without any price makes no slice")
    return stated


def _price(quote: Quote | None) -> PriceAt | None:
    return None if quote is None else (quote.price, quote.at)


def parse_start(row: Sequence[object]) -> datetime | None:
    """The row's start, from milliseconds since 1970 in its first cell; None where that is no time."""
    stamp = row[0] if row else None
    if isinstance(stamp, bool) or not isinstance(stamp, int | float):
        return None
    try:
        return EPOCH + timedelta(milliseconds=stamp)
    except (OverflowError, ValueError):
        return None


def parse_bar(symbol: str, row: Sequence[object], session: Session) -> Bar | None:
    """The row (start, open, high, low, close, volume) as the bar of `session`; None where it is no bar."""
    cells = row[1:6]
    if len(cells) < 5 or any(isinstance(cell, bool) or not isinstance(cell, int | float) for cell in cells):
        return None
    numbers = [float(cell) for cell in cells if isinstance(cell, int | float)]
    if find_price_fault(numbers[:4], numbers[4]) is not None:
        return None
    high, low = widen_range(*numbers[:4])
    return Bar(
        symbol=symbol,
        opens_at=session[0],
        closes_at=session[1],
        open=numbers[0],
        high=high,
        low=low,
        close=numbers[3],
        volume=numbers[4],
    )

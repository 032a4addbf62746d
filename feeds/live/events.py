"""The events in which a collector states what it found: slices, gaps, corrections and quotes.

Prices are in the quote currency.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from engine.calendars import Session
from engine.journal.events import encode
from engine.journal.events.inputs import Correction, Gap, PriceAt, Quotes, SliceRecord, encode_bar_values
from engine.journal.journal import Event
from engine.model import Bar, NewsItem, Phase, Slice, widen_range
from feeds.history.candles import find_price_fault
from feeds.live.protocols import Opening, Quote


def encode_close_slice(
    as_of: datetime, bars: Mapping[str, Bar], waiting: Iterable[NewsItem], *, late: bool
) -> Event:
    """Return the CLOSE slice of `bars`, with the news that was available by then.

    `late` says that it comes too late to decide on.
    """
    slice_ = Slice(as_of=as_of, phase=Phase.CLOSE, bars=bars, news=_select_news(waiting, as_of))
    return encode(SliceRecord(slice=slice_, late=late), as_of)


def encode_open_slice(
    as_of: datetime,
    openings: Mapping[str, Opening],
    sessions: Mapping[str, Session],
    waiting: Iterable[NewsItem],
    *,
    late: bool,
) -> Event:
    """Return the OPEN slice of `openings`, each of which states at least one price.

    Its bars carry the price that a fill gets: the observed one where there is one, else the official open.
    Both stand beside it: `official` by symbol, and `observed` as [price, at], or null where not known.
    """
    bars = {symbol: _flat_bar(symbol, opening, sessions[symbol]) for symbol, opening in openings.items()}
    record = SliceRecord(
        slice=Slice(as_of=as_of, phase=Phase.OPEN, bars=bars, news=_select_news(waiting, as_of)),
        late=late,
        official={symbol: opening.official for symbol, opening in openings.items()},
        observed={symbol: _encode_observed(opening) for symbol, opening in openings.items()},
    )
    return encode(record, as_of)


def encode_gap(at: datetime, symbol: str, session: Session | None, lacks: str, reason: str) -> Event:
    """Return the event of what did not come in time; `lacks` is explained at `Gap`."""
    return encode(Gap(symbol=symbol, session=session, lacks=lacks, reason=reason), at)


def encode_correction(at: datetime, bar: Bar, phase: Phase, was: Sequence[float | None]) -> Event:
    """Return the correction of what was journaled for a session, which changes no past decision.

    Args:
        at: When it became known.
        bar: The closed bar as it is now.
        phase: CLOSE where the bar's values differ, OPEN where its official open does.
        was: The journaled values, or the one official open, None where it was not known.
    """
    now = encode_bar_values(bar) if phase is Phase.CLOSE else [bar.open]
    session = bar.opens_at, bar.closes_at
    return encode(
        Correction(symbol=bar.symbol, phase=phase, session=session, was=tuple(was), now=tuple(now)), at
    )


def encode_quotes(at: datetime, quotes: Mapping[str, Quote]) -> Event:
    """Return the event of last prices by symbol, as [price, at]."""
    return encode(
        Quotes(quotes={symbol: (quote.price, quote.at) for symbol, quote in sorted(quotes.items())}), at
    )


def is_price(value: float | None) -> bool:
    """Return whether a value from outside is a number above zero."""
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _select_news(waiting: Iterable[NewsItem], as_of: datetime) -> tuple[NewsItem, ...]:
    known = (item for item in waiting if item.available_at <= as_of)
    return tuple(sorted(known, key=lambda item: (item.available_at, item.source, item.id)))


def _flat_bar(symbol: str, opening: Opening, session: Session) -> Bar:
    price = opening.observed.price if opening.observed else opening.official
    if price is None:
        raise ValueError("an opening without any price makes no slice")
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


def _encode_observed(opening: Opening) -> PriceAt | None:
    return None if opening.observed is None else (opening.observed.price, opening.observed.at)


def parse_bar(symbol: str, row: Sequence[object], session: Session) -> Bar | None:
    """Return a row (start, open, high, low, close, volume) as the bar of `session`, None where it is none."""
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

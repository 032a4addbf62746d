"""The checks of data on what was fetched. Knows the store; the rules are those for files."""

from collections.abc import Mapping
from datetime import datetime

from engine.instruments import Instrument
from feeds.files.bars import guess_instrument
from feeds.history.store import BarStore, StoredBars
from feeds.quality.checks import Calendars, check_rows
from feeds.quality.findings import Finding, FindingFactory
from feeds.quality.rows import BarRow

_DAILY = "1d"


def check_store(store: BarStore, *, now: datetime | None = None) -> list[Finding]:
    """Everything that is wrong with the daily candles of all sources in `store`; a row is a candle."""
    calendars = Calendars()
    return [
        finding
        for source in store.sources()
        for symbol in store.symbols(source, _DAILY)
        for finding in check_stored(store, store.read(source, symbol), {}, now=now, calendars=calendars)
    ]


def check_stored(
    store: BarStore,
    stored: StoredBars,
    instruments: Mapping[str, Instrument],
    *,
    now: datetime | None,
    calendars: Calendars,
) -> list[Finding]:
    """The findings on one symbol; `instruments` says what it is, else its name does."""
    instrument = instruments.get(stored.symbol) or guess_instrument(stored.symbol)
    file = store.path(stored.source, stored.symbol, stored.timeframe)
    rows = [
        BarRow(
            line=number,
            day=candle.starts_at.date(),
            open=candle.open,
            high=candle.high,
            low=candle.low,
            close=candle.close,
            volume=candle.volume,
            is_valid=True,
        )
        for number, candle in enumerate(stored.candles, start=1)
    ]
    return check_rows(rows, instrument, FindingFactory(file=file, symbol=stored.symbol), now, calendars)

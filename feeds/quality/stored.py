"""Run the data checks on the bar store, with the rules for files."""

from collections.abc import Mapping
from datetime import datetime

from engine.instruments import Instrument
from engine.model import widen_range
from feeds.history.candles import ohlcv
from feeds.history.store import BarStore
from feeds.history.stored_bars import StoredBars
from feeds.instruments import guess_instrument
from feeds.quality.checks import Calendars, check_rows
from feeds.quality.findings import FindingFactory
from feeds.quality.report import CheckReport, FileReport
from feeds.quality.rows import BarRow, describe_widened


def check_store(store: BarStore, *, now: datetime | None = None) -> CheckReport:
    """Return the report on the daily candles of every source in `store`; a row is a candle."""
    calendars = Calendars()
    return CheckReport(
        files=[
            check_stored(store, store.read(source, symbol), {}, now=now, calendars=calendars)
            for source in store.sources()
            for symbol in store.symbols(source)
        ]
    )


def check_stored(
    store: BarStore,
    stored: StoredBars,
    instruments: Mapping[str, Instrument],
    *,
    now: datetime | None,
    calendars: Calendars,
) -> FileReport:
    """Return the report on one stored symbol.

    Args:
        store: The store, which names the file.
        stored: What it holds of the symbol.
        instruments: Instruments by symbol; one that is not in it is guessed from its name.
        now: When the check is made, in UTC; None to skip the check for unfinished sessions.
        calendars: Calendars to share between checks.
    """
    days = [candle.starts_at.date() for candle in stored.candles]
    instrument = instruments.get(stored.symbol) or guess_instrument(stored.symbol, days)
    file = store.path(stored.source, stored.symbol, stored.timeframe)
    rows = [
        BarRow(line=number, day=candle.starts_at.date(), is_valid=True, **ohlcv(candle))
        for number, candle in enumerate(stored.candles, start=1)
    ]
    new_finding = FindingFactory(file=file, symbol=stored.symbol)
    widened = [
        (row.line, row.day)
        for row, candle in zip(rows, stored.candles, strict=True)
        if widen_range(*candle.prices) != (candle.high, candle.low)
    ]
    return check_rows(
        rows, instrument, new_finding, now, calendars, earlier=describe_widened(widened, new_finding)
    )

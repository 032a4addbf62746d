"""Import bar files into the store.

A file that `feeds.files.bars` refuses is not imported.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from engine.calendars import Calendar, load_calendar
from engine.errors import DataError
from engine.instruments import Instrument, is_round_the_clock
from engine.model import Bar
from feeds.files.bars import find_bar_files, read_bars, read_date_span, read_day_offset, read_first_days
from feeds.files.folders import require_known_tables
from feeds.files.layouts import NOTHING_STATED, ColumnSettings
from feeds.files.tables import read_once
from feeds.history.candles import DAY, Adjustment, Candle, SessionGrid, midnight, ohlcv
from feeds.history.download import FetchReport, OnProgress, SymbolReport
from feeds.history.store import BarStore
from feeds.history.stored_bars import Span
from feeds.history.symbol_candles import SymbolCandles
from feeds.instruments import GetInstrument, guess_instrument

SOURCE = "file"
_NO_ROW = "the file has no row"


@read_once()
def import_bars(
    paths: Sequence[Path],
    store: BarStore,
    adjustment: Adjustment,
    *,
    clock: Callable[[], datetime],
    on_progress: OnProgress,
    columns: ColumnSettings = NOTHING_STATED,
    get_instrument: GetInstrument = guess_instrument,
    refresh: bool = False,
    skip_unknown: bool = False,
) -> FetchReport:
    """Import the bar files among `paths` into the store, under the source "file" and the file's name.

    Sessions without a row become gaps, including those between a file and what is stored already.

    Args:
        paths: Files, or folders of files.
        store: Where the bars are kept.
        adjustment: How splits and dividends are worked into the prices of the files.
        clock: Returns the time of this machine in UTC, for the record.
        on_progress: Called with the symbol, how many files are done, and how many there are.
        columns: What the user states about columns.
        get_instrument: Returns the instrument of a symbol; the default guesses it.
        refresh: Replace what is stored; without it, days that are stored already must be the same there.
        skip_unknown: Leave out tables of a folder that hold neither bars nor news.

    Raises:
        DataError: For a file that cannot be imported; nothing of it is written.
    """
    require_known_tables(paths, skip=skip_unknown, columns=columns)
    files = find_bar_files(paths, columns)
    now = clock()
    reports = []
    with store.writing(SOURCE):
        for number, (symbol, path) in enumerate(files.items()):
            on_progress(symbol, number, len(files))
            instrument = get_instrument(symbol, read_first_days(path, columns))
            reports.append(_import_file(path, columns, instrument, store, adjustment, now, refresh=refresh))
            on_progress(symbol, number + 1, len(files))
    return FetchReport(
        source=SOURCE, provenance="files on this machine", server_time=now, symbols=tuple(reports)
    )


def _import_file(
    path: Path,
    columns: ColumnSettings,
    instrument: Instrument,
    store: BarStore,
    adjustment: Adjustment,
    now: datetime,
    *,
    refresh: bool,
) -> SymbolReport:
    history = SymbolCandles(SOURCE, instrument.symbol, "1d", adjustment)
    stored = None if refresh else store.find(SOURCE, instrument.symbol, "1d")
    if stored is not None and stored.adjustment is not adjustment:
        raise DataError(
            f"{path}: {adjustment} prices, but the store has {stored.adjustment} ones, and the two "
            f"are never mixed; use --adjustment {stored.adjustment}, or replace them with --refresh"
        )
    if is_round_the_clock(instrument.calendar) and (offset := read_day_offset(path, columns)):
        raise DataError(
            f"{path}: its days begin at midnight of {offset}, and the store has days in UTC; "
            "give the file to a backtest with --bars"
        )
    first, last = read_date_span(path, columns)
    since, until = midnight(first), midnight(last) + DAY
    if stored is not None:
        # The days between a file and the store become part of the window, and so a gap.
        since, until = min(since, stored.until), max(until, stored.since)
    ends = [since, until, *((stored.since, stored.until) if stored is not None else ())]
    calendar = load_calendar(instrument.calendar, min(ends).date(), max(ends).date())
    grid = SessionGrid(calendar=calendar)
    due = grid.starts(since, until)
    candles = _to_candles(read_bars(path, instrument, calendar, columns=columns), due, calendar)
    if stored is not None:
        history.load(stored, grid)
        _require_agreement(path, candles, history)
    present = {candle.starts_at for candle in candles} | set(history.candles)
    missing = {day: _NO_ROW for day in due if day not in present}
    span = Span(since=since, until=until, provenance=f"file {path.name}", fetched_at=now)
    new = history.add(candles, missing, span)
    store.write(history.to_stored_bars())
    return SymbolReport(
        symbol=instrument.symbol, new=new, stored=len(history.candles), gaps=history.gaps(), strays=0
    )


def _to_candles(bars: Sequence[Bar], due: Sequence[datetime], calendar: Calendar) -> list[Candle]:
    """Convert bars to candles by their trading days, all of which are in `due`."""
    opens = {session[0]: day for day in due if (session := calendar.session(day.date()))}
    return [Candle(starts_at=opens[bar.opens_at], **ohlcv(bar)) for bar in bars]


def _require_agreement(path: Path, candles: Sequence[Candle], history: SymbolCandles) -> None:
    for candle in candles:
        other = history.candles.get(candle.starts_at, candle)
        if other != candle:
            raise DataError(
                f"{path}: closes at {candle.close:g} on {candle.starts_at:%Y-%m-%d}, and at {other.close:g} "
                f"in the store; leave the day out, or replace what is stored with --refresh"
            )

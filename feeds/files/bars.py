"""Read daily bars from CSV and Parquet files.

Nothing is repaired: a bar that is impossible is refused with its place, because a wrong price would show up
as a profit.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from engine.calendars import Calendar, Session
from engine.errors import DataError
from engine.instruments import ROUND_THE_CLOCK, AssetClass, Instrument
from engine.model import Bar
from feeds.files.tables import Row, find_tables, quote_value, read_rows
from feeds.fx_pairs import guess_fx_pair
from feeds.symbols import a_share_code, known_names, parse_pair

COLUMNS = ("date", "open", "high", "low", "close", "volume")
_PRICES = ("open", "high", "low", "close")

# Tables written from timestamps have a midnight after each day.
_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?")


def find_bar_files(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the bar files among `paths`, each a file or a folder, by symbol: the file's name without suffix.

    In a folder only tables with the bar columns count, and only headers are read. Raises DataError for a path
    that is missing or no bar file, a folder without any, and a symbol that occurs twice.
    """
    files: dict[str, Path] = {}
    seen: dict[str, Path] = {}
    for path in find_tables(paths, COLUMNS, "bar"):
        other = seen.setdefault(path.stem.casefold(), path)
        if other.resolve() != path.resolve():
            raise DataError(f"{path}: {path.stem} has bars in {other} already; leave one of the two out")
        files[path.stem] = path
    return files


def read_date_span(path: Path) -> tuple[date, date]:
    """Return the first and last date of a bar file, to build its calendar from. Raises DataError."""
    dates = [day for day, _ in _dated_rows(path)]
    return dates[0], dates[-1]


def read_bars(
    path: Path,
    instrument: Instrument,
    calendar: Calendar,
    *,
    since: date | None = None,
    until: date | None = None,
) -> tuple[Bar, ...]:
    """Read the bars of one file, oldest first.

    A date stands for the session of that date in `calendar`. The dates of the whole file must ascend; nothing
    else is checked in a row outside the window.

    Args:
        path: The file.
        instrument: The instrument of its bars.
        calendar: The sessions of the instrument.
        since: The first day, included; None for the start of the file.
        until: The last day, included; None for its end.

    Returns:
        The bars of the window, at least one.

    Raises:
        DataError: For a file that cannot be read, an impossible bar, and an empty window.
    """
    bars = tuple(
        _build_bar(row, day, instrument, calendar)
        for day, row in _dated_rows(path)
        if (since is None or since <= day) and (until is None or day <= until)
    )
    if not bars:
        raise DataError(
            f"{path}: no bar from {since or 'the start'} to {until or 'the end'}; choose other dates"
        )
    return bars


def guess_instrument(symbol: str) -> Instrument:
    """Return the likely instrument of a symbol that is not configured.

    Six digits (also sh600519, 600519.SS) are an A-share in lots of 100; BTCUSDT, BTC-USD and BTC/USDT are
    coins in any fraction; EURUSD is a currency pair; anything else is a US stock in whole shares.
    """
    if pair_of_currencies := guess_fx_pair(symbol):
        return pair_of_currencies
    if a_share_code(symbol):
        return Instrument(
            symbol=symbol,
            names=known_names(symbol, AssetClass.A_SHARE),
            asset_class=AssetClass.A_SHARE,
            calendar="XSHG",
            currency="CNY",
            lot=100.0,
        )
    if pair := parse_pair(symbol):
        return Instrument(
            symbol=symbol,
            names=known_names(symbol, AssetClass.COIN),
            asset_class=AssetClass.COIN,
            calendar=ROUND_THE_CLOCK,
            currency=pair[1],
            lot=0.0,
            shortable=True,
        )
    return Instrument(
        symbol=symbol,
        names=known_names(symbol, AssetClass.STOCK),
        asset_class=AssetClass.STOCK,
        calendar="XNYS",
        currency="USD",
        lot=1.0,
        shortable=True,
    )


def _dated_rows(path: Path) -> Iterator[tuple[date, Row]]:
    """Yield the rows of a bar file with their dates, which ascend. Raises DataError where they do not."""
    last: date | None = None
    for row in read_rows(path, COLUMNS):
        day = _parse_day(row)
        if last is not None and day <= last:
            fault = "comes twice" if day == last else f"comes after {last}"
            raise DataError(f"{row.place}: date {day} {fault}; give one row a day, oldest first")
        last = day
        yield day, row
    if last is None:
        raise DataError(f"{path}: a header and no rows; give at least one bar")


def _parse_day(row: Row) -> date:
    text = row.cells["date"]
    match = _DAY.fullmatch(text)
    try:
        return date.fromisoformat(match[1] if match else "")
    except ValueError:
        raise DataError(
            f"{row.place}: date {quote_value(text)} is not a day; write it as YYYY-MM-DD"
        ) from None


def _build_bar(row: Row, day: date, instrument: Instrument, calendar: Calendar) -> Bar:
    opens_at, closes_at = _session(row, day, instrument, calendar)
    open_, high, low, close = (_parse_number(row, name) for name in _PRICES)
    volume = _parse_number(row, "volume")
    try:
        return Bar(
            symbol=instrument.symbol,
            opens_at=opens_at,
            closes_at=closes_at,
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=volume,
        )
    except ValueError as error:
        raise DataError(
            f"{row.place}: {error}; correct or remove the row, or choose dates without {day}"
        ) from None


def _session(row: Row, day: date, instrument: Instrument, calendar: Calendar) -> Session:
    try:
        session = calendar.session(day)
    except DataError as error:
        raise DataError(f"{row.place}: {error}") from None
    if session is None:
        raise DataError(
            f"{row.place}: {day} is a day on which {instrument.calendar} was closed; remove the row, "
            f"or set `calendar` under [instruments.{instrument.symbol}]"
        )
    return session


def _parse_number(row: Row, name: str) -> float:
    text = row.cells[name]
    try:
        return float(text)
    except ValueError:
        fault = f"{quote_value(text)} is not a number" if text else "is empty"
        raise DataError(
            f"{row.place}: {name} {fault}; correct or remove the row, or choose other dates"
        ) from None

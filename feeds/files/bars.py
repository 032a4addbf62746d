"""Read daily bars from CSV and Parquet files.

A bar that is impossible is refused with its place, because a wrong price would show up as a profit. Only high
and low are repaired, where they miss an open or close by as much as rounding explains.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from engine.calendars import Calendar, Session
from engine.errors import DataError, toml_table
from engine.instruments import Instrument, is_round_the_clock
from engine.model import Bar, widen_range
from feeds.files.daily_bars import require_plausible
from feeds.files.dialects import read_bar_rows, read_first_rows
from feeds.files.layouts import COLUMNS, NOTHING_STATED, PRICES, ColumnSettings, require_bars
from feeds.files.listing import find_tables
from feeds.files.raw import stem_of
from feeds.files.tables import Row, quote_value

_FIRST_DAYS = 60

# Tables written from timestamps have a midnight after each day.
_DAY = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]00(?::00(?::00(?:\.0+)?)?)?(?:Z|([+-](?:0[0-9]|1[0-4])):?([0-5][0-9]))?)?"
)


def find_bar_files(paths: Sequence[Path], columns: ColumnSettings = NOTHING_STATED) -> dict[str, Path]:
    """Return the bar files among `paths`, each a file or a folder, by symbol: the file's name without suffix.

    In a folder only tables with the bar columns count, or with those that the user states, and only first
    lines are read. Raises DataError for a path that is missing or no bar file, a folder without any, and a
    symbol that occurs twice.
    """
    files: dict[str, Path] = {}
    seen: dict[str, Path] = {}
    for path in find_tables(paths, COLUMNS, "bar", lambda path: require_bars(path, columns)):
        symbol = stem_of(path)
        other = seen.setdefault(symbol.casefold(), path)
        if other.resolve() != path.resolve():
            raise DataError(f"{path}: {symbol} has bars in {other} already; leave one of the two out")
        files[symbol] = path
    return files


def read_date_span(path: Path, columns: ColumnSettings = NOTHING_STATED) -> tuple[date, date]:
    """Return the first and last date of a bar file, to build its calendar from. Raises DataError."""
    dates = [day for day, _ in _dated_rows(path, columns)]
    return dates[0], dates[-1]


def read_day_offset(path: Path, columns: ColumnSettings = NOTHING_STATED) -> str:
    """Return the offset from UTC beside the days of a bar file, such as "+08:00"; empty for UTC and for none.

    Raises DataError where the days have several: they do not all begin at the same hour.
    """
    first: Row | None = None
    for row in read_bar_rows(path, columns=columns):
        first = first or row
        if _written_offset(row) != _written_offset(first):
            raise DataError(
                f"{row.place}: date {quote_value(row.cells['date'])} has another offset from UTC than "
                f"{quote_value(first.cells['date'])}; write days that all begin at the same hour"
            )
    return _written_offset(first) if first else ""


def read_bars(
    path: Path,
    instrument: Instrument,
    calendar: Calendar,
    *,
    since: date | None = None,
    until: date | None = None,
    columns: ColumnSettings = NOTHING_STATED,
) -> tuple[Bar, ...]:
    """Read the bars of one file, oldest first.

    A date stands for the session of that date in `calendar`. The dates of the whole file must ascend; nothing
    else is checked in a row outside the window. `engine.model.widen_range` is applied to each bar.

    Args:
        path: The file.
        instrument: The instrument of its bars.
        calendar: The sessions of the instrument.
        since: The first day, included; None for the start of the file.
        until: The last day, included; None for its end.
        columns: What the user states about columns.

    Returns:
        The bars of the window, at least one.

    Raises:
        DataError: For a file that cannot be read, an impossible bar, and an empty window.
    """
    bars = tuple(
        _build_bar(row, day, instrument, calendar)
        for day, row in _dated_rows(path, columns)
        if (since is None or since <= day) and (until is None or day <= until)
    )
    if not bars:
        raise DataError(
            f"{path}: no bar from {since or 'the start'} to {until or 'the end'}; choose other dates"
        )
    require_plausible(path, [(bar.open, bar.high, bar.low, bar.close) for bar in bars])
    return bars


def read_first_days(path: Path, columns: ColumnSettings = NOTHING_STATED) -> tuple[date, ...]:
    """Return the dates of a file's first 60 rows, by which `guess_instrument` sees whether it has weekends.

    They end before a row that cannot be read, which is reported where the file is read.
    """
    days: list[date] = []
    with suppress(DataError):
        days.extend(map(_parse_day, read_first_rows(path, _FIRST_DAYS, columns)))
    return tuple(days)


def _dated_rows(path: Path, columns: ColumnSettings) -> Iterator[tuple[date, Row]]:
    """Yield the rows of a bar file with their dates, which ascend. Raises DataError where they do not."""
    last: date | None = None
    for row in read_bar_rows(path, columns=columns):
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


def _written_offset(row: Row) -> str:
    """Return the offset from UTC that stands beside a day, such as "+08:00"; empty for UTC and for none."""
    match = _DAY.fullmatch(row.cells["date"])
    offset = f"{match[2]}:{match[3]}" if match and match[2] else ""
    return "" if offset in ("+00:00", "-00:00") else offset


def _build_bar(row: Row, day: date, instrument: Instrument, calendar: Calendar) -> Bar:
    opens_at, closes_at = _session(row, day, instrument, calendar)
    open_, high, low, close = (_parse_number(row, name) for name in PRICES)
    volume = _parse_number(row, "volume")
    high, low = widen_range(open_, high, low, close)
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
        setting = "`calendar`" if day.weekday() < 5 else 'asset_class = "coin", if it trades round the clock,'
        raise DataError(
            f"{row.place}: {day} is a day on which {instrument.calendar} was closed; remove the row, "
            f"or set {setting} under {toml_table('instruments', instrument.symbol)}"
        )
    _require_zone(row, day, session, instrument)
    return session


def _require_zone(row: Row, day: date, session: Session, instrument: Instrument) -> None:
    """Refuse a day whose written offset from UTC is not that of its session."""
    offset = _written_offset(row)
    if not offset:
        return
    begins_at = datetime.fromisoformat(f"{day}T00:00:00{offset}").astimezone(UTC)
    if is_round_the_clock(instrument.calendar):
        fits = begins_at == session[0]
    else:
        fits = begins_at <= session[0] < session[1] <= begins_at + timedelta(days=1)
    if not fits:
        raise DataError(
            f"{row.place}: date {quote_value(row.cells['date'])} begins at {begins_at:%Y-%m-%d %H:%M} UTC, "
            f"and the session of {day} in calendar {instrument.calendar} is from {session[0]:%Y-%m-%d %H:%M} "
            f"to {session[1]:%Y-%m-%d %H:%M} UTC; write the day alone in its market's zone, or set `calendar`"
        )


def _parse_number(row: Row, name: str) -> float:
    text = row.cells[name]
    try:
        return float(text)
    except ValueError:
        fault = f"{quote_value(text)} is not a number" if text else "is empty"
        raise DataError(
            f"{row.place}: {name} {fault}; correct or remove the row, or choose other dates"
        ) from None

"""Read daily bars in the forms in which exchanges, vendors and notebooks write them, as if they were our own.

A form is no class of its own: the columns (`feeds.files.layouts`) and the notation of numbers and dates
(`feeds.files.cells`) are inferred from all rows, and combine freely. What can be read in two ways is refused
with the setting that decides it.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path
from statistics import median

from engine.errors import DataError
from feeds.files.cells import (
    MISSING,
    DateStyle,
    NumberStyle,
    epoch_unit,
    infer_date_style,
    infer_number_style,
    to_float,
)
from feeds.files.layouts import (
    COLUMNS,
    PEEK_ROWS,
    PRICES,
    ColumnSettings,
    Layout,
    column_settings,
    find_layout,
    holds_bars,
    normalize_name,
)
from feeds.files.raw import RawTable
from feeds.files.tables import Row, own_columns, parse_timestamp, quote_value, read_rows, require_file

_DAY = timedelta(days=1)
_PEEK_SIZE = 2**20

# What daily prices can be: a high beside the close, and the usual high beside the low; and how many bars it
# takes to tell opens from closes.
_MAX_RISE, _MAX_RANGE, _MIN_BARS = 100, 3, 10


class UnclearDayError(DataError):
    """The times of a file do not show for which days its bars stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedRow:
    """One bar of any length: its place, its time as written, and its cells in plain notation."""

    number: int
    stamp: datetime
    cells: dict[str, str]
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BarTable:
    """The bars of a file in any form.

    Attributes:
        path: The file.
        rows: In the order of the file; those of several symbols may be mixed.
        notes: What was taken for what, in short phrases.
        place: Returns the place of a row by its number.
    """

    path: Path
    rows: list[StampedRow]
    notes: tuple[str, ...]
    place: Callable[[int], str]

    @property
    def symbols(self) -> list[str]:
        """The symbols named in the file; one empty text where it names none."""
        return list(dict.fromkeys(row.symbol for row in self.rows))


def read_bar_table(path: Path, limit: int | None = None) -> BarTable:
    """Read the bars of a file in any form that is recognised.

    Args:
        path: The file.
        limit: How many rows to read; None for all.

    Raises:
        DataError: For a file that is not recognised, or whose dates or numbers can be read in two ways.
    """
    layout, raw = find_layout(path, limit)
    return _Reader(raw, layout).read()


def read_bar_rows(path: Path, on_ragged: Callable[[Row, DataError], None] | None = None) -> Iterator[Row]:
    """Yield the daily bars of a file in any form as rows of our own: the columns of `COLUMNS`, oldest first.

    A date is written YYYY-MM-DD, or as the midnight of a zone where the file states one.

    Args:
        path: The file.
        on_ragged: For a file of our own form, called with a row that is longer or shorter than its header,
            and the error; the row is left out.

    Raises:
        DataError: As `read_bar_table`, and for bars that are not daily, or of several symbols.
    """
    if _is_own_form(path):
        yield from _read_own_rows(path, on_ragged)
        return
    require_file(path)
    if path.stat().st_size > _PEEK_SIZE:
        with suppress(UnclearDayError):
            _refuse_intraday(path, [row.stamp for row in read_bar_table(path, PEEK_ROWS).rows])
    try:
        yield from _read_table_rows(path)
    except UnclearDayError:
        if not set(COLUMNS) <= set(own_columns(path)):
            raise
        yield from read_rows(path, COLUMNS, on_ragged=on_ragged)  # whose reader names the rows


def _read_table_rows(path: Path) -> list[Row]:
    table = read_bar_table(path)
    if len(table.symbols) > 1:
        raise DataError(
            f"{path}: bars of {len(table.symbols)} symbols, {', '.join(table.symbols[:5])}, …; run "
            f"closecall data convert {path} for a file of each"
        )
    return to_daily_rows(table, table.rows)


def _read_own_rows(path: Path, on_ragged: Callable[[Row, DataError], None] | None) -> Iterator[Row]:
    start = islice(read_rows(path, COLUMNS, on_ragged=_ignore_ragged), PEEK_ROWS)
    stamps = [parse_timestamp(row.cells["date"]) for row in start]
    _refuse_intraday(path, [stamp for stamp in stamps if stamp is not None])
    rows: list[Row] = []
    damage: DataError | None = None
    try:
        rows.extend(read_rows(path, COLUMNS, on_ragged=on_ragged))
    except DataError as error:  # raised once the rows before it have been read
        damage = error
    days = [day for row in rows if (day := _own_day(row.cells["date"]))]
    require_daily(path, days)
    yield from (
        reversed(rows) if _falls(list(map(str, days))) and len(days) == len(rows) and not damage else rows
    )
    if damage:
        raise damage


def _ignore_ragged(row: Row, error: DataError) -> None:
    """Leave the row to the reading of the whole file."""


def _falls(days: Sequence[str]) -> bool:
    """Return whether a file has its newest day first; the days are written YYYY-MM-DD."""
    return len(days) > 2 and all(later < earlier for earlier, later in pairwise(days))


def describe_bar_file(path: Path) -> str:
    """Return one line on what was taken for what in a bar file; empty for one of our own form."""
    if _is_own_form(path):
        return ""
    return f"{path.name}: {'; '.join(read_bar_table(path).notes)}."


def read_first_rows(path: Path, count: int) -> Iterator[Row]:
    """Yield the first daily bars of a file, as `read_bar_rows` does with all."""
    if _is_own_form(path):
        return islice(read_rows(path, COLUMNS), count)
    table = read_bar_table(path, PEEK_ROWS)
    return islice(to_daily_rows(table, table.rows), count)


def _is_own_form(path: Path) -> bool:
    """Return whether a file has our columns and days as YYYY-MM-DD, so that nothing is to be inferred."""
    columns = own_columns(path) if column_settings() == ColumnSettings() else ()
    if not set(COLUMNS) <= set(columns) or {"symbol", "ticker", "tic", "time", "code"} & set(columns):
        return False
    first = next(read_rows(path, COLUMNS, on_ragged=_ignore_ragged), None)
    if first is None or first.cells["date"] == "":
        return True
    return _own_day(first.cells["date"]) is not None or not holds_bars(path)


_OWN_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d{2}:\d{2})?)?")


def _own_day(text: str) -> date | None:
    match = _OWN_DAY.fullmatch(text)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


class _Reader:
    """Reads the rows of a table whose columns are known."""

    def __init__(self, raw: RawTable, layout: Layout) -> None:
        self._raw, self._layout = raw, layout
        self._rows = raw.rows[layout.body :]
        self._notes: list[str] = []
        self._require_cells()

    def read(self) -> BarTable:
        layout, raw = self._layout, self._raw
        if not self._rows:
            raise DataError(f"{raw.path}: a header and no rows; give at least one bar")
        header = f"header in line {raw.rows[layout.header][0]}" if layout.header >= 0 else "no header"
        self._notes.append(f"{raw.form}, {header}")
        stamps = self._read_stamps()
        self._check_length(stamps)
        style = self._infer_numbers()
        rows = []
        for label, known in layout.columns.items():
            fields = self._choose_volume(known, style)
            self._note_columns(fields)
            lot = self._lot_size(fields, style)
            for stamp, (number, cells) in zip(stamps, self._rows, strict=True):
                values = {name: style.plain(cells[fields[name]]) for name in PRICES}
                if label and all(value.lower() in MISSING for value in values.values()):
                    continue  # another symbol of the same table trades on that day
                values["volume"] = self._read_volume(fields, cells, style, lot)
                symbol = cells[layout.shared["symbol"]] if "symbol" in layout.shared else label
                rows.append(StampedRow(number=number, stamp=stamp, cells=values, symbol=symbol))
        return BarTable(path=raw.path, rows=rows, notes=tuple(self._notes), place=raw.place)

    def _require_cells(self) -> None:
        width = len(self._layout.names)
        for at, (number, cells) in enumerate(self._rows):
            if len(cells) > width and not any(cells[width:]):
                self._rows[at] = (number, cells[:width])
            elif len(cells) != width:
                raise DataError(
                    f"{self._raw.place(number)}: {len(cells)} cells where the header has {width}; correct or "
                    "remove the row"
                )

    def _read_stamps(self) -> list[datetime]:
        """Return the time of each row from its first readable column; further ones must agree with it."""
        faults: list[DataError] = []
        found: dict[int, list[datetime]] = {}
        for at in self._layout.dates:
            texts = [self._date_text(at, cells) for _, cells in self._rows]
            places = [self._raw.place(number) for number, _ in self._rows]
            try:
                style = infer_date_style(
                    list(zip(places, texts, strict=True)), column_settings().date_order or None
                )
            except DataError as error:
                faults.append(error)
                continue
            found[at] = [moment for text in texts if (moment := style.parse(text)) is not None]
            if len(found) == 1:
                self._note_date(at, style, texts[0], found[at][0])
        if not found:
            raise faults[0]
        (first, stamps), *others = found.items()
        for at, more in others:
            for (number, cells), stamp, other in zip(self._rows, stamps, more, strict=True):
                if abs(stamp.replace(tzinfo=None) - other.replace(tzinfo=None)) >= _DAY:
                    first_name, name = self._layout.names[first], self._layout.names[at]
                    raise DataError(
                        f"{self._raw.place(number)}: {first_name} {quote_value(cells[first])} and {name} "
                        f"{quote_value(cells[at])} are different days; correct or remove one of the columns"
                    )
        if len({stamp.tzinfo is None for stamp in stamps}) > 1:
            raise UnclearDayError(f"{self._raw.path}: dates with and without a zone; write all alike")
        return stamps

    def _date_text(self, at: int, cells: Sequence[str]) -> str:
        clock = self._layout.shared.get("time")
        if clock is None:
            clock = next(
                (
                    i
                    for i in self._layout.dates
                    if i != at and normalize_name(self._layout.names[i]) == "time"
                ),
                None,
            )
        if clock is not None and re.fullmatch(r"\d{1,2}:?\d{2}(:?\d{2}(\.\d+)?)?", cells[clock]):
            return f"{cells[at]} {cells[clock]}"
        return cells[at]

    def _note_date(self, at: int, style: DateStyle, text: str, moment: datetime) -> None:
        what = f"{epoch_unit(text)} since 1970" if style.name == "time since 1970" else style.name
        zone = " in UTC" if what.endswith("1970") else f", zone {moment:%z}" if moment.tzinfo else ""
        self._notes.append(f"date = {quote_value(self._layout.names[at])} ({what}{zone})")

    def _note_columns(self, fields: Mapping[str, int]) -> None:
        names = self._layout.names
        other = [
            f"{name} = {quote_value(names[at])}"
            for name, at in fields.items()
            if name in COLUMNS and names[at].lower() != name
        ]
        if other and not any(note.startswith(other[0]) for note in self._notes):
            self._notes.append(", ".join(other))

    def _check_length(self, stamps: Sequence[datetime]) -> None:
        """Refuse bars whose stated end is not a day after their begin."""
        at = self._layout.shared.get("close_time")
        if at is None:
            return
        ends = [(self._raw.place(number), cells[at]) for number, cells in self._rows]
        style = infer_date_style(ends)
        for (place, text), begin in zip(ends, stamps, strict=True):
            end = style.parse(text)
            if end is None or (end.tzinfo is None) != (begin.tzinfo is None):
                continue
            if abs(end - begin - _DAY) > timedelta(seconds=2):
                what = f"{place}: a bar of {_describe_span(end - begin)}"
                raise _length_error(what, end - begin, self._raw.path)

    def _infer_numbers(self) -> NumberStyle:
        wanted = ("turnover", "volume", *PRICES)
        at = sorted({f[name] for f in self._layout.columns.values() for name in wanted if name in f})
        cells = ((self._raw.place(number), row[i]) for number, row in self._rows for i in at)
        style = infer_number_style(cells, self._raw.delimiter, column_settings().decimal or None)
        if style.decimal == ",":
            self._notes.append("decimal commas")
        return style

    def _choose_volume(self, fields: Mapping[str, int], style: NumberStyle) -> Mapping[str, int]:
        """Return the columns with MetaTrader's count of ticks as volume where its real volume is all zero."""
        if not {"volume", "tick_volume"} <= set(fields) or any(
            to_float(style.plain(cells[fields["volume"]])) for _, cells in self._rows
        ):
            return fields
        return {**fields, "volume": fields["tick_volume"]}

    def _lot_size(self, fields: Mapping[str, int], style: NumberStyle) -> int:
        """Return 100 where Tushare's names or the turnover show an A-share's volume in lots, else 1."""
        if "ts_code" in map(normalize_name, self._layout.names) and fields.get("volume", -1) >= 0:
            self._notes.append("volume in lots of 100, as Tushare has it")
            return 100
        if not {"turnover", "volume"} <= set(fields):
            return 1
        ratios, crossed = [], []
        for _, cells in self._rows:
            turnover, volume, close = (
                to_float(style.plain(cells[fields[name]])) for name in ("turnover", "volume", "close")
            )
            if turnover and volume and close:
                ratios.append(turnover / volume / close)
                crossed.append(volume / turnover / close)
        if ratios and 0.5 < median(crossed) < 2 and not 0.5 < median(ratios) < 2:
            names = " and ".join(
                quote_value(self._layout.names[fields[name]]) for name in ("turnover", "volume")
            )
            raise DataError(f"{self._raw.path}: columns {names} are exchanged; correct the header")
        in_lots = ratios and (50 < median(ratios) < 200 or 0.05 < median(ratios) < 0.2)
        if in_lots and normalize_name(self._layout.names[fields["volume"]]) in ("vol", "成交量"):
            self._notes.append("volume in lots of 100, by the turnover beside it")
            return 100
        return 1

    def _read_volume(
        self, fields: Mapping[str, int], cells: Sequence[str], style: NumberStyle, lot: int
    ) -> str:
        if "volume" not in fields:
            raise DataError(
                f"{self._raw.path}: no column volume; add one, or set `volume = 0` under [columns] in the "
                "configuration if it is not known"
            )
        if fields["volume"] < 0:
            return "0"
        text = style.plain(cells[fields["volume"]])
        return text if lot == 1 or to_float(text) is None else format(Decimal(text) * lot, "f")


def to_daily_rows(table: BarTable, rows: Sequence[StampedRow]) -> list[Row]:
    """Return daily bars of one symbol as rows of our own, oldest first.

    Raises DataError for bars that are not daily, a time of day that shows no day, and columns that cannot be
    what their names say.
    """
    days = _write_days(table, rows)
    require_daily(table.path, [date.fromisoformat(day[:10]) for day in days])
    own = [
        Row(path=table.path, number=row.number, cells={"date": day, **row.cells})
        for row, day in zip(rows, days, strict=True)
    ]
    if _falls(days):
        own.reverse()
    for earlier, later in pairwise(own):
        day, before = later.cells["date"], earlier.cells["date"]
        if day <= before:
            fault = "comes twice" if day == before else f"comes after {before}"
            raise DataError(f"{later.place}: date {day} {fault}; give one row a day, in order of time")
    _require_decimals(own)
    return own


def _refuse_intraday(path: Path, stamps: Sequence[datetime]) -> None:
    times, days = len(set(stamps)), len({stamp.date() for stamp in stamps})
    if times > days * 1.5:
        raise _length_error(f"{path}: {times / days:.0f} bars a day", timedelta(hours=1), path)


def _write_days(table: BarTable, rows: Sequence[StampedRow]) -> list[str]:
    """Return the day of each bar as YYYY-MM-DD, or as the midnight of a stated zone."""
    stamps = [row.stamp for row in rows]
    _refuse_intraday(table.path, stamps)
    if all(stamp.time() == time() for stamp in stamps):
        return [_write_midnight(stamp) for stamp in stamps]
    clocks = [stamp.hour * 60 + stamp.minute for stamp in stamps]
    if min(clocks) == 24 * 60 - 1:  # the last minute of the day for which the bar stands
        return [_write_midnight(stamp) for stamp in stamps]
    if max(clocks) - min(clocks) > 20 * 60:
        # Midnights of a zone with summer time lie on both sides of midnight in UTC.
        stamps = [stamp + timedelta(hours=4) for stamp in stamps]
        clocks = [stamp.hour * 60 + stamp.minute for stamp in stamps]
    weekdays = {stamp.weekday() for stamp in stamps}
    shifts = [shift for shift in (0, 1, -1) if all((day + shift) % 7 < 5 for day in weekdays)]
    if len(shifts) == 1 and max(clocks) - min(clocks) <= 240:
        return [(stamp.date() + shifts[0] * _DAY).isoformat() for stamp in stamps]
    begins = {stamp.astimezone(UTC).time() for stamp in stamps} if stamps[0].tzinfo else set()
    if (
        not shifts
        and len(begins) == 1
        and (begin := begins.pop()) == time(begin.hour, begin.minute // 30 * 30)
    ):
        ahead = timedelta(hours=begin.hour, minutes=begin.minute)
        zone = timezone(-ahead if ahead <= _DAY / 2 else _DAY - ahead)
        return [stamp.astimezone(zone).isoformat() for stamp in stamps]
    first = next(row for row in rows if row.stamp.time() != time())
    raise UnclearDayError(
        f"{table.place(first.number)}: a bar of {first.stamp:%Y-%m-%d %H:%M}, and nothing shows for which "
        "day it stands; write the day alone as YYYY-MM-DD"
    )


def _write_midnight(stamp: datetime) -> str:
    """Return the day of a time, with the offset of its zone unless that is UTC."""
    day = stamp.date().isoformat()
    return datetime.combine(stamp.date(), time(), stamp.tzinfo).isoformat() if stamp.utcoffset() else day


def require_daily(path: Path, days: Sequence[date]) -> None:
    """Raise DataError where the steps between days are those of longer bars."""
    steps = sorted(abs((later - earlier).days) for earlier, later in pairwise(days))
    if len(steps) >= 4 and steps[len(steps) // 4] >= 5:
        middle = steps[len(steps) // 2]
        raise _length_error(f"{path}: a bar every {middle} days", timedelta(days=middle), path)


def _length_error(what: str, length: timedelta, path: Path) -> DataError:
    """Return the error of bars of another length; `what` begins with their place."""
    if length < _DAY:
        return DataError(f"{what}; closecall reads daily bars only: run closecall data resample {path}")
    lengths = (("weekly", 10), ("monthly", 45), ("quarterly", 120))
    name = next((name for name, days in lengths if length.days <= days), "yearly")
    return DataError(
        f"{what}: {name} bars, and closecall reads daily bars only; export the file with one bar a day"
    )


def _require_decimals(rows: Sequence[Row]) -> None:
    """Refuse a high that is written without the decimals of the others, and many times as high."""
    bare = [row for row in rows if row.cells["high"].isdigit()]
    for row in bare if len(bare) < len(rows) / 10 else []:
        close = to_float(row.cells["close"])
        if close and float(row.cells["high"]) > 8 * close:
            fault = f"high {quote_value(row.cells['high'])} has lost its decimal sign; correct the row"
            raise DataError(f"{row.place}: {fault}")


def _describe_span(span: timedelta) -> str:
    if span < timedelta(hours=1):
        return f"{span.total_seconds() / 60:.0f} minutes"
    return f"{span.total_seconds() / 3600:.0f} hours" if span < _DAY * 2 else f"{span / _DAY:.0f} days"


def require_plausible(path: Path, bars: Sequence[tuple[float, float, float, float]]) -> None:
    """Refuse prices that contradict their names: open and close exchanged, or columns that are no prices.

    Args:
        path: The file, for the message.
        bars: Open, high, low and close of daily bars that are possible by themselves, oldest first.

    Raises:
        DataError: Where that is so.
    """
    wild = next((bar for bar in bars if bar[1] > _MAX_RISE * max(bar[0], bar[3])), None)
    if wild is not None:
        raise DataError(
            f"{path}: high {wild[1]:g} where the close is {wild[3]:g}; correct the row, or name the columns"
        )
    if len(bars) < _MIN_BARS:
        return
    if median(high / low for _, high, low, _ in bars) > _MAX_RANGE:
        raise DataError(f"{path}: high is over three times low on most days; check the names of the columns")
    joined = crossed = 0.0
    for (open_, _, _, close), (later_open, _, _, later_close) in pairwise(bars):
        joined += abs(math.log(later_open / close))
        crossed += abs(math.log(later_close / open_))
    if crossed < joined / 2:
        raise DataError(
            f"{path}: the closes lie at the opens of the days before, so open and close are exchanged or the "
            "days run backwards; check the names of the columns"
        )

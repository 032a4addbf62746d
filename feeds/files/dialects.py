"""Read daily bars in the forms in which exchanges, vendors and notebooks write them, as if they were our own.

A form is no class of its own: the columns (`feeds.files.layouts`) and the notation of numbers and dates
(`feeds.files.cells`) are inferred from all rows, and combine freely. What can be read in two ways is refused
with the setting that decides it.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice
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
from feeds.files.column_names import normalize_name
from feeds.files.daily_bars import (
    BarTable,
    StampedRow,
    UnclearDayError,
    create_length_error,
    describe_span,
    is_newest_first,
    refuse_intraday,
    require_daily,
    to_daily_rows,
)
from feeds.files.layouts import (
    COLUMNS,
    NOTHING_STATED,
    PEEK_ROWS,
    PRICES,
    ColumnSettings,
    Layout,
    find_layout,
    holds_bars,
)
from feeds.files.raw import RawTable
from feeds.files.tables import Row, own_columns, parse_timestamp, quote_value, read_rows, require_file

_DAY = timedelta(days=1)
_PEEK_SIZE = 2**20


def read_bar_table(
    path: Path, limit: int | None = None, columns: ColumnSettings = NOTHING_STATED
) -> BarTable:
    """Read the bars of a file in any form that is recognised.

    Args:
        path: The file.
        limit: How many rows to read; None for all.
        columns: What the user states about columns.

    Raises:
        DataError: For a file that is not recognised, or whose dates or numbers can be read in two ways.
    """
    layout, raw = find_layout(path, limit, columns)
    return _Reader(raw, layout, columns).read()


def read_bar_rows(
    path: Path,
    on_ragged: Callable[[Row, DataError], None] | None = None,
    columns: ColumnSettings = NOTHING_STATED,
) -> Iterator[Row]:
    """Yield the daily bars of a file in any form as rows of our own: the columns of `COLUMNS`, oldest first.

    A date is written YYYY-MM-DD, or as the midnight of a zone where the file states one.

    Args:
        path: The file.
        on_ragged: For a file of our own form, called with a row that is longer or shorter than its header,
            and the error; the row is left out.
        columns: What the user states about columns.

    Raises:
        DataError: As `read_bar_table`, and for bars that are not daily, or of several symbols.
    """
    if _is_own_form(path, columns):
        yield from _read_own_rows(path, on_ragged)
        return
    refuse_intraday_start(path, columns)
    try:
        yield from _read_table_rows(path, columns)
    except UnclearDayError:
        if not set(COLUMNS) <= set(own_columns(path)):
            raise
        yield from read_rows(path, COLUMNS, on_ragged=on_ragged)  # whose reader names the rows


def refuse_intraday_start(path: Path, columns: ColumnSettings = NOTHING_STATED) -> None:
    """Raise DataError where the first bars of a large file are shorter than a day, before it is read."""
    require_file(path)
    if path.stat().st_size > _PEEK_SIZE:
        with suppress(UnclearDayError):
            refuse_intraday(path, [row.stamp for row in read_bar_table(path, PEEK_ROWS, columns).rows])


def _read_table_rows(path: Path, columns: ColumnSettings) -> list[Row]:
    table = read_bar_table(path, columns=columns)
    if len(table.symbols) > 1:
        more = ", …" if len(table.symbols) > 5 else ""
        raise DataError(
            f"{path}: bars of {len(table.symbols)} symbols, {', '.join(map(quote_value, table.symbols[:5]))}"
            f"{more}; for a file of each, run closecall data convert {shlex.quote(str(path))}"
        )
    return to_daily_rows(table, table.rows)


def _read_own_rows(path: Path, on_ragged: Callable[[Row, DataError], None] | None) -> Iterator[Row]:
    start = read_rows(path, COLUMNS, on_ragged=_ignore_ragged, limit=PEEK_ROWS)
    stamps = [stamp for row in start if (stamp := parse_timestamp(row.cells["date"]))]
    refuse_intraday(path, stamps)
    require_daily(path, [stamp.date() for stamp in stamps])
    rows: list[Row] = []
    damage = _extend(rows, read_rows(path, COLUMNS, on_ragged=on_ragged))
    if len(rows) > 1 and rows[0].cells["date"] > rows[-1].cells["date"] and not damage:
        days = [str(_own_day(row.cells["date"]) or "") for row in rows]
        rows = rows[::-1] if "" not in days and is_newest_first(days) else rows
    yield from rows
    if damage:
        raise damage


def _extend(rows: list[Row], source: Iterator[Row]) -> DataError | None:
    """Append rows and return the error that ended them, to be raised once they have been used."""
    try:
        rows.extend(source)
    except DataError as error:
        return error
    return None


def _ignore_ragged(row: Row, error: DataError) -> None:
    """Leave the row to the reading of the whole file."""


def describe_bar_file(path: Path, columns: ColumnSettings = NOTHING_STATED) -> str:
    """Return one line on what was taken for what in a bar file; empty for one of our own form."""
    if _is_own_form(path, columns):
        return ""
    return f"{path.name}: {'; '.join(read_bar_table(path, columns=columns).notes)}."


def read_first_rows(path: Path, count: int, columns: ColumnSettings) -> Iterator[Row]:
    """Yield the first daily bars of a file, as `read_bar_rows` does with all."""
    if _is_own_form(path, columns):
        return read_rows(path, COLUMNS, limit=count)
    table = read_bar_table(path, PEEK_ROWS, columns)
    return islice(to_daily_rows(table, table.rows), count)


def _is_own_form(path: Path, stated: ColumnSettings) -> bool:
    """Return whether a file has our columns and days as YYYY-MM-DD, so that nothing is to be inferred."""
    columns = own_columns(path) if stated == NOTHING_STATED else ()
    if not set(COLUMNS) <= set(columns) or {"symbol", "ticker", "tic", "time", "code"} & set(columns):
        return False
    first = next(read_rows(path, COLUMNS, on_ragged=_ignore_ragged, limit=1), None)
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


def _is_footer(cells: Sequence[str], before: Sequence[str]) -> bool:
    """Return whether a last line names the source of a table, and is no bar that was cut off."""
    is_text = cells[0][:1] == "#" or cells[0][:1].isalpha()
    return is_text and not any(cells[1:]) and not before[0].startswith(cells[0])


class _Reader:
    """Reads the rows of a table whose columns are known."""

    def __init__(self, raw: RawTable, layout: Layout, columns: ColumnSettings) -> None:
        self._raw, self._layout, self._stated = raw, layout, columns
        self._rows = raw.rows[layout.body :]
        self._notes: list[str] = [*layout.notes]
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
        while len(self._rows) > 1 and _is_footer(self._rows[-1][1], self._rows[-2][1]):
            self._notes.append(f"last line {quote_value(self._rows.pop()[1][0])} left out")
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
                    self._raw.path, list(zip(places, texts, strict=True)), self._stated.date_order or None
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
        style = infer_date_style(self._raw.path, ends)
        for (place, text), begin in zip(ends, stamps, strict=True):
            end = style.parse(text)
            if end is None or (end.tzinfo is None) != (begin.tzinfo is None):
                continue
            if abs(end - begin - _DAY) > timedelta(seconds=2):
                what = f"{place}: a bar of {describe_span(end - begin)}"
                raise create_length_error(what, end - begin, self._raw.path)

    def _infer_numbers(self) -> NumberStyle:
        wanted = ("turnover", "volume", *PRICES)
        at = sorted({f[name] for f in self._layout.columns.values() for name in wanted if name in f})
        cells = ((self._raw.place(number), row[i]) for number, row in self._rows for i in at)
        style = infer_number_style(self._raw.path, cells, self._raw.delimiter, self._stated.decimal or None)
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

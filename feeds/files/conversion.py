"""Write bars of any form as files of our own, and make daily bars of shorter ones."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.errors import DataError, UsageError
from engine.model import Bar, widen_range
from feeds.files.cells import to_float
from feeds.files.daily_bars import BarTable, StampedRow, require_plausible, to_daily_rows
from feeds.files.dialects import read_bar_table, refuse_intraday_start
from feeds.files.layouts import COLUMNS, NOTHING_STATED, PRICES, ColumnSettings
from feeds.files.news_forms import COLUMNS as NEWS_COLUMNS
from feeds.files.news_forms import OPTIONAL_COLUMNS, describe_news_file, read_news_rows
from feeds.files.raw import stem_of
from feeds.files.tables import Row, quote_value
from feeds.instruments import strip_decorations

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """A file of bars or news that was written, and what was taken for what in the files it comes from.

    Attributes:
        path: The file.
        rows: How many bars or items it has.
        first: The day of its first row.
        last: The day of its last row.
        notes: One sentence for each file that was read.
    """

    path: Path
    rows: int
    first: str
    last: str
    notes: tuple[str, ...]


def convert_bars(
    paths: Sequence[Path],
    folder: Path,
    *,
    columns: ColumnSettings = NOTHING_STATED,
    overwrite: bool = False,
) -> list[WrittenFile]:
    """Write the daily bars of files in any form as CSV files of our own, one for each symbol.

    Several files of one symbol are joined. All files are written, or none.

    Args:
        paths: The files.
        folder: Where the new files are written.
        columns: What the user states about columns.
        overwrite: Replace files that are there.

    Raises:
        DataError: For a file that is not read, days of one symbol with other numbers in two files, and a file
            that is there already.
    """
    return _write_all(
        ((path, _split_daily(path, columns)) for path in paths),
        folder,
        overwrite=overwrite,
    )


def convert_news(
    path: Path, folder: Path, *, columns: ColumnSettings = NOTHING_STATED, overwrite: bool = False
) -> WrittenFile:
    """Write a news archive in any form as a CSV file of our own.

    Args:
        path: The archive.
        folder: Where the new file is written, under the name of the archive.
        columns: Of it, the order of dates counts.
        overwrite: Replace a file that is there.

    Raises:
        DataError: For an archive that is not read, and a file that is there already.
    """
    rows = list(read_news_rows(path, date_order=columns.date_order))
    if not rows:
        raise DataError(f"{path}: a header and no rows; give at least one item")
    target = folder / f"{stem_of(path)}.csv"
    names = [name for name in (*NEWS_COLUMNS, *OPTIONAL_COLUMNS) if name in rows[0].cells]
    _write_files({target: _format_rows(names, rows)}, overwrite=overwrite)
    return WrittenFile(
        path=target,
        rows=len(rows),
        first=rows[0].cells["published_at"][:10],
        last=rows[-1].cells["published_at"][:10],
        notes=(describe_news_file(path) or f"{path.name}: news of our own form.",),
    )


def resample_bars(
    paths: Sequence[Path],
    folder: Path,
    *,
    zone: str | None = None,
    columns: ColumnSettings = NOTHING_STATED,
    overwrite: bool = False,
) -> list[WrittenFile]:
    """Write daily bars made of the shorter bars in files of any form, one file for each symbol.

    A day has the open of its first bar, the close of its last, and the sum of the volumes. Of a market that
    is open round the clock, days that lack their first or last bar are left out.

    Args:
        paths: The files.
        folder: Where the new files are written.
        zone: The time zone in which the days are counted, such as "America/New_York"; None for the one in
            which times are written, and for UTC where there are bars at weekends.
        columns: What the user states about columns.
        overwrite: Replace files that are there.

    Raises:
        DataError: As `convert_bars`, and where the zone of the days is not known.
        UsageError: For an unknown zone.
    """
    try:
        days_in = ZoneInfo(zone) if zone else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"zone {zone!r} is unknown; write it as America/New_York or Asia/Shanghai") from None
    tables = ((path, _split_resampled(read_bar_table(path, columns=columns), days_in)) for path in paths)
    return _write_all(tables, folder, overwrite=overwrite)


_Series = list[tuple[str, list[Row], tuple[str, ...]]]


def _split_daily(path: Path, columns: ColumnSettings) -> _Series:
    """Return the daily bars of each symbol of a file, with notes."""
    refuse_intraday_start(path, columns)
    table = read_bar_table(path, columns=columns)
    return [(symbol, to_daily_rows(table, rows), table.notes) for symbol, rows in _by_symbol(table)]


def _split_resampled(table: BarTable, zone: ZoneInfo | None) -> _Series:
    return [(symbol, *_resample(table, rows, zone)) for symbol, rows in _by_symbol(table)]


def _by_symbol(table: BarTable) -> Iterable[tuple[str, list[StampedRow]]]:
    groups: dict[str, list[StampedRow]] = {}
    for row in table.rows:
        groups.setdefault(row.symbol, []).append(row)
    return groups.items()


def _resample(
    table: BarTable, rows: Sequence[StampedRow], zone: ZoneInfo | None
) -> tuple[list[Row], tuple[str, ...]]:
    ordered = sorted(rows, key=lambda row: row.stamp)
    for earlier, later in pairwise(ordered):
        if later.stamp == earlier.stamp:
            raise DataError(
                f"{table.place(later.number)}: {later.stamp:%Y-%m-%d %H:%M} comes twice; remove one"
            )
    steps = sorted(later.stamp - earlier.stamp for earlier, later in pairwise(ordered))
    step = steps[len(steps) // 2] if steps else _DAY
    if step >= _DAY:
        raise DataError(
            f"{table.path}: a bar every {step.days} days; only bars shorter than a day are resampled"
        )
    weekends = sum(row.stamp.weekday() > 4 for row in ordered) > len(ordered) / 10
    stamps = _local_stamps(table, ordered, zone, weekends=weekends)
    days: dict[date, list[tuple[datetime, StampedRow]]] = {}
    for stamp, row in zip(stamps, ordered, strict=True):
        days.setdefault(stamp.date(), []).append((stamp, row))
    partial = [day for day, bars in days.items() if weekends and not _is_whole(bars, step)]
    made = [_join(table, day, [row for _, row in bars]) for day, bars in days.items() if day not in partial]
    if not made:
        raise DataError(f"{table.path}: no whole day; give bars from 00:00 of a day to its end")
    where = str(zone) if zone else "UTC" if stamps[0].tzinfo else "the zone in which times are written"
    left_out = f"; {len(partial)} days without their first or last bar left out" if partial else ""
    return made, (*table.notes, f"days in {where}{left_out}")


def _local_stamps(
    table: BarTable, rows: Sequence[StampedRow], zone: ZoneInfo | None, *, weekends: bool
) -> list[datetime]:
    stamps = [row.stamp for row in rows]
    if zone is not None:
        return [(stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).astimezone(zone) for stamp in stamps]
    if weekends:
        return [stamp.astimezone(UTC) if stamp.tzinfo else stamp for stamp in stamps]
    if stamps[0].utcoffset() == timedelta(0):
        raise DataError(
            f"{table.path}: times in UTC of a market with its own days; name its zone, as in "
            "--zone America/New_York"
        )
    return stamps


def _is_whole(bars: Sequence[tuple[datetime, StampedRow]], step: timedelta) -> bool:
    (first, _), (last, _) = bars[0], bars[-1]
    return first.time() == time() and (last + step).date() > last.date()


def _join(table: BarTable, day: date, rows: Sequence[StampedRow]) -> Row:
    """Return the daily bar of the shorter bars of one day, oldest first."""
    for row in rows:
        _parse_prices(Row(path=table.path, number=row.number, cells={"date": str(day), **row.cells}))
    volume = sum((Decimal(row.cells["volume"]) for row in rows), Decimal(0))
    cells = {
        "date": day.isoformat(),
        "open": rows[0].cells["open"],
        "high": max((row.cells["high"] for row in rows), key=float),
        "low": min((row.cells["low"] for row in rows), key=float),
        "close": rows[-1].cells["close"],
        "volume": format(volume, "f"),
    }
    return Row(path=table.path, number=rows[0].number, cells=cells)


def _write_all(tables: Iterable[tuple[Path, _Series]], folder: Path, *, overwrite: bool) -> list[WrittenFile]:
    joined: dict[str, dict[str, Row]] = {}
    notes: dict[str, list[str]] = {}
    for path, series in tables:
        for symbol, rows, about in series:
            name = file_stem(symbol or strip_decorations(stem_of(path)))
            days = joined.setdefault(name, {})
            require_plausible(path, [_parse_prices(row) for row in rows])
            for row in rows:
                other = days.setdefault(row.cells["date"], row)
                if other.cells != row.cells:
                    raise DataError(
                        f"{row.place}: {row.cells['date']} has other numbers in {other.place}; remove one"
                    )
            notes.setdefault(name, []).append(f"{path.name}: {'; '.join(about)}")
    series_by_name = {
        name: sorted(days.values(), key=lambda row: row.cells["date"]) for name, days in joined.items()
    }
    texts = {folder / f"{name}.csv": _format_rows(COLUMNS, rows) for name, rows in series_by_name.items()}
    _write_files(texts, overwrite=overwrite)
    return [
        WrittenFile(
            path=folder / f"{name}.csv",
            rows=len(rows),
            first=rows[0].cells["date"][:10],
            last=rows[-1].cells["date"][:10],
            notes=tuple(notes[name]),
        )
        for name, rows in series_by_name.items()
    ]


def _format_rows(columns: Sequence[str], rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row.cells.get(name, "") for name in columns] for row in rows)
    return text.getvalue()


def _write_files(texts: Mapping[Path, str], *, overwrite: bool) -> None:
    """Write all files, or none."""
    for target in texts:
        if target.exists() and not overwrite:
            raise DataError(f"{target}: is there already; give another --out, or replace it with --overwrite")
    try:
        for target, text in texts.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            _part(target).write_text(text, encoding="utf-8")
        for target in texts:
            _part(target).replace(target)
    except OSError as error:
        raise DataError(f"{target}: {error.strerror}; choose another --out") from None


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _parse_prices(row: Row) -> tuple[float, float, float, float]:
    """Return the prices of a bar; refuse one that the reader of our own form would refuse."""
    numbers: dict[str, float] = {}
    for name in (*PRICES, "volume"):
        number = to_float(row.cells[name])
        if number is None:
            fault = f"{name} {quote_value(row.cells[name])} is not a number; correct or remove the row"
            raise DataError(f"{row.place}: {fault}")
        numbers[name] = number
    high, low = widen_range(*(numbers[name] for name in PRICES))
    day = datetime.fromisoformat(row.cells["date"][:10]).replace(tzinfo=UTC)
    try:
        bar = Bar(
            symbol=row.path.stem,
            opens_at=day,
            closes_at=day + _DAY,
            open=numbers["open"],
            high=high,
            low=low,
            close=numbers["close"],
            volume=numbers["volume"],
        )
    except ValueError as error:
        raise DataError(f"{row.place}: {error}; correct or remove the row") from None
    return bar.open, bar.high, bar.low, bar.close


def file_stem(symbol: str) -> str:
    """Return a symbol as the name of a file: BTC-USDT for BTC/USDT."""
    return re.sub(r"[^\w.=^&-]+", "-", symbol).strip("-.") or "bars"

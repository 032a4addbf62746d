"""Read tables from CSV, JSON-lines and Parquet files as text, with the place of each row.

A cell is always text: what a CSV file holds, or the shortest text that gives the Parquet value back. Whatever
the bytes are, the result is a table or a DataError of one line.
"""

import csv
import io
import json
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import DataError, UsageError

TABLE_SUFFIXES = (".csv", ".jsonl", ".parquet")
_HEADER_BYTES = 65_536

MAX_BYTES, MAX_LINES = 2**29, 3_000_000
"""The largest table that is read as a whole; three million bars take some three gigabytes of memory."""

_PEEK_BYTES = 2**20
_MAX_CELL = 2**24
_BATCH_ROWS = 50_000
TEXT_SUFFIXES = (".csv", ".tsv", ".txt")


class UnknownTableError(DataError):
    """A table has not the columns that it needs; in a folder it can be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: `number` is its line in a CSV file (the header is line 1), its row in a Parquet file."""

    path: Path
    number: int
    cells: dict[str, str]

    @property
    def place(self) -> str:
        """The place of the row, for an error message."""
        return f"{self.path}, {'row' if _is_parquet(self.path) else 'line'} {self.number}"


def quote_value(value: str) -> str:
    """Return `value` quoted on one line, cut to 40 characters, safe to print."""
    return repr(value if len(value) <= 40 else value[:40] + "…")


def read_columns(path: Path) -> tuple[str, ...]:
    """Return the column names of `path` in small letters. Reads no more than the header."""
    _require_table(path)
    if not _is_csv(path):
        names = _parquet_columns(path) if _is_parquet(path) else read_json_columns(path)
        return tuple(_normalize_column(name) for name in names)
    with open_table(path) as file:
        start = file.read(_HEADER_BYTES)
    line = start.splitlines()[0] if start.strip() else b""
    try:
        return tuple(_normalize_column(name) for name in next(csv.reader([_decode_text(path, line)]), []))
    except csv.Error as error:
        raise DataError(f"{path}, line 1: {error}; save it as a comma-separated table") from None


def own_columns(path: Path) -> tuple[str, ...]:
    """Return the columns of a file that may be of our own form; none for one in another form."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        return ()
    try:
        return read_columns(path)
    except DataError:  # raised again, or not, where the file is read in any form
        return ()


def read_rows(
    path: Path,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    on_ragged: Callable[[Row, DataError], None] | None = None,
    limit: int | None = None,
) -> Iterator[Row]:
    """Yield the rows of `path` in order; empty lines are skipped.

    Args:
        path: The file.
        needed: The columns that it must have.
        optional: Columns that are read where it has them.
        on_ragged: Called with a CSV row that is longer or shorter than its header, and the error; the row is
            left out.
        limit: Yield no more rows, and read no more of a large file than they need.

    Raises:
        DataError: For a missing or repeated column, a damaged file and, without `on_ragged`, a ragged row.
    """
    _require_table(path)
    rows = _csv_rows(path, limit) if _is_csv(path) else _typed_rows(path, {*needed, *optional}, limit)
    header = [_normalize_column(name) for name in next(rows)[1]]
    require_columns(path, header, needed)
    wanted = [(name, header.index(name)) for name in (*needed, *optional) if name in header]
    for number, cells in islice(rows, limit):
        row = Row(path=path, number=number, cells={})
        if len(cells) != len(header):
            fault = DataError(
                f"{row.place}: {len(cells)} cells where the header has {len(header)}; "
                "correct or remove the row"
            )
            if on_ragged is None:
                raise fault
            on_ragged(row, fault)
            continue
        row.cells.update((name, cells[at].strip()) for name, at in wanted)
        yield row


def require_columns(path: Path, header: Sequence[str], needed: Sequence[str]) -> None:
    """Raise UnknownTableError unless each column of `needed` is in `header`, DataError for one twice."""
    missing = _missing_columns(header, needed)
    if missing:
        columns = ", ".join(quote_value(name) for name in header[:12]) or "none"
        raise UnknownTableError(
            f"{path}: no column {', '.join(missing)}; found {columns}; name the columns in the header"
        )
    for name in needed:
        if list(header).count(name) > 1:
            raise DataError(f"{path}: column {name} is there twice; remove or rename one")


def _missing_columns(header: Iterable[str], needed: Sequence[str]) -> list[str]:
    return [name for name in needed if name not in header]


def _normalize_column(name: str) -> str:
    return name.strip().lower()


def _typed_rows(path: Path, wanted: set[str], limit: int | None) -> Iterator[tuple[int, list[str]]]:
    return _parquet_rows(path, wanted, limit) if _is_parquet(path) else read_json_rows(path, wanted)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def file_mode(path: Path) -> int:
    """Return the mode of a file or folder. Raises DataError where there is none."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        raise UsageError(f"{path}: no such file or folder; check the path") from None


def require_file(path: Path) -> None:
    """Raise DataError where a path is missing or no file."""
    if not stat.S_ISREG(file_mode(path)):
        raise DataError(f"{path}: not a table; give a file")


def _require_table(path: Path) -> None:
    require_file(path)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise UnknownTableError(
            f"{path}: not a table; give a file that ends in .csv or .parquet, or news in .jsonl"
        )


_kept: ContextVar[dict[Path, bytes] | None] = ContextVar("kept", default=None)
_MAX_KEPT_BYTES = 64 * 2**20


@contextmanager
def read_once() -> Iterator[None]:
    """Read each table at most once within this context, whatever is asked of it, and forget it afterwards.

    What is read stays the same where another program writes the file meanwhile. Tables above 64 MiB are not
    kept. A nested context shares the tables of the outer one.
    """
    if _kept.get() is not None:
        yield
        return
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def open_table(path: Path) -> BinaryIO:
    """Open a file for reading, or what was kept of it (see `read_once`). Raises DataError."""
    kept = _kept.get()
    try:
        if kept is None or path.stat().st_size > _MAX_KEPT_BYTES:
            return path.open("rb")
        if path not in kept:
            kept[path] = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; check that it can be read") from None
    return io.BytesIO(kept[path])


def read_bytes(path: Path, *, peek: bool = False) -> bytes:
    """Return the bytes of a table, or the whole lines at its start. Raises DataError if it is too large."""
    with open_table(path) as file:
        if not peek:
            require_size(path, file.seek(0, io.SEEK_END))
            file.seek(0)
            data = file.read()
            require_size(path, len(data), data.count(b"\n") if path.suffix.lower() in TEXT_SUFFIXES else 0)
            return data
        data = file.read(_PEEK_BYTES)
    return cut_lines(data)


def cut_lines(data: bytes) -> bytes:
    """Return the whole lines in the first MiB of a file."""
    return data if len(data) < _PEEK_BYTES else data[: data.rfind(b"\n", 0, _PEEK_BYTES)]


def require_size(path: Path, size: int, lines: int = 0) -> None:
    """Raise DataError for a table of more bytes or lines than are read as a whole."""
    if size > MAX_BYTES or lines > MAX_LINES:
        what = f"more than {MAX_BYTES >> 20} MiB" if size > MAX_BYTES else f"more than {MAX_LINES:,} lines"
        raise DataError(f"{path}: {what}; split it, such as by year, and give all parts in one command")


def _decode_text(path: Path, data: bytes) -> str:
    if not data.strip():
        raise DataError(f"{path}: the file is empty; give one with a header and rows")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save it as CSV in UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}, line {line}: not text but binary data; save it as CSV in UTF-8")
    return text


def _csv_rows(path: Path, limit: int | None) -> Iterator[tuple[int, list[str]]]:
    text = _decode_text(path, read_bytes(path, peek=limit is not None))
    for number, cells in split_rows(path, text, ",", whole=limit is None):
        if cells or number == 1:
            yield number, cells


def split_rows(path: Path, text: str, delimiter: str, *, whole: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of each row.

    Args:
        path: The file.
        text: Its text.
        delimiter: What separates the cells.
        whole: Whether the text is the whole of the file, and not its start, which may end within quotes.

    Raises:
        DataError: For quotes that are not closed, and a cell of over 16 million characters.
    """
    # Strict, because a quote that never closes would otherwise swallow the rest of the file unseen.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    start = 1
    try:
        while (cells := _next_row(reader)) is not None:
            yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        if whole or start == 1:
            raise DataError(f"{path}, line {start}: {error}; correct the quotes or remove the row") from None


def _next_row(reader: Iterator[list[str]]) -> list[str] | None:
    # Articles exceed the usual 131,072 characters. The limit is the process's: it is set for the call.
    usual = csv.field_size_limit(_MAX_CELL)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(usual)


def _parquet_columns(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_table(path) as file:
            return [str(name) for name in pq.read_schema(file).names]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damage_error(path, error) from None


def _parquet_rows(path: Path, wanted: set[str], limit: int | None) -> Iterator[tuple[int, list[str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [name for name in _parquet_columns(path) if _normalize_column(name) in wanted]
    yield 0, names
    try:
        with open_table(path) as file, pq.ParquetFile(file) as table_file:
            batches = table_file.iter_batches(limit or _BATCH_ROWS, columns=names)
            rows = (
                list(map(format_cell, cells))
                for batch in batches
                for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True)
            )
            yield from enumerate(rows, start=1)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _damage_error(path, error) from None


def format_cell(value: Any) -> str:
    """Return a typed cell as text."""
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if isinstance(value, list):
        return ";".join(format_cell(item) for item in value)
    return str(value)


def _damage_error(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not a readable Parquet file ({quote_value(str(error))}); write it again")


_CLOCK = r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?"
_STAMP = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[T ]{_CLOCK}(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})?)?")
_WIDEST_OFFSET = timedelta(hours=14)
_YEARS = range(1900, 2200)


def parse_timestamp(text: str) -> datetime | None:
    """Parse a date or a time, naive where no zone stands beside it; None if it is neither.

    A date alone is its midnight. The form is YYYY-MM-DD, or YYYY-MM-DDTHH with optional minutes, seconds and
    zone (Z, +08:00 or +0800), from 1900 to 2199.
    """
    if not _STAMP.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    offset = moment.utcoffset() or timedelta(0)
    return moment if moment.year in _YEARS and abs(offset) <= _WIDEST_OFFSET else None


def parse_number(text: str) -> float | None:
    """Parse a number, which may be infinite or not a number ("nan"); None for anything else."""
    try:
        return float(text)
    except ValueError:
        return None


_MAX_LINE_LENGTH = 1_000_000


def read_json_columns(path: Path) -> list[str]:
    """Return the keys of the first line; none where that is no JSON object, so that the file is no table."""
    for _, line in _read_lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return []
        return list(row) if isinstance(row, dict) else []
    return []


def read_json_rows(path: Path, wanted: set[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the columns of `wanted` that the first line has, then each row's cells, with line numbers.

    A key that is missing from a row is an empty cell; empty lines are skipped. Raises DataError for a line
    that is no JSON object, and for a cell that holds more than one value.
    """
    names = [name for name in read_json_columns(path) if name.strip().lower() in wanted]
    yield 0, names
    for number, line in _read_lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: not a JSON object; correct or remove the line")
        yield number, [_parse_json_cell(path, number, name, row.get(name)) for name in names]


def _parse_json_cell(path: Path, number: int, name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ";".join(value)
    if isinstance(value, (str, bool, int, float)):
        return str(value)
    raise DataError(f"{path}, line {number}: {name} is no text; write it as one value")


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with open_table(path) as file:
            number = 0
            while line := file.readline(_MAX_LINE_LENGTH):
                number += 1
                if len(line) == _MAX_LINE_LENGTH:
                    raise DataError(
                        f"{path}, line {number}: longer than {_MAX_LINE_LENGTH:,} bytes; split the line"
                    )
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError:
        raise DataError(f"{path}, line {number}: not UTF-8 text; save it in UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; check that it can be read") from None

"""Read the cells of a file in any of the forms that people keep tables in.

Text with commas, semicolons, tabs or bars, in UTF-8, UTF-16 or an encoding of China, Japan or Korea; JSON of
the usual shapes; Parquet and Feather; each packed as .gz or .zip or not. Nothing is interpreted here: see
`feeds.files.dialects`.
"""

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from engine.errors import DataError
from feeds.files.tables import (
    MAX_BYTES,
    TEXT_SUFFIXES,
    cut_lines,
    format_cell,
    quote_value,
    read_bytes,
    require_file,
    require_size,
    split_rows,
)

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".feather", ".json", ".jsonl", ".ndjson")
SPREADSHEETS = (".xlsx", ".xls", ".ods")
A_SPREADSHEET = (
    "a spreadsheet, which is not read; open it, choose File, Save As and the type CSV UTF-8 (.csv), "
    "and give that file"
)
_PACKED = (".gz", ".zip")
_EASTERN = {
    "gb18030": ("日期", "开盘", "收盘", "数据来源"),
    "cp932": ("日付", "始値", "終値"),
    "cp949": ("일자", "날짜", "시가", "종가"),
}
"""The encodings of older programs, and words by which they are recognised."""

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MAX_HEADER_LINES = 40
_LEAST_COLUMNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTable:
    """The cells of a file as text.

    Attributes:
        path: The file.
        form: For messages, such as "semicolons".
        delimiter: What separates the cells of a text file; empty for other files.
        typed: Whether numbers and times are typed in the file, so that their notation is no question.
        rows: The number of each row (its line in a text file) and its cells; header rows are among them.
    """

    path: Path
    form: str
    delimiter: str
    typed: bool
    rows: list[tuple[int, list[str]]]

    def place(self, number: int) -> str:
        """Return the place of a row, for an error message."""
        return f"{self.path}, {'line' if self.delimiter else 'row'} {number}"


def suffix_of(path: Path) -> str:
    """Return the suffix of a file without that of its packing: ".csv" for prices.csv.gz."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def stem_of(path: Path) -> str:
    """Return the name of a file without its suffix and that of its packing."""
    name = Path(path.name)
    while name.suffix.lower() in (*_PACKED, *SUFFIXES):
        name = name.with_suffix("")
    return name.name


def read_raw(path: Path, limit: int | None = None) -> list[RawTable]:
    """Return the ways in which a file can be a table, the likeliest first; for all but text there is one.

    Args:
        path: The file.
        limit: How many rows to read; None for all.

    Raises:
        DataError: For a file that cannot be read as what its name says.
    """
    require_file(path)
    suffix = suffix_of(path)
    if suffix in SPREADSHEETS:
        raise DataError(f"{path}: {A_SPREADSHEET}")
    if suffix not in SUFFIXES and path.suffix.lower() != ".zip":
        raise DataError(f"{path}: not a table; give a file that ends in {', '.join(SUFFIXES)}")
    data, suffix = _read_bytes(path, suffix, limit)
    if suffix in (".parquet", ".feather"):
        return [_read_columns(path, data, suffix, limit)]
    text = decode_table(path, data)
    if "json" in suffix or text.lstrip()[:1] in ("[", "{"):
        return [_read_json(path, text, limit)]
    return _read_text(path, text, limit)


def _read_bytes(path: Path, suffix: str, limit: int | None) -> tuple[bytes, str]:
    """Return the unpacked bytes of a file, and the suffix of what was packed."""
    packing = path.suffix.lower()
    if limit is not None and packing in TEXT_SUFFIXES:
        return read_bytes(path, peek=True), suffix
    data = read_bytes(path)
    if packing not in _PACKED:
        return data, suffix
    try:
        if packing == ".gz":
            with gzip.open(io.BytesIO(data)) as packed:
                data = packed.read(MAX_BYTES + 1)
        else:
            data, suffix = _unzip(path, data)
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        fault = f"cannot be unpacked ({quote_value(str(error))}); unpack it yourself"
        raise DataError(f"{path}: {fault}") from None
    if limit is not None and suffix in TEXT_SUFFIXES:
        return cut_lines(data), suffix
    require_size(path, len(data), data.count(b"\n") if suffix in TEXT_SUFFIXES else 0)
    return data, suffix


def _unzip(path: Path, data: bytes) -> tuple[bytes, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        names = [name for name in packed.namelist() if Path(name).suffix.lower() in SUFFIXES]
        names = [name for name in names if not name.startswith("__MACOSX")]
        if len(names) != 1:
            raise DataError(f"{path}: {len(names)} tables in the archive; unpack it and give the folder")
        with packed.open(names[0]) as member:
            return member.read(MAX_BYTES + 1), Path(names[0]).suffix.lower()


def decode_table(path: Path, data: bytes) -> str:
    """Return the text of a table: UTF-8, UTF-16 with its mark, or an eastern encoding whose words it has."""
    if not data.strip():
        raise DataError(f"{path}: the file is empty; give one with a header and rows")
    utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        ends = data[:4096] + data[-256:]
        for encoding, words in _EASTERN.items():
            if any(word.encode(encoding) in ends for word in words):
                return data.decode(encoding, errors="replace")
        raise DataError(f"{path}, line {line}: not UTF-8 text; save it as CSV in UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}, line {line}: not text but binary data; save it as CSV in UTF-8")
    return text


def _read_text(path: Path, text: str, limit: int | None) -> list[RawTable]:
    start = "\n".join(text[:200_000].splitlines()[:_MAX_HEADER_LINES])
    counts = {delimiter: start.count(delimiter) for delimiter in _DELIMITERS}
    likely = sorted(
        (delimiter for delimiter, count in counts.items() if count >= 4), key=lambda d: -counts[d]
    )
    return [
        RawTable(
            path=path,
            form=_DELIMITERS[delimiter],
            delimiter=delimiter,
            typed=False,
            rows=list(islice(_strip_rows(path, text, delimiter, whole=limit is None), limit)),
        )
        for delimiter in likely or [","]
    ]


def _strip_rows(path: Path, text: str, delimiter: str, *, whole: bool) -> Iterator[tuple[int, list[str]]]:
    for number, cells in split_rows(path, text, delimiter, whole=whole):
        if any(map(str.strip, cells)):
            yield number, [cell.strip() for cell in cells]


def _read_columns(path: Path, data: bytes, suffix: str, limit: int | None) -> RawTable:
    import pyarrow as pa

    try:
        table = _read_arrow(data, suffix).slice(0, limit)
        require_size(path, 0, table.num_rows)
        columns = [[format_cell(value) for value in column.to_pylist()] for column in table.columns]
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        fault = f"not a readable {suffix[1:].capitalize()} file ({quote_value(str(error))}); write it again"
        raise DataError(f"{path}: {fault}") from None
    rows = [list(map(str, table.column_names)), *map(list, zip(*columns, strict=True))]
    return RawTable(
        path=path, form=suffix[1:].capitalize(), delimiter="", typed=True, rows=list(enumerate(rows))
    )


def _read_arrow(data: bytes, suffix: str) -> Any:
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(io.BytesIO(data)) as file:
            return file.read()
    import pyarrow.ipc as ipc

    return ipc.open_file(io.BytesIO(data)).read_all()


def _read_json(path: Path, text: str, limit: int | None) -> RawTable:
    try:
        value = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        value = [
            _parse_line(path, number, line)
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip()
        ]
    rows = _find_rows(value)
    if rows is None:
        raise DataError(f"{path}: no table in this JSON; write a list of objects, one for each bar or item")
    return RawTable(path=path, form="JSON", delimiter="", typed=True, rows=list(enumerate(rows[:limit], 1)))


def _parse_line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        raise DataError(f"{path}, line {number}: not JSON; correct or remove the line") from None


def _find_rows(value: Any, depth: int = 0) -> list[list[str]] | None:
    """Return the first table in a JSON value: a list of objects or lists, or an object of columns or rows."""
    if depth > 4 or not value:
        return None
    if isinstance(value, list):
        return _from_list(value, depth)
    return _from_object(value, depth) if isinstance(value, dict) else None


def _from_list(value: list[Any], depth: int) -> list[list[str]] | None:
    if all(isinstance(row, dict) for row in value):
        return _from_objects(value) if _is_flat(value[0].values()) else _find_rows(value[0], depth + 1)
    if all(isinstance(row, list) for row in value) and _is_flat(value[0]):
        return [[_json_cell(cell) for cell in row] for row in value]
    return None


def _from_object(value: dict[str, Any], depth: int) -> list[list[str]] | None:
    nested = list(value.values())
    if isinstance(value.get("timestamp"), list) and isinstance(
        value.get("indicators"), dict
    ):  # Yahoo's charts
        quotes = value["indicators"].get("quote")
        if isinstance(quotes, list) and quotes and isinstance(quotes[0], dict):
            return _find_rows({"timestamp": value["timestamp"]} | quotes[0], depth + 1)
    names, index, rows = (value.get(name) for name in ("columns", "index", "data"))  # as pandas splits them
    if (
        isinstance(names, list)
        and isinstance(index, list)
        and isinstance(rows, list)
        and all(isinstance(row, list) for row in rows)
        and len(index) == len(rows)
    ):
        table = [["date", *names], *([day, *row] for day, row in zip(index, rows, strict=True))]
        return [[_json_cell(cell) for cell in row] for row in table]
    columns = {
        name: column for name, column in value.items() if isinstance(column, list) and _is_flat(column)
    }
    if len(columns) >= 5 and len({len(column) for column in columns.values()}) == 1:
        return [
            list(columns),
            *([_json_cell(cell) for cell in row] for row in zip(*columns.values(), strict=True)),
        ]
    if len(nested) >= 2 and all(isinstance(row, dict) and _is_flat(row.values()) for row in nested):
        return _from_keyed(value)
    for child in nested:
        if (found := _find_rows(child, depth + 1)) is not None and len(found[0]) >= _LEAST_COLUMNS:
            return found
    return None


def _from_objects(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    names = list(dict.fromkeys(name for row in rows[:100] for name in row))
    return [names, *([_json_cell(row.get(name)) for name in names] for row in rows)]


def _from_keyed(value: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return the rows of an object of objects, whose outer keys are dates, or the names of columns."""
    names = list(dict.fromkeys(name for row in value.values() for name in row))
    if all(name[:1].isdigit() and len(name) >= 8 for name in names):
        return [
            ["date", *value],
            *([name, *(_json_cell(column.get(name)) for column in value.values())] for name in names),
        ]
    return [
        ["date", *names],
        *([key, *(_json_cell(row.get(name)) for name in names)] for key, row in value.items()),
    ]


def _is_flat(cells: Iterable[Any]) -> bool:
    """Return whether all cells are single values or lists of texts."""
    return not any(
        isinstance(cell, dict) or (isinstance(cell, list) and not _is_texts(cell)) for cell in cells
    )


def _is_texts(cell: list[Any]) -> bool:
    return all(isinstance(item, str) for item in cell)


def _json_cell(value: Any) -> str:
    if value is None:
        return ""
    return ";".join(value) if isinstance(value, list) and _is_texts(value) else str(value)

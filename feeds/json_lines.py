"""Tables in JSON lines: one object for a row, with text, numbers or nothing in its cells.

Knows files and their damage, not what the columns mean; `feeds.tables` reads them beside CSV and Parquet.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import DataError

_LONGEST_LINE = 1_000_000


def line_columns(path: Path) -> list[str]:
    """The keys of the first line; none where that is no JSON object, so that the file is no table."""
    for _, line in _lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return []
        return list(row) if isinstance(row, dict) else []
    return []


def line_rows(path: Path, wanted: set[str]) -> Iterator[tuple[int, list[str]]]:
    """The columns of `wanted` that the first line has, then the cells of each row, with its line number.

    A key that is missing from a row is an empty cell; empty lines are passed over. Raises DataError for a
    line that is no JSON object, and for a cell that holds more than one value.
    """
    names = [name for name in line_columns(path) if name.strip().lower() in wanted]
    yield 0, names
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: not a JSON object; mend or remove the line")
        yield number, [_json_cell(path, number, name, row.get(name)) for name in names]


def _json_cell(path: Path, number: int, name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ";".join(value)
    if isinstance(value, (str, bool, int, float)):
        return str(value)
    raise DataError(f"{path}, line {number}: {name} is no text; write it as one value")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_LONGEST_LINE):
                number += 1
                if len(line) == _LONGEST_LINE:
                    raise DataError(
                        f"{path}, line {number}: longer than {_LONGEST_LINE:,} bytes; split the line"
                    )
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError:
        raise DataError(f"{path}, line {number}: not UTF-8 text; save it in UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; check that it can be read") from None

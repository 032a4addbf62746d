"""Say what a table holds: bars, news, or neither and why."""

from pathlib import Path
from typing import Literal

from engine.errors import DataError
from feeds.files.bars import COLUMNS as BAR_COLUMNS
from feeds.files.news import COLUMNS as NEWS_COLUMNS
from feeds.files.tables import quote_value, read_columns

_SHOWN_COLUMNS = 12


class UnknownTableError(DataError):
    """A table holds neither bars nor news; in a folder it can be left out."""


def identify_table(path: Path) -> Literal["bars", "news"]:
    """Return what the table in `path` holds. Reads no more than its first lines.

    Raises UnknownTableError where it is neither, naming the file, its columns and what to do.
    """
    columns = read_columns(path)
    if set(BAR_COLUMNS) <= set(columns):
        return "bars"
    if set(NEWS_COLUMNS) <= set(columns):
        return "news"
    found = ", ".join(quote_value(name) for name in columns[:_SHOWN_COLUMNS]) or "none"
    kind, needed = _nearer_kind(columns)
    missing = ", ".join(name for name in needed if name not in columns)
    raise UnknownTableError(
        f"{path}: neither bars nor news: {kind} lack the column {missing}; found {found}; "
        "name the columns in the header"
    )


def _nearer_kind(columns: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the kind of table of which fewer columns are missing, and its columns."""
    kinds = (("bars", BAR_COLUMNS), ("news", NEWS_COLUMNS))
    return min(kinds, key=lambda kind: len(set(kind[1]) - set(columns)) / len(kind[1]))

"""Say what a table holds: bars, news, or neither and why."""

from contextlib import suppress
from pathlib import Path
from typing import Literal

from feeds.files.layouts import COLUMNS as BAR_COLUMNS
from feeds.files.layouts import NOTHING_STATED, ColumnSettings, require_bars
from feeds.files.news_forms import COLUMNS as NEWS_COLUMNS
from feeds.files.news_forms import require_news
from feeds.files.tables import UnknownTableError, own_columns, quote_value

_SHOWN_COLUMNS = 12


def identify_table(path: Path, stated: ColumnSettings = NOTHING_STATED) -> Literal["bars", "news"]:
    """Return what the table in `path` holds. Reads no more than its first lines.

    Raises UnknownTableError where it is neither, naming the file, its columns and what to do.
    """
    columns = own_columns(path)
    if set(NEWS_COLUMNS) <= set(columns):
        return "news"
    try:
        if not set(BAR_COLUMNS) <= set(columns):
            require_bars(path, stated)
        return "bars"
    except UnknownTableError as error:
        no_bars = error
    with suppress(UnknownTableError):
        require_news(path)
        return "news"
    if len(columns) < 2 or stated.names:
        raise no_bars
    found = ", ".join(quote_value(name) for name in columns[:_SHOWN_COLUMNS])
    kind, needed = _nearer_kind(columns)
    missing = [name for name in needed if name not in columns]
    stating = f", or under [columns] in the configuration, as in {missing[0]} = {quote_value(columns[0])}"
    raise UnknownTableError(
        f"{path}: neither bars nor news: {kind} lack the column {', '.join(missing)}; found {found}; "
        f"name the columns in the header{stating if kind == 'bars' else ''}"
    )


def _nearer_kind(columns: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the kind of table of which fewer columns are missing, and its columns."""
    kinds = (("bars", BAR_COLUMNS), ("news", NEWS_COLUMNS))
    return min(kinds, key=lambda kind: len(set(kind[1]) - set(columns)) / len(kind[1]))

"""Read news archives in the forms of vendors and collections as rows of our own.

The columns are found by their names, and the notation of the times is inferred from all rows. A time without
a zone stays one, so that it counts as known twelve hours later.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from engine.errors import DataError
from feeds.files.cells import infer_date_style
from feeds.files.column_names import parse_names
from feeds.files.raw import RawTable, read_raw
from feeds.files.tables import Row, own_columns, read_rows, require_columns

COLUMNS = ("published_at", "source", "symbols", "title", "text")
OPTIONAL_COLUMNS = ("precision", "first_seen_at")
_FIELDS = parse_names("""
published_at = published_at | published at | published | publishedat | publish_date | published_date |
    publish time | published_on | pubdate | pub_date | newsdatetime | time_published | seendate | datetime |
    date | time | created_at | timestamp | 发布时间 | 发布日期 | 时间 | 日期
title = title | headline | headlines | article_title | article title | news_title | newstitle | news | 标题 |
    新闻标题
text = text | article | body | content | article_text | full_text | summary | description | teaser | snippet |
    tweet | 新闻内容 | 内容 | 正文 | 摘要
source = source | publisher | source_name | site | domain | provider | 来源 | 文章来源 | 新闻来源
symbols = symbols | symbol | stock | stock_symbol | stock symbol | ticker | tickers | stocks | related |
    currencies | subject | subjects | coin | coins | 股票代码 | 代码 | code | ts_code
""")
_CLOCK = re.compile(r"(?:T\d{2}:?\d{2}|[ ,]\s*\d{1,2}:\d{2})(:?\d{2})?")
_PEEK_ROWS = 20


def require_news(path: Path) -> None:
    """Raise UnknownTableError where a file holds no news, and DataError where it cannot be read."""
    columns = own_columns(path)
    if "published_at" in columns or _find_fields(path, _PEEK_ROWS) is None:
        require_columns(path, columns, COLUMNS)


def read_news_rows(
    path: Path, on_ragged: Callable[[Row, DataError], None] | None = None, date_order: str = ""
) -> Iterator[Row]:
    """Yield the rows of a news file in any form that is recognised, with the columns of our own.

    Args:
        path: The file.
        on_ragged: Called with a row that is longer or shorter than its header, and the error; the row is
            left out.
        date_order: "day first", "month first", or empty to infer it.

    Raises:
        DataError: For a file that is not recognised or cannot be read, and times with two readings.
    """
    columns = own_columns(path)
    found = None if "published_at" in columns else _find_fields(path, None)
    if found is None:
        yield from read_rows(path, COLUMNS, OPTIONAL_COLUMNS, on_ragged)
    else:
        yield from _read_form(*found, on_ragged, date_order)


def describe_news_file(path: Path) -> str:
    """Return one line on what was taken for what in a news file; empty for one of our own form."""
    columns = own_columns(path)
    found = None if "published_at" in columns else _find_fields(path, _PEEK_ROWS)
    if found is None:
        return ""
    raw, fields = found
    names = raw.rows[0][1]
    taken = ", ".join(f"{name} = {names[fields[name]]!r}" for name in COLUMNS if name in fields)
    whole = "" if "symbols" in fields else "; no column of symbols, so all items concern the whole market"
    return f"{path.name}: {taken}{whole}."


def _find_fields(path: Path, limit: int | None) -> tuple[RawTable, dict[str, int]] | None:
    """Return a table of news and its columns by name; None for a file without a time and a title or text."""
    for raw in read_raw(path, limit):
        fields: dict[str, int] = {}
        ranks: dict[str, int] = {}
        for at, name in enumerate(raw.rows[0][1] if raw.rows else ()):
            field, rank = _FIELDS.get(name.strip().lower(), ("", 0))
            if field and rank < ranks.get(field, rank + 1):
                fields[field], ranks[field] = at, rank
        if "published_at" in fields and {"title", "text"} & set(fields):
            return raw, fields
    return None


def _read_form(
    raw: RawTable,
    fields: Mapping[str, int],
    on_ragged: Callable[[Row, DataError], None] | None,
    date_order: str,
) -> Iterator[Row]:
    width = len(raw.rows[0][1])
    whole: list[tuple[int, list[str]]] = []
    for number, cells in raw.rows[1:]:
        if len(cells) == width:
            whole.append((number, cells))
            continue
        row = Row(path=raw.path, number=number, cells={})
        fault = DataError(
            f"{row.place}: {len(cells)} cells where the header has {width}; correct or remove the row"
        )
        if on_ragged is None:
            raise fault
        on_ragged(row, fault)
    if not whole:
        raise DataError(f"{raw.path}: a header and no rows; give at least one item")
    times = [(raw.place(number), cells[fields["published_at"]]) for number, cells in whole]
    style = infer_date_style(raw.path, times, date_order or None)
    for (number, cells), (_, text) in zip(whole, times, strict=True):
        values = {name: cells[fields[name]] if name in fields else "" for name in COLUMNS}
        moment = style.parse(text)
        values["published_at"] = _write_time(moment, text) if moment else text
        yield Row(path=raw.path, number=number, cells=values)


def _write_time(moment: datetime, text: str) -> str:
    """Return a time as precisely as it is written."""
    clock = _CLOCK.search(text)
    if text.replace(".", "").isdigit() or (clock and clock[1]):
        return moment.isoformat()
    return moment.isoformat(timespec="minutes") if clock else moment.date().isoformat()

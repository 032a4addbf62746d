"""Find the columns of bars in a table of any form.

They are found as the user states them, by their names, or by their values where there is no header.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from statistics import median

from engine.errors import DataError, suggest
from feeds.files.cells import infer_date_style, to_float
from feeds.files.column_names import identify_column
from feeds.files.raw import RawTable, read_raw
from feeds.files.tables import UnknownTableError, quote_value

COLUMNS = ("date", "open", "high", "low", "close", "volume")
PRICES = ("open", "high", "low", "close")
HEADER_ROWS = 25
PEEK_ROWS = 400

_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?|000000")

# Layouts of files without a header, by the number of their columns; "" is passed over.
_BARE = {
    6: ("date", *PRICES, "volume"),
    7: ("date", *PRICES, "volume", ""),
    8: ("date", *PRICES, "vwap", "volume", ""),
    12: ("date", *PRICES, "volume", "close_time", "turnover", "", "", "", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSettings:
    """What a user states about the columns of bar files.

    Attributes:
        names: The name, or the number from 1, of the columns date, open, high, low, close, volume and symbol.
        date_order: "day first", "month first", or empty to infer it.
        decimal: "." or ",", or empty to infer it.
    """

    names: Mapping[str, str | int] = field(default_factory=dict)
    date_order: str = ""
    decimal: str = ""


NOTHING_STATED = ColumnSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the columns of a table are.

    Attributes:
        header: The row that names them; -1 for none.
        body: The first row of bars.
        names: The names of all columns.
        columns: The columns of prices and volume, by the symbol that heads them, empty for most files.
        shared: The columns of symbol, time and close time, which are those of all symbols.
        dates: The columns of dates, the likeliest first.
        notes: What the user should know of how they were found.
    """

    header: int
    body: int
    names: list[str]
    columns: dict[str, dict[str, int]]
    shared: dict[str, int]
    dates: tuple[int, ...]
    notes: tuple[str, ...] = ()


def find_layout(
    path: Path, limit: int | None, stated: ColumnSettings = NOTHING_STATED
) -> tuple[Layout, RawTable]:
    """Return where the columns of bars are in a file, and its first rows.

    Args:
        path: The file.
        limit: How many rows to read; None for all.
        stated: What the user states about columns. Names that the file does not have are passed over where
            it is recognised without them, so that a folder may hold files of several forms.

    Raises:
        UnknownTableError: For a file that is not recognised, with its columns and what to do.
        DataError: Where it cannot be read, or its columns can be read in two ways.
    """
    tables = read_raw(path, limit)
    for raw in tables:
        layout = _match_stated(raw, stated.names) or _match_recognised(raw, stated.names)
        if layout is not None:
            return layout, raw
    raise UnknownTableError(f"{path}: {_explain(tables[0])}")


def require_bars(path: Path, stated: ColumnSettings = NOTHING_STATED) -> None:
    """Raise UnknownTableError where a file is not recognised as bars of any length.

    Raises DataError where it cannot be read, or its columns can be read in two ways.
    """
    find_layout(path, PEEK_ROWS, stated)


def holds_bars(path: Path) -> bool:
    """Return whether a file is recognised as bars of any length. Raises DataError as `require_bars`."""
    try:
        require_bars(path)
    except UnknownTableError:
        return False
    return True


def _explain(raw: RawTable) -> str:
    """Return why a table is not recognised, with its columns and what to do."""
    if not raw.rows:
        return "the file is empty; give one with a header and rows"
    cells = raw.rows[0][1]
    fields = {identified[0] for name in cells if (identified := identify_column(name))}
    shown = ", ".join(quote_value(name) for name in cells[:12])
    if len(fields & {*COLUMNS}) >= 2:
        missing = ", ".join(name for name in COLUMNS if name not in fields)
        return f"no column {missing}; found {shown}; name the columns in the header, or under [columns]"
    return (
        f"no bars are recognised; the first line is {shown}; add a header with {', '.join(COLUMNS)}, or give "
        "the names or numbers of the columns under [columns] in the configuration, as in date = 1, open = 2"
    )


def _match_header(raw: RawTable) -> Layout | None:
    for at, (_, cells) in enumerate(raw.rows[:HEADER_ROWS]):
        identified = [identify_column(name) for name in cells]
        fields = {found[0] for found in identified if found}
        if set(PRICES) <= fields:
            bars_before = any(len(row) == len(cells) and _is_date(row[0]) for _, row in raw.rows[:at])
            return None if bars_before else _read_header(raw, at, identified)
    return None


def _read_header(raw: RawTable, at: int, identified: list[tuple[str, int, str] | None]) -> Layout:
    names = raw.rows[at][1]
    known = {i: found for i, found in enumerate(identified) if found}
    body, dates = at + 1, [i for i, found in known.items() if found[0] == "date"]
    dates.sort(key=lambda i: known[i][1])
    for below, (_, cells) in enumerate(raw.rows[at + 1 : at + 4], start=at + 1):
        first = identify_column(cells[0])
        if first and first[0] == "date" and not any(cells[1:]):
            body, dates = below + 1, [0]
            names = [cells[0], *names[1:]]
    if not dates and names[0].lower() in ("", "index", "unnamed: 0", "price", "__index_level_0__"):
        dates = [0]
    if not dates:
        dates = [i for i, name in enumerate(names) if name == "__index_level_0__"]
    identified = [None if i in dates else found for i, found in enumerate(identified)]
    labels = _read_labels(raw, at, body, identified)
    columns: dict[str, dict[str, int]] = {}
    shared: dict[str, int] = {}
    known = {i: found for i, found in known.items() if i not in dates and found[0] != "date"}
    for i, (name, *_) in known.items():
        where = shared if name in ("symbol", "time", "close_time") else columns.setdefault(labels[i], {})
        _claim(raw, at, known, where, i)
    columns = {label: fields for label, fields in columns.items() if set(PRICES) <= set(fields)}
    if not columns:
        raise UnknownTableError(f"{raw.path}: {_explain(raw)}")
    if not dates:
        raise UnknownTableError(
            f"{raw.path}: no column date; found {', '.join(map(quote_value, names[:12]))}; name the columns "
            "in the header, or under [columns]"
        )
    return Layout(header=at, body=body, names=names, columns=columns, shared=shared, dates=tuple(dates))


def _claim(
    raw: RawTable, at: int, known: Mapping[int, tuple[str, int, str]], fields: dict[str, int], i: int
) -> None:
    """Take column `i` for what its name says unless a better name is there; refuse two equal ones."""
    name, rank, _ = known[i]
    other = fields.get(name)
    if other is None or rank < known[other][1]:
        fields[name] = i
    elif rank == known[other][1] and name in COLUMNS:
        header = raw.rows[at][1]
        raise DataError(
            f"{raw.place(raw.rows[at][0])}: columns {quote_value(header[other])} and "
            f"{quote_value(header[i])} can both be {name}; name one under [columns] in the configuration"
        )


def _read_labels(
    raw: RawTable, at: int, body: int, identified: list[tuple[str, int, str] | None]
) -> list[str]:
    """Return the symbol that heads each column, from its name or from a second row of the header."""
    labels = [found[2] if found else "" for found in identified]
    near = [raw.rows[i][1] for i in (*range(at + 1, body), at - 1) if i >= 0]
    prices = [i for i, found in enumerate(identified) if found and found[0] in PRICES]
    for cells in near:
        if len(cells) == len(labels) and all(cells[i] and not identify_column(cells[i]) for i in prices):
            return list(cells)
    if len(prices) > len(PRICES) and near and len(near[-1]) == len(labels):
        # Each symbol stands above its first column only.
        filled, last = [], ""
        for cell in near[-1]:
            last = cell or last
            filled.append(last)
        return filled
    return labels


def _match_bare(raw: RawTable) -> Layout | None:
    """Return the layout of a file without a header, from the number and the values of its columns."""
    body = next((at for at, (_, cells) in enumerate(raw.rows[:3]) if _starts_bare(cells)), None)
    if body is None:
        return None
    cells = raw.rows[body][1]
    if any(len(before) > len(cells) / 2 for _, before in raw.rows[:body]):
        return None  # a bar that cannot be read, and no title
    begin = 0 if _is_date(cells[0]) else 1  # after a symbol
    width = len(cells) - begin
    fields: Sequence[str] = _BARE.get(width, ())
    if width > 6 and _CLOCK.fullmatch(cells[begin + 1]):
        fields = ("date", "time", *PRICES, "volume")
    where = {name: begin + at for at, name in enumerate(fields) if name}
    sample = [row for _, row in raw.rows[body : body + PEEK_ROWS] if len(row) == len(cells)]
    if not where or _is_smooth(sample, where["volume"], where["close"]):
        return None
    if "vwap" in where and not _has_average(sample, where):
        return None
    where |= dict(zip(_find_order(sample, where), sorted(where[name] for name in PRICES), strict=True))
    dates = (where.pop("date"),)
    shared: dict[str, int] = {name: where.pop(name) for name in ("time", "close_time") if name in where}
    shared |= {"symbol": 0} if begin else {}
    names = [f"column {at + 1}" for at in range(len(cells))]
    return Layout(header=-1, body=body, names=names, columns={"": where}, shared=shared, dates=dates)


def _starts_bare(cells: Sequence[str]) -> bool:
    first = next((at for at in range(min(2, len(cells))) if _is_date(cells[at])), None)
    return first is not None and len(cells) >= 6 and all(to_float(cell) is not None for cell in cells[-5:])


def _is_date(text: str) -> bool:
    try:
        infer_date_style(Path(), [("", text)], "day first")
    except DataError:
        return False
    return True


def _is_smooth(rows: Sequence[Sequence[str]], volume: int, close: int) -> bool:
    """Return whether a column follows the close as an adjusted close does, and a volume does not."""
    ratios = [
        math.log(a / b)
        for row in rows
        if 0 < (a := to_float(row[volume]) or 0) < math.inf
        and 0 < (b := to_float(row[close]) or 0) < math.inf
    ]
    steps = [abs(later - earlier) for earlier, later in pairwise(ratios)]
    return len(steps) > 3 and median(steps) < 0.02


def _has_average(rows: Sequence[Sequence[str]], where: Mapping[str, int]) -> bool:
    """Return whether each bar has an average price between low and high, and ends in a count."""
    for row in rows:
        low, average, high = (to_float(row[where[name]]) or 0 for name in ("low", "vwap", "high"))
        if not (low * 0.999 <= average <= high * 1.001 and row[-1].isdigit()):
            return False
    return True


def _find_order(rows: Sequence[Sequence[str]], where: Mapping[str, int]) -> tuple[str, ...]:
    """Return the order of the prices, among those that exchanges use, in which every bar is possible.

    Where there is none, it is the usual one, and the impossible bars are refused with their places.
    """
    at = sorted(where[name] for name in PRICES)
    for order in (PRICES, ("open", "close", "high", "low"), ("low", "high", "open", "close")):
        if all(_is_possible(dict(zip(order, (to_float(row[i]) for i in at), strict=True))) for row in rows):
            return order
    return PRICES


def _is_possible(bar: Mapping[str, float | None]) -> bool:
    prices = [price for price in bar.values() if price is not None]
    return len(prices) == 4 and bar["low"] == min(prices) and bar["high"] == max(prices)


def _match_recognised(raw: RawTable, stated: Mapping[str, str | int]) -> Layout | None:
    """Return the layout of a file without the names that the user states, which it does not have."""
    layout = _match_header(raw) or _match_bare(raw)
    if layout is None:
        return None
    named = [f"no column {quote_value(text)}" for text in stated.values() if isinstance(text, str)]
    notes = (", ".join(named) + ", so the names under [columns] are left aside",) if named else ()
    at = stated.get("volume", -1)
    columns = {
        label: {"volume": -1, **fields} if at == 0 else fields for label, fields in layout.columns.items()
    }
    return replace(layout, columns=columns, notes=notes)


def _match_stated(raw: RawTable, stated: Mapping[str, str | int]) -> Layout | None:
    """Return the layout that the user states under [columns], by names and by numbers; None for other files.

    Raises UnknownTableError where a file has some of the names and not all, or fewer columns.
    """
    named = {name: text for name, text in stated.items() if isinstance(text, str)}
    found = {name: at - 1 for name, at in stated.items() if isinstance(at, int)}
    if not named and "date" not in found:
        layout = (_match_header(raw) or _match_bare(raw)) if found else None
        return layout and replace(
            layout, columns={label: fields | found for label, fields in layout.columns.items()}
        )
    header = _find_stated_header(raw, set(named.values()), found.get("date"))
    if header is None:
        return None
    names = raw.rows[header][1] if header >= 0 else [f"column {at + 1}" for at in range(len(raw.rows[0][1]))]
    places = {text.casefold(): at for at, text in reversed([*enumerate(names)])}
    for name, text in named.items():
        if text.casefold() not in places:
            hint = suggest(text, names, "correct the name", show=repr)
            raise UnknownTableError(
                f"{raw.path}: no column {quote_value(text)}, which [columns] states as {name}; found "
                f"{', '.join(map(quote_value, names[:12]))}; {hint}"
            )
        found[name] = names.index(text) if text in names else places[text.casefold()]
    for at, name in enumerate(names if header >= 0 else ()):
        identified = identify_column(name)
        if identified and identified[0] in (*COLUMNS, "symbol"):
            found.setdefault(identified[0], at)
    if not {"date", *PRICES} <= set(found):
        return None
    if max(found.values()) >= len(names):
        raise UnknownTableError(
            f"{raw.path}: {len(names)} columns, and [columns] states column {max(found.values()) + 1}; "
            "correct the number"
        )
    if any(not _has_digit(cells, found["close"]) for _, cells in raw.rows[header + 1 : header + 2]):
        return None  # a list of news with as many columns
    dates = (found.pop("date"),)
    shared = {"symbol": found.pop("symbol")} if "symbol" in found else {}
    return Layout(
        header=header, body=header + 1, names=names, columns={"": found}, shared=shared, dates=dates
    )


def _has_digit(cells: Sequence[str], at: int) -> bool:
    return any(map(str.isdigit, "".join(cells[at : at + 1])))


def _find_stated_header(raw: RawTable, names: set[str], date_at: int | None) -> int | None:
    """Return the row that has a stated name or one like it, or -1 for a file that begins with a bar."""
    for at, (_, cells) in enumerate(raw.rows[:HEADER_ROWS]):
        known = [cell.casefold() for cell in cells]
        if any(get_close_matches(name.casefold(), known, n=1, cutoff=0.8) for name in names):
            return at
        if not names and date_at is not None and date_at < len(cells):
            return -1 if _is_date(cells[date_at]) else at
    return None

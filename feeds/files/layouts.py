"""Find the columns of bars in a table of any form: by their names, or by their values without a header."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NoReturn

from engine.errors import DataError
from feeds.files.cells import infer_date_style, to_float
from feeds.files.raw import RawTable, read_raw
from feeds.files.tables import UnknownTableError, quote_value

COLUMNS = ("date", "open", "high", "low", "close", "volume")
PRICES = ("open", "high", "low", "close")
HEADER_ROWS = 25
PEEK_ROWS = 400

# The names of each column as they stand after `normalize_name`, the likeliest first.
_NAMES = """
date = open_time | open time | opentime | timeopen | time_period_start | candle_begin_time |
    date | datetime | day | trade_date | trade date | trading day | exchange date | dates | <date> |
    <dtyyyymmdd> | dtyyyymmdd | timestamp | time | gmt time | local time | utc | t | ts | unix |
    unix timestamp | unix_timestamp | epoch | startdate | data | datum |
    fecha | 日期 | 交易日期 | 时间 | 交易时间 | 日付
open = open | o | opening | open price | <open> | px_open | open_price | openprice | price_open |
    开盘 | 开盘价 | 今开 | 始値 | otwarcie | eröffnung | eröffn. | erster | apertura |
    ouv | ouverture | abertura
high = high | h | <high> | high price | px_high | high_price | highprice | price_high | 最高 | 最高价 | 高値 |
    najwyzszy | najwyższy | hoch | tageshoch | máximo | maximo | haut | plus haut | máxima | max
low = low | l | <low> | low price | px_low | low_price | lowprice | price_low | 最低 | 最低价 | 安値 |
    najnizszy | najniższy | tief | tagestief | mínimo | minimo | bas | plus bas | mínima | min
close = close | c | <close> | close/last | px_last | close price | close_price | closeprice | price_close |
    last | last price | price | trade close | settle | 收盘 | 收盘价 | 终值 | 終値 |
    现价 | zamkniecie | zamknięcie | schluss | schlusskurs | letzter | zuletzt |
    último | ultimo | cierre | clôture | dernier
volume = volume | v | vol | vol. | <vol> | px_volume | volumefrom | base_volume | base volume |
    volume traded | volume_traded | total trade quantity | trade volume | shares traded | no. of shares |
    成交量 | 出来高 | wolumen | volumen | stücke | stuecke |
    tick volume | tick_volume | tickvolume
tick_volume = <tickvol>
time = <time> | clock
symbol = symbol | ticker | <ticker> | tic | code | ts_code | 股票代码 | 证券代码 | 代码 | instrument | stock |
    pair | sid | permno | asset | security | coin | act_symbol | symbols | name
close_time = close_time | close time | closetime | time_period_end | timeclose
turnover = amount | turnover | 成交额 | 成交金额 | quote_asset_volume | quote asset volume | quote_volume |
    volumeto | quotevolume
vwap = vwap | vw | average | weighted_price | 均价
"""


def parse_names(table: str) -> dict[str, tuple[str, int]]:
    """Return the field of each name in a table of lines such as "date = date | day", and its rank from 0."""
    return {
        name.strip(): (field, rank)
        for field, names in re.findall(r"^(\w+) = ((?:.+\n)(?:    .+\n)*)", table, re.MULTILINE)
        for rank, name in enumerate(names.split("|"))
    }


_FIELDS = parse_names(_NAMES)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?|000000")
_QUOTE_UNITS = re.compile(r"(?:usdt?|usdc|busd|fdusd|tusd|eur|gbp|jpy|krw|try|currency|quote)")
_CELL_OF_PAIR = re.compile(r"\(\s*'([^']*)'\s*,\s*'([^']*)'\s*\)")
_JOINED = re.compile(
    r"(?!pre|adj|unadj|last|day)(.+?)[._ ](open|high|low|close|volume|adjusted)", re.IGNORECASE
)

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


_NOTHING_STATED = ColumnSettings()
_settings: ContextVar[ColumnSettings] = ContextVar("columns", default=_NOTHING_STATED)


def column_settings() -> ColumnSettings:
    """Return what the user states about columns (see `state_columns`)."""
    return _settings.get()


@contextmanager
def state_columns(settings: ColumnSettings) -> Iterator[None]:
    """Read bar files within this context as a user states them."""
    token = _settings.set(settings)
    try:
        yield
    finally:
        _settings.reset(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the columns of a table are: by the symbol that heads them, which is empty for most files."""

    header: int
    body: int
    names: list[str]
    columns: dict[str, dict[str, int]]
    shared: dict[str, int]
    dates: tuple[int, ...]


def find_layout(path: Path, limit: int | None) -> tuple[Layout, RawTable]:
    """Return where the columns of bars are in a file, and its first `limit` rows.

    Raises UnknownTableError for a file that is not recognised, with its columns and what to do.
    """
    tables = read_raw(path, limit)
    return _match(tables) or _refuse(tables[0])


def require_bars(path: Path) -> None:
    """Raise UnknownTableError where a file is not recognised as bars of any length.

    Raises DataError where it cannot be read, or its columns can be read in two ways.
    """
    find_layout(path, PEEK_ROWS)


def holds_bars(path: Path) -> bool:
    """Return whether a file is recognised as bars of any length. Raises DataError as `require_bars`."""
    try:
        require_bars(path)
    except UnknownTableError:
        return False
    return True


def _match(tables: Sequence[RawTable]) -> tuple[Layout, RawTable] | None:
    for raw in tables:
        layout = _match_stated(raw) if column_settings().names else _match_header(raw) or _match_bare(raw)
        if layout is not None:
            return layout, raw
    return None


def _refuse(raw: RawTable) -> NoReturn:
    raise UnknownTableError(f"{raw.path}: {_explain(raw)}")


def _explain(raw: RawTable) -> str:
    """Return why a table is not recognised, with its columns and what to do."""
    if not raw.rows:
        return "the file is empty; give one with a header and rows"
    cells = raw.rows[0][1]
    fields = {identified[0] for name in cells if (identified := _identify(name))}
    shown = ", ".join(quote_value(name) for name in cells[:12])
    if len(fields & {*COLUMNS}) >= 2:
        missing = ", ".join(name for name in COLUMNS if name not in fields)
        return f"no column {missing}; found {shown}; name the columns in the header, or under [columns]"
    return (
        f"no bars are recognised; the first line is {shown}; add a header with {', '.join(COLUMNS)}, or give "
        "the names or numbers of the columns under [columns] in the configuration, as in date = 1, open = 2"
    )


def normalize_name(name: str) -> str:
    """Return a column's name in small letters, without quotes and the numbers of Alpha Vantage."""
    text = " ".join(name.strip().strip("\"'").lower().split())
    return re.sub(r"^\d+[ab]?\.\s*", "", text)


def _identify(name: str) -> tuple[str, int, str] | None:
    """Return which column a name stands for, how likely (0 first), and the symbol within the name."""
    if pair := _CELL_OF_PAIR.fullmatch(name.strip()):
        for own, other in ((pair[1], pair[2]), (pair[2], pair[1])):
            if identified := _identify(own):
                return identified[0], identified[1], other
        return None
    text = normalize_name(name)
    plain = re.sub(r"\s*\([^)]*\)$", "", text)
    if found := _FIELDS.get(text) or _FIELDS.get(plain):
        return *found, ""
    if unit := re.fullmatch(r"volume[ _]?\(?([a-z0-9]{2,10})\)?", text):
        return ("turnover" if _QUOTE_UNITS.fullmatch(unit[1]) else "volume"), 9, ""
    if (joined := _JOINED.fullmatch(name.strip())) and joined[2].lower() in _FIELDS:
        return *_FIELDS[joined[2].lower()], joined[1]
    return None


def _match_header(raw: RawTable) -> Layout | None:
    for at, (_, cells) in enumerate(raw.rows[:HEADER_ROWS]):
        identified = [_identify(name) for name in cells]
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
        first = _identify(cells[0])
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
        if len(cells) == len(labels) and all(cells[i] and not _identify(cells[i]) for i in prices):
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
        infer_date_style([("", text)], "day first")
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


def _match_stated(raw: RawTable) -> Layout | None:
    """Return the layout that the user states under [columns], by names and by numbers."""
    stated = column_settings().names
    named = {name: text for name, text in stated.items() if isinstance(text, str)}
    found = {name: at - 1 for name, at in stated.items() if isinstance(at, int)}
    if not named and "date" not in found:
        layout = _match_header(raw) or _match_bare(raw)
        columns = {label: fields | found for label, fields in layout.columns.items()} if layout else {}
        return layout and replace(layout, columns=columns)
    header = _find_stated_header(raw, set(named.values()), found.get("date"))
    if header is None:
        return None
    names = raw.rows[header][1] if header >= 0 else [f"column {at + 1}" for at in range(len(raw.rows[0][1]))]
    found |= {name: names.index(text) for name, text in named.items()}
    for at, name in enumerate(names if header >= 0 else ()):
        identified = _identify(name)
        if identified and identified[0] in (*COLUMNS, "symbol"):
            found.setdefault(identified[0], at)
    if not {"date", *PRICES} <= set(found) or max(found.values()) >= len(names):
        return None
    dates = (found.pop("date"),)
    shared = {"symbol": found.pop("symbol")} if "symbol" in found else {}
    return Layout(
        header=header, body=header + 1, names=names, columns={"": found}, shared=shared, dates=dates
    )


def _find_stated_header(raw: RawTable, names: set[str], date_at: int | None) -> int | None:
    """Return the row that has the stated names, or -1 for a file that begins with a bar."""
    for at, (_, cells) in enumerate(raw.rows[:HEADER_ROWS]):
        if names and names <= set(cells):
            return at
        if not names and date_at is not None and date_at < len(cells):
            return -1 if _is_date(cells[date_at]) else at
    return None

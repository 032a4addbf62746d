"""Ways to spoil a file of bars so that a trace is left."""

import random
from collections.abc import Callable
from datetime import date

from tests.support.bar_dialects import Dialect, Line

Mutation = Callable[[Dialect, list[Line], random.Random], bytes | None]
"""Spoils the lines of a file so that a trace of it is left; None where it does not apply."""


def _number_columns(dialect: Dialect, lines: list[Line]) -> list[int]:
    """The columns whose cells contain a decimal sign in every row: prices, for nearly all forms."""
    rows = lines[1:] if dialect.header else lines
    return [at for at in range(len(rows[0])) if all("." in row[at] or "," in row[at] for row in rows)]


def _rows(dialect: Dialect, lines: list[Line]) -> list[Line]:
    return lines[1:] if dialect.header else lines


def _is_text(dialect: Dialect) -> bool:
    return not dialect.file.endswith((".json", ".jsonl", ".parquet", ".feather"))


def swap_names(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    if not dialect.header:
        return None
    known = [at for at, name in enumerate(lines[0]) if name.strip(" <>").lower() in _SWAPPED]
    if len(known) < 2:
        return None
    one, other = dice.sample(known, 2)
    lines[0][one], lines[0][other] = lines[0][other], lines[0][one]
    return dialect.write(lines)


_SWAPPED = {"open", "high", "low", "close", "date", "timestamp", "开盘", "收盘", "最高", "最低", "日期"}


def drop_header(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    return dialect.write(lines[1:]) if dialect.header and dialect.wrap is str.encode else None


def rename_column(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    if not dialect.header:
        return None
    lines[0][dice.randrange(len(lines[0]))] = "unheard of"
    return dialect.write(lines)


def permute_columns(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    if not dialect.header or dialect.name == "yfinance" or dialect.file.endswith((".parquet", ".feather")):
        return None
    order = dice.sample(range(len(lines[0])), len(lines[0]))
    return dialect.write([[line[at] for at in order] for line in lines])


def permute_bare_columns(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    if dialect.header:
        return None
    one, other = dice.sample(range(1, 5), 2)
    for line in lines:
        line[one], line[other] = line[other], line[one]
    return dialect.write(lines)


def drop_column(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    if not dialect.header:
        return None  # the others may be the columns of another form
    at = dice.randrange(0 if _is_text(dialect) else 1, len(lines[0]))
    return dialect.write([line[:at] + line[at + 1 :] for line in lines])


def reverse_rows(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    rows = _rows(dialect, lines)
    return dialect.write([*lines[: len(lines) - len(rows)], *rows[::-1]])


def shuffle_rows(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    rows = _rows(dialect, lines)
    return dialect.write([*lines[: len(lines) - len(rows)], *dice.sample(rows, len(rows))])


def change_delimiter(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    import dataclasses

    if dialect.wrap is not str.encode or dialect.before:
        return None
    other = dataclasses.replace(dialect, delimiter=dice.choice(",;\t|"))
    return other.write(lines)


def change_decimals(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    """Commas for points and points for commas in all prices."""
    if not _is_text(dialect):
        return None
    columns = _number_columns(dialect, lines)
    for row in _rows(dialect, lines):
        for at in columns:
            row[at] = row[at].translate(str.maketrans(",.", ".,"))
    return dialect.write(lines)


def change_one_decimal(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    row = dice.choice(_rows(dialect, lines))
    columns = _number_columns(dialect, lines)
    if not columns or not _is_text(dialect):
        return None
    at = dice.choice(columns)
    row[at] = row[at].translate(str.maketrans(",.", ".,"))
    return dialect.write(lines)


def drop_decimals(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    """One price without its decimal sign, a hundred times too high."""
    columns = _number_columns(dialect, lines)
    prices = [at for at in columns if at in _price_columns(dialect)]
    if not prices:
        return None
    row = dice.choice(_rows(dialect, lines))
    at = dice.choice(prices)
    row[at] = row[at].replace(".", "").replace(",", "")
    return dialect.write(lines)


def _price_columns(dialect: Dialect) -> set[int]:
    """Where a bar's prices are written."""
    row = dialect.row(date(2024, 1, 1), "1.11", "2.22", "3.33", "4.44", 5_000_000)
    wanted = {f"{digit}{sign}{digit}{digit}" for digit in "1234" for sign in ".,"}
    return {at for at, cell in enumerate(row) if cell.strip("$") in wanted}


def impossible_bar(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    prices = sorted(_price_columns(dialect))
    if len(prices) < 4:
        return None
    row = dice.choice(_rows(dialect, lines))
    row[dice.choice(prices)] = dice.choice(["0.00", "-5.00", "nan", "inf", "x", "", "999999999.99"])
    return dialect.write(lines)


def change_epoch(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    """Another unit, in all rows or in one; a factor of ten belongs to none."""
    rows = _rows(dialect, lines)
    columns = [
        at for at, cell in enumerate(rows[0]) if cell.isdigit() and len(cell) >= 10 and "Unix" not in cell
    ]
    columns = [at for at in columns if all(row[at].isdigit() and len(row[at]) >= 10 for row in rows)]
    if not columns:
        return None
    factor = dice.choice(["000", "000000", "0"])
    for row in rows if dice.random() < 0.5 else [dice.choice(rows)]:
        row[columns[0]] += factor
    return dialect.write(lines)


def change_zone(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    """The zone of one row is gone or another."""
    rows = _rows(dialect, lines)
    row = dice.choice(rows)
    for at, cell in enumerate(row):
        if cell.endswith(("Z", "-05:00", "-04:00", "+00:00")) and "T" in cell + "T":
            bare = cell[:-1] if cell.endswith("Z") else cell[:-6]
            row[at] = bare + dice.choice(["", "+03:00", "+09:30"])
            return dialect.write(lines)
    return None


def repeat_row(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    rows = _rows(dialect, lines)
    at = dice.randrange(1, len(rows))
    changed = [*rows[at]]
    prices = sorted(_price_columns(dialect))
    for price in prices:
        changed[price] = rows[at - 1][price]
    rows.insert(at, changed)
    return dialect.write([*lines[: len(lines) - len(rows) + 1], *rows]) if prices else None


def drop_cell(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    if not _is_text(dialect):
        return None
    row = dice.choice(_rows(dialect, lines)[1:])
    del row[dice.randrange(len(row))]
    return dialect.write(lines)


def swap_day_and_month(dialect: Dialect, lines: list[Line], dice: random.Random) -> bytes | None:
    """Days and months exchanged in all rows, or in one."""
    import re

    rows = _rows(dialect, lines)
    pattern = re.compile(r"(\d{1,2})([/.])(\d{1,2})\2(\d{4})")
    if not pattern.match(rows[0][0]):
        return None
    for row in rows if dice.random() < 0.5 else [dice.choice(rows)]:
        row[0] = pattern.sub(r"\3\2\1\2\4", row[0])
    return dialect.write(lines)


MUTATIONS = (
    *(swap_names, drop_header, rename_column, permute_columns, permute_bare_columns, drop_column),
    *(reverse_rows, shuffle_rows, change_delimiter, change_decimals, change_one_decimal, drop_decimals),
    *(impossible_bar, change_epoch, change_zone, repeat_row, drop_cell, swap_day_and_month),
)

"""Faults planted in rows of real files, each with the kind that a check must find and the place."""

from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from random import Random

from feeds.quality.findings import Kind

HEADER = ["date", "open", "high", "low", "close", "volume"]
DAY = timedelta(days=1)
Rows = list[list[str]]
Plant = Callable[[Rows, Random], int]
"""Changes rows in place and returns the index of the row where the fault is to be found."""


def _middle(rows: Rows, dice: Random) -> int:
    return dice.randrange(30, len(rows) - 30)


def _scale(row: list[str], factor: float, columns: str = "ohlc") -> None:
    for name, at in (("o", 1), ("h", 2), ("l", 3), ("c", 4)):
        if name in columns:
            row[at] = repr(float(row[at]) * factor)


def _widen(row: list[str]) -> None:
    prices = [float(cell) for cell in row[1:5]]
    row[2], row[3] = repr(max(prices)), repr(min(prices))


def gap(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    del rows[at : at + dice.randint(1, 5)]
    return at


def duplicate(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    rows.insert(at, list(rows[at - 1]))
    if dice.random() < 0.5:
        _scale(rows[at], 1.001)
    return at


def repeat_row(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    rows[at][1:] = rows[at - 1][1:]
    return at


def ohlc(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    column, factor = dice.choice([(2, 0.7), (3, 1.4), (1, 1.5), (4, 0.6)])
    rows[at][column] = repr(float(rows[at][column]) * factor)
    return at


def number(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    column = dice.randint(1, 4)
    rows[at][column] = dice.choice(["", "n/a", "0", "-" + rows[at][column], "nan", "inf"])
    return at


def zero_volume(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    rows[at][5] = "0"
    return at


def silence(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    rows[at][1:] = [rows[at - 1][4]] * 4 + ["0"]
    return at


def outlier(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    _scale(rows[at], dice.choice([0.1, 0.5, 0.6, 1.5, 2.0, 3.0, 10.0]), dice.choice(["ohlc", "c"]))
    _widen(rows[at])
    return at


def open_outlier(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    _scale(rows[at], dice.choice([0.5, 1.6, 2.0]), "o")
    _widen(rows[at])
    return at


def tick(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    low, factor = dice.choice([(True, 0.1), (False, 8.0)])
    _scale(rows[at], factor, "l" if low else "h")
    return at


def split(rows: Rows, dice: Random) -> int:
    at, ratio = (
        _middle(rows, dice),
        dice.choice([1 / 2, 1 / 3, 1 / 4, 2 / 3, 4 / 5, 3 / 4, 3 / 5, 1 / 10, 10.0]),
    )
    with_volume = dice.random() < 0.5
    for row in rows[at:]:
        _scale(row, ratio)
        if with_volume:
            row[5] = repr(float(row[5]) / ratio)
    return at


def closed_day(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    while date.fromisoformat(rows[at][0]).weekday() != 4:
        at += 1
    rows[at][0] = (date.fromisoformat(rows[at][0]) + DAY).isoformat()
    return at


def shift_dates(rows: Rows, dice: Random) -> int:
    at, by = dice.choice([0, _middle(rows, dice)]), dice.choice([DAY, -DAY])
    for row in rows[at:]:
        row[0] = (date.fromisoformat(row[0]) + by).isoformat()
    return at


def clock(rows: Rows, dice: Random) -> int:
    at = dice.choice([0, _middle(rows, dice)])
    for row in rows[at:]:
        row[0] += dice.choice(["T16:00:00Z", "T05:00:00", " 09:30"])
    return at


def unreadable_date(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    rows[at][0] = dice.choice(["", "yesterday", "2021-02-30", "31/12/2021", "1704067200000"])
    return at


def order(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    rows[at][0] = f"{int(rows[at][0][:4]) + dice.choice([-20, 20])}{rows[at][0][4:]}"
    return at


def reverse_rows(rows: Rows, dice: Random) -> int:
    rows.reverse()
    return 0


def drop_cell(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    del rows[at][dice.randint(1, 5) :]
    return at


def unfinished(rows: Rows, dice: Random) -> int:
    last = rows[-1]
    last[5] = repr(float(last[5]) * dice.choice([0.003, 0.02, 0.05]))
    last[4] = repr((float(last[2]) + float(last[3])) / 2)
    return len(rows) - 1


def frozen(rows: Rows, dice: Random) -> int:
    at = _middle(rows, dice)
    end = 5 if dice.random() < 0.5 else 6
    for row in rows[at : at + 10]:
        row[1:end] = rows[at - 1][1:end]
    return at


def volume_unit(rows: Rows, dice: Random) -> int:
    at, factor = _middle(rows, dice), dice.choice([0.001, 0.01, 100, 1000, 1e6])
    for row in rows[at:]:
        row[5] = repr(float(row[5]) * factor)
    return at


def flat(rows: Rows, dice: Random) -> int:
    at = dice.choice([1, _middle(rows, dice)])
    for row in rows[at - (at == 1) : at + 60 if at > 1 else None]:
        row[1:4] = [row[4]] * 3
    return at


def joined(rows: Rows, dice: Random) -> int:
    at = dice.choice([1, _middle(rows, dice)])
    for before, row in list(pairwise(rows))[at - 1 : at + 60 if at > 1 else None]:
        row[1] = before[4]
        _widen(row)
    while at > 1 and float(rows[at - 1][1]) == float(rows[at - 2][4]):
        at -= 1  # by chance the day before opens at the last close too
    return at


def intraday(rows: Rows, dice: Random) -> int:
    hours = dice.choice([3, 8, 24])
    rows[:] = [[f"{row[0]}T{hour:02}:00:00Z", *row[1:]] for row in rows for hour in range(hours)]
    return 0


def weekly(rows: Rows, dice: Random) -> int:
    rows[:] = rows[:: dice.choice([7, 10, 30])]
    return 0


PLANTED: dict[str, tuple[Plant, Kind]] = {
    "gap": (gap, Kind.GAP),
    "duplicate": (duplicate, Kind.DUPLICATE),
    "repeated bar": (repeat_row, Kind.DUPLICATE),
    "ohlc": (ohlc, Kind.OHLC),
    "number": (number, Kind.NUMBER),
    "zero volume": (zero_volume, Kind.ZERO_VOLUME),
    "silence": (silence, Kind.ZERO_VOLUME),
    "outlier": (outlier, Kind.OUTLIER),
    "open outlier": (open_outlier, Kind.OUTLIER),
    "bad tick": (tick, Kind.OUTLIER),
    "split": (split, Kind.SPLIT),
    "closed day": (closed_day, Kind.CLOSED_DAY),
    "shifted": (shift_dates, Kind.SHIFTED),
    "clock": (clock, Kind.CLOCK),
    "date": (unreadable_date, Kind.DATE),
    "order": (order, Kind.ORDER),
    "backwards": (reverse_rows, Kind.ORDER),
    "ragged": (drop_cell, Kind.UNREADABLE),
    "unfinished": (unfinished, Kind.UNFINISHED),
    "frozen": (frozen, Kind.FROZEN),
    "volume unit": (volume_unit, Kind.VOLUME_UNIT),
    "flat": (flat, Kind.FLAT),
    "joined": (joined, Kind.OPENS),
    "intraday": (intraday, Kind.UNREADABLE),
    "weekly": (weekly, Kind.UNREADABLE),
}
"""By name: what plants the fault, and the kind under which it must be found."""

# A market that never closes has no day on which a bar cannot be.
NEEDS_CLOSED_DAYS = ("shifted", "closed day", "joined")

# Found at the place, but no harm on its own: prices are as they were, or no fill is made there.
HARMLESS = ("zero volume", "bad tick", "volume unit", "flat", "joined", "backwards")

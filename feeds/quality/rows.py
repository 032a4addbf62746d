"""Reads a bar file that may be wrong anywhere, and says what is wrong with each row by itself.

Knows columns, numbers and order; it knows no calendar and compares no prices. What `feeds.files.bars` refuses
at the first fault is read to its end here, and the rows that can be used are handed on.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import groupby

from engine.errors import DataError
from feeds.files.bars import COLUMNS
from feeds.files.tables import Row, parse_number, parse_timestamp, quote_value, read_rows
from feeds.quality.findings import Finding, FindingFactory, Kind, find_misplaced, pluralize

_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class BarRow:
    """One row of a bar file with a date of its own. `sound` tells that its numbers make a possible bar."""

    line: int
    day: date
    open: float
    high: float
    low: float
    close: float
    volume: float
    is_valid: bool

    @property
    def numbers(self) -> tuple[float, ...]:
        """Its prices and volume."""
        return self.open, self.high, self.low, self.close, self.volume


class RowCheck:
    """The rows of one file: `rows` are usable and ascend by date, `findings` are the faults of single rows.

    Both are filled by the constructor, which raises nothing on account of what the file holds.
    """

    def __init__(self, find: FindingFactory) -> None:
        self.findings: list[Finding] = []
        self._find = find
        self.rows: list[BarRow] = self._in_order(self._read())

    def _read(self) -> list[BarRow]:
        stamped: list[tuple[Row, datetime]] = []
        try:
            for row in read_rows(self._find.file, COLUMNS, on_ragged=self._add_ragged):
                text = row.cells["date"]
                stamp = parse_timestamp(text)
                if stamp is not None:
                    stamped.append((row, stamp))
                else:
                    fault = f"date {quote_value(text)} is not a day; write it as YYYY-MM-DD"
                    self.findings.append(self._find(Kind.DATE, row.number, None, text, fault))
        except DataError as error:
            fault = str(error).removeprefix(f"{self._find.file}").lstrip(":, ")
            self.findings.append(self._find(Kind.UNREADABLE, None, None, "", fault))
        if not stamped and not self.findings:
            fault = "a header and no rows; give at least one bar"
            self.findings.append(self._find(Kind.UNREADABLE, None, None, "", fault))
        self._check_clock(stamped)
        return list(self._check_bars(stamped))

    def _add_ragged(self, row: Row, error: DataError) -> None:
        fault = str(error).removeprefix(f"{row.place}: ")
        self.findings.append(self._find(Kind.UNREADABLE, row.number, None, "", fault))

    def _check_clock(self, stamped: Sequence[tuple[Row, datetime]]) -> None:
        odd = [(row, stamp) for row, stamp in stamped if stamp.time() != time()]
        if odd:
            row, stamp = odd[0]
            text = row.cells["date"]
            fault = (
                f"{pluralize(len(odd), 'row')} with a time that is not midnight, the first "
                f"{quote_value(text)}; "
                "find out which day each bar stands for in its market's zone, and write that date alone"
            )
            self.findings.append(self._find(Kind.CLOCK, row.number, stamp.date(), text, fault))

    def _check_bars(self, stamped: Iterable[tuple[Row, datetime]]) -> Iterator[BarRow]:
        faulty: list[tuple[str, Row, date]] = []
        for row, stamp in stamped:
            texts = {name: row.cells[name] for name in (*_PRICES, "volume")}
            values = {name: parse_number(text) for name, text in texts.items()}
            wrong = [name for name, value in values.items() if not _is_possible(name, value)]
            numbers = {name: math.nan if value is None else value for name, value in values.items()}
            fault = "" if wrong else _find_contradiction(**numbers)
            faulty += [(f"{name} {_describe_cell(texts[name])}", row, stamp.date()) for name in wrong[:1]]
            if fault:
                remedy = f"{fault}; mend the row from another source or remove it"
                self.findings.append(self._find(Kind.OHLC, row.number, stamp.date(), fault, remedy))
            yield BarRow(line=row.number, day=stamp.date(), **numbers, is_valid=not (wrong or fault))
        for said, group in groupby(faulty, key=lambda one: one[0]):
            several = list(group)
            _, row, day = several[0]
            fault = f"{said} in {pluralize(len(several), 'row')} from {day}; mend the rows or remove them"
            self.findings.append(self._find(Kind.NUMBER, row.number, day, said, fault))

    def _in_order(self, rows: list[BarRow]) -> list[BarRow]:
        """The rows with ascending dates, one for each; the others are found out of order or to come twice."""
        odd = find_misplaced([row.day for row in rows])
        if len(odd) > len(rows) / 2:
            first = rows[0]
            fault = f"the rows begin at {first.day} and go back in time; sort them, oldest first"
            self.findings.append(self._find(Kind.ORDER, first.line, first.day, str(first.day), fault))
            rows, odd = sorted(rows, key=lambda row: row.day), []
        astray = set(odd)
        kept: dict[date, BarRow] = {}
        for place, row in enumerate(rows):
            if place not in astray:
                self._append_if_ordered(kept, row)
        for row in (rows[place] for place in odd):
            if row.day in kept:
                self._append_if_ordered(kept, row)
            else:
                fault = f"date {row.day} is not in the order of time; correct the date or move the row"
                self.findings.append(self._find(Kind.ORDER, row.line, row.day, str(row.day), fault))
        return list(kept.values())

    def _append_if_ordered(self, kept: dict[date, BarRow], row: BarRow) -> None:
        first = kept.setdefault(row.day, row)
        if first is not row:
            which = "the same numbers as" if first.numbers == row.numbers else "other numbers than"
            fault = f"{row.day} comes twice, with {which} in line {first.line}; keep one of the two"
            self.findings.append(self._find(Kind.DUPLICATE, row.line, row.day, str(row.day), fault))


def _is_possible(name: str, value: float | None) -> bool:
    if value is None or not math.isfinite(value):
        return False
    return value >= 0 if name == "volume" else value > 0


def _describe_cell(text: str) -> str:
    if not text:
        return "is empty"
    return (
        f"{quote_value(text)} is not a number"
        if parse_number(text) is None
        else f"{quote_value(text)} is not possible"
    )


def _find_contradiction(*, high: float, low: float, **ends: float) -> str:
    if high < low:
        return f"high {high:g} is below low {low:g}"
    for name in ("open", "close"):
        if not low <= ends[name] <= high:
            return f"{name} {ends[name]:g} is outside low {low:g} to high {high:g}"
    return ""

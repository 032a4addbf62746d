"""Read a bar file that may be wrong anywhere, and report what is wrong with each row by itself.

Where `feeds.files.bars` stops at the first fault, this reads to the end and returns the usable rows.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import groupby

from engine.errors import DataError
from engine.model import widen_range
from feeds.files.dialects import read_bar_rows
from feeds.files.layouts import ColumnSettings
from feeds.files.tables import Row, parse_number, parse_timestamp, quote_value
from feeds.quality.findings import Finding, FindingFactory, Kind, find_misplaced, pluralize

_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class BarRow:
    """One row of a bar file that has a date; `is_valid` where its numbers make a possible bar."""

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
        """Return open, high, low, close and volume."""
        return self.open, self.high, self.low, self.close, self.volume


class RowCheck:
    """The rows of one bar file, and the faults of single rows.

    The constructor reads the file, whatever it contains: `rows` are usable and ascend by date, `findings`
    has the faults, and `offsets` those from UTC that stand beside the dates.
    """

    def __init__(self, new_finding: FindingFactory, columns: ColumnSettings) -> None:
        self.findings: list[Finding] = []
        self.offsets: set[timedelta] = set()
        self._new_finding, self._columns = new_finding, columns
        self.rows: list[BarRow] = self._sort_rows(self._read())

    def _read(self) -> list[BarRow]:
        stamped: list[tuple[Row, datetime]] = []
        try:
            for row in read_bar_rows(self._new_finding.file, self._add_ragged, self._columns):
                text = row.cells["date"]
                stamp = parse_timestamp(text)
                if stamp is not None:
                    stamped.append((row, stamp))
                else:
                    fault = f"date {quote_value(text)} is not a day; write it as YYYY-MM-DD"
                    self.findings.append(self._new_finding(Kind.DATE, row.number, None, text, fault))
        except DataError as error:
            fault = str(error).removeprefix(f"{self._new_finding.file}").lstrip(":, ")
            self.findings.append(self._new_finding(Kind.UNREADABLE, None, None, "", fault))
        if not stamped and not self.findings:
            fault = "a header and no rows; give at least one bar"
            self.findings.append(self._new_finding(Kind.UNREADABLE, None, None, "", fault))
        self._check_clock(stamped)
        if len(stamped) > 2 and stamped[0][0].number > stamped[-1][0].number:
            row, stamp = stamped[-1]
            fault = f"the rows begin at {stamp.date()} and go back in time; they are read oldest first"
            self.findings.append(
                self._new_finding(
                    Kind.ORDER, row.number, stamp.date(), str(stamp.date()), fault, blocking=False
                )
            )
        self.offsets = {stamp.utcoffset() or timedelta(0) for _, stamp in stamped}
        return list(self._parse_bars(stamped))

    def _add_ragged(self, row: Row, error: DataError) -> None:
        fault = str(error).removeprefix(f"{row.place}: ")
        self.findings.append(self._new_finding(Kind.UNREADABLE, row.number, None, "", fault))

    def _check_clock(self, stamped: Sequence[tuple[Row, datetime]]) -> None:
        with_time = [(row, stamp) for row, stamp in stamped if stamp.time() != time()]
        if with_time:
            row, stamp = with_time[0]
            text = row.cells["date"]
            fault = (
                f"{pluralize(len(with_time), 'row')} with a time that is not midnight, the first "
                f"{quote_value(text)}; "
                "find out which day each bar stands for in its market's zone, and write that date alone"
            )
            self.findings.append(self._new_finding(Kind.CLOCK, row.number, stamp.date(), text, fault))

    def _parse_bars(self, stamped: Iterable[tuple[Row, datetime]]) -> Iterator[BarRow]:
        faulty: list[tuple[str, Row, date]] = []
        widened: list[tuple[int, date]] = []
        for row, stamp in stamped:
            texts = {name: row.cells[name] for name in (*_PRICES, "volume")}
            values = {name: parse_number(text) for name, text in texts.items()}
            wrong = [name for name, value in values.items() if not _is_possible(name, value)]
            numbers = {name: math.nan if value is None else value for name, value in values.items()}
            if not wrong and self._widen(numbers):
                widened.append((row.number, stamp.date()))
            fault = "" if wrong else _find_contradiction(**numbers)
            faulty += [(f"{name} {_describe_cell(texts[name])}", row, stamp.date()) for name in wrong[:1]]
            if fault:
                remedy = f"{fault}; correct the row from another source or remove it"
                self.findings.append(self._new_finding(Kind.OHLC, row.number, stamp.date(), fault, remedy))
            yield BarRow(line=row.number, day=stamp.date(), **numbers, is_valid=not (wrong or fault))
        self.findings += describe_widened(widened, self._new_finding)
        for description, group in groupby(faulty, key=lambda entry: entry[0]):
            rows = list(group)
            _, row, day = rows[0]
            fault = (
                f"{description} in {pluralize(len(rows), 'row')} from {day}; correct the rows or remove them"
            )
            self.findings.append(self._new_finding(Kind.NUMBER, row.number, day, description, fault))

    @staticmethod
    def _widen(numbers: dict[str, float]) -> bool:
        """Widen high and low in `numbers` as the reader does, and return whether that changed them."""
        before = numbers["high"], numbers["low"]
        numbers["high"], numbers["low"] = widen_range(numbers["open"], *before, numbers["close"])
        return before != (numbers["high"], numbers["low"])

    def _sort_rows(self, rows: list[BarRow]) -> list[BarRow]:
        """Return the rows in ascending order, one per date; report those out of order and those repeated."""
        misplaced = find_misplaced([row.day for row in rows])
        if len(misplaced) > len(rows) / 2:
            first = rows[0]
            fault = f"the rows begin at {first.day} and go back in time; sort them, oldest first"
            self.findings.append(self._new_finding(Kind.ORDER, first.line, first.day, str(first.day), fault))
            rows, misplaced = sorted(rows, key=lambda row: row.day), []
        excluded = set(misplaced)
        kept: dict[date, BarRow] = {}
        for index, row in enumerate(rows):
            if index not in excluded:
                self._append_if_ordered(kept, row)
        for row in (rows[index] for index in misplaced):
            if row.day in kept:
                self._append_if_ordered(kept, row)
            else:
                fault = f"date {row.day} is not in the order of time; correct the date or move the row"
                self.findings.append(self._new_finding(Kind.ORDER, row.line, row.day, str(row.day), fault))
        return list(kept.values())

    def _append_if_ordered(self, kept: dict[date, BarRow], row: BarRow) -> None:
        first = kept.setdefault(row.day, row)
        if first is not row:
            which = "the same numbers as" if first.numbers == row.numbers else "other numbers than"
            fault = f"{row.day} comes twice, with {which} in line {first.line}; keep one of the two"
            self.findings.append(self._new_finding(Kind.DUPLICATE, row.line, row.day, str(row.day), fault))


def describe_widened(widened: Sequence[tuple[int, date]], new_finding: FindingFactory) -> list[Finding]:
    """Return one finding on the bars whose high or low was widened, by line and day; none where none was."""
    if not widened:
        return []
    line, day = widened[0]
    note = (
        f"{pluralize(len(widened), 'bar')} from {day} with an open or close outside low and high, by no more "
        "than rounding explains (0.1%, or 0.01); low and high are widened to it"
    )
    return [new_finding(Kind.OHLC, line, day, str(len(widened)), note, blocking=False)]


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

"""Read exchange rates from CSV and Parquet files.

A rate is a daily bar of a pair: its close is known when its date has ended in UTC, two hours after New York's
close, with which a day of currencies ends.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from engine.errors import DataError
from engine.fx import FxRates, FxRateSeries
from feeds.files.listing import find_tables
from feeds.files.tables import Row, parse_number, parse_timestamp, quote_value, read_rows

COLUMNS = ("date", "close")


def read_rates(paths: Sequence[Path], base: str, constants: Mapping[str, float] | None = None) -> FxRates:
    """Read the rates in `paths`.

    A file is named after its pair: the column `close` of CNYUSD.csv (also CNY-USD.csv) has the price of one
    CNY in USD, and that of USDCNY.csv the price of one USD in CNY, which is inverted.

    Args:
        paths: Files, or folders of files.
        base: The base currency of all rates.
        constants: Constant rates by currency.

    Raises:
        DataError: For a path that is missing or no such table, a pair without `base`, a currency that occurs
            twice, a date that is none or does not ascend, and a rate that is not a number above zero.
    """
    series: dict[str, FxRateSeries] = {}
    places: dict[str, str] = dict.fromkeys(constants or {}, "[rates]")
    for path in find_tables(paths, COLUMNS, "rate"):
        currency, inverted = _parse_pair(path, base)
        if currency in places:
            raise DataError(f"{path}: {currency} has a rate in {places[currency]} already; leave one out")
        places[currency] = str(path)
        series[currency] = _read_series(path, inverted=inverted)
    try:
        return FxRates(base=base, constants=dict(constants or {}), series=series)
    except ValueError as error:
        raise DataError(f"[rates]: {error}; correct or remove it") from None


def _parse_pair(path: Path, base: str) -> tuple[str, bool]:
    """Return the other currency of a file's pair, and whether its price is that of the base currency."""
    name = path.stem.upper()
    for mark in "-_":
        name = name.replace(mark, "/")
    parts = name.split("/")
    if len(parts) == 1 and len(name) > len(base):
        # USDTUSD with the base USD is a price of USDT: what is priced comes first.
        if name.endswith(base):
            parts = [name.removesuffix(base), base]
        elif name.startswith(base):
            parts = [base, name.removeprefix(base)]
    if len(parts) != 2 or (parts[0] == base) == (parts[1] == base) or not all(parts):
        raise DataError(
            f"{path}: {quote_value(path.stem)} is no rate against {base}; name the file after its pair, "
            f"as in CNY{base}.csv" + (" or EURUSD.csv with another --base" if base != "USD" else "")
        )
    return (parts[1], True) if parts[0] == base else (parts[0], False)


def _read_series(path: Path, *, inverted: bool) -> FxRateSeries:
    known_at, values = [], []
    for day, value in _dated_rows(path):
        known_at.append(datetime.combine(day, time(), UTC) + timedelta(days=1))
        values.append(1 / value if inverted else value)
    if not known_at:
        raise DataError(f"{path}: a header and no rows; give at least one rate")
    return FxRateSeries(known_at=tuple(known_at), values=tuple(values))


def _dated_rows(path: Path) -> Iterator[tuple[date, float]]:
    last: date | None = None
    for row in read_rows(path, COLUMNS):
        day = _parse_day(row)
        if last is not None and day <= last:
            raise DataError(f"{row.place}: date {day} after {last}; give one row a day, oldest first")
        last = day
        yield day, _parse_rate(row)


def _parse_day(row: Row) -> date:
    text = row.cells["date"]
    stamp = parse_timestamp(text)
    if stamp is None or stamp.time() != time():
        raise DataError(f"{row.place}: date {quote_value(text)} is not a day; write it as YYYY-MM-DD")
    return stamp.date()


def _parse_rate(row: Row) -> float:
    text = row.cells["close"]
    value = parse_number(text)
    if value is None or not (math.isfinite(value) and value > 0) or 1 / value == math.inf:
        raise DataError(
            f"{row.place}: close {quote_value(text)} is not a rate above zero; correct or remove the row"
        )
    return value

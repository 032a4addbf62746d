"""Bars of a CSV file, or made-up ones, as rows of text, for servers to serve and tests to compare with."""

import csv
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from tests.support.places import SHARED_DATA
from tests.support.servers.faults import TextRow

DATA = SHARED_DATA
SAMPLES = DATA / "wire_samples"
DAY_MS = 86_400_000


def milliseconds(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp() * 1000)


def text_rows(path: Path, since: date = date.min, until: date = date.max) -> list[TextRow]:
    """The file's days from `since` to `until`, both included, with the cells as they are written."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            (
                milliseconds(day),
                *(row[name] for name in ("open", "high", "low", "close", "volume")),
            )
            for row in csv.DictReader(file)
            if since <= (day := date.fromisoformat(row["date"])) <= until
        ]


def daily(days: int, until: date) -> list[tuple[object, ...]]:
    """Made-up rows of the `days` before `until`."""
    rows = []
    for n in range(days):
        price = 100 + (n * 7919) % 13
        cells = (price, price + 2, price - 2, price + 1, 10)
        rows.append((milliseconds(until - timedelta(days=days - n)), *map(str, cells)))
    return rows

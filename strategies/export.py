"""Writes a run for other tools: one JSON file and four CSV files, each replaced as a whole or not at all."""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import DataError
from engine.outcomes import outcomes
from engine.values import Bar
from strategies.runs import plain
from strategies.scorecard import Played, forecast_row


def export(
    folder: Path, result: Mapping[str, Any], student: Played, bars: Mapping[str, Sequence[Bar]]
) -> None:
    """Write result.json, forecasts.csv, orders.csv, fills.csv and equity.csv. Raises DataError."""
    engine = student.engine
    forecasts = (
        (*row[:6], outcome.next_close if outcome else None, row[6])
        for row, (_, outcome) in (
            (forecast_row(call), scored)
            for call, scored in zip(student.calls, outcomes(student.calls, bars), strict=True)
        )
    )
    tables: dict[str, tuple[str, Iterable[Sequence[object]]]] = {
        "forecasts.csv": (
            "as_of,symbol,direction,confidence,close,last_close,outcome_close,abstention",
            forecasts,
        ),
        "orders.csv": (
            "number,decided_at,due_at,at,symbol,size,status,reason",
            (
                (o.number, o.decided_at, o.due_at, o.at, o.symbol, o.size, o.status, o.reason)
                for o in engine.orders
            ),
        ),
        "fills.csv": (
            "at,symbol,size,price,cost",
            ((f.at, f.symbol, f.size, f.price, f.cost) for f in engine.fills),
        ),
        "equity.csv": ("at,value,cash", ((m.at, m.value, m.cash) for m in engine.marks)),
    }
    texts = {name: _csv(header, rows) for name, (header, rows) in tables.items()}
    texts["result.json"] = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomically(folder / name, text)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error


def write_atomically(path: Path, text: str) -> None:
    """Write beside the file, then put it in its place, so that no reader sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _csv(header: str, rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header.split(","))
    for row in rows:
        writer.writerow(["" if cell is None else plain(cell) for cell in row])
    return text.getvalue()

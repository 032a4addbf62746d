"""Write a recorded run as files for other programs: Parquet or CSV, and its daily returns."""

import json
import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import DataError, UsageError
from engine.model import Direction
from strategies.data_folder import require_writable
from strategies.equity_file import COLUMNS, EquityCurve
from strategies.recorded_run import RecordedRun
from strategies.report.series import daily_values
from strategies.results import forecast_row

if TYPE_CHECKING:
    from pandas import DataFrame


class ExportFormat(StrEnum):
    """The form of exported tables."""

    PARQUET = "parquet"
    CSV = "csv"


EXPORTED_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "forecasts": {
        "as_of": "the close at which it was made, UTC",
        "symbol": "the symbol",
        "direction": "up or down; empty for an abstention",
        "confidence": "the stated probability that the direction is right, 0.5 to 1",
        "close": "the forecast close, quote currency",
        "last_close": "the close at `as_of`, quote currency",
        "abstention": "why there is no forecast; empty for a forecast",
        "probability_up": "the stated probability of a rise, 0 to 1",
        "token_probability_up": "the probability of the token for a rise, where it is known",
        "known_at": "when the next close was known, UTC; empty while it is not",
        "outcome_close": "the next close, quote currency",
        "fill_open": "the open after `as_of`, quote currency",
        "exit_open": "the open after that",
    },
    "orders": {
        "number": "counts the orders of the run from 1",
        "decided_at": "when it was given, UTC",
        "due_at": "the open at which it was due, UTC",
        "at": "when it got its last status, UTC",
        "symbol": "the symbol",
        "size": "signed units",
        "status": "the last status",
        "reason": "why it was given or got that status",
    },
    "fills": {
        "number": "the order",
        "at": "when it was filled, UTC",
        "symbol": "the symbol",
        "size": "signed units",
        "price": "the price paid, quote currency",
        "open": "the official open, quote currency",
        "commission": "the fee, base currency",
        "slippage": "the amount between the two prices, base currency",
        "cost": "the sum of both, base currency",
        "rate": "the value of one unit of the quote currency in the base currency",
    },
    "equity": {
        "at": "the close, UTC",
        "caller": "the forecaster: student, buy_and_hold, …",
        "value": "the value of the portfolio, base currency",
        "cash": "its cash, base currency",
        "exposure": "(value - cash) / value: below 0 where it is short",
    },
    "returns": {
        "date": "the day, without a time",
        "(a column for each forecaster)": "the simple return of the day; the first from the starting cash",
    },
}
"""The columns of each file, with what they hold."""


def export_run(run: RecordedRun, folder: Path, form: ExportFormat, *, overwrite: bool = False) -> list[Path]:
    """Write the tables of a run and `result.json` to a folder, and return the files.

    `returns` has a column of daily returns for each forecaster, indexed by day: what quantstats and pyfolio
    take.

    Args:
        run: The run.
        folder: Where to; it is created.
        form: Parquet, or CSV.
        overwrite: Whether to replace files that are there.

    Raises:
        UsageError: A file is there already, or the folder cannot be written.
        DataError: A file cannot be written.
    """
    paths = {name: folder / f"{name}.{form}" for name in EXPORTED_COLUMNS} | {
        "result": folder / "result.json"
    }
    require_writable(folder, "--out")
    if held := [path for path in paths.values() if path.exists() and not overwrite]:
        raise UsageError(
            f"--out {folder}: {held[0].name} is there already; name another folder, or replace it with "
            "--overwrite"
        )
    frames = build_frames(run)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in paths.items():
            beside = path.with_name(f".{path.name}.{os.getpid()}.part")
            try:
                _write(beside, frames.get(name), run.result, form)
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error}); choose another --out") from error
    return list(paths.values())


def _write(path: Path, frame: "DataFrame | None", result: Mapping[str, Any], form: ExportFormat) -> None:
    if frame is None:
        path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    elif form is ExportFormat.PARQUET:
        frame.to_parquet(path, compression="zstd")
    else:
        frame.to_csv(path, index=frame.index.name is not None, lineterminator="\n")


def build_frames(run: RecordedRun) -> dict[str, "DataFrame"]:
    """Return the tables of a run by name, with the columns of `EXPORTED_COLUMNS`."""
    from pandas import DataFrame

    forecasts = []
    for call, outcome in run.match_outcomes():
        row = [str(cell) if isinstance(cell, Direction) else cell for cell in forecast_row(call)]
        later = (
            (outcome.known_at, outcome.next_close, outcome.fill_open, outcome.exit_open)
            if outcome
            else (None,) * 4
        )
        probabilities = (getattr(call, "probability_up", None), getattr(call, "token_probability_up", None))
        forecasts.append([*row, *probabilities, *later])
    frames = {"forecasts": DataFrame(forecasts, columns=list(EXPORTED_COLUMNS["forecasts"]))}
    for name, records in {"orders": run.orders, "fills": run.fills}.items():
        frames[name] = _frame_records(name, records)
    rows = [
        (at, caller, value, cash, exposure)
        for caller, curve in run.curves.items()
        for at, value, cash, exposure in zip(curve.at, curve.value, curve.cash, curve.exposure, strict=True)
    ]
    return frames | {
        "equity": DataFrame(rows, columns=list(COLUMNS)),
        "returns": frame_returns(run.curves, run.cash),
    }


def _frame_records(name: str, records: Sequence[object]) -> "DataFrame":
    from pandas import DataFrame

    columns = list(EXPORTED_COLUMNS[name])
    cells = [[getattr(record, column) for column in columns] for record in records]
    return DataFrame([[_plain(cell) for cell in row] for row in cells], columns=columns)


def _plain(cell: object) -> object:
    return cell.value if isinstance(cell, StrEnum) else cell


def frame_returns(curves: Mapping[str, EquityCurve], cash: float) -> "DataFrame":
    """Return the simple return of each day, a column for each forecaster.

    Args:
        curves: The equity of each forecaster.
        cash: The equity at the start, from which the first return is.
    """
    from pandas import DataFrame, DatetimeIndex, Series

    columns = {}
    for caller, curve in curves.items():
        daily = daily_values(curve)
        values = [cash, *daily.values()]
        returns = [now / before - 1.0 if before > 0 else 0.0 for before, now in pairwise(values)]
        columns[caller] = Series(returns, index=DatetimeIndex([*daily], name="date"), dtype=float)
    return DataFrame(columns)

"""The equity of every forecaster of a run, kept beside its journal as `equity.parquet`.

The journal has the student's equity only; a run of an earlier version lacks the file.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import DataError
from engine.trading.records import EquityPoint

if TYPE_CHECKING:
    from strategies.results import SimulationResult

EQUITY = "equity.parquet"
COLUMNS = ("at", "caller", "value", "cash", "exposure")
_CLOSES_PER_GROUP = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityCurve:
    """The portfolio of one forecaster after each close, oldest first, in the base currency.

    `exposure` is what is invested over the value, a fraction: negative for a portfolio that is short, and
    above 1 for one that has borrowed.
    """

    at: tuple[datetime, ...]
    value: tuple[float, ...]
    cash: tuple[float, ...]

    @property
    def exposure(self) -> tuple[float, ...]:
        """Return the invested part of the value at each close; 0 where nothing is left."""
        return tuple(
            (value - cash) / value if value > 0 else 0.0
            for value, cash in zip(self.value, self.cash, strict=True)
        )


def build_curve(marks: Sequence[EquityPoint]) -> EquityCurve:
    """Return the curve of a portfolio's marks."""
    return EquityCurve(
        at=tuple(mark.at for mark in marks),
        value=tuple(mark.value for mark in marks),
        cash=tuple(mark.cash for mark in marks),
    )


def build_curves(simulations: Mapping[str, "SimulationResult"]) -> dict[str, EquityCurve]:
    """Return the curve of every forecaster by name."""
    return {name: build_curve(simulation.engine.marks) for name, simulation in simulations.items()}


def write_equity(folder: Path, curves: Mapping[str, EquityCurve]) -> None:
    """Write the curves to `equity.parquet` in the folder, whole or not at all.

    Raises DataError where the folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
    for caller, curve in curves.items():
        columns["at"] += curve.at
        columns["caller"] += [caller] * len(curve.at)
        columns["value"] += curve.value
        columns["cash"] += curve.cash
        columns["exposure"] += curve.exposure
    types = [pa.timestamp("us", tz="UTC"), pa.string(), pa.float64(), pa.float64(), pa.float64()]
    table = pa.table(columns, schema=pa.schema(list(zip(COLUMNS, types, strict=True))))
    path = folder / EQUITY
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        pq.write_table(table, beside, compression="zstd", row_group_size=_CLOSES_PER_GROUP)
        beside.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error}); check the disk and its rights") from error
    finally:
        beside.unlink(missing_ok=True)


def read_equity(folder: Path) -> dict[str, EquityCurve]:
    """Return the curves by forecaster; empty for a run without the file.

    Raises DataError for a file that cannot be read.
    """
    path = folder / EQUITY
    if not path.is_file():
        return {}
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=[*COLUMNS[:4]]).to_pydict()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the backtest again") from error
    rows: dict[str, tuple[list[datetime], list[float], list[float]]] = {}
    for at, caller, value, cash in zip(*(table[name] for name in COLUMNS[:4]), strict=True):
        instants, values, amounts = rows.setdefault(caller, ([], [], []))
        instants.append(at.astimezone(UTC))
        values.append(value)
        amounts.append(cash)
    return {
        caller: EquityCurve(at=tuple(instants), value=tuple(values), cash=tuple(amounts))
        for caller, (instants, values, amounts) in rows.items()
    }

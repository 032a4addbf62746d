"""The record of all trials, so that the best of many runs is not mistaken for skill.

It is a file of JSON lines: a person can read and compare them, a line cut off by a crash spoils only itself,
and a single write in append mode is whole even while another process appends (on a local disk), so that no
lock is needed. A data folder has a record, and the user has one of all data folders.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from engine.errors import DataError
from engine.journal.canonical import canonical_json
from engine.metrics.price_moves import (
    PriceMoves,
    decode_array,
    decode_price_moves,
    encode_array,
    have_same_prices,
)
from engine.model import require_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One finished run. Trials of earlier versions have the fields up to `daily_sharpe`.

    Attributes:
        run: The name of the run.
        at: When it was made, in UTC.
        data: The source, such as "simulated:7" or "files".
        symbols: The traded symbols.
        start: The first date of the data.
        end: The last date of the data.
        forecasts_digest: Identifies the forecasts.
        daily_sharpe: Not annualised; None where there is none, as for a run without a trade.
        equity_digest: Identifies what came of them: other costs or sizes give another.
        settings: The configuration where it differs from the default, without what does not matter.
        student: The fingerprint of the student.
        data_digest: Identifies bars and news to the last digit.
        moves_digest: The digest of the price moves, by which the same data are recognised.
        returns: The daily returns, as `encode_returns` writes them.
    """

    run: str
    at: datetime
    data: str
    symbols: tuple[str, ...]
    start: date
    end: date
    forecasts_digest: str
    daily_sharpe: float | None
    equity_digest: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    student: str | None = None
    data_digest: str | None = None
    moves_digest: str | None = None
    returns: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
        if isinstance(self.start, datetime) or isinstance(self.end, datetime):
            raise ValueError("a trial's start and end are dates without a time")
        if self.end < self.start:
            raise ValueError(f"a trial ends on {self.end}, before it starts on {self.start}")

    @property
    def outcome(self) -> tuple[object, ...]:
        """What tells distinct trials apart: the forecasts, and what came of them."""
        return self.forecasts_digest, self.equity_digest or self.daily_sharpe

    @property
    def daily_returns(self) -> dict[date, float]:
        """The simple returns by day; empty for a trial of an earlier version."""
        if self.returns is None:
            return {}
        days = decode_array(self.returns["days"], "<i4").tolist()
        values = decode_array(self.returns["values"], "<f8").tolist()
        return {date.fromordinal(day): value for day, value in zip(days, values, strict=True)}


def encode_returns(returns: Mapping[date, float]) -> dict[str, str]:
    """Return daily returns as JSON types: the days as proleptic ordinals, the values as doubles."""
    import numpy as np

    return {
        "days": encode_array(np.array([day.toordinal() for day in returns]), "<i4"),
        "values": encode_array(np.array(list(returns.values())), "<f8"),
    }


def append_trial(path: Path, trial: Trial, moves: PriceMoves | None = None) -> None:
    """Append one line to the record and wait until it is on the disk. The folder is created if need be.

    Show a run's result only after this returns: then a line cut off by a crash is never a result that
    somebody saw.

    Args:
        path: The file of the record.
        trial: The trial.
        moves: The price moves of its data, written where the record lacks them.

    Raises:
        DataError: The line cannot be written.
    """
    cells = asdict(trial)
    if moves is not None and moves.digest not in _read_record(path)[1]:
        cells["moves"] = moves.encode()
    line = canonical_json(cells).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # End a line that a crash cut off. If two processes do so at once, an empty line is left.
        cut = _ends_without_newline(path)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            written = os.write(file, b"\n" + line if cut else line)
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise DataError(
            f"{path}: the trial was not recorded ({error.strerror}); check disk and rights"
        ) from error
    if written != len(line) + cut:
        raise DataError(f"{path}: the trial was not recorded in full; make room on the disk and run again")


def read_trials(paths: Iterable[Path]) -> list[Trial]:
    """Return the trials of records, each once though several records hold it, oldest first by record.

    A line cut off by a crash is skipped; a missing file is an empty record.

    Raises:
        DataError: For a whole line that is no trial, with its number.
    """
    return _join_records(map(_read_record, paths))[0]


def find_trials(paths: Iterable[Path], trial: Trial, moves: PriceMoves | None = None) -> list[Trial]:
    """Return the trials that were made on the same data as one.

    The data are the same if they share the prices of a symbol on enough days, whatever they are called (see
    `have_same_prices`). Where that is not known, for days are few or a record is that of an earlier
    version, they are if source and a symbol have the same name and dates overlap.

    Args:
        paths: The files of the records.
        trial: The trial whose data are meant.
        moves: The price moves of its data; None takes those on record.

    Raises:
        DataError: For a whole line that is no trial, with its number.
    """
    trials, known = _join_records(map(_read_record, paths))
    moves = moves or known.get(trial.moves_digest or "")
    shared = {
        digest: None if moves is None else have_same_prices(moves, other) for digest, other in known.items()
    }
    return [
        other
        for other in trials
        if other.start <= trial.end
        and trial.start <= other.end
        and _is_same_data(trial, other, shared.get(other.moves_digest or ""))
    ]


def _join_records(
    records: Iterable[tuple[list[Trial], dict[str, PriceMoves]]],
) -> tuple[list[Trial], dict[str, PriceMoves]]:
    joined: dict[tuple[object, ...], Trial] = {}
    known: dict[str, PriceMoves] = {}
    for trials, moves in records:
        joined |= {(trial.run, trial.at, trial.outcome): trial for trial in trials}
        known |= moves
    return list(joined.values()), known


def _is_same_data(trial: Trial, other: Trial, shared: bool | None) -> bool:  # noqa: FBT001  # an answer
    if shared is None:
        return trial.data == other.data and bool({*trial.symbols} & {*other.symbols})
    return shared


def distinct_trials(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials with distinct forecasts, orders or costs, in order of record.

    The same run again is not another draw of luck; other sizes, shorts or costs are, though the
    forecasts be the same. Of equal runs the newest is taken.
    """
    kept = {trial.outcome: trial for trial in trials}
    # A run that an earlier version recorded, made again.
    made_again = {
        (trial.forecasts_digest, trial.daily_sharpe) for trial in kept.values() if trial.equity_digest
    }
    return [trial for trial in kept.values() if trial.equity_digest or trial.outcome not in made_again]


def sharpe_variance(trials: Iterable[Trial]) -> float | None:
    """Return the sample variance of the daily Sharpe ratios on record; None for fewer than two."""
    from statistics import variance

    ratios = [trial.daily_sharpe for trial in trials if trial.daily_sharpe is not None]
    return variance(ratios) if len(ratios) > 1 else None


def _read_record(path: Path) -> tuple[list[Trial], dict[str, PriceMoves]]:
    """Return the trials of a record, and the price moves that it keeps by their digest."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], {}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    trials: list[Trial] = []
    known: dict[str, PriceMoves] = {}
    for number, line in enumerate(lines, start=1):
        try:
            cells = json.loads(line)
        except ValueError:
            continue  # empty, or cut off
        try:
            trials.append(_parse_trial(cells))
            if "moves" in cells:
                known[cells["moves_digest"]] = decode_price_moves(cells["moves"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}:{number}: not a trial ({error}); restore the line from a copy"
            ) from error
    return trials, known


def _parse_trial(cells: object) -> Trial:
    if not isinstance(cells, dict):
        raise TypeError("not an object")
    return Trial(
        run=str(cells["run"]),
        at=datetime.fromisoformat(cells["at"]),
        data=str(cells["data"]),
        symbols=tuple(cells["symbols"]),
        start=date.fromisoformat(cells["start"]),
        end=date.fromisoformat(cells["end"]),
        forecasts_digest=str(cells["forecasts_digest"]),
        daily_sharpe=None if cells["daily_sharpe"] is None else float(cells["daily_sharpe"]),
        **{name: cells[name] for name in _ADDED if name in cells},
    )


_ADDED = ("equity_digest", "settings", "student", "data_digest", "moves_digest", "returns")
"""Fields that trials of earlier versions lack."""


def _ends_without_newline(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"

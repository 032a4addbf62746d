"""The record of all trials, so that the best of many runs is not mistaken for skill.

It is a file of JSON lines: a person can read and compare them, a line cut off by a crash spoils only itself,
and a single write in append mode is whole even while another process appends (on a local disk), so that no
lock is needed.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path

from engine.errors import DataError
from engine.journal.canonical import canonical_json
from engine.model import require_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run, finished or interrupted.

    Attributes:
        run: The name of the run.
        at: When it was made, in UTC.
        data: The source, such as "simulated:7" or "files".
        symbols: The traded symbols.
        start: The first date of the data.
        end: The last date of the data.
        forecasts_digest: Identifies the forecasts.
        daily_sharpe: Not annualised; None where there is none, as for an interrupted run.
    """

    run: str
    at: datetime
    data: str
    symbols: tuple[str, ...]
    start: date
    end: date
    forecasts_digest: str
    daily_sharpe: float | None

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
        if isinstance(self.start, datetime) or isinstance(self.end, datetime):
            raise ValueError("a trial's start and end are dates without a time")
        if self.end < self.start:
            raise ValueError(f"a trial ends on {self.end}, before it starts on {self.start}")


def append_trial(path: Path, trial: Trial) -> None:
    """Append one line to the record and wait until it is on the disk. The folder is created if need be.

    Show a run's result only after this returns: then a line cut off by a crash is never a result that
    somebody saw. Raises DataError if the line cannot be written.
    """
    line = canonical_json(asdict(trial)).encode() + b"\n"
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


def find_trials(path: Path, data: str, symbols: Sequence[str], start: date, end: date) -> list[Trial]:
    """Return the trials on the same data, oldest first: same source, a shared symbol, overlapping dates.

    Moving the dates a little or leaving out a symbol thus does not restart the count. A line cut off by a
    crash is skipped; a missing file is an empty record.

    Args:
        path: The file of the record.
        data: The source.
        symbols: The traded symbols.
        start: The first date of the data.
        end: The last date of the data.

    Raises:
        DataError: For a whole line that is no trial, with its number.
    """
    wanted = set(symbols)
    return [
        trial
        for trial in _read_trials(path)
        if trial.data == data and trial.start <= end and start <= trial.end and wanted & set(trial.symbols)
    ]


def distinct_trials(trials: Iterable[Trial]) -> list[Trial]:
    """Return the newest trial of each `forecasts_digest`, in order of record: what a deflation counts.

    Running the same forecasts again, or at other costs, is not another independent trial; of several such
    runs the newest with a Sharpe ratio is taken.
    """
    kept: dict[str, Trial] = {}
    for trial in trials:
        before = kept.get(trial.forecasts_digest)
        if before is None or before.daily_sharpe is None or trial.daily_sharpe is not None:
            kept[trial.forecasts_digest] = trial
    return list(kept.values())


def sharpe_variance(trials: Iterable[Trial]) -> float | None:
    """Return the sample variance of the daily Sharpe ratios on record; None for fewer than two."""
    from statistics import variance

    ratios = [trial.daily_sharpe for trial in trials if trial.daily_sharpe is not None]
    return variance(ratios) if len(ratios) > 1 else None


def _read_trials(path: Path) -> list[Trial]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    trials = []
    for number, line in enumerate(lines, start=1):
        try:
            cells = json.loads(line)
        except ValueError:
            continue  # empty, or cut off
        trials.append(_parse_trial(cells, f"{path}:{number}"))
    return trials


def _parse_trial(cells: object, place: str) -> Trial:
    try:
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
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{place}: not a trial ({error}); restore the line from a copy") from error


def _ends_without_newline(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"

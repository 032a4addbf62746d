"""A finished run or a session as its folder has it: result, predictions, bars, orders, fills and equity.

What reports, comparisons and exports are made from. Nothing is forecast, traded or scored again, but for the
baselines of a session, which its journal does not hold.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from engine.calendars import Calendar, load_calendar
from engine.errors import DataError, UsageError, suggest
from engine.journal.events import RECORD_KINDS, Kind, decode
from engine.journal.events.sessions import RunFinished, RunSettings, RunStarted, SessionStarted
from engine.journal.journal import Journal
from engine.model import Bar, Prediction
from engine.outcomes import Scored, match_outcomes
from engine.trading.records import EquityPoint, Fill, OrderRecord
from strategies.equity_file import EquityCurve, build_curve, build_curves, read_equity
from strategies.paper.files import journal_path, session_names
from strategies.paper.results import HistoryReader, load_session_history, score_session, simulate_session
from strategies.results import STUDENT
from strategies.runs import JOURNAL, write_atomically

LOOKAHEAD, PARITY = "lookahead.json", "parity.json"
"""What `closecall check lookahead` and `check parity` leave in the folder of a run or session."""

_KINDS = tuple({Kind.RUN_STARTED, Kind.RUN_FINISHED, Kind.SETTINGS, Kind.HISTORY, Kind.SLICE, *RECORD_KINDS})


class RunKind(StrEnum):
    """What was run."""

    BACKTEST = "backtest"
    WALK_FORWARD = "walk-forward"
    REPLAY = "replay"
    PAPER = "paper session"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A run or session with all that was recorded of it.

    Attributes:
        name: Its name.
        kind: What it was.
        folder: Where its journal is.
        started_at: When it was started.
        config: Its configuration, as journals keep it.
        result: Its result, as `--json` prints it.
        bars: The bars of each symbol, oldest first, also those from before the start.
        predictions: The student's, in order of time.
        orders: Each in its last status.
        fills: In order of time.
        curves: The equity of each forecaster; the student's alone for a run of an earlier version.
        cash: The equity at the start.
        rules: The rules that it was traded by.
        lookahead: The findings of `closecall check lookahead`; None where it was not run.
        calendars: The calendar of each symbol; none for a run of the first version.
        parity: Those of `closecall check parity`; None where it was not run since the last event.
    """

    name: str
    kind: RunKind
    folder: Path
    started_at: datetime
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    bars: Mapping[str, Sequence[Bar]]
    predictions: Sequence[Prediction]
    orders: Sequence[OrderRecord]
    fills: Sequence[Fill]
    curves: Mapping[str, EquityCurve]
    cash: float
    rules: int
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    lookahead: Mapping[str, Any] | None = None
    parity: Mapping[str, Any] | None = None

    def match_outcomes(self) -> list[Scored]:
        """Return the predictions with their outcomes, as they were scored."""
        return match_outcomes(self.predictions, self.bars, self.calendars)


def open_recorded(data_dir: Path, name: str, now: datetime) -> RecordedRun:
    """Return a finished run, or a session with a forecast, by its name.

    Args:
        data_dir: The data folder.
        name: The name of a run or session.
        now: The time at which a session that still runs is scored.

    Raises:
        UsageError: There is none of that name, or it has no result.
        JournalError: Its journal cannot be read.
    """
    folder = data_dir / "runs" / name
    # A name from the command line is one folder, never a path to elsewhere.
    if Path(name).name == name and (folder / JOURNAL).is_file():
        return _read_run(folder)
    if name in session_names(data_dir):
        return _read_session(data_dir, name, now)
    raise unknown_name(data_dir, name)


def unknown_name(data_dir: Path, name: str) -> UsageError:
    """Return the error for a name that neither a run nor a session has."""
    known = [path.parent.name for path in (data_dir / "runs").glob(f"*/{JOURNAL}")]
    hint = suggest(name, [*known, *session_names(data_dir)], "list them with: closecall runs")
    return UsageError(f"there is no run or session {name!r} in {data_dir}; {hint}")


def _read_run(folder: Path) -> RecordedRun:
    reader = HistoryReader()
    started_at: datetime | None = None
    started, result, settings = RunStarted(config={}), dict[str, Any](), None
    with Journal.open(folder / JOURNAL, folder.name) as journal:
        for row in journal.read(kinds=_KINDS):
            match decode(row):
                case RunStarted() as payload:
                    started, started_at = payload, row.recorded_at
                case RunSettings() as payload:
                    settings = payload
                case RunFinished() as payload:
                    result = dict(payload.result)
                case payload:
                    reader.apply(payload)
        chain = journal.last_chain
    if not result or started_at is None:
        raise UsageError(f"run {folder.name} has no result; start it again")
    marks = reader.records[EquityPoint]
    return RecordedRun(
        name=folder.name,
        kind=RunKind.WALK_FORWARD if "folds" in result else RunKind.BACKTEST,
        folder=folder,
        started_at=started_at,
        config=started.config,
        result=result,
        bars=_sort_bars(reader),
        predictions=_sort_predictions(reader),
        orders=[reader.orders[number] for number in sorted(reader.orders)],
        fills=reader.records[Fill],
        curves=read_equity(folder) or {STUDENT: build_curve(marks)},
        cash=settings.cash if settings else float(result["cash"]),
        rules=started.rules,
        calendars=_load_calendars(settings) if settings else {},
        **_read_checks(folder, chain),
    )


def _read_session(data_dir: Path, name: str, now: datetime) -> RecordedRun:
    path = journal_path(data_dir, name)
    with Journal.open(path, name) as journal:
        whole = load_session_history(journal, data_dir)
        result = score_session(journal, data_dir, now)
        if result is None:
            raise UsageError(f"session {name} has made no forecast yet; wait for its first close")
        simulations = simulate_session(journal, whole)
        first = next(journal.read(0))
        chain = journal.last_chain
    started = decode(first)
    return RecordedRun(
        name=name,
        kind=RunKind.REPLAY if whole.about.get("replay") else RunKind.PAPER,
        folder=path.parent,
        started_at=first.recorded_at,
        config=dict(whole.about.get("config", {})),
        result=result,
        bars=whole.market_data.bars,
        predictions=whole.calls,
        orders=whole.engine.orders,
        fills=whole.engine.fills,
        curves=build_curves(simulations),
        cash=whole.engine.starting_cash,
        rules=started.rules,
        calendars=whole.market_data.symbol_calendars,
        **_read_checks(path.parent, chain),
    )


def _load_calendars(settings: SessionStarted) -> dict[str, Calendar]:
    """Return the calendar of each symbol, as far as it was known."""
    known = {
        code: load_calendar(code, first, last - timedelta(days=31))
        for code, (first, last) in settings.calendars.items()
    }
    return {
        symbol: known[instrument.calendar]
        for symbol, instrument in settings.instruments.items()
        if instrument.calendar in known
    }


def _sort_bars(reader: HistoryReader) -> dict[str, list[Bar]]:
    return {symbol: [series[at] for at in sorted(series)] for symbol, series in sorted(reader.bars.items())}


def _sort_predictions(reader: HistoryReader) -> list[Prediction]:
    return sorted(reader.calls.values(), key=lambda call: (call.as_of, call.symbol))


def read_checks(folder: Path) -> dict[str, Mapping[str, Any] | None]:
    """Return what checks of a run found later: `lookahead` and `parity`, each None where it was not run.

    Raises DataError for a file that cannot be read, JournalError for such a journal.
    """
    with Journal.open(folder / JOURNAL, folder.name) as journal:
        return _read_checks(folder, journal.last_chain)


def write_parity(folder: Path, findings: Mapping[str, Any], chain: str) -> None:
    """Leave what a replay of a journal found beside it, for reports; `chain` is that of its last event."""
    kept = {"equal": findings["equal"], "inputs": findings["inputs"], "journal": chain}
    # A folder that can only be read is checked as well; its report then calls replay not tested.
    with suppress(OSError):
        write_atomically(folder / PARITY, json.dumps(kept, indent=2) + "\n")


def _read_checks(folder: Path, chain: str) -> dict[str, Mapping[str, Any] | None]:
    parity = _read_findings(folder / PARITY)
    # A session may have grown since it was replayed.
    current = parity if parity and parity.get("journal") == chain else None
    return {"lookahead": _read_findings(folder / LOOKAHEAD), "parity": current}


def _read_findings(path: Path) -> Mapping[str, Any] | None:
    try:
        findings = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the check again") from error
    if not isinstance(findings, dict):
        raise DataError(f"{path}: is no JSON object; run the check again")
    return findings

"""Load experiences from the journal of a run or session: its events and how it was started."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.calendars import Calendar, load_calendar
from engine.corporate_actions import Dividend, Split
from engine.errors import INCOMPATIBLE, JournalError, UsageError
from engine.fx import FxRates
from engine.instruments import Instrument
from engine.journal.events import RECORD_KINDS, Kind, decode, input_seq, output_instant
from engine.journal.events.inputs import History, SliceRecord
from engine.journal.events.outputs import PredictionRecord
from engine.journal.events.sessions import RunSettings
from engine.journal.journal import Journal, Row
from engine.model import Prediction
from engine.trading.records import EquityPoint, Fill, HoldingPeriod, OrderRecord
from strategies.config import BacktestConfig
from strategies.paper.files import session_folder
from strategies.run_spec import RunSpec, decode_run_spec, read_rates, read_start
from strategies.runs import JOURNAL
from training.dataset.experience import Experience, Key
from training.dataset.reconstruction import reconstruct_experiences
from training.dataset.run_history import RunHistory


def load_run_experiences(data_dir: Path, run: str) -> list[Experience]:
    """Load the experiences of a recorded run, finished or not, by instant and symbol.

    Raises:
        UsageError: If there is no such run.
        JournalError: If its journal cannot be read or contradicts itself.
    """
    path = data_dir / "runs" / run / JOURNAL
    if not path.is_file():
        raise UsageError(f"there is no run {run!r} in {data_dir}; list them with: closecall runs")
    with Journal.open(path, run) as journal:
        return load_journal_experiences(journal)


def load_journal_experiences(journal: Journal) -> list[Experience]:
    """Load the experiences of a run's open journal, as `load_run_experiences` does.

    Instruments, costs and sizing are those that the run states. Bars from before the run are not used: a
    decision whose student saw some of those is left out.
    """
    settings: RunSpec | None = None
    rates: FxRates | None = None
    calls: dict[Key, Prediction] = {}
    history = RunHistory()
    for row in journal.read(kinds=(Kind.RATES, Kind.SETTINGS, Kind.SLICE, *RECORD_KINDS)):
        match decode(row):
            case RunSettings() as stated:
                settings = decode_run_spec(stated)
            case FxRates() as decoded:
                rates = decoded
            case payload:
                _add_payload(payload, history, calls)
    if settings is None:
        raise JournalError(f"{journal.session}: the journal does not state its instruments; run it again")
    return reconstruct_experiences(
        history,
        calls,
        instruments=settings.instruments,
        calendars=build_calendars(settings.instruments, history),
        costs=settings.costs,
        sizing=settings.sizing,
        rates=rates,
        window=settings.window,
    )


def build_calendars(instruments: Mapping[str, Instrument], history: RunHistory) -> dict[str, Calendar]:
    """Return the calendars of some instruments over the days of a history, by code."""
    days = [bar.opens_at.date() for series in history.bars.values() for bar in (series[0], series[-1])]
    codes = {instrument.calendar for instrument in instruments.values()} if days else set()
    return {code: load_calendar(code, min(days), max(days)) for code in codes}


def decode_config(config: Mapping[str, Any], run: str) -> BacktestConfig:
    """Decode the configuration in the journal of a run or session; JournalError if it cannot be read."""
    try:
        return BacktestConfig.model_validate(config)
    except ValueError as error:
        raise JournalError(f"the configuration of {run} cannot be read; {INCOMPATIBLE}") from error


_INPUTS = (Kind.HISTORY, Kind.SLICE, Kind.SPLIT, Kind.DIVIDEND)


def load_session_experiences(journal: Journal, until: datetime | None = None) -> list[Experience]:
    """Load the experiences of a session as it was at `until` (None: now), by instant and symbol.

    Left out are decisions followed by a split (the outcome is in other units than the prompt), by a dividend
    within the step or before the next close, or by a gap. A call that a limit or a person kept from being
    traded is kept, with the return it would have had.

    Raises:
        JournalError: For a session that cannot be read or contradicts itself.
    """
    settings = decode_run_spec(read_start(journal))
    history, calls = RunHistory(), dict[Key, Prediction]()
    for row in iterate_in_order(journal, until):
        _add_payload(decode(row), history, calls, settings)
    return reconstruct_experiences(
        history,
        calls,
        instruments=settings.instruments,
        calendars=build_calendars(settings.instruments, history),
        costs=settings.costs,
        sizing=settings.sizing,
        rates=read_rates(journal, settings, until),
        window=settings.window,
    )


def load_named_session_experiences(data_dir: Path, name: str) -> list[Experience]:
    """Load the experiences of the session of that name in a data folder."""
    with Journal.open(session_folder(data_dir, name) / JOURNAL, name) as journal:
        return load_session_experiences(journal)


def iterate_in_order(journal: Journal, until: datetime | None) -> Iterator[Row]:
    """Yield the inputs known at `until`, each followed by its outputs; those without are left out."""
    inputs = (row for row in journal.read(kinds=_INPUTS) if until is None or row.as_of <= until)
    pending = next(inputs, None)
    for output in journal.read(kinds=RECORD_KINDS):
        if until is not None and output_instant(output) > until:
            continue
        number = input_seq(output)
        while pending is not None and pending.seq <= number:
            yield pending
            pending = next(inputs, None)
        yield output


def _add_payload(
    payload: object, history: RunHistory, calls: dict[Key, Prediction], settings: RunSpec | None = None
) -> None:
    match payload:
        case SliceRecord():
            history.add_slice(payload.slice)
        case History():
            for bar in payload.bars:
                history.add_history(bar)
        case Split() if settings is not None:
            history.add_split(payload, settings.instruments[payload.symbol].lot)
        case Dividend():
            history.add_dividend(payload)
        case PredictionRecord():
            calls[payload.call.symbol, payload.call.as_of] = payload.call
        case OrderRecord() | Fill() | EquityPoint() | HoldingPeriod():
            history.add_record(payload)

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
from engine.journal.events.sessions import RunStarted
from engine.journal.journal import Journal, Row
from engine.model import Prediction
from engine.trading.records import EquityPoint, Fill, HoldingPeriod, OrderRecord
from feeds.simulated.market import MarketSettings, simulate
from llm.model_files import model_folder, model_metadata
from llm.prompts import TEMPLATES
from strategies.config import BacktestConfig
from strategies.instrument_settings import build_costs, build_instruments
from strategies.market_data import select_symbols
from strategies.paper.files import session_folder
from strategies.run_spec import RunSpec, decode_run_spec, read_rates, read_start
from strategies.runs import JOURNAL
from strategies.sizing import build_sizing
from training.dataset.experience import Experience, Key
from training.dataset.reconstruction import reconstruct_experiences
from training.dataset.run_history import RunHistory


def load_run_experiences(data_dir: Path, run: str, *, window: int | None = None) -> list[Experience]:
    """Load the experiences of a recorded run, finished or not, by instant and symbol.

    Args:
        data_dir: The folder of all runs and sessions.
        run: The name of the run.
        window: How many closed bars its student saw; None: as the student's folder says.

    Raises:
        UsageError: If there is no such run.
        JournalError: If its journal cannot be read or contradicts itself.
    """
    path = data_dir / "runs" / run / JOURNAL
    if not path.is_file():
        raise UsageError(f"there is no run {run!r} in {data_dir}; list them with: closecall runs")
    with Journal.open(path, run) as journal:
        return load_journal_experiences(journal, window=window)


def load_journal_experiences(journal: Journal, *, window: int | None = None) -> list[Experience]:
    """Load the experiences of a run's open journal, as `load_run_experiences` does.

    The journal has no bars from before the run: a decision whose student saw some of those is left out.
    """
    config: BacktestConfig | None = None
    rates: FxRates | None = None
    calls: dict[Key, Prediction] = {}
    history = RunHistory()
    for row in journal.read(kinds=(Kind.RUN_STARTED, Kind.RATES, Kind.SLICE, *RECORD_KINDS)):
        match decode(row):
            case RunStarted() as started:
                config = decode_config(started.config, journal.session)
            case FxRates() as decoded:
                rates = decoded
            case payload:
                _add_payload(payload, history, calls)
    if config is None:
        raise JournalError(f"{journal.session}: the journal has no start event; choose another run")
    instruments = _traded_instruments(config, history)
    return reconstruct_experiences(
        history,
        calls,
        instruments=instruments,
        calendars=build_calendars(instruments, history),
        costs=build_costs(config, instruments),
        sizing=build_sizing(config, instruments),
        rates=rates,
        window=window or _prompt_window(config),
    )


def _traded_instruments(config: BacktestConfig, history: RunHistory) -> dict[str, Instrument]:
    """Return the instruments of a run, from its configuration and the symbols of its slices."""
    if config.bars or config.store:
        days = {symbol: [bar.opens_at.date() for bar in bars] for symbol, bars in history.bars.items()}
        return build_instruments(sorted(set(config.symbols) or history.bars), config, days)
    market = config.market
    simulated = simulate(
        MarketSettings(
            seed=config.seed, coins=market.coins, stocks=market.stocks, days=2, headlines=market.headlines
        )
    )
    return {
        symbol: simulated.instruments[symbol]
        for symbol in select_symbols(config.symbols, simulated.instruments, "the simulated market")
    }


def _prompt_window(config: BacktestConfig) -> int:
    name = config.prompt or str(model_metadata(model_folder(config.student)).get("prompt", "full"))
    if name not in TEMPLATES:
        raise JournalError(f"the run used an unknown prompt template {name!r}; give its window")
    return TEMPLATES[name].window


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

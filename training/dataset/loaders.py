"""Loads experiences from the journal of a run or session: its events and how it was started.

Knows how runs are kept and configured; experiences are built by `training.dataset.reconstruction`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

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
from strategies.market_data import build_costs, build_instruments, select_symbols
from strategies.paper.files import session_folder
from strategies.run_spec import RunSpec, decode_run_spec, read_rates, read_start
from strategies.runs import JOURNAL
from strategies.sizing import build_sizing
from training.dataset.experience import Experience, Key
from training.dataset.reconstruction import reconstruct_experiences
from training.dataset.run_history import RunHistory


def load_run_experiences(data_dir: Path, run: str, *, window: int | None = None) -> list[Experience]:
    """Load the experiences of a run on record, finished or not, by instant and symbol.

    `window` is how many closed bars its student saw; None asks the student's folder. Raises UsageError if
    there is no such run, JournalError if its journal cannot be read or contradicts itself.
    """
    path = data_dir / "runs" / run / JOURNAL
    if not path.is_file():
        raise UsageError(f"there is no run {run!r} in {data_dir}; closecall runs lists them")
    with Journal.open(path, run) as journal:
        return load_journal_experiences(journal, window=window)


def load_journal_experiences(journal: Journal, *, window: int | None = None) -> list[Experience]:
    """Load the experiences of a run's open journal, as `load_run_experiences` does.

    Bars from before the run are not in it: a decision whose student saw some of those is left out.
    """
    config: BacktestConfig | None = None
    rates: FxRates | None = None
    calls: dict[Key, Prediction] = {}
    history = RunHistory()
    for row in journal.read(kinds=(Kind.RUN_STARTED, Kind.RATES, Kind.SLICE, *RECORD_KINDS)):
        match decode(row):
            case RunStarted() as started:
                config = _decode_config(started, journal.session)
            case FxRates() as stated:
                rates = stated
            case payload:
                _add_payload(payload, history, calls)
    if config is None:
        raise JournalError(f"{journal.session} does not say how it was started; choose another run")
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
        return build_instruments(sorted(set(config.symbols) or history.bars), config)
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
        raise JournalError(f"the run used the prompt template {name!r}, which is unknown; state its window")
    return TEMPLATES[name].window


def build_calendars(instruments: Mapping[str, Instrument], history: RunHistory) -> dict[str, Calendar]:
    """Return the calendars of some instruments over the days of a history, by code."""
    days = [bar.opens_at.date() for series in history.bars.values() for bar in (series[0], series[-1])]
    codes = {each.calendar for each in instruments.values()} if days else set()
    return {code: load_calendar(code, min(days), max(days)) for code in codes}


def _decode_config(started: RunStarted, run: str) -> BacktestConfig:
    try:
        return BacktestConfig.model_validate(started.config)
    except ValueError as error:
        raise JournalError(f"the configuration of {run} cannot be read; {INCOMPATIBLE}") from error


_INPUTS = (Kind.HISTORY, Kind.SLICE, Kind.SPLIT, Kind.DIVIDEND)


def load_session_experiences(journal: Journal, until: datetime | None = None) -> list[Experience]:
    """Load the experiences of a session as it was at `until` (None: now), by instant and symbol.

    Left out are decisions of which the student saw one unit and the outcome is in another, because a split
    came between, those whose step or next close a dividend changed, and those before a gap; a call that a
    limit or a person kept from being traded stays, as what it would have come to. Raises JournalError for a
    session that cannot be read or contradicts itself.
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
    """Yield inputs known at `until`, each followed by its outputs, wherever those are in the journal.

    An input without any output yet is left out: its outputs are still to come.
    """
    inputs = (row for row in journal.read(kinds=_INPUTS) if until is None or row.as_of <= until)
    waiting = next(inputs, None)
    for output in journal.read(kinds=RECORD_KINDS):
        if until is not None and output_instant(output) > until:
            continue
        number = input_seq(output)
        while waiting is not None and waiting.seq <= number:
            yield waiting
            waiting = next(inputs, None)
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

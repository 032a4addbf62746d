"""Rebuilds experience from the journal of a run: reads its events and how it was started.

Knows how runs are kept and configured; what their events amount to is told by
`training.dataset.reconstruction`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.calendars import Calendar, load_calendar
from engine.corporate_actions import Split
from engine.errors import JournalError, UsageError
from engine.fx import FxRates, FxRateSeries
from engine.instruments import Instrument
from engine.journal.events import (
    DIVIDEND,
    FILL,
    FORECAST,
    KINDS,
    MARK,
    ORDER,
    SPLIT,
    STEP,
    decode_bar,
    decode_corporate_action,
    decode_record,
    decode_slice,
)
from engine.journal.journal import Journal, Row
from engine.model import Abstention, Direction, Forecast, Prediction
from feeds.simulated.market import MarketSettings, simulate
from llm.model_files import model_folder, model_metadata
from llm.prompts import TEMPLATES
from strategies.config import BacktestConfig
from strategies.market_data import build_costs, build_instruments, select_symbols
from strategies.paper.files import session_folder
from strategies.paper.state import SLICE
from strategies.run_spec import HISTORY, RunSpec, decode_run_spec, read_rates, read_start
from strategies.runs import JOURNAL, STARTED
from strategies.sizing import build_sizing
from training.dataset.experience import Experience, Key
from training.dataset.reconstruction import reconstruct_experiences
from training.dataset.run_history import RunHistory


def load_run_experiences(data_dir: Path, run: str, *, window: int | None = None) -> list[Experience]:
    """The experience of a run on record, finished or not, by instant and symbol.

    `window` is how many closed bars its student saw; None asks the student's folder. Raises UsageError if
    there is no such run, JournalError if its journal cannot be read or contradicts itself.
    """
    path = data_dir / "runs" / run / JOURNAL
    if not path.is_file():
        raise UsageError(f"there is no run {run!r} in {data_dir}; closecall runs lists them")
    with Journal.open(path, run) as journal:
        return load_journal_experiences(journal, window=window)


def load_journal_experiences(journal: Journal, *, window: int | None = None) -> list[Experience]:
    """Like `load_run_experiences`, for a journal that is open.

    Bars from before the run are not in it: a decision whose student saw some of those is left out.
    """
    config: BacktestConfig | None = None
    rates: FxRates | None = None
    calls: dict[Key, Prediction] = {}
    story = RunHistory()
    for row in journal.read(kinds={STARTED, "rates", "slice", "forecast", *KINDS}):
        try:
            if row.kind == STARTED:
                config = BacktestConfig.model_validate(row.payload)
            elif row.kind == "rates":
                rates = _decode_rates(row.payload)
            elif row.kind == "slice":
                story.add_slice(decode_slice(row.as_of, row.payload))
            elif row.kind == "forecast":
                calls[row.payload["symbol"], row.as_of] = decode_prediction(row)
            else:
                story.add_record(decode_record(row.kind, row.payload))
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(
                f"event {row.seq} ({row.kind}) of {journal.session} cannot be read; "
                "it was written by another version, use that one"
            ) from error
    if config is None:
        raise JournalError(f"{journal.session} does not say how it was started; choose another run")
    instruments = _traded_instruments(config, story)
    return reconstruct_experiences(
        story,
        calls,
        instruments=instruments,
        calendars=build_calendars(instruments, story),
        costs=build_costs(config, instruments),
        sizing=build_sizing(config, instruments),
        rates=rates,
        window=window or _prompt_window(config),
    )


def _traded_instruments(config: BacktestConfig, history: RunHistory) -> dict[str, Instrument]:
    """The instruments of a run, from its configuration and the symbols that its slices carry."""
    if config.bars or config.store:
        return build_instruments(sorted(set(config.symbols) or history.bars), config)
    market = config.market
    made = simulate(
        MarketSettings(
            seed=config.seed, coins=market.coins, stocks=market.stocks, days=2, headlines=market.headlines
        )
    )
    return {
        symbol: made.instruments[symbol]
        for symbol in select_symbols(config.symbols, made.instruments, "the simulated market")
    }


def _prompt_window(config: BacktestConfig) -> int:
    name = config.prompt or str(model_metadata(model_folder(config.student)).get("prompt", "full"))
    if name not in TEMPLATES:
        raise JournalError(f"the run used the prompt template {name!r}, which is unknown; state its window")
    return TEMPLATES[name].window


def build_calendars(instruments: Mapping[str, Instrument], history: RunHistory) -> dict[str, Calendar]:
    """The calendars of some instruments over the days of a story, by code."""
    days = [bar.opens_at.date() for series in history.bars.values() for bar in (series[0], series[-1])]
    codes = {one.calendar for one in instruments.values()} if days else set()
    return {code: load_calendar(code, min(days), max(days)) for code in codes}


def decode_prediction(row: Row) -> Prediction:
    """The call that a journal keeps as a forecast. Raises KeyError, TypeError or ValueError if it is none."""
    told = row.payload
    symbol, last = told["symbol"], told["last_close"]
    if told["abstention"] is not None:
        return Abstention(
            symbol=symbol, as_of=row.as_of, reason=told["abstention"], last_close=last, text=told["output"]
        )
    return Forecast(
        symbol=symbol,
        as_of=row.as_of,
        direction=Direction(told["direction"]),
        confidence=told["confidence"],
        close=told["close"],
        last_close=last,
        text=told["output"],
    )


def _decode_rates(payload: Mapping[str, Any]) -> FxRates:
    series = {
        currency: FxRateSeries(
            known_at=tuple(map(datetime.fromisoformat, one["known_at"])), values=tuple(one["values"])
        )
        for currency, one in payload["series"].items()
    }
    return FxRates(base=payload["base"], constants=payload["constants"], series=series)


_INPUTS = (HISTORY, SLICE, SPLIT, DIVIDEND)

_EFFECTS = (FORECAST, ORDER, FILL, MARK, STEP)


def load_session_experiences(journal: Journal, until: datetime | None = None) -> list[Experience]:
    """The experience of a session as it stood at `until` (None: now), by instant and symbol.

    Left out are decisions of which the student saw one unit and the outcome is in another, because a split
    came between, those whose step or next close a dividend changed, and those before a gap; a call that a
    limit or a person kept from being traded stays, as what it would have come to. Raises JournalError for a
    session that cannot be read or contradicts itself.
    """
    started = read_start(journal)
    settings = decode_run_spec(started)
    story, calls = RunHistory(), dict[Key, Prediction]()
    for row in iterate_in_order(journal, until):
        try:
            _apply_row(row, settings, story, calls)
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(
                f"event {row.seq} ({row.kind}) of {journal.session} cannot be read; "
                "it was written by another version, use that one"
            ) from error
    return reconstruct_experiences(
        story,
        calls,
        instruments=settings.instruments,
        calendars=build_calendars(settings.instruments, story),
        costs=settings.costs,
        sizing=settings.sizing,
        rates=read_rates(journal, started, until),
        window=settings.window,
    )


def load_named_session_experiences(data_dir: Path, name: str) -> list[Experience]:
    """As `load_session_experiences`, of the session of that name in a data folder."""
    with Journal.open(session_folder(data_dir, name) / JOURNAL, name) as journal:
        return load_session_experiences(journal)


def iterate_in_order(journal: Journal, until: datetime | None) -> Iterator[Row]:
    """Inputs known at `until`, each followed by what was done about it, wherever that stands.

    An input that nothing has been done about yet is not told of: its effects are still to come.
    """
    inputs = (row for row in journal.read(kinds=_INPUTS) if until is None or row.as_of <= until)
    waiting = next(inputs, None)
    for effect in journal.read(kinds=_EFFECTS):
        if until is not None and _instant(effect) > until:
            continue
        while waiting is not None and waiting.seq <= effect.payload["input"]:
            yield waiting
            waiting = next(inputs, None)
        yield effect


def _instant(row: Row) -> datetime:
    """When it was done; what follows from a person's command in a replay is dated by the person's clock."""
    said = row.payload.get("at") or row.payload.get("ended_at")
    return datetime.fromisoformat(said) if said else row.as_of


def _apply_row(row: Row, settings: RunSpec, history: RunHistory, calls: dict[Key, Prediction]) -> None:
    match row.kind:
        case "slice":
            history.add_slice(decode_slice(row.as_of, row.payload))
        case "history":
            for stored in row.payload["bars"]:
                history.add_history(decode_bar(row.payload["symbol"], stored))
        case "split" | "dividend":
            action = decode_corporate_action(row.kind, row.as_of, row.payload)
            if isinstance(action, Split):
                history.add_split(action, settings.instruments[action.symbol].lot)
            else:
                history.add_dividend(action)
        case "forecast":
            calls[row.payload["symbol"], row.as_of] = decode_prediction(row)
        case _:
            history.add_record(decode_record(row.kind, row.payload))

"""Rebuilds experience from the journal of a run: reads its events and how it was started.

Knows how runs are kept and configured; what their events amount to is told by
`training.dataset.reconstruction`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.calendars import Calendar, calendar_of
from engine.corporate_actions import Split
from engine.errors import JournalError, UsageError
from engine.fx import Rates, RateSeries
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
    bar_from_dated,
    corporate_from_payload,
    record_from_payload,
    slice_from_payload,
)
from engine.journal.journal import Journal, Row
from engine.model import Abstention, Call, Direction, Forecast
from feeds.simulated.market import MarketSettings, simulate
from llm.model_files import model_folder, settings
from llm.prompts import TEMPLATES
from strategies.config import BacktestConfig
from strategies.market_data import chosen, costs_of, instruments_of
from strategies.paper.files import session_folder
from strategies.paper.state import SLICE
from strategies.run_spec import HISTORY, SessionSettings, rates_of, settings_from_payload, started_of
from strategies.runs import JOURNAL, STARTED
from strategies.sizing import sizing_of
from training.dataset.experience import Experience, Key
from training.dataset.reconstruction import experiences_of
from training.dataset.run_history import Story


def from_run(data_dir: Path, run: str, *, window: int | None = None) -> list[Experience]:
    """The experience of a run on record, finished or not, by instant and symbol.

    `window` is how many closed bars its student saw; None asks the student's folder. Raises UsageError if
    there is no such run, JournalError if its journal cannot be read or contradicts itself.
    """
    path = data_dir / "runs" / run / JOURNAL
    if not path.is_file():
        raise UsageError(f"there is no run {run!r} in {data_dir}; closecall runs lists them")
    with Journal.open(path, run) as journal:
        return from_journal(journal, window=window)


def from_journal(journal: Journal, *, window: int | None = None) -> list[Experience]:
    """Like `from_run`, for a journal that is open. Bars from before the run are not in it: a decision whose
    student saw some of those is left out.
    """
    config: BacktestConfig | None = None
    rates: Rates | None = None
    calls: dict[Key, Call] = {}
    story = Story()
    for row in journal.read(kinds={STARTED, "rates", "slice", "forecast", *KINDS}):
        try:
            if row.kind == STARTED:
                config = BacktestConfig.model_validate(row.payload)
            elif row.kind == "rates":
                rates = _rates(row.payload)
            elif row.kind == "slice":
                story.slice(slice_from_payload(row.as_of, row.payload))
            elif row.kind == "forecast":
                calls[row.payload["symbol"], row.as_of] = call_from_row(row)
            else:
                story.record(record_from_payload(row.kind, row.payload))
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(
                f"event {row.seq} ({row.kind}) of {journal.session} cannot be read; "
                "it was written by another version, use that one"
            ) from error
    if config is None:
        raise JournalError(f"{journal.session} does not say how it was started; choose another run")
    instruments = _traded(config, story)
    return experiences_of(
        story,
        calls,
        instruments=instruments,
        calendars=calendars_over(instruments, story),
        costs=costs_of(config, instruments),
        sizing=sizing_of(config, instruments),
        rates=rates,
        window=window or _window(config),
    )


def _traded(config: BacktestConfig, story: Story) -> dict[str, Instrument]:
    """The instruments of a run, from its configuration and the symbols that its slices carry."""
    if config.bars or config.store:
        return instruments_of(sorted(set(config.symbols) or story.bars), config)
    market = config.market
    made = simulate(
        MarketSettings(
            seed=config.seed, coins=market.coins, stocks=market.stocks, days=2, headlines=market.headlines
        )
    )
    return {
        symbol: made.instruments[symbol]
        for symbol in chosen(config.symbols, made.instruments, "the simulated market")
    }


def _window(config: BacktestConfig) -> int:
    name = config.prompt or str(settings(model_folder(config.student)).get("prompt", "full"))
    if name not in TEMPLATES:
        raise JournalError(f"the run used the prompt template {name!r}, which is unknown; state its window")
    return TEMPLATES[name].window


def calendars_over(instruments: Mapping[str, Instrument], story: Story) -> dict[str, Calendar]:
    """The calendars of some instruments over the days of a story, by code."""
    days = [bar.opens_at.date() for series in story.bars.values() for bar in (series[0], series[-1])]
    codes = {one.calendar for one in instruments.values()} if days else set()
    return {code: calendar_of(code, min(days), max(days)) for code in codes}


def call_from_row(row: Row) -> Call:
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


def _rates(payload: Mapping[str, Any]) -> Rates:
    series = {
        currency: RateSeries(
            known_at=tuple(map(datetime.fromisoformat, one["known_at"])), values=tuple(one["values"])
        )
        for currency, one in payload["series"].items()
    }
    return Rates(base=payload["base"], constants=payload["constants"], series=series)


_INPUTS = (HISTORY, SLICE, SPLIT, DIVIDEND)

_EFFECTS = (FORECAST, ORDER, FILL, MARK, STEP)


def from_session(journal: Journal, until: datetime | None = None) -> list[Experience]:
    """The experience of a session as it stood at `until` (None: now), by instant and symbol.

    Left out are decisions of which the student saw one unit and the outcome is in another, because a split
    came between, those whose step or next close a dividend changed, and those before a gap; a call that a
    limit or a person kept from being traded stays, as what it would have come to. Raises JournalError for a
    session that cannot be read or contradicts itself.
    """
    started = started_of(journal)
    settings = settings_from_payload(started)
    story, calls = Story(), dict[Key, Call]()
    for row in in_order(journal, until):
        try:
            _tell(row, settings, story, calls)
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(
                f"event {row.seq} ({row.kind}) of {journal.session} cannot be read; "
                "it was written by another version, use that one"
            ) from error
    return experiences_of(
        story,
        calls,
        instruments=settings.instruments,
        calendars=calendars_over(settings.instruments, story),
        costs=settings.costs,
        sizing=settings.sizing,
        rates=rates_of(journal, started, until),
        window=settings.window,
    )


def from_session_named(data_dir: Path, name: str) -> list[Experience]:
    """As `from_session`, of the session of that name in a data folder."""
    with Journal.open(session_folder(data_dir, name) / JOURNAL, name) as journal:
        return from_session(journal)


def in_order(journal: Journal, until: datetime | None) -> Iterator[Row]:
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


def _tell(row: Row, settings: SessionSettings, story: Story, calls: dict[Key, Call]) -> None:
    match row.kind:
        case "slice":
            story.slice(slice_from_payload(row.as_of, row.payload))
        case "history":
            for stored in row.payload["bars"]:
                story.remember(bar_from_dated(row.payload["symbol"], stored))
        case "split" | "dividend":
            action = corporate_from_payload(row.kind, row.as_of, row.payload)
            if isinstance(action, Split):
                story.split(action, settings.instruments[action.symbol].lot)
            else:
                story.dividend(action)
        case "forecast":
            calls[row.payload["symbol"], row.as_of] = call_from_row(row)
        case _:
            story.record(record_from_payload(row.kind, row.payload))

"""Rebuilds experience from the journal of a run: reads its events and how it was started.

Knows how runs are kept and configured; what their events amount to is told by
`training.outcomes.recollection`.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.calendars import Calendar, calendar_of
from engine.errors import JournalError, UsageError
from engine.instruments import Instrument
from engine.journal import Journal, Row
from engine.payloads import slice_from_payload
from engine.rates import Rates, RateSeries
from engine.values import Abstention, Call, Direction, Forecast
from feeds.simulated import MarketSettings, simulate
from llm.model_files import model_folder, settings
from llm.prompts import TEMPLATES
from strategies.backtest import sizing_of
from strategies.config import BacktestConfig
from strategies.facts import chosen, costs_of
from strategies.real_facts import instruments_of
from strategies.runs import JOURNAL, STARTED
from training.outcomes.experience import Experience, Key
from training.outcomes.recollection import experiences_of
from training.outcomes.story import KINDS, Story, record_from_payload


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

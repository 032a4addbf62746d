"""Whether a backtest can be had again from what its journal was given: the check of parity for a run.

A run's journal has its forecasts first and no numbers of inputs; apart from that it is checked as a session
is. Knows no student and no files: what is not in the journal is not looked for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from engine.calendars import Calendar
from engine.digests import utc_text
from engine.errors import JournalError
from engine.items import Item
from engine.journal import Event, Journal, Row
from engine.risk import RiskLimits
from llm.student import Student
from strategies.config import BacktestConfig
from strategies.facts import Facts
from strategies.paper.calling import FORECAST_KEYS, made_before
from strategies.paper.effects import FILL, FORECAST, MARK, ORDER, STEP, statement_event
from strategies.paper.engine import new_board, trade
from strategies.paper.parity import Effect, Parity, compared, plain_payload
from strategies.paper.settings import (
    HISTORY,
    RATE,
    history_events,
    rate_events,
    settings_from_payload,
    settings_of,
    started_event,
)
from strategies.paper.trading import Statement
from strategies.paper.world import SLICE, World
from strategies.sizing import volatility

SETTINGS = "settings"
_KINDS = (FORECAST, ORDER, FILL, MARK, STEP)
_ENDLESS = timedelta(days=36_500)
_UNLIMITED = RiskLimits(
    symbol_exposure=1e18,
    total_exposure=1e18,
    daily_loss=1e18,
    drawdown=1e18,
    orders_per_day=10**9,
    stale_after=_ENDLESS,
    abstention_rate=2.0,
)


def run_inputs(config: BacktestConfig, facts: Facts, student: Student, at: datetime) -> list[Event]:
    """What a run's journal needs, beside its slices and forecasts, to be had again: to be journaled first."""
    settings = settings_of(config, facts, student, _UNLIMITED)
    started = started_event(replace(settings, simulated=True), at, {})
    return [replace(started, kind=SETTINGS), *history_events(facts), *rate_events(facts)]


def check_run(journal: Journal, calendars: Mapping[str, Calendar] | None = None) -> Parity:
    """Replay a backtest from its inputs and compare. Raises JournalError for one that cannot be."""
    stated = [(row.kind, _stated(row)) for row in journal.read(kinds=_KINDS)]
    replay = _RunReplay(journal, calendars)
    made = replay.run()
    # A run states all its forecasts first; what is compared is each kind in its own order.
    first = [effect for effect in made if effect[0] == FORECAST]
    rest = [effect for effect in made if effect[0] != FORECAST]
    return compared(journal, stated, first + rest, inputs=replay.inputs, undecided=0)


def _stated(row: Row) -> Mapping[str, Any]:
    """The payload, of a forecast as a session states it: with its instant, without what only runs add."""
    if row.kind != FORECAST:
        return row.payload
    return {"as_of": utc_text(row.as_of)} | {
        name: value for name, value in row.payload.items() if name in FORECAST_KEYS
    }


class _RunReplay:
    def __init__(self, journal: Journal, calendars: Mapping[str, Calendar] | None) -> None:
        first = next(journal.read(kinds=(SETTINGS,)), None)
        if first is None:
            raise JournalError(
                f"run {journal.session} does not state its instruments, as older ones do not; run it again"
            )
        self._journal = journal
        self._settings = settings_from_payload(first.payload)
        self._world = World(self._settings, calendars)
        self._board = new_board(self._settings, self._world, self._state)
        self._made: list[Effect] = []
        self._now = first.as_of
        self.inputs = 0

    def run(self) -> list[Effect]:
        trade(self._items(), self._settings, self._world, self._board)
        return self._made

    def _items(self) -> Iterator[Item]:
        forecasts: dict[datetime, list[Row]] = {}
        for row in self._journal.read(kinds=(FORECAST,)):
            forecasts.setdefault(row.as_of, []).append(row)
        rates = sorted(self._journal.read(kinds=(RATE,)), key=lambda row: row.as_of, reverse=True)
        for row in self._journal.read(kinds=(HISTORY, SLICE)):
            while rates and rates[-1].as_of <= row.as_of:
                self._world.take(rates.pop())
            self.inputs += 1
            self._now = row.as_of
            taken = self._world.take(row)
            for made in made_before(taken.observed, forecasts.get(row.as_of, [])) if taken.observed else ():
                self._board.calls[made.call.symbol, row.as_of] = made.call
                self._made.append((FORECAST, plain_payload(made.payload())))
            for one in taken.observed:
                self._board.volatilities[one.symbol, row.as_of] = volatility(one.bars)
            yield from taken.items
            self._board.calls.clear()
            self._board.volatilities.clear()

    def _state(self, statement: Statement) -> None:
        event = statement_event(statement, 0, self._now)
        if event.kind in _KINDS:
            payload: dict[str, Any] = plain_payload(event.payload)
            del payload["input"]
            self._made.append((event.kind, payload))

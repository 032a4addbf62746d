"""A session's history and score, from its journal alone: data, predictions and the engine's records.

Prices and predictions from before a split are restated in its new units, as a chart would show them; the
engine's records stay as they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from engine.calendars import Calendar, load_calendar
from engine.corporate_actions import Split, split_bar
from engine.errors import JournalError
from engine.journal.events import RECORD_KINDS, Kind, decode, decode_as, encode
from engine.journal.events.inputs import CalendarExtended, History, SliceRecord
from engine.journal.events.outputs import PredictionRecord
from engine.journal.events.sessions import SessionScored, SessionStarted
from engine.journal.journal import Journal
from engine.model import Abstention, Bar, NewsItem, Observation, Phase, Prediction
from engine.timeline import build_observations
from engine.trading.records import EngineResult, EquityPoint, Fill, HoldingPeriod, OrderRecord, Record
from feeds.simulated.market import OracleView
from llm.student import Student
from llm.worker.messages import decode_day
from strategies.backtest import simulate_all
from strategies.baselines.catalog import baseline_predictions
from strategies.comparators import resolve_comparators
from strategies.config import BacktestConfig
from strategies.market_data import MarketData, load_market_data
from strategies.paper.files import decode_config
from strategies.paper.outputs import load_outputs, session_digests
from strategies.results import STUDENT, SimulationResult, build_result
from strategies.run_spec import RunSpec, decode_run_spec, read_rates
from strategies.runs import Recorder
from strategies.trials import count_trials, record_trial

_KINDS = (Kind.SESSION_STARTED, Kind.HISTORY, Kind.CALENDAR, Kind.SLICE, Kind.SPLIT, *RECORD_KINDS)
Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHistory:
    """A session's settings, data, predictions and records. `about` is what its first event states besides."""

    settings: RunSpec
    config: BacktestConfig
    about: Mapping[str, Any]
    market_data: MarketData
    calls: tuple[Prediction, ...]
    engine: EngineResult


@dataclass(slots=True)
class HistoryReader:
    """Collects bars, news, predictions and records from the decoded events of a session or run, in order."""

    bars: dict[str, dict[datetime, Bar]] = field(default_factory=dict)
    news: dict[str, NewsItem] = field(default_factory=dict)
    calls: dict[Key, Prediction] = field(default_factory=dict)
    orders: dict[int, OrderRecord] = field(default_factory=dict)
    records: dict[type, list[Any]] = field(
        default_factory=lambda: {Fill: [], EquityPoint: [], HoldingPeriod: []}
    )
    known_until: dict[str, date] = field(default_factory=dict)
    splits: list[Split] = field(default_factory=list)

    @property
    def ratios(self) -> dict[str, float]:
        """Return how many units one unit of the beginning is now, by split symbol."""
        ratios: dict[str, float] = {}
        for split in self.splits:
            ratios[split.symbol] = ratios.get(split.symbol, 1.0) * split.ratio
        return ratios

    def apply(self, payload: object) -> None:
        """Add what an event states; events of other kinds are left out."""
        match payload:
            case History():
                for bar in payload.bars:
                    self._bar(bar)
            case SliceRecord():
                self.news |= {item.id: item for item in payload.slice.news}
                if payload.slice.phase is Phase.CLOSE:
                    for bar in payload.slice.bars.values():
                        self._bar(bar)
            case Split():
                self._apply_split(payload)
            case CalendarExtended():
                self.known_until[payload.code] = payload.last
            case PredictionRecord():
                self._add_prediction(payload.call)
            case OrderRecord() | Fill() | EquityPoint() | HoldingPeriod():
                self._record(payload)

    def _bar(self, bar: Bar) -> None:
        self.bars.setdefault(bar.symbol, {})[bar.closes_at] = bar

    def _add_prediction(self, call: Prediction) -> None:
        """Add a prediction, restated for splits that were journaled before it and act after it."""
        for split in self.splits:
            if split.symbol == call.symbol and call.as_of <= split.at:
                call = _restate_prediction(call, split.ratio)
        self.calls[call.symbol, call.as_of] = call

    def _record(self, record: Record) -> None:
        if isinstance(record, OrderRecord):
            self.orders[record.number] = record
        else:
            self.records[type(record)].append(record)

    def _apply_split(self, split: Split) -> None:
        self.splits.append(split)
        series = self.bars.get(split.symbol, {})
        self.bars[split.symbol] = {
            when: split_bar(bar, split.ratio) if bar.opens_at < split.at else bar
            for when, bar in series.items()
        }
        for (symbol, when), call in self.calls.items():
            if symbol == split.symbol and when <= split.at:
                self.calls[symbol, when] = _restate_prediction(call, split.ratio)


def load_session_history(journal: Journal, data_dir: Path) -> SessionHistory:
    """Read a session's history.

    Raises JournalError for a journal that cannot be read, DataError where its market cannot be simulated.
    """
    reader = HistoryReader()
    started: SessionStarted | None = None
    for row in journal.read(kinds=_KINDS):
        payload = decode(row)
        if started is None:
            if not isinstance(payload, SessionStarted):
                break
            started = payload
        reader.apply(payload)
    if started is None:
        raise JournalError(f"{journal.session} is not a session; name a session")
    settings = decode_run_spec(started)
    return SessionHistory(
        settings=settings,
        config=decode_config(started),
        about=started.about,
        market_data=_build_market_data(reader, journal, started, data_dir),
        calls=tuple(sorted(reader.calls.values(), key=lambda call: (call.as_of, call.symbol))),
        engine=build_engine_result(reader, settings.cash),
    )


def _build_market_data(
    reader: HistoryReader, journal: Journal, started: SessionStarted, data_dir: Path
) -> MarketData:
    settings = decode_run_spec(started)
    replayed = str(started.about.get("replay", ""))
    simulated = replayed.startswith("simulated")
    market = load_market_data(decode_config(started), data_dir) if simulated else None
    notes = [*settings.notes]
    if reader.ratios:
        notes.append("Prices and calls from before a split are shown in its new units.")
    return MarketData(
        instruments=settings.instruments,
        calendars=_calendars(settings, reader),
        bars={
            symbol: tuple(series[at] for at in sorted(series))
            for symbol in settings.instruments
            if (series := reader.bars.get(symbol))
        },
        news=sorted(reader.news.values(), key=lambda item: (item.available_at, item.id)),
        start=settings.start,
        source=replayed or "live",
        is_simulated=market is not None,
        is_training_market=market is not None and market.is_training_market,
        oracle=_oracle(market, reader.ratios) if market else {},
        rates=read_rates(journal, settings),
        notes=tuple(notes),
    )


def _oracle(market: MarketData, ratios: Mapping[str, float]) -> dict[Key, OracleView]:
    """Return the simulated market's own view, in the units that its prices are shown in."""
    return {
        key: replace(view, close=view.close / ratios.get(key[0], 1.0)) for key, view in market.oracle.items()
    }


def _calendars(settings: RunSpec, reader: HistoryReader) -> dict[str, Calendar]:
    known = {
        code: (first, reader.known_until.get(code, last))
        for code, (first, last) in settings.calendars.items()
    }
    return {
        code: load_calendar(code, first, last - timedelta(days=31)) for code, (first, last) in known.items()
    }


def build_engine_result(reader: HistoryReader, cash: float) -> EngineResult:
    """Return the records that were read, as the engine itself returns them; `cash` is the starting cash."""
    marks = tuple(reader.records[EquityPoint])
    steps = tuple(reader.records[HoldingPeriod])
    return EngineResult(
        starting_cash=cash,
        cash=marks[-1].cash if marks else cash,
        value=marks[-1].value if marks else cash,
        orders=tuple(reader.orders[number] for number in sorted(reader.orders)),
        fills=tuple(reader.records[Fill]),
        marks=marks,
        steps=steps,
        borrow_paid=sum(step.borrow for step in steps),
        analyses={},
    )


def _restate_prediction(call: Prediction, ratio: float) -> Prediction:
    if isinstance(call, Abstention):
        return replace(call, last_close=call.last_close / ratio)
    return replace(call, close=call.close / ratio, last_close=call.last_close / ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecordedStudent:
    """What a table states of a student, which is not loaded."""

    name: str
    fingerprint: str
    window: int
    released: date | None
    notes: tuple[str, ...] = ()


def score_session(
    journal: Journal, data_dir: Path, at: datetime, *, count: bool = False
) -> dict[str, Any] | None:
    """Return the table as `closecall backtest --json` has it, None before the first prediction.

    With `count` the session is recorded as a trial, and the table in its journal, once. Raises JournalError
    or DataError for a journal that cannot be scored.
    """
    scored = list(journal.read(kinds=(Kind.SESSION_SCORED,)))
    if scored:
        return dict(decode_as(SessionScored, scored[-1]).result)
    whole = load_session_history(journal, data_dir)
    if not whole.calls:
        return None
    result, simulations = _build_result(journal, whole)
    result["digests"] = session_digests(load_outputs(journal))
    session = (journal.session, whole.config, whole.market_data, result, simulations, data_dir, at)
    if count:
        result |= record_trial(*session, paper=True)
        journal.append([encode(SessionScored(result=result), at)], at)
    else:
        result |= count_trials(*session)
    return result


def simulate_session(journal: Journal, whole: SessionHistory) -> dict[str, SimulationResult]:
    """Return what the session's predictions came to, and those of the baselines on the same closes."""
    return _simulate(journal, whole, _list_observed(whole))


def _list_observed(whole: SessionHistory) -> list[Observation]:
    """Return the observations that the session decided on."""
    facts, settings = whole.market_data, whole.settings
    called = {(call.symbol, call.as_of) for call in whole.calls}
    seen = build_observations(facts.bars, facts.news, window=settings.window, start=facts.start)
    return [each for each in seen if (each.symbol, each.as_of) in called]


def _simulate(
    journal: Journal, whole: SessionHistory, observed: list[Observation]
) -> dict[str, SimulationResult]:
    facts, settings = whole.market_data, whole.settings
    callers = baseline_predictions(whole.config, facts, observed, whole.calls)
    unused = Recorder(journal, facts.start)
    student = SimulationResult(calls=whole.calls, engine=whole.engine)
    return {STUDENT: student} | simulate_all(
        settings, facts, observed, callers, unused, lambda _stage, _done, _total: None
    )


def _build_result(
    journal: Journal, whole: SessionHistory
) -> tuple[dict[str, Any], dict[str, SimulationResult]]:
    facts, settings = whole.market_data, whole.settings
    observed = _list_observed(whole)
    simulations = _simulate(journal, whole, observed)
    recorded = _RecordedStudent(
        name=settings.student,
        fingerprint=settings.fingerprint,
        window=settings.window,
        released=decode_day(whole.about.get("released")),
    )
    answering = cast(Student, recorded)  # all that a table asks of it is there
    result = build_result(
        journal.session,
        settings,
        facts,
        observed,
        answering,
        len(whole.calls),
        simulations,
        comparators=resolve_comparators(whole.config.comparators),
        adapted=whole.config.adapter is not None,
    )
    return result, simulations

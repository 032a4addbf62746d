"""What a session has lived through, out of its journal alone: facts, calls and what the engine stated.

Prices and calls from before a split are restated in its new units, as a chart would show them; what the
engine stated stays as it was. Runs and scores nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from engine.calendars import Calendar, load_calendar
from engine.corporate_actions import split_bar
from engine.errors import JournalError
from engine.journal.events import (
    FILL,
    FORECAST,
    MARK,
    ORDER,
    SPLIT,
    STEP,
    decode_bar,
    decode_record,
    decode_slice,
)
from engine.journal.journal import Event, Journal, Row
from engine.metrics.performance import deflated_sharpe, performance
from engine.metrics.trials import distinct_trials, find_trials, sharpe_variance
from engine.model import Abstention, Bar, Direction, Forecast, NewsItem, Phase, Prediction
from engine.timeline import build_observations
from engine.trading.records import EngineResult, EquityPoint, Fill, HoldingPeriod, OrderRecord, Record
from feeds.simulated.market import OracleView
from llm.student import Student
from llm.worker.messages import decode_day
from strategies.backtest import baseline_predictions, simulate_all
from strategies.config import BacktestConfig
from strategies.market_data import MarketData, load_market_data
from strategies.paper.files import decode_config
from strategies.paper.outputs import load_outputs, session_digests
from strategies.paper.state import CALENDAR, SLICE
from strategies.results import STUDENT, SimulationResult, build_result, record_trial
from strategies.run_spec import HISTORY, STARTED, RunSpec, decode_run_spec, read_rates
from strategies.runs import Recorder

_KINDS = (STARTED, HISTORY, CALENDAR, SLICE, SPLIT, FORECAST, ORDER, FILL, MARK, STEP)

Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHistory:
    """All of it. `about` is what stands with the settings."""

    settings: RunSpec
    config: BacktestConfig
    about: Mapping[str, Any]
    market_data: MarketData
    calls: tuple[Prediction, ...]
    engine: EngineResult


@dataclass(slots=True)
class _HistoryReader:
    bars: dict[str, dict[datetime, Bar]] = field(default_factory=dict)
    news: dict[str, NewsItem] = field(default_factory=dict)
    calls: dict[Key, Prediction] = field(default_factory=dict)
    orders: dict[int, OrderRecord] = field(default_factory=dict)
    records: dict[type, list[Any]] = field(
        default_factory=lambda: {Fill: [], EquityPoint: [], HoldingPeriod: []}
    )
    known_until: dict[str, date] = field(default_factory=dict)
    splits: list[tuple[str, datetime, float]] = field(default_factory=list)

    @property
    def ratios(self) -> dict[str, float]:
        """What one unit of the beginning has become, by symbol, where it was split."""
        found: dict[str, float] = {}
        for symbol, _, ratio in self.splits:
            found[symbol] = found.get(symbol, 1.0) * ratio
        return found

    def apply(self, row: Row) -> None:
        match row.kind:
            case "history":
                for stored in row.payload["bars"]:
                    self._bar(decode_bar(row.payload["symbol"], stored))
            case "slice":
                slice_ = decode_slice(row.as_of, row.payload)
                self.news |= {item.id: item for item in slice_.news}
                if slice_.phase is Phase.CLOSE:
                    for bar in slice_.bars.values():
                        self._bar(bar)
            case "split":
                self._apply_split(row.payload["symbol"], row.payload["ratio"], row.as_of)
            case "calendar":
                self.known_until[row.payload["code"]] = date.fromisoformat(row.payload["last"])
            case "forecast":
                self._add_prediction(_decode_prediction(row))
            case "order" | "fill" | "mark" | "step":
                self._record(decode_record(row.kind, row.payload))

    def _bar(self, bar: Bar) -> None:
        self.bars.setdefault(bar.symbol, {})[bar.closes_at] = bar

    def _add_prediction(self, call: Prediction) -> None:
        """A call; where inputs were journaled ahead of it, splits that it did not see stand before it."""
        for symbol, at, ratio in self.splits:
            if symbol == call.symbol and call.as_of <= at:
                call = _restate_prediction(call, ratio)
        self.calls[call.symbol, call.as_of] = call

    def _record(self, record: Record) -> None:
        if isinstance(record, OrderRecord):
            self.orders[record.number] = record
        else:
            self.records[type(record)].append(record)

    def _apply_split(self, symbol: str, ratio: float, at: datetime) -> None:
        self.splits.append((symbol, at, ratio))
        series = self.bars.get(symbol, {})
        self.bars[symbol] = {
            when: split_bar(bar, ratio) if bar.opens_at < at else bar for when, bar in series.items()
        }
        for (whose, when), call in self.calls.items():
            if whose == symbol and when <= at:
                self.calls[whose, when] = _restate_prediction(call, ratio)


def load_session_history(journal: Journal, data_dir: Path) -> SessionHistory:
    """Read it. Raises JournalError for what cannot be read, DataError where a market cannot be had again."""
    reading = _HistoryReader()
    first: Row | None = None
    for row in journal.read(kinds=_KINDS):
        first = first or row
        try:
            reading.apply(row)
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(
                f"event {row.seq} ({row.kind}) of session {journal.session} cannot be read ({error}); "
                "use the version that wrote it"
            ) from error
    if first is None or first.kind != STARTED:
        raise JournalError(f"{journal.session} is no session with settings of its own; name a session")
    settings, config = decode_run_spec(first.payload), decode_config(first.payload)
    about = first.payload["about"]
    return SessionHistory(
        settings=settings,
        config=config,
        about=about,
        market_data=_build_market_data(reading, journal, first, data_dir),
        calls=tuple(sorted(reading.calls.values(), key=lambda call: (call.as_of, call.symbol))),
        engine=_build_engine_result(reading, settings.cash),
    )


def _build_market_data(reading: _HistoryReader, journal: Journal, first: Row, data_dir: Path) -> MarketData:
    settings, about = decode_run_spec(first.payload), first.payload["about"]
    config = decode_config(first.payload)
    replayed = str(about.get("replay", ""))
    made = load_market_data(config, data_dir) if replayed.startswith("simulated") else None
    notes = [*settings.notes]
    if reading.ratios:
        notes.append("Prices and calls from before a split are shown in its new units.")
    return MarketData(
        instruments=settings.instruments,
        calendars=_calendars(settings, reading),
        bars={
            symbol: tuple(series[at] for at in sorted(series))
            for symbol in settings.instruments
            if (series := reading.bars.get(symbol))
        },
        news=sorted(reading.news.values(), key=lambda item: (item.available_at, item.id)),
        start=settings.start,
        source=replayed or "live",
        simulated=made is not None,
        is_training_market=made is not None and made.is_training_market,
        oracle=_oracle(made, reading.ratios) if made else {},
        rates=read_rates(journal, first.payload),
        notes=tuple(notes),
    )


def _oracle(made: MarketData, ratios: Mapping[str, float]) -> dict[Key, OracleView]:
    """What the market knew of itself, in the units that its prices are shown in."""
    return {
        key: replace(view, close=view.close / ratios.get(key[0], 1.0)) for key, view in made.oracle.items()
    }


def _calendars(settings: RunSpec, reading: _HistoryReader) -> dict[str, Calendar]:
    known = {
        code: (first, reading.known_until.get(code, last))
        for code, (first, last) in settings.calendars.items()
    }
    return {
        code: load_calendar(code, first, last - timedelta(days=31)) for code, (first, last) in known.items()
    }


def _build_engine_result(reading: _HistoryReader, cash: float) -> EngineResult:
    marks = tuple(reading.records[EquityPoint])
    return EngineResult(
        starting_cash=cash,
        cash=marks[-1].cash if marks else cash,
        value=marks[-1].value if marks else cash,
        orders=tuple(reading.orders[number] for number in sorted(reading.orders)),
        fills=tuple(reading.records[Fill]),
        marks=marks,
        steps=tuple(reading.records[HoldingPeriod]),
        analyses={},
    )


def _decode_prediction(row: Row) -> Prediction:
    said = row.payload
    if said["abstention"] is not None:
        return Abstention(
            symbol=said["symbol"], as_of=row.as_of, reason=said["abstention"], last_close=said["last_close"]
        )
    return Forecast(
        symbol=said["symbol"],
        as_of=row.as_of,
        direction=Direction(said["direction"]),
        confidence=said["confidence"],
        close=said["close"],
        last_close=said["last_close"],
    )


def _restate_prediction(call: Prediction, ratio: float) -> Prediction:
    if isinstance(call, Abstention):
        return replace(call, last_close=call.last_close / ratio)
    return replace(call, close=call.close / ratio, last_close=call.last_close / ratio)


SCORED = "session_scored"

TRIALS = "trials.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecordedStudent:
    """What a table says of a student that need not be asked again."""

    name: str
    fingerprint: str
    window: int
    released: date | None


def score_session(
    journal: Journal, data_dir: Path, at: datetime, *, count: bool = False
) -> dict[str, Any] | None:
    """The table as `closecall backtest --json` has it, None before the first call is made.

    With `count` the session goes on the record of trials, and the table into its journal, once. Raises
    JournalError or DataError for a journal that cannot be scored.
    """
    before = next(iter(reversed(list(journal.read(kinds=(SCORED,))))), None)
    if before is not None:
        return dict(before.payload)
    whole = load_session_history(journal, data_dir)
    if not whole.calls:
        return None
    result, student = _build_result(journal, whole)
    result["digests"] = session_digests(load_outputs(journal))
    trials = data_dir / TRIALS
    if count:
        result |= record_trial(journal.session, whole.market_data, result, student, trials, at)
        journal.append([Event(kind=SCORED, as_of=at, payload=result)], at)
    else:
        result |= _compare_with_trials(whole, result, student, trials)
    return result


def _build_result(journal: Journal, whole: SessionHistory) -> tuple[dict[str, Any], SimulationResult]:
    facts, settings = whole.market_data, whole.settings
    called = {(call.symbol, call.as_of) for call in whole.calls}
    seen = build_observations(facts.bars, facts.news, window=settings.window, start=facts.start)
    observed = [one for one in seen if (one.symbol, one.as_of) in called]
    callers = baseline_predictions(whole.config, facts, observed, whole.calls)
    unused = Recorder(journal, facts.start)
    student = SimulationResult(calls=whole.calls, engine=whole.engine)
    played = {STUDENT: student} | simulate_all(
        whole.config, facts, observed, callers, unused, lambda _stage, _done, _total: None
    )
    spoken = _RecordedStudent(
        name=settings.student,
        fingerprint=settings.fingerprint,
        window=settings.window,
        released=decode_day(whole.about.get("released")),
    )
    spoken_for = cast(Student, spoken)  # all that a table asks of it is there
    made = build_result(journal.session, whole.config, facts, observed, spoken_for, len(called), played)
    return made, student


def _compare_with_trials(
    whole: SessionHistory, result: Mapping[str, Any], student: SimulationResult, path: Path
) -> dict[str, Any]:
    """Its place among the trials on the same data, itself not counted yet."""
    facts, engine = whole.market_data, student.engine
    start, end = (date.fromisoformat(result[name]) for name in ("start", "end"))
    known = find_trials(path, facts.source, tuple(result["symbols"]), start, end)
    different = distinct_trials(known)
    earned = performance([(m.at, m.value) for m in engine.marks], engine.starting_cash, facts.days_per_year)
    return {
        "trials": len(known),
        "distinct_trials": len(different),
        "deflated_sharpe": deflated_sharpe(
            earned.returns, max(1, len(different)), sharpe_variance(different)
        ),
    }

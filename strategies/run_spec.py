"""What decides a paper session, as its journal's first event keeps it, and back again.

Knows no source of facts. What is stated here never changes within a session; what may change in its course
(the student's adapter, rates, how far a calendar is known) comes as inputs of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from engine.calendars import ExchangeSessions
from engine.errors import JournalError
from engine.fx import FxRates, FxRateSeries
from engine.instruments import AssetClass, Costs, Instrument
from engine.journal.events import (
    encode_bar,
)
from engine.journal.journal import Event, Journal
from engine.model import require_utc
from engine.trading.risk import RiskLimits
from llm.student import Student
from strategies.config import BacktestConfig
from strategies.market_data import MarketData, build_costs
from strategies.sizing import PositionSizing, build_sizing

STARTED, HISTORY, RATE = "session_started", "history", "rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """The parts of a session. `calendars` are the first and last day known, by code.

    `start` is the instant after which closes are decided on, `window` how many closed bars the student sees,
    `deadline` how long it may take for one close, and `late_after` how long after its instant a close may
    still be decided on; `simulated` says that time is that of the inputs. `base` is the account's currency
    where rates are given, `constants` the rates that do not change.

    Raises ValueError for a deadline that is not above zero, or beyond `late_after`.
    """

    instruments: Mapping[str, Instrument]
    costs: Mapping[str, Costs]
    calendars: Mapping[str, tuple[date, date]]
    cash: float
    sizing: PositionSizing
    limits: RiskLimits
    start: datetime
    window: int
    student: str
    fingerprint: str
    deadline: timedelta = timedelta(minutes=5)
    late_after: timedelta = timedelta(minutes=30)
    simulated: bool = False
    base: str | None = None
    constants: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_utc(self.start, "start")
        if not timedelta(0) < self.deadline <= self.late_after:
            raise ValueError(f"deadline {self.deadline} is not between 0 and late_after {self.late_after}")


def build_run_spec(
    config: BacktestConfig, facts: MarketData, student: Student, limits: RiskLimits, **rest: Any
) -> RunSpec:
    """The settings by which a session trades as a backtest of `config` over `facts` would.

    `rest` are fields of SessionSettings that a backtest does not have.
    """
    return RunSpec(
        instruments=facts.instruments,
        costs=build_costs(config, facts.instruments),
        calendars={code: _encode_calendar(calendar) for code, calendar in facts.calendars.items()},
        cash=config.cash,
        sizing=build_sizing(config, facts.instruments),
        limits=limits,
        start=facts.start,
        window=student.window,
        student=student.name,
        fingerprint=student.fingerprint,
        base=facts.rates.base if facts.rates else None,
        constants=facts.rates.constants if facts.rates else {},
        notes=facts.notes,
        **rest,
    )


def encode_run_spec(settings: RunSpec, at: datetime, about: Mapping[str, Any]) -> Event:
    """The settings as the journal keeps them, with whatever else is to stand `about` the session."""
    payload = {name: getattr(settings, name) for name in settings.__slots__} | {
        "instruments": {symbol: asdict(one) for symbol, one in settings.instruments.items()},
        "costs": {symbol: asdict(one) for symbol, one in settings.costs.items()},
        "sizing": asdict(settings.sizing) | {"shortable": sorted(settings.sizing.shortable)},
        "limits": asdict(settings.limits) | {"stale_after": settings.limits.stale_after.total_seconds()},
        "deadline": settings.deadline.total_seconds(),
        "late_after": settings.late_after.total_seconds(),
        "about": dict(about),
    }
    return Event(kind=STARTED, as_of=at, payload=payload)


def decode_run_spec(payload: Mapping[str, Any]) -> RunSpec:
    """The settings that `encode_run_spec` wrote. Raises JournalError if it did not."""
    try:
        limits = payload["limits"]
        return RunSpec(
            instruments={symbol: _decode_instrument(one) for symbol, one in payload["instruments"].items()},
            costs={symbol: Costs(**one) for symbol, one in payload["costs"].items()},
            calendars={code: _decode_days(span) for code, span in payload["calendars"].items()},
            cash=payload["cash"],
            sizing=PositionSizing(
                **payload["sizing"] | {"shortable": frozenset(payload["sizing"]["shortable"])}
            ),
            limits=RiskLimits(**limits | {"stale_after": timedelta(seconds=limits["stale_after"])}),
            start=datetime.fromisoformat(payload["start"]),
            window=payload["window"],
            student=payload["student"],
            fingerprint=payload["fingerprint"],
            deadline=timedelta(seconds=payload["deadline"]),
            late_after=timedelta(seconds=payload["late_after"]),
            simulated=payload["simulated"],
            base=payload["base"],
            constants=payload["constants"],
            notes=tuple(payload["notes"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalError(
            f"the session's settings cannot be read ({error}); another version wrote them, use that one"
        ) from error


def encode_history(facts: MarketData) -> Iterator[Event]:
    """The closed bars from before the start, by symbol: inputs like any other."""
    for symbol, series in sorted(facts.bars.items()):
        bars = [encode_bar(bar) for bar in series if bar.closes_at <= facts.start]
        yield Event(kind=HISTORY, as_of=facts.start, payload={"symbol": symbol, "bars": bars})


def encode_rates(facts: MarketData) -> Iterator[Event]:
    """Every rate of a series at the instant at which it became known."""
    for currency, series in sorted(facts.rates.series.items() if facts.rates else ()):
        for known_at, value in zip(series.known_at, series.values, strict=True):
            yield Event(kind=RATE, as_of=known_at, payload={"currency": currency, "value": value})


def _decode_instrument(stored: Mapping[str, Any]) -> Instrument:
    return Instrument(
        **{
            **stored,
            "names": tuple(stored["names"]),
            "asset_class": AssetClass(stored["asset_class"]),
        }
    )


def _encode_calendar(calendar: object) -> tuple[date, date]:
    """The days a calendar knows; one that is open round the clock knows them all."""
    if isinstance(calendar, ExchangeSessions):
        return calendar.first, calendar.last
    return date(1900, 1, 1), date(2199, 12, 31)


def _decode_days(span: list[str]) -> tuple[date, date]:
    first, last = span
    return date.fromisoformat(first), date.fromisoformat(last)


SETTINGS = "settings"

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


def encode_run_inputs(
    config: BacktestConfig, facts: MarketData, student: Student, at: datetime
) -> list[Event]:
    """What a run's journal needs, beside its slices and forecasts, to be had again: to be journaled first."""
    settings = build_run_spec(config, facts, student, _UNLIMITED)
    started = encode_run_spec(replace(settings, simulated=True), at, {})
    return [replace(started, kind=SETTINGS), *encode_history(facts), *encode_rates(facts)]


def read_start(journal: Journal) -> Mapping[str, Any]:
    """How a session began. Raises JournalError for a journal that does not say."""
    first = next(journal.read(0), None)
    if first is None or first.kind != STARTED:
        raise JournalError(f"{journal.session} does not say how it was started; name a session")
    return first.payload


def read_rates(journal: Journal, started: Mapping[str, Any], until: datetime | None = None) -> FxRates | None:
    """The rates that a session was told of, by `until` or at all; None where it has one currency."""
    if started["base"] is None:
        return None
    told: dict[str, dict[datetime, float]] = {}
    for row in journal.read(kinds=(RATE,)):
        if until is None or row.as_of <= until:
            told.setdefault(row.payload["currency"], {})[row.as_of] = row.payload["value"]
    series = {
        currency: FxRateSeries(known_at=tuple(sorted(known)), values=tuple(known[at] for at in sorted(known)))
        for currency, known in told.items()
    }
    return FxRates(base=started["base"], constants=started["constants"], series=series)

"""The settings of a paper session, which never change, and its first event and inputs.

What may change in the course of a session (the student's adapter, rates, how far a calendar is known) comes
as separate inputs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from engine.calendars import ExchangeSessions
from engine.corporate_actions import Delisting
from engine.errors import INCOMPATIBLE, JournalError
from engine.fx import FxRates, FxRateSeries
from engine.instruments import Costs, Instrument
from engine.journal.events import Kind, decode, decode_as, encode
from engine.journal.events.inputs import History, Rate
from engine.journal.events.rules import RULES, require_rules
from engine.journal.events.sessions import RunSettings, SessionStarted
from engine.journal.journal import Event, Journal
from engine.model import require_utc
from engine.trading.risk import RiskLimits
from llm.prompts import DEFAULT_WINDOW
from llm.student import Student
from strategies.config import BacktestConfig
from strategies.delistings import find_delistings
from strategies.instrument_settings import build_costs
from strategies.market_data import MarketData
from strategies.sizing import PositionSizing, build_sizing


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """Everything that decides a session. `calendars` are the first and last day known, by code.

    `start` is the instant after which closes are decided on, `window` how many closed bars the student sees,
    `deadline` how long it may take for one close, and `late_after` how long after its instant a close may
    still be decided on; `simulated` says that time is that of the inputs. `base` is the account's currency
    where rates are given, `constants` the rates that do not change. `resize_orders` and `delistings` are
    those of `engine.trading.runner.run`. `token_probabilities` says whether answers keep them.

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
    resize_orders: bool = True
    token_probabilities: bool = True
    delistings: Mapping[str, Delisting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_utc(self.start, "start")
        if not timedelta(0) < self.deadline <= self.late_after:
            raise ValueError(f"deadline {self.deadline} is not between 0 and late_after {self.late_after}")


def build_run_spec(
    config: BacktestConfig,
    market: MarketData,
    student: Student | None,
    limits: RiskLimits,
    *,
    simulated: bool = False,
    **rest: Any,
) -> RunSpec:
    """Return the settings by which a session trades as a backtest of `config` over `market` would.

    `rest` are fields of RunSpec that a backtest does not have.
    """
    return RunSpec(
        instruments=market.instruments,
        costs=build_costs(config, market.instruments),
        calendars={code: _encode_calendar(calendar) for code, calendar in market.calendars.items()},
        cash=config.cash,
        sizing=build_sizing(config, market.instruments),
        limits=limits,
        start=market.start,
        window=student.window if student else DEFAULT_WINDOW,
        student=student.name if student else "",
        fingerprint=student.fingerprint if student else "",
        base=market.rates.base if market.rates else None,
        constants=market.rates.constants if market.rates else {},
        notes=(*market.notes, *(student.notes if student else ())),
        simulated=simulated,
        # What lacks bars in a live session may have them again tomorrow.
        delistings=find_delistings(market, config.delisting_value) if simulated else {},
        **rest,
    )


def encode_run_spec(
    spec: RunSpec, about: Mapping[str, Any], kind: type[SessionStarted] = SessionStarted
) -> SessionStarted:
    """Return the first payload of a session's journal, with whatever else is to be known `about` it."""
    sizing = asdict(spec.sizing) | {"shortable": sorted(spec.sizing.shortable)}
    values = {name: getattr(spec, name) for name in spec.__slots__}
    return kind(**values | {"sizing": sizing, "about": about, "rules": RULES})


def decode_run_spec(started: SessionStarted) -> RunSpec:
    """Return the settings of a session. Raises JournalError where its sizing is that of another version."""
    values = {name: getattr(started, name) for name in RunSpec.__slots__}
    try:
        sizing = started.sizing | {"shortable": frozenset(started.sizing["shortable"])}  # type: ignore[operator]  # a dict
        return RunSpec(**values | {"sizing": PositionSizing(**sizing)})
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(f"the sizing of the session cannot be read ({error}); {INCOMPATIBLE}") from error


def encode_history(market: MarketData) -> Iterator[Event]:
    """Yield the closed bars from before the start, by symbol: inputs like any other."""
    for symbol, series in sorted(market.bars.items()):
        bars = tuple(bar for bar in series if bar.closes_at <= market.start)
        yield encode(History(symbol=symbol, bars=bars), market.start)


def encode_rates(market: MarketData) -> Iterator[Event]:
    """Yield every rate of a series at the instant at which it became known."""
    for currency, series in sorted(market.rates.series.items() if market.rates else ()):
        for known_at, value in zip(series.known_at, series.values, strict=True):
            yield encode(Rate(currency=currency, value=value), known_at)


def _encode_calendar(calendar: object) -> tuple[date, date]:
    """Return the first and last day of a calendar; one that is open round the clock has them all."""
    if isinstance(calendar, ExchangeSessions):
        return calendar.first, calendar.last
    return date(1900, 1, 1), date(2199, 12, 31)


_ENDLESS = timedelta(days=36_500)

UNLIMITED = RiskLimits(
    symbol_exposure=1e18,
    total_exposure=1e18,
    daily_loss=1e18,
    drawdown=1e18,
    orders_per_day=10**9,
    stale_after=_ENDLESS,
    abstention_rate=2.0,
)


def encode_run_inputs(
    spec: RunSpec, market: MarketData, at: datetime, about: Mapping[str, Any] | None = None
) -> list[Event]:
    """Return what a run's journal needs, beside its slices and forecasts, to be replayed: journaled first.

    Args:
        spec: What decides the run.
        market: The market data.
        at: When the run started.
        about: What is to be known of it besides: the name of a user's `strategy` that trades in place of the
            built-in one, or a `task` that is not traded.
    """
    settings = encode_run_spec(spec, about or {}, RunSettings)
    return [encode(settings, at), *encode_history(market), *encode_rates(market)]


def read_start(journal: Journal) -> SessionStarted:
    """Return how a session began. Raises JournalError for a journal that does not say."""
    first = next(journal.read(0), None)
    if first is None or first.kind != Kind.SESSION_STARTED:
        raise JournalError(f"{journal.session} does not say how it was started; name a session")
    return decode_as(SessionStarted, first)


def read_replayable_start(journal: Journal) -> SessionStarted:
    """Return how a session began, if this version can replay it.

    Raises JournalError for a journal that is no session's, RulesError for rules that this version lacks.
    """
    started = read_start(journal)
    require_rules(started.rules, f"session {journal.session}", new_session_remedy(journal.session))
    return started


def new_session_remedy(name: str) -> str:
    """Return what to do about a session that this version cannot continue."""
    return f"start a new session with its settings: closecall paper start --like {name}"


def read_rates(journal: Journal, spec: RunSpec, until: datetime | None = None) -> FxRates | None:
    """Return the rates that a session knew, by `until` or at all; None where it has one currency."""
    if spec.base is None:
        return None
    by_currency: dict[str, dict[datetime, float]] = {}
    for row in journal.read(kinds=(Kind.RATE,)):
        if until is None or row.as_of <= until:
            rate: Rate = decode(row)
            by_currency.setdefault(rate.currency, {})[row.as_of] = rate.value
    series = {
        currency: FxRateSeries(known_at=tuple(sorted(known)), values=tuple(known[at] for at in sorted(known)))
        for currency, known in by_currency.items()
    }
    return FxRates(base=spec.base, constants=spec.constants, series=series)

"""Applies the inputs of a session in order: what the engine receives and what the student observes.

New sessions, resumed ones and the replay check all read their inputs here, so that they see the same. Outputs
(forecasts, orders, fills) are no part of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from engine.calendars import Calendar, load_calendar
from engine.corporate_actions import Dividend, Split
from engine.errors import DataError
from engine.fx import MAX_AGE
from engine.journal.events import Kind, decode, replay_number
from engine.journal.events.inputs import (
    CalendarExtended,
    Gap,
    History,
    ModelAdopted,
    Quotes,
    Rate,
    SliceRecord,
)
from engine.journal.journal import Row
from engine.model import Observation, Phase
from engine.timeline import ObservationBuilder
from engine.trading.inputs import EngineInput, LastPrices, OpenMissed, TimeAdvanced
from engine.trading.risk import Command
from strategies.run_spec import RunSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedInput:
    """The effect of one input: items for the engine, in order, and observations to predict on.

    `late` says that the closes arrived too late for a decision.
    """

    items: tuple[EngineInput, ...] = ()
    observed: tuple[Observation, ...] = ()
    late: bool = False
    as_of: datetime | None = None


class StreamingFxRates:
    """The newest rate of each currency that a session has learned."""

    def __init__(self, base: str, constants: Mapping[str, float]) -> None:
        self.base = base
        self._constants = constants
        self._newest: dict[str, tuple[datetime, float]] = {}

    def update(self, currency: str, at: datetime, value: float) -> None:
        """Set what one unit of `currency` is worth in the base currency from `at` on."""
        self._newest[currency] = at, value

    def rate(self, currency: str, at: datetime) -> float:
        """Return the worth of one unit in the base currency. Raises DataError if unknown or too old."""
        if currency == self.base:
            return 1.0
        if currency in self._constants:
            return self._constants[currency]
        known_at, value = self._newest.get(currency, (at - 2 * MAX_AGE, 0.0))
        if at - known_at > MAX_AGE:
            raise DataError(
                f"no rate of {currency} in {self.base} is known at {at:%Y-%m-%d %H:%M}, or only one of more "
                f"than {MAX_AGE.days} days before; state it under [rates] or repair its source"
            )
        return value


class SessionState:
    """The state that follows from the inputs so far, without their outputs.

    `calendars` replaces those that the settings name, for markets without a calendar code.
    """

    def __init__(self, settings: RunSpec, calendars: Mapping[str, Calendar] | None = None) -> None:
        self._settings = settings
        self.observation_builder = ObservationBuilder(settings.instruments, settings.window)
        self.rates = StreamingFxRates(settings.base, settings.constants) if settings.base else None
        self._latest_instant = settings.start
        self.active_model: ModelAdopted | None = None
        self.calendars: dict[str, Calendar] = dict(calendars or {})
        self.known_until: dict[str, date] = {}
        for code, (first, last) in settings.calendars.items():
            if code not in self.calendars:
                self.calendars[code] = load_calendar(code, first, last - timedelta(days=31))
                self.known_until[code] = last

    @property
    def adapter(self) -> str | None:
        """Return the folder of the adapter in use; None for the student that the session began with."""
        return self.active_model.adapter if self.active_model else None

    def apply(self, row: Row) -> AppliedInput:
        """Apply an input and return what it leads to. Raises JournalError for one that cannot be read."""
        match decode(row):
            case SliceRecord() as record:
                return self._apply_slice(record)
            case Command() as command:
                return AppliedInput(items=(replace(command, at=self.effective_time(row)),))
            case Split() | Dividend() as action:
                if isinstance(action, Split):
                    self.observation_builder.split(action)
                return AppliedInput(items=(action,))
            case Quotes() as quotes:
                known = self._settings.instruments
                prices = {symbol: price for symbol, (price, _) in quotes.quotes.items() if symbol in known}
                return AppliedInput(items=(LastPrices(at=row.as_of, prices=prices),))
            case Gap():
                return AppliedInput(items=(TimeAdvanced(at=row.as_of),))
            case notice:
                self._apply_notice(row.as_of, notice)
        return AppliedInput()

    def _apply_notice(self, at: datetime, notice: object) -> None:
        match notice:
            case History():
                for bar in notice.bars:
                    self.observation_builder.add_history(bar)
            case Rate() if self.rates is not None:
                self.rates.update(notice.currency, at, notice.value)
            case CalendarExtended():
                self._extend_calendar(notice)
            case ModelAdopted():
                self.active_model = notice

    def effective_time(self, row: Row) -> datetime:
        """Return when an input acts; in simulated time a command from outside acts at the instant reached."""
        outside = row.kind == Kind.COMMAND and self._settings.simulated and replay_number(row) is None
        return self._latest_instant if outside else row.as_of

    def _apply_slice(self, record: SliceRecord) -> AppliedInput:
        slice_ = record.slice
        self._latest_instant = slice_.as_of
        late = bool(record.late)
        observed = tuple(self.observation_builder.on_slice(slice_))
        if not (late and slice_.phase is Phase.OPEN):
            return AppliedInput(items=(slice_,), observed=observed, late=late, as_of=slice_.as_of)
        # No price was seen at this open after the decision, so there is none to fill at.
        prices = record.observed or {}
        missed = tuple(symbol for symbol in slice_.bars if prices.get(symbol) is None)
        lapse = OpenMissed(
            at=slice_.as_of, symbols=missed, reason="the open came too late, with no price seen"
        )
        return AppliedInput(items=(lapse, slice_), late=True, as_of=slice_.as_of)

    def _extend_calendar(self, calendar: CalendarExtended) -> None:
        code, last = calendar.code, calendar.last
        first, _ = self._settings.calendars[code]
        self.calendars[code] = load_calendar(code, first, last - timedelta(days=31))
        self.known_until[code] = last

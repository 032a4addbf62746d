"""The inputs of a session, in the order of their numbers, as what the engine is handed and the student sees.

A session that runs, one that starts again and the check of parity all read their inputs here, and so see the
same. Knows no effect: what was forecast, ordered or filled is not among its kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from engine.calendars import Calendar, load_calendar
from engine.corporate_actions import Split
from engine.errors import DataError, JournalError
from engine.fx import MAX_AGE
from engine.journal.events import (
    COMMAND,
    DIVIDEND,
    SPLIT,
    decode_bar,
    decode_command,
    decode_corporate_action,
    decode_slice,
    is_late,
)
from engine.journal.journal import Row
from engine.model import Observation, Phase
from engine.timeline import ObservationBuilder
from engine.trading.inputs import EngineInput, LastPrices, OpenMissed, TimeAdvanced
from engine.trading.risk import Command
from strategies.paper.clock import REPLAYED
from strategies.run_spec import HISTORY, RATE, RunSpec

SLICE, QUOTE, GAP, CALENDAR, ADOPTED, FINISHED = (
    "slice",
    "quote",
    "gap",
    "calendar",
    "adopted",
    "session_finished",
)

INPUTS = (HISTORY, RATE, CALENDAR, SLICE, QUOTE, GAP, COMMAND, SPLIT, DIVIDEND, ADOPTED, FINISHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedInput:
    """What one input comes to: items for the engine in turn, and what is to be decided on.

    `late` says that the closes came too late for a decision.
    """

    items: tuple[EngineInput, ...] = ()
    observed: tuple[Observation, ...] = ()
    late: bool = False
    as_of: datetime | None = None


class StreamingFxRates:
    """Rates as far as a session was told of them; the newest of each currency is all that is kept."""

    def __init__(self, base: str, constants: Mapping[str, float]) -> None:
        self.base = base
        self._constants = constants
        self._newest: dict[str, tuple[datetime, float]] = {}

    def update(self, currency: str, at: datetime, value: float) -> None:
        """From `at` on one unit of `currency` is worth `value` in the base currency."""
        self._newest[currency] = at, value

    def rate(self, currency: str, at: datetime) -> float:
        """What one unit is worth. Raises DataError if that is unknown, or was last told too long ago."""
        if currency == self.base:
            return 1.0
        if currency in self._constants:
            return self._constants[currency]
        known_at, value = self._newest.get(currency, (at - 2 * MAX_AGE, 0.0))
        if at - known_at > MAX_AGE:
            raise DataError(
                f"no rate of {currency} in {self.base} is known at {at:%Y-%m-%d %H:%M}, or only one of more "
                f"than {MAX_AGE.days} days before; state it under [rates] or mend its source"
            )
        return value


class SessionState:
    """What the inputs up to here add up to, without what was done about them.

    `calendars` replaces those that the settings name, for markets that no code names.
    """

    def __init__(self, settings: RunSpec, calendars: Mapping[str, Calendar] | None = None) -> None:
        self._settings = settings
        self.observation_builder = ObservationBuilder(settings.instruments, settings.window)
        self.rates = StreamingFxRates(settings.base, settings.constants) if settings.base else None
        self._latest_instant = settings.start
        self.active_model: Mapping[str, Any] | None = None
        self.calendars: dict[str, Calendar] = dict(calendars or {})
        self.known_until: dict[str, date] = {}
        for code, (first, last) in settings.calendars.items():
            if code not in self.calendars:
                self.calendars[code] = load_calendar(code, first, last - timedelta(days=31))
                self.known_until[code] = last

    @property
    def adapter(self) -> str | None:
        """What the adoption in force calls its adapter; None for the student of the beginning."""
        return self.active_model.get("adapter") if self.active_model else None

    def apply(self, row: Row) -> AppliedInput:
        """Fold in an input and say what it comes to. Raises JournalError for one that cannot be read."""
        match row.kind:
            case "slice":
                return self._slice(row)
            case "command":
                return AppliedInput(items=(self._command(row),))
            case "split" | "dividend":
                action = decode_corporate_action(row.kind, row.as_of, row.payload)
                if isinstance(action, Split):
                    self.observation_builder.split(action)
                return AppliedInput(items=(action,))
        try:
            return self._apply_notice(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise JournalError(
                f"event {row.seq} ({row.kind}) cannot be read ({error}); use the version that wrote it"
            ) from error

    def effective_time(self, row: Row) -> datetime:
        """When an input acts; in simulated time a command from outside does at the instant reached."""
        outside = row.kind == COMMAND and self._settings.simulated and REPLAYED not in row.payload
        return self._latest_instant if outside else row.as_of

    def _command(self, row: Row) -> Command:
        return replace(decode_command(row.as_of, row.payload), at=self.effective_time(row))

    def _slice(self, row: Row) -> AppliedInput:
        self._latest_instant = row.as_of
        slice_ = decode_slice(row.as_of, row.payload)
        late = is_late(row.payload)
        observed = tuple(self.observation_builder.on_slice(slice_))
        if not (late and slice_.phase is Phase.OPEN):
            return AppliedInput(items=(slice_,), observed=observed, late=late, as_of=row.as_of)
        # Nobody saw a price at this open after the decision, so that there is none to fill at.
        prices = row.payload.get("observed", {})
        missed = tuple(symbol for symbol in slice_.bars if prices.get(symbol) is None)
        lapse = OpenMissed(at=row.as_of, symbols=missed, reason="the open came too late, with no price seen")
        return AppliedInput(items=(lapse, slice_), late=True, as_of=row.as_of)

    def _apply_notice(self, row: Row) -> AppliedInput:
        payload = row.payload
        match row.kind:
            case "history":
                for stored in payload["bars"]:
                    self.observation_builder.add_history(decode_bar(payload["symbol"], stored))
            case "rate":
                if self.rates is not None:
                    self.rates.update(payload["currency"], row.as_of, payload["value"])
            case "calendar":
                self._extend_calendar(payload["code"], date.fromisoformat(payload["last"]))
            case "adopted":
                self.active_model = payload
            case "quote":
                known = self._settings.instruments
                prices = {symbol: one[0] for symbol, one in payload["quotes"].items() if symbol in known}
                return AppliedInput(items=(LastPrices(at=row.as_of, prices=prices),))
            case "gap":
                return AppliedInput(items=(TimeAdvanced(at=row.as_of),))
        return AppliedInput()

    def _extend_calendar(self, code: str, last: date) -> None:
        first, _ = self._settings.calendars[code]
        self.calendars[code] = load_calendar(code, first, last - timedelta(days=31))
        self.known_until[code] = last

"""The inputs of a session, in the order of their numbers, as what the engine is handed and the student sees.

A session that runs, one that starts again and the check of parity all read their inputs here, and so see the
same. Knows no effect: what was forecast, ordered or filled is not among its kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from engine.calendars import Calendar, calendar_of
from engine.corporate_actions import Split
from engine.errors import DataError, JournalError
from engine.fx import MOST_AGE
from engine.journal.events import (
    COMMAND,
    DIVIDEND,
    SPLIT,
    bar_from_dated,
    command_from_payload,
    corporate_from_payload,
    is_late,
    slice_from_payload,
)
from engine.journal.journal import Row
from engine.model import Observation, Phase
from engine.timeline import Watcher
from engine.trading.inputs import Item, Lapse, Quotes, Tick
from engine.trading.risk import Command
from strategies.paper.clock import REPLAYED
from strategies.run_spec import HISTORY, RATE, SessionSettings

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
class Taken:
    """What one input comes to: items for the engine in turn, and what is to be decided on.

    `late` says that the closes came too late for a decision.
    """

    items: tuple[Item, ...] = ()
    observed: tuple[Observation, ...] = ()
    late: bool = False
    as_of: datetime | None = None


class LearnedRates:
    """Rates as far as a session was told of them; the newest of each currency is all that is kept."""

    def __init__(self, base: str, constants: Mapping[str, float]) -> None:
        self.base = base
        self._constants = constants
        self._newest: dict[str, tuple[datetime, float]] = {}

    def learn(self, currency: str, at: datetime, value: float) -> None:
        """From `at` on one unit of `currency` is worth `value` in the base currency."""
        self._newest[currency] = at, value

    def of(self, currency: str, at: datetime) -> float:
        """What one unit is worth. Raises DataError if that is unknown, or was last told too long ago."""
        if currency == self.base:
            return 1.0
        if currency in self._constants:
            return self._constants[currency]
        known_at, value = self._newest.get(currency, (at - 2 * MOST_AGE, 0.0))
        if at - known_at > MOST_AGE:
            raise DataError(
                f"no rate of {currency} in {self.base} is known at {at:%Y-%m-%d %H:%M}, or only one of more "
                f"than {MOST_AGE.days} days before; state it under [rates] or mend its source"
            )
        return value


class World:
    """What the inputs up to here add up to, without what was done about them.

    `calendars` replaces those that the settings name, for markets that no code names.
    """

    def __init__(self, settings: SessionSettings, calendars: Mapping[str, Calendar] | None = None) -> None:
        self._settings = settings
        self.watcher = Watcher(settings.instruments, settings.window)
        self.rates = LearnedRates(settings.base, settings.constants) if settings.base else None
        self._reached = settings.start
        self.adopted: Mapping[str, Any] | None = None
        self.calendars: dict[str, Calendar] = dict(calendars or {})
        self.known_until: dict[str, date] = {}
        for code, (first, last) in settings.calendars.items():
            if code not in self.calendars:
                self.calendars[code] = calendar_of(code, first, last - timedelta(days=31))
                self.known_until[code] = last

    @property
    def adapter(self) -> str | None:
        """What the adoption in force calls its adapter; None for the student of the beginning."""
        return self.adopted.get("adapter") if self.adopted else None

    def take(self, row: Row) -> Taken:
        """Fold in an input and say what it comes to. Raises JournalError for one that cannot be read."""
        match row.kind:
            case "slice":
                return self._slice(row)
            case "command":
                return Taken(items=(self._command(row),))
            case "split" | "dividend":
                action = corporate_from_payload(row.kind, row.as_of, row.payload)
                if isinstance(action, Split):
                    self.watcher.split(action)
                return Taken(items=(action,))
        try:
            return self._told(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise JournalError(
                f"event {row.seq} ({row.kind}) cannot be read ({error}); use the version that wrote it"
            ) from error

    def acts_at(self, row: Row) -> datetime:
        """When an input acts; in simulated time a command from outside does at the instant reached."""
        outside = row.kind == COMMAND and self._settings.simulated and REPLAYED not in row.payload
        return self._reached if outside else row.as_of

    def _command(self, row: Row) -> Command:
        return replace(command_from_payload(row.as_of, row.payload), at=self.acts_at(row))

    def _slice(self, row: Row) -> Taken:
        self._reached = row.as_of
        slice_ = slice_from_payload(row.as_of, row.payload)
        late = is_late(row.payload)
        observed = tuple(self.watcher.see(slice_))
        if not (late and slice_.phase is Phase.OPEN):
            return Taken(items=(slice_,), observed=observed, late=late, as_of=row.as_of)
        # Nobody saw a price at this open after the decision, so that there is none to fill at.
        prices = row.payload.get("observed", {})
        missed = tuple(symbol for symbol in slice_.bars if prices.get(symbol) is None)
        lapse = Lapse(at=row.as_of, symbols=missed, reason="the open came too late, with no price seen")
        return Taken(items=(lapse, slice_), late=True, as_of=row.as_of)

    def _told(self, row: Row) -> Taken:
        payload = row.payload
        match row.kind:
            case "history":
                for stored in payload["bars"]:
                    self.watcher.remember(bar_from_dated(payload["symbol"], stored))
            case "rate":
                if self.rates is not None:
                    self.rates.learn(payload["currency"], row.as_of, payload["value"])
            case "calendar":
                self._extend(payload["code"], date.fromisoformat(payload["last"]))
            case "adopted":
                self.adopted = payload
            case "quote":
                known = self._settings.instruments
                prices = {symbol: one[0] for symbol, one in payload["quotes"].items() if symbol in known}
                return Taken(items=(Quotes(at=row.as_of, prices=prices),))
            case "gap":
                return Taken(items=(Tick(at=row.as_of),))
        return Taken()

    def _extend(self, code: str, last: date) -> None:
        first, _ = self._settings.calendars[code]
        self.calendars[code] = calendar_of(code, first, last - timedelta(days=31))
        self.known_until[code] = last

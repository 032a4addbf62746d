"""How sessions and runs begin and end, and the notes beside their inputs and outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from engine.corporate_actions import ActionKind, Delisting
from engine.instruments import Costs, Instrument
from engine.journal.events.codec import Rest, may_lack, stored_as
from engine.journal.events.kinds import Kind
from engine.trading.risk import RiskLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted:
    """A session begins: all that decides it and never changes, and the rules it is traded by.

    The fields are those of `strategies.run_spec.RunSpec`; `about` is whatever else is to be known, such as
    the configuration.
    """

    instruments: Mapping[str, Instrument]
    costs: Mapping[str, Costs]
    calendars: Mapping[str, tuple[date, date]]
    cash: float
    sizing: Mapping[str, Any]
    limits: RiskLimits
    start: datetime
    window: int
    student: str
    fingerprint: str
    deadline: timedelta
    late_after: timedelta
    simulated: bool
    base: str | None
    constants: Mapping[str, float]
    notes: tuple[str, ...]
    about: Mapping[str, Any]
    rules: int = 1
    resize_orders: bool = False
    token_probabilities: bool = False
    delistings: Mapping[str, Delisting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings(SessionStarted):
    """What a run's journal states so that it can be replayed like a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResumed:
    """A session resumes after so many events; the outputs among them were replayed and match."""

    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStopped:
    """A session stops for now."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionScored:
    """The table of a session that has ended, as `closecall backtest --json` has it."""

    result: Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A live session waits for something until an instant, in a risk state."""

    awaited: str = stored_as("for")
    until: datetime
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionAnnounced:
    """A split or dividend was stated by a person or a source; it is journaled as an input when it is due.

    `value` is the ratio of a split, or the amount of a dividend per unit; a ratio of 1 and an amount of 0
    take an earlier announcement back. `effective_at` is the open of the ex-date.
    """

    action: ActionKind
    symbol: str
    effective_at: datetime
    value: float
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A part is "down", "up" again, or "was" at fault once."""

    part: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """A round of retraining that was `due`: its `report`, or why it `failed`."""

    due: datetime
    report: Mapping[str, Any] | None = may_lack()
    failed: str | None = may_lack()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryChanged:
    """The registry changed: its event, and the champion of that student from then on."""

    registry_seq: int
    registry_chain: str
    at: datetime
    change: str
    student: str
    name: str
    champion: str | None
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run begins: its configuration, and the rules it is traded by."""

    config: Rest
    rules: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasting:
    """So many closes of all are forecast so far."""

    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The result of a run, as `closecall runs --json` has it."""

    result: Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInterrupted:
    """A person interrupted a run."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed:
    """A run could not be finished."""

    reason: str


PAYLOADS: Mapping[str, type] = {
    Kind.SESSION_STARTED: SessionStarted,
    Kind.SESSION_RESUMED: SessionResumed,
    Kind.SESSION_STOPPED: SessionStopped,
    Kind.SESSION_SCORED: SessionScored,
    Kind.WAITING: Waiting,
    Kind.ACTION_ANNOUNCED: ActionAnnounced,
    Kind.FAULT: Fault,
    Kind.RETRAINED: Retrained,
    Kind.REGISTRY_CHANGED: RegistryChanged,
    Kind.RUN_STARTED: RunStarted,
    Kind.SETTINGS: RunSettings,
    Kind.FORECASTING: Forecasting,
    Kind.RUN_FINISHED: RunFinished,
    Kind.RUN_INTERRUPTED: RunInterrupted,
    Kind.RUN_FAILED: RunFailed,
}
"""The payload of each kind of beginnings, ends and notes."""

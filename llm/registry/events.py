"""Compute the registry's state from its journal: adapters, champions and their history.

Pure functions: rows in, state out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import JournalError
from engine.journal.events import Kind, decode, encode
from engine.journal.events.sessions import RegistryChanged
from engine.journal.events.training import (
    AdapterEntered,
    AdapterPromoted,
    AdapterRejected,
    AdapterScored,
    ChampionRolledBack,
)
from engine.journal.journal import Event, Row
from llm.registry.adapters import Adapter, Status

GATE = "gate"
"""Who promotes, rejects or scores where the gate decided: its events are counted as its verdicts."""

RegistryEvent = AdapterEntered | AdapterPromoted | AdapterRejected | AdapterScored | ChampionRolledBack
"""What the registry's journal holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event of the registry, and the champion of its student from then on (None: the bare base model).

    `name` is the adapter it is about; for a roll-back, the one that was champion until then. `payload` is
    all that was recorded, a gate's verdict included; `seq` and `chain` name the event for good.
    """

    seq: int
    at: datetime
    kind: str
    student: str
    name: str
    champion: str | None
    payload: Mapping[str, Any]
    chain: str

    def event(self, as_of: datetime) -> Event:
        """Return this change as an event for the journal of a session that learns of it at `as_of`."""
        changed = RegistryChanged(
            registry_seq=self.seq,
            registry_chain=self.chain,
            at=self.at,
            change=self.kind,
            student=self.student,
            name=self.name,
            champion=self.champion,
            payload=self.payload,
        )
        return encode(changed, as_of)


@dataclass(slots=True, kw_only=True)
class RegistryState:
    """All that follows from the rows applied so far. `stacks` holds, by student, its champions in turn.

    A promotion is laid on top of the stack and a roll-back takes off what is above its target: the
    champion is on top, and the next roll-back leads to the one below. `identities` holds the name of
    each adapter by the digest of what it is.
    """

    home: Path
    seq: int = 0
    adapters: dict[str, Adapter] = field(default_factory=dict)
    stacks: dict[str, list[str]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    identities: dict[str, str] = field(default_factory=dict)

    def champion(self, student: str) -> str | None:
        """Return the name of the student's champion, None: the bare base model."""
        stack = self.stacks.get(student)
        return stack[-1] if stack else None

    def champion_changes(self, student: str) -> list[Change]:
        """Return the changes of a student's champion, in order."""
        kinds = (Kind.ADAPTER_PROMOTED, Kind.CHAMPION_ROLLED_BACK)
        return [change for change in self.changes if change.student == student and change.kind in kinds]

    def apply(self, row: Row) -> None:
        """Apply the next row. Raises JournalError for one that this version cannot read."""
        name = self._apply_event(row)
        self.seq = row.seq
        student = self.adapters[name].student
        self.changes.append(
            Change(
                seq=row.seq,
                at=row.as_of,
                kind=row.kind,
                student=student,
                name=name,
                champion=self.champion(student),
                payload=row.payload,
                chain=row.chain,
            )
        )

    def _apply_event(self, row: Row) -> str:
        """Apply an event and return the name of the adapter that it is about."""
        event = decode(row)
        if not isinstance(event, RegistryEvent):
            raise JournalError(
                f"event {row.seq} ({row.kind}) of the registry of {self.home} is none of its own"
            )
        if isinstance(event, AdapterEntered):
            self.adapters[event.name] = self._build_adapter(event, row.as_of)
            self.identities[event.identity] = event.name
        if event.name not in self.adapters:
            raise JournalError(
                f"event {row.seq} ({row.kind}) of the registry of {self.home}: {event.name} was never "
                "registered; restore the registry's journal from a copy"
            )
        student = self.adapters[event.name].student
        match event:
            case AdapterPromoted():
                self._demote(student)
                self.stacks.setdefault(student, []).append(event.name)
                self._set_status(event.name, Status.CHAMPION)
            case ChampionRolledBack():
                self._roll_back(student, event.depth)
            case AdapterRejected():
                self._set_status(event.name, Status.REJECTED)
        return event.name

    def _build_adapter(self, entered: AdapterEntered, at: datetime) -> Adapter:
        return Adapter(
            name=entered.name,
            parent=entered.parent,
            start=entered.start,
            student=entered.student,
            base=entered.base,
            cutoff=entered.cutoff,
            recipe=entered.recipe,
            fingerprint=entered.fingerprint,
            scores=entered.scores,
            status=Status.CHALLENGER,
            created_at=at,
            folder=self.home / entered.name,
        )

    def _roll_back(self, student: str, depth: int) -> None:
        self._demote(student)
        del self.stacks.get(student, [])[depth:]
        if (after := self.champion(student)) is not None:
            self._set_status(after, Status.CHAMPION)

    def _demote(self, student: str) -> None:
        if (before := self.champion(student)) is not None:
            self._set_status(before, Status.RETIRED)

    def _set_status(self, name: str, status: Status) -> None:
        self.adapters[name] = replace(self.adapters[name], status=status)

"""What the registry's journal says, and the state that follows from it: adapters, champions, their history.

Pure: rows in, state out. It knows no files, no locks and no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import JournalError
from engine.journal.journal import Event, Row
from llm.registry.adapters import Adapter, Status

REGISTERED, PROMOTED, REJECTED = "adapter_entered", "adapter_promoted", "adapter_rejected"

SCORED, ROLLED_BACK = "adapter_scored", "champion_rolled_back"

GATE = "gate"
"""Who promotes, rejects or scores where the gate decided: its events are counted as gates held."""


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
        """This change for the journal of a session that learns of it at `as_of`."""
        return Event(
            kind="registry_changed",
            as_of=as_of,
            payload={
                "registry_seq": self.seq,
                "registry_chain": self.chain,
                "at": self.at,
                "change": self.kind,
                "student": self.student,
                "name": self.name,
                "champion": self.champion,
                "payload": self.payload,
            },
        )


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
        """The name of the student's champion, None: the bare base model."""
        stack = self.stacks.get(student)
        return stack[-1] if stack else None

    def champion_changes(self, student: str) -> list[Change]:
        """The changes of a student's champion, in order."""
        kinds = (PROMOTED, ROLLED_BACK)
        return [change for change in self.changes if change.student == student and change.kind in kinds]

    def apply(self, row: Row) -> None:
        """Take in the next row. Raises JournalError for one that this version cannot read."""
        try:
            student, name = self._build_change(row)
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(
                f"event {row.seq} ({row.kind}) of the registry of {self.home} cannot be read; "
                "it was written by another version of closecall, use that one"
            ) from error
        self.seq = row.seq
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

    def _build_change(self, row: Row) -> tuple[str, str]:
        said = row.payload
        name = str(said["name"])
        if row.kind == REGISTERED:
            self.adapters[name] = self._add_adapter(row)
            self.identities[said["identity"]] = name
        elif row.kind == PROMOTED:
            self._demote(self.adapters[name].student)
            self.stacks.setdefault(self.adapters[name].student, []).append(name)
            self._set_status(name, Status.CHAMPION)
        elif row.kind == ROLLED_BACK:
            self._roll_back(self.adapters[name].student, int(said["depth"]))
        elif row.kind == REJECTED:
            self._set_status(name, Status.REJECTED)
        elif row.kind != SCORED:
            raise ValueError(f"unknown kind {row.kind}")
        return self.adapters[name].student, name

    def _add_adapter(self, row: Row) -> Adapter:
        said = row.payload
        return Adapter(
            name=said["name"],
            parent=said["parent"],
            student=said["student"],
            base=said["base"],
            cutoff=datetime.fromisoformat(said["cutoff"]),
            recipe=said["recipe"],
            fingerprint=said["fingerprint"],
            scores=said["scores"],
            status=Status.CHALLENGER,
            created_at=row.as_of,
            folder=self.home / said["name"],
        )

    def _roll_back(self, student: str, depth: int) -> None:
        self._demote(student)
        del self.stacks[student][depth:]
        if (after := self.champion(student)) is not None:
            self._set_status(after, Status.CHAMPION)

    def _demote(self, student: str) -> None:
        if (before := self.champion(student)) is not None:
            self._set_status(before, Status.RETIRED)

    def _set_status(self, name: str, status: Status) -> None:
        self.adapters[name] = replace(self.adapters[name], status=status)

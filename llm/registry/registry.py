"""The registry of adapters, and of the champion of each base model.

Its state is its journal alone: a promotion is one event, so that a process that is killed leaves either the
previous champion or the new one. Times are passed in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.errors import StudentError, UsageError, suggest
from engine.journal.canonical import canonical_json, row_digest
from engine.journal.events.training import (
    AdapterPromoted,
    AdapterRejected,
    ChampionRolledBack,
)
from llm.registry.adapters import Adapter, Status, base_fingerprint, check_files, student_key
from llm.registry.events import GATE, Change, RegistryState
from llm.registry.store import JOURNAL, RegistryStore
from llm.student import StudentSettings


def get_adapter(state: RegistryState, name: str) -> Adapter:
    """Return the adapter of that name. Raises UsageError, with the nearest name, where there is none."""
    if name not in state.adapters:
        hint = suggest(name, state.adapters, "list them with: closecall models list")
        raise UsageError(f"there is no adapter {name!r} on record; {hint}")
    return state.adapters[name]


def check_parent(state: RegistryState, parent: str | None, student: str, cutoff: datetime) -> None:
    """Raise UsageError for a parent that is unknown, of another student, or has seen later data."""
    if parent is None:
        return
    elder = get_adapter(state, parent)
    if elder.student != student:
        raise UsageError(f"parent {parent} belongs to {elder.student}, not to {student}; name another")
    if elder.cutoff > cutoff:
        raise UsageError(
            f"parent {parent} has seen data up to {elder.cutoff}, later than the stated cut-off {cutoff}; "
            "state a cut-off that covers both"
        )


def check_instant(state: RegistryState, student: str, at: datetime) -> None:
    """Raise UsageError for an instant before the last change of the student's champion."""
    last = max((turn.at for turn in state.champion_changes(student)), default=at)
    if at < last:
        raise UsageError(
            f"the champion of {student} changed at {last}, after {at}; check the clock, "
            "or keep simulated time in a data folder of its own"
        )


def sole_student(state: RegistryState) -> str:
    """Return the one student that has a champion. Raises UsageError where there is none, or a choice."""
    students = [student for student, stack in state.stacks.items() if stack]
    if len(students) == 1:
        return students[0]
    remedy = (
        f"name one of {', '.join(students)} with --student" if students else "there is nothing to roll back"
    )
    raise UsageError(f"{len(students)} students have a champion; {remedy}")


def is_intact(adapter: Adapter) -> bool:
    """Return whether the adapter's files have the registered fingerprint and are safe to load."""
    try:
        check_files(adapter.folder, adapter.fingerprint, adapter.name)
    except StudentError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One adapter, all that happened to it, in order, and the adapters that training made from it."""

    adapter: Adapter
    changes: tuple[Change, ...]
    children: tuple[str, ...]


def registry_exists(data_dir: Path) -> bool:
    """Return whether a registry exists in this folder; the check creates nothing."""
    return (data_dir / JOURNAL).is_file()


class Registry:
    """The registry of a data folder. Use it as a context manager, or call `close`; one for each thread.

    Processes may change it at once: they take turns, and each decides on what the others left. Instants
    are passed in, and a student's champion never changes at an instant before its last change, so that
    history over simulated time needs a registry (a data folder) of its own.
    """

    def __init__(self, store: RegistryStore) -> None:
        self._store = store

    @classmethod
    def open(cls, data_dir: Path, *, lock_timeout: float = 60.0) -> Self:
        """Open or make the registry, and clear away what a killed process left half-way.

        `lock_timeout` is how many seconds a change waits for that of another process. Raises JournalError
        for a journal that was altered or is damaged.
        """
        return cls(RegistryStore(data_dir, lock_timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the journal. Closing twice does no harm."""
        self._store.close()

    def register(
        self,
        folder: Path,
        *,
        parent: str | None,
        student: str,
        cutoff: datetime,
        recipe: Mapping[str, Any],
        fingerprint: str,
        scores: Mapping[str, Any],
        at: datetime,
        base: str | None = None,
        start: str | None = None,
    ) -> Adapter:
        """Copy a trained adapter into the registry as a challenger, and return it with its new name.

        `fingerprint` is that of the folder's files (`llm.model_files.fingerprint`), `base` that of the base
        model's (`llm.registry.adapters.base_fingerprint`), `start` that of an adapter without a name in the
        registry that training started from, in place of `parent`. Entering the same adapter at the same
        instant again returns the registered one. Raises StudentError for files that are unsafe or not those
        stated, UsageError for an unknown parent, one of another student, and a cut-off that is later than
        `at` or earlier than the parent's; ValueError for a recipe or scores that are not JSON.
        """
        stated: dict[str, Any] = {
            "parent": parent,
            "student": student_key(student),
            "base": base,
            "cutoff": cutoff,
            "recipe": recipe,
            "fingerprint": fingerprint,
            **({"start": start} if start else {}),
        }
        identity = row_digest([[stated, at]])
        canonical_json(scores)
        if at < cutoff:
            raise UsageError(
                f"adapter {folder}: its data reach to {cutoff} and it is entered at {at}; "
                "an adapter from the future is refused"
            )
        check_files(folder, fingerprint, f"adapter {folder}")
        with self._store.transaction() as state:
            name = state.identities.get(identity)
            if name is None:
                check_parent(state, parent, stated["student"], cutoff)
                name = self._store.import_adapter(
                    folder, at, {**stated, "scores": scores, "identity": identity}
                )
            return state.adapters[name]

    def promote(
        self,
        name: str,
        *,
        at: datetime,
        by: str,
        reason: str,
        scores: Mapping[str, Any] | None = None,
        student: str | None = None,
    ) -> Change:
        """Make an adapter its student's champion; `scores` may hold the gate's verdict.

        Raises UsageError for an unknown name, the champion itself, an adapter of another base model than
        `student` (where given), and an instant before its entry or before the last change of champion;
        StudentError for files whose fingerprint has changed.
        """
        with self._store.transaction() as state:
            adapter = get_adapter(state, name)
            if student is not None and student_key(student) != adapter.student:
                raise UsageError(
                    f"adapter {name} belongs to {adapter.student}, not to {student}; name another"
                )
            if adapter.status is Status.CHAMPION:
                raise UsageError(
                    f"adapter {name} is the champion of {adapter.student} already; nothing to do"
                )
            check_instant(state, adapter.student, at)
            if at < adapter.created_at:
                raise UsageError(
                    f"adapter {name} was entered at {adapter.created_at}, after {at}; correct the time"
                )
            check_files(adapter.folder, adapter.fingerprint, f"adapter {name}")
            before = state.champion(adapter.student)
            promoted = AdapterPromoted(name=name, before=before, by=by, reason=reason, scores=scores or {})
            return self._store.append(promoted, at)

    def rollback(self, *, at: datetime, by: str, reason: str, student: str | None = None) -> Change:
        """Restore the previous champion, or the base model; each further call restores the one before.

        An adapter whose files have changed is skipped, so that there is always one to return to.
        `student` may be left out where only one has a champion. Raises UsageError where there is none.
        """
        with self._store.transaction() as state:
            key = sole_student(state) if student is None else student_key(student)
            stack = state.stacks.get(key, [])
            if not stack:
                raise UsageError(f"student {key} has no champion to roll back; it answers without an adapter")
            check_instant(state, key, at)
            depth = len(stack) - 1
            while depth and not is_intact(state.adapters[stack[depth - 1]]):
                depth -= 1
            rolled_back = ChampionRolledBack(
                name=stack[-1],
                to=stack[depth - 1] if depth else None,
                depth=depth,
                passed_over=tuple(stack[depth:-1]),
                by=by,
                reason=reason,
            )
            return self._store.append(rolled_back, at)

    def reject(
        self, name: str, *, at: datetime, reason: str, by: str = GATE, scores: Mapping[str, Any] | None = None
    ) -> Change:
        """Record that the gate did not promote an adapter. Raises UsageError for the champion."""
        with self._store.transaction() as state:
            if get_adapter(state, name).status is Status.CHAMPION:
                raise UsageError(
                    f"adapter {name} is the champion; replace it with: closecall models rollback"
                )
            rejected = AdapterRejected(name=name, by=by, reason=reason, scores=scores or {})
            return self._store.append(rejected, at)

    def adapters(self) -> list[Adapter]:
        """Return all adapters in the order in which they were registered."""
        return list(self._store.refresh().adapters.values())

    def get(self, name: str) -> History:
        """Return an adapter with its history. Raises UsageError for an unknown name."""
        state = self._store.refresh()
        return History(
            adapter=get_adapter(state, name),
            changes=tuple(
                change for change in state.changes if name in (change.name, change.payload.get("to"))
            ),
            children=tuple(adapter.name for adapter in state.adapters.values() if adapter.parent == name),
        )

    def champion(self, student: str) -> Adapter | None:
        """Return the current champion of a student; None for the base model."""
        state = self._store.refresh()
        name = state.champion(student_key(student))
        return None if name is None else state.adapters[name]

    def champion_at(self, student: str, instant: datetime) -> Adapter | None:
        """Return the champion at an instant, after the changes of that instant; its status is that of now."""
        state = self._store.refresh()
        past = (turn for turn in reversed(state.champion_changes(student_key(student))) if turn.at <= instant)
        name = next((turn.champion for turn in past), None)
        return None if name is None else state.adapters[name]

    def changes(self, since_seq: int = 0) -> list[Change]:
        """Return the events numbered above `since_seq`; `Change.event` makes one a session's own."""
        return self._store.refresh().changes[since_seq:]

    def gate_results(self, student: str) -> int:
        """Return how often the gate has judged adapters of a student."""
        key = student_key(student)
        return sum(change.student == key and change.payload.get("by") == GATE for change in self.changes())


def champion_settings(registry: Registry, settings: StudentSettings) -> StudentSettings:
    """Return the settings with the champion of their student as adapter, or without one for the base model.

    Raises UsageError where they name an adapter already, StudentError for a champion whose files, or whose
    base model's files, have changed.
    """
    if settings.adapter is not None:
        raise UsageError(f"adapter {settings.adapter} and the champion cannot both answer; name one of them")
    adapter = registry.champion(settings.student)
    if adapter is None:
        return settings
    check_files(adapter.folder, adapter.fingerprint, f"champion {adapter.name}")
    if adapter.base not in (None, base_fingerprint(settings.student)):
        raise StudentError(
            f"champion {adapter.name} was trained on other weights than {settings.student} now has; "
            "restore the model, or go back with closecall models rollback"
        )
    return replace(settings, adapter=adapter.folder)

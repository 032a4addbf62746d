"""What the registry refuses: names, parents, instants and files that do not fit what is on record.

Pure but for the look at an adapter's files. It knows no journal and changes nothing.
"""

import difflib
from datetime import datetime

from engine.errors import StudentError, UsageError
from llm.adapters import Adapter, check_files
from llm.registry_events import RegistryState


def known(state: RegistryState, name: str) -> Adapter:
    """The adapter of that name. Raises UsageError, with the nearest name, where there is none."""
    if name not in state.adapters:
        near = difflib.get_close_matches(name, list(state.adapters), n=1)
        hint = f"did you mean {near[0]}?" if near else "closecall models list shows them"
        raise UsageError(f"there is no adapter {name!r} on record; {hint}")
    return state.adapters[name]


def check_parent(state: RegistryState, parent: str | None, student: str, cutoff: datetime) -> None:
    """Raises UsageError for a parent that is unknown, of another student, or has seen later data."""
    if parent is None:
        return
    elder = known(state, parent)
    if elder.student != student:
        raise UsageError(f"parent {parent} belongs to {elder.student}, not to {student}; name another")
    if elder.cutoff > cutoff:
        raise UsageError(
            f"parent {parent} has seen data up to {elder.cutoff}, later than the stated cut-off {cutoff}; "
            "state a cut-off that covers both"
        )


def check_instant(state: RegistryState, student: str, at: datetime) -> None:
    """Raises UsageError for an instant before the last change of the student's champion."""
    last = max((turn.at for turn in state.turns(student)), default=at)
    if at < last:
        raise UsageError(
            f"the champion of {student} changed at {last}, after {at}; check the clock, "
            "or keep simulated time in a data folder of its own"
        )


def only_student(state: RegistryState) -> str:
    """The one student that has a champion. Raises UsageError where there is none, or a choice."""
    students = [student for student, stack in state.stacks.items() if stack]
    if len(students) == 1:
        return students[0]
    remedy = (
        f"name one of {', '.join(students)} with --student" if students else "there is nothing to roll back"
    )
    raise UsageError(f"{len(students)} students have a champion; {remedy}")


def sound(adapter: Adapter) -> bool:
    """Whether the adapter's files are those on record, and safe to load."""
    try:
        check_files(adapter.folder, adapter.fingerprint, adapter.name)
    except StudentError:
        return False
    return True

"""The registry's state from its journal, by the registry's own rules. Knows no file of an adapter."""

from pathlib import Path

from engine.journal.journal import Row
from llm.registry.events import Change, RegistryState
from strategies.monitor import fields
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.views import AdapterView, EventLine, RegistryView

_MAX_CHANGES = 100


class RegistryTracker:
    """Adapters and champions, as events go by."""

    def __init__(self, folder: Path) -> None:
        self._state = RegistryState(home=folder / "adapters")

    def apply(self, row: EventRow) -> None:
        """Apply one event of the registry. Raises JournalError for one that cannot be read."""
        self._state.apply(
            Row(
                session="registry",
                seq=row.seq,
                as_of=row.as_of,
                recorded_at=row.recorded_at,
                kind=row.kind,
                payload=row.payload,
                chain=row.chain,
            )
        )

    def view(self) -> RegistryView:
        """The newest adapters first."""
        state = self._state
        said = {change.name: change for change in state.changes}
        found = [
            AdapterView(
                name=one.name,
                status=one.status.value,
                student=one.student,
                parent=one.parent,
                cutoff=one.cutoff,
                created_at=one.created_at,
                method=fields.get_text(one.recipe, "method", 12),
                verdict=_describe_change(said[one.name]) if one.name in said else "",
                guard=""
                if one.scores.get("clean", True)
                else fields.get_text(one.scores, "reason") or "unnamed",
            )
            for one in list(state.adapters.values())[-_MAX_CHANGES:]
        ]
        champions = {student: state.champion(student) for student in state.stacks}
        return RegistryView(
            adapters=tuple(reversed(found)),
            champions=tuple((student, name) for student, name in champions.items() if name),
            changes=tuple(
                EventLine(seq=one.seq, at=one.at, kind=one.kind, text=_describe_change(one), symbol=one.name)
                for one in state.changes[-_MAX_CHANGES:]
            ),
        )


def _describe_change(change: Change) -> str:
    what = change.kind.removeprefix("adapter_").removeprefix("champion_").replace("_", " ")
    reason = fields.get_text(change.payload, "reason")
    by = fields.get_text(change.payload, "by", 40)
    return " ".join(filter(None, (what, by and f"by {by}", reason and f"({reason})")))

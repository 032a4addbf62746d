"""The registry's state from its journal, by the registry's own rules; adapter files are not read."""

from pathlib import Path

from engine.journal.journal import Row
from llm.registry.events import Change, RegistryState
from strategies.monitor import fields
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.views import AdapterView, EventLine, RegistryView

_MAX_CHANGES = 100


class RegistryTracker:
    """Adapters and champions, by the events so far."""

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
        """Return the registry's state, newest adapters first."""
        state = self._state
        last_change = {change.name: change for change in state.changes}
        adapters = [
            AdapterView(
                name=adapter.name,
                status=adapter.status.value,
                student=adapter.student,
                parent=adapter.parent,
                cutoff=adapter.cutoff,
                created_at=adapter.created_at,
                method=fields.get_text(adapter.recipe, "method", 12),
                verdict=_describe_change(last_change[adapter.name]) if adapter.name in last_change else "",
                guard=""
                if adapter.scores.get("clean", True)
                else fields.get_text(adapter.scores, "reason") or "unnamed",
            )
            for adapter in list(state.adapters.values())[-_MAX_CHANGES:]
        ]
        champions = {student: state.champion(student) for student in state.stacks}
        return RegistryView(
            adapters=tuple(reversed(adapters)),
            champions=tuple((student, name) for student, name in champions.items() if name),
            changes=tuple(
                EventLine(
                    seq=change.seq,
                    at=change.at,
                    kind=change.kind,
                    text=_describe_change(change),
                    symbol=change.name,
                )
                for change in state.changes[-_MAX_CHANGES:]
            ),
        )


def _describe_change(change: Change) -> str:
    what = change.kind.removeprefix("adapter_").removeprefix("champion_").replace("_", " ")
    reason = fields.get_text(change.payload, "reason")
    by = fields.get_text(change.payload, "by", 40)
    return " ".join(filter(None, (what, by and f"by {by}", reason and f"({reason})")))

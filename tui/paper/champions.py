"""Which student the registry says is to speak, at each instant of a session; retrains when that is due.

The session itself journals what it adopts; here the registry's changes are put beside it. Knows no student
but by fingerprint, and no order.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import ClosecallError, JournalError
from engine.journal import Journal
from llm.adapters import Adapter
from llm.registry import Registry, registry_exists
from strategies.paper.faults import passes
from strategies.paper_config import Retraining
from tui.paper.places import learning_dir
from tui.paper.plan import Plan
from tui.paper.retraining import Retrainer

CHANGED = "registry_changed"


class Champions:
    """The `strategies.paper.session.Champion` of a plan's session.

    `fingerprint` is that of the student with an adapter's folder, or with none. `happened` is told what went
    wrong, once.
    """

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        *,
        fingerprint: Callable[[Path | None], str],
        look: Callable[[], None],
        happened: Callable[[str, str], None],
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._fingerprint = fingerprint
        self._happened = happened
        self._home = learning_dir(plan.data_dir, plan.name, replay=plan.replay)
        learns = plan.config.paper.retrain is not Retraining.NEVER
        self._retrainer = Retrainer(plan, journal, look) if learns else None
        self._registry: Registry | None = None
        self._known = max((row.payload["registry_seq"] for row in journal.read(kinds=(CHANGED,))), default=0)
        self._fingerprints: dict[str, str] = {}
        self._said = ""

    def __call__(self, at: datetime) -> Mapping[str, Any] | None:
        """The student of an instant, None where nothing is known of any: then the one there is goes on."""
        if self._retrainer is not None:
            self._retrainer.step(at)
        if self._plan.config.adapter is not None or not registry_exists(self._home):
            return None
        try:
            found = self._champion(at)
        except ClosecallError as error:
            if str(error) != self._said:
                self._happened("registry", str(error))
            self._said = str(error)
            return None
        self._said = ""
        return found

    def close(self) -> None:
        """Let the registry go, and break off what is being trained."""
        if self._retrainer is not None:
            self._retrainer.end()
        if self._registry is not None:
            self._registry.close()
            self._registry = None

    def _champion(self, at: datetime) -> Mapping[str, Any] | None:
        if self._registry is None:
            self._registry = Registry.open(self._home)
        student = self._plan.config.student
        replay = self._plan.replay
        adapter = self._registry.champion_at(student, at) if replay else self._registry.champion(student)
        self._put_beside(self._registry, at)
        return {
            "fingerprint": self._of(adapter),
            "name": adapter.name if adapter else student,
            "adapter": str(adapter.folder) if adapter else None,
        }

    def _of(self, adapter: Adapter | None) -> str:
        name = adapter.name if adapter else ""
        if name not in self._fingerprints:
            self._fingerprints[name] = self._fingerprint(adapter.folder if adapter else None)
        return self._fingerprints[name]

    def _put_beside(self, registry: Registry, at: datetime) -> None:
        """The registry's changes in the session's journal, each once."""
        changes = registry.changes(self._known)
        if not changes:
            return
        try:
            self._journal.append([change.event(at) for change in changes], at)
        except JournalError as error:
            if not passes(error):
                raise
            return
        self._known = changes[-1].seq

"""One round of retraining for a session, in a process of its own at low priority.

Reads what is wanted from stdin, one JSON object, and writes what was done to stdout, another one.
"""

import json
import logging
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.errors import ClosecallError
from engine.journal.canonical import to_jsonable
from engine.journal.events import Kind
from engine.parent_process import call_at_stdin_eof, die_with_parent
from llm.registry.events import GATE
from llm.registry.registry import Registry

_LOW_PRIORITY = 10

_VERDICTS = (Kind.ADAPTER_PROMOTED, Kind.ADAPTER_REJECTED)


def retrain_for(wanted: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Do the round that is wanted and say what was done; `parts` are more arguments of `retrain`.

    Raises ClosecallError for what cannot be done.
    """
    from training.retraining.retrain import retrain
    from training.walkforward.config import Method, WalkForwardConfig

    data_dir, learning = Path(wanted["data_dir"]), Path(wanted["learning"])
    at = datetime.fromisoformat(wanted["at"])
    paper = wanted["paper"]
    settings = WalkForwardConfig(
        method=Method(paper["method"]),
        train_days=paper["train_days"],
        test_days=paper["test_days"],
        steps=paper["steps"],
        seed=wanted["seed"],
    )
    report = retrain(
        settings,
        data_dir=learning,
        at=at,
        run=wanted["name"],
        recorded_in=data_dir,
        if_drift=wanted["if_drift"],
        **parts,
    )
    return {**report, "gated": [*_completed_gates(learning, at, report["gated"]), *report["gated"]]}


def _completed_gates(
    learning: Path, at: datetime, report: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The gates of this instant that a round held which then died: they are not held again."""
    names = {one["adapter"] for one in report}
    with Registry.open(learning) as registry:
        held = [
            change
            for change in registry.changes()
            if change.at == at and change.kind in _VERDICTS and change.payload["by"] == GATE
        ]
    return [{"adapter": one.name, **one.payload["scores"]} for one in held if one.name not in names]


def main(parts: Mapping[str, Any] = MappingProxyType({})) -> None:
    """One round; ends with the process that wants it. `parts` are those of `retrain_for`."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    die_with_parent()
    os.nice(_LOW_PRIORITY)
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    wanted = json.loads(sys.stdin.readline())
    call_at_stdin_eof(lambda: os._exit(1))
    try:
        said = {"report": to_jsonable(retrain_for(wanted, parts))}
    except ClosecallError as error:
        said = {"failed": " ".join(str(error).split())}
    answer.write(json.dumps(said) + "\n")
    answer.close()


if __name__ == "__main__":
    main()

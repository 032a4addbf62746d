"""The process that retrains for a session, at low priority.

It reads a request from stdin and writes the report to stdout, one JSON object each.
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


def retrain_for(request: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Run the retraining of a request and return its report; `parts` are more arguments of `retrain`.

    Raises:
        ClosecallError: If it cannot be done.
    """
    from training.retraining.retrain import retrain
    from training.walkforward.config import Method, WalkForwardConfig

    data_dir, learning = Path(request["data_dir"]), Path(request["learning"])
    at = datetime.fromisoformat(request["at"])
    paper = request["paper"]
    settings = WalkForwardConfig(
        method=Method(paper["method"]),
        train_days=paper["train_days"],
        test_days=paper["test_days"],
        steps=paper["steps"],
        seed=request["seed"],
    )
    report = retrain(
        settings,
        data_dir=learning,
        at=at,
        run=request["name"],
        recorded_in=data_dir,
        if_drift=request["if_drift"],
        **parts,
    )
    return {**report, "gated": [*_completed_gates(learning, at, report["gated"]), *report["gated"]]}


def _completed_gates(
    learning: Path, at: datetime, report: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the gates of this instant that a killed process had completed; they are not repeated."""
    names = {gate["adapter"] for gate in report}
    with Registry.open(learning) as registry:
        completed = [
            change
            for change in registry.changes()
            if change.at == at and change.kind in _VERDICTS and change.payload["by"] == GATE
        ]
    return [
        {"adapter": change.name, **change.payload["scores"]}
        for change in completed
        if change.name not in names
    ]


def main(parts: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Answer one request, and end with the parent process. `parts` are those of `retrain_for`."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    die_with_parent()
    os.nice(_LOW_PRIORITY)
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    request = json.loads(sys.stdin.readline())
    call_at_stdin_eof(lambda: os._exit(1))
    try:
        result = {"report": to_jsonable(retrain_for(request, parts))}
    except ClosecallError as error:
        result = {"failed": " ".join(str(error).split())}
    answer.write(json.dumps(result) + "\n")
    answer.close()


if __name__ == "__main__":
    main()

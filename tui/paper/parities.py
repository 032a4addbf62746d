"""Whether a session, or a backtest, can be had again from its journaled inputs. Decides nothing itself."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.journal import Journal
from strategies.paper.parity import check_parity
from strategies.paper.run_parity import check_run
from strategies.runs import JOURNAL, plain
from tui.paper.commanding import require_session
from tui.paper.places import journal_path
from tui.tables import counted


def parity_of(data_dir: Path, name: str) -> dict[str, Any]:
    """What was compared, as JSON types. Raises UsageError where there is neither session nor run."""
    run = data_dir / "runs" / name / JOURNAL
    if run.is_file() and not journal_path(data_dir, name).is_file():
        with Journal.open(run, name) as journal:
            found = check_run(journal)
    else:
        with Journal.open(require_session(data_dir, name), name) as journal:
            found = check_parity(journal)
    made: dict[str, Any] = plain({**asdict(found), "equal": found.equal})
    return made


def print_parity(found: Mapping[str, Any]) -> None:
    """What was compared, a line for each digest."""
    for kind, was in found["digests"].items():
        again = found["replayed"].get(kind)
        said = "the same again" if was == again else f"not {str(again)[:16]}"
        sys.stdout.write(f"{kind:10} {was[:16]}  {said}\n")
    for trouble in filter(None, (found["difference"], found["chain"])):
        sys.stdout.write(f"{trouble}\n")
    inputs = counted(found["inputs"], "input")
    more = f", {found['undecided']:,} more not acted on yet" if found["undecided"] else ""
    verdict = "all the same again" if found["equal"] else "NOT the same"
    sys.stdout.write(f"{found['session']}: {verdict} from {inputs}{more}.\n")

"""The scored table of a session, as the commands show it. Knows no process."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.journal import Journal
from tui.options import now
from tui.paper.places import journal_path
from tui.paper.scoring import score
from tui.tables import print_result


def scored(data_dir: Path, name: str, *, count: bool) -> dict[str, Any] | None:
    """The table of a session so far; with `count` it has ended, and goes on the record of trials."""
    with Journal.open(journal_path(data_dir, name), name) as journal:
        return score(journal, data_dir, now(), count=count)


def print_scored(result: Mapping[str, Any] | None, *, replay: bool) -> None:
    """The table of a replay or a live session, or that there is none yet."""
    if result is None:
        sys.stdout.write("No forecast is made yet, so there is nothing to score.\n")
        return
    sys.stdout.write("\n")
    print_result(result, "Replay of recorded days" if replay else "Paper session")

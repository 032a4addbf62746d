"""The rewards of a run's or session's forecasts, reckoned by the training's own code in a process of its own.

That code loads a whole journal and large libraries, neither of which the dashboard is to hold.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from strategies.monitor.catalog import Sort
from strategies.monitor.views import CallView, JournalView

MOST_EVENTS = 60_000

_SECONDS = 60.0

Rewards = dict[str, dict[str, object]]
"""The parts of the reward by name, for each decision by `name_of`; or `why` there are none, under "why"."""


def name_of(call: CallView) -> str:
    """What names a decision among those of its journal."""
    return f"{call.symbol} {call.as_of.isoformat()}"


def reckon(journal: JournalView) -> Rewards:
    """The rewards of all decisions of a run or session. Takes seconds: call it in a thread."""
    if journal.place.sort not in (Sort.RUN, Sort.SESSION):
        return _none("reckoned for runs and sessions only")
    if journal.newest > MOST_EVENTS:
        return _none(f"reckoned for journals of up to {MOST_EVENTS:,} events")
    folder = journal.place.path.parent
    try:
        done = subprocess.run(  # noqa: S603  # this module, with a folder's own name
            [
                sys.executable,
                "-m",
                "training.reward_report",
                str(folder.parent.parent),
                folder.name,
                journal.place.sort,
            ],
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        found = json.loads(done.stdout or b"null")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        found = None
    return found if isinstance(found, dict) else _none("could not be reckoned from this journal")


def reward_in(rewards: Rewards, call: CallView) -> dict[str, object]:
    """One decision's part of them."""
    unknown: dict[str, object] = {"why": "its step has not ended, or its window is not whole"}
    return rewards.get("why") or rewards.get(name_of(call), unknown)


def _none(why: str) -> Rewards:
    return {"why": {"why": why}}


def main(words: Sequence[str]) -> None:
    """Print the rewards of a data folder's run or session as JSON."""
    from engine.errors import ClosecallError
    from training.dataset.loaders import from_run, from_session_named
    from training.rewards import Weights, reward_of

    data_dir, name, sort = Path(words[0]), words[1], Sort(words[2])
    weights = Weights()
    try:
        lived = (from_run if sort is Sort.RUN else from_session_named)(data_dir, name)
    except ClosecallError as error:
        said = _none(str(error)[:200])
    else:
        said = {
            f"{one.key[0]} {one.key[1].isoformat()}": dict(reward_of(one.call, one, weights).as_json())
            for one in lived
            if one.call is not None
        }
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1:])

"""The rewards of a run's or session's forecasts, reckoned by the training's own code in a process of its own.

That code loads a whole journal and large libraries, neither of which the dashboard is to hold.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from strategies.monitor.catalog import JournalType
from strategies.monitor.views import CallView, JournalView

MAX_EVENTS = 60_000

_SECONDS = 60.0

Rewards = dict[str, dict[str, object]]
"""The parts of the reward by name, for each decision by `decision_key`; or the reason under "why"."""


def decision_key(call: CallView) -> str:
    """What names a decision among those of its journal."""
    return f"{call.symbol} {call.as_of.isoformat()}"


def compute_rewards(journal: JournalView) -> Rewards:
    """The rewards of all decisions of a run or session. Takes seconds: call it in a thread."""
    if journal.place.type not in (JournalType.RUN, JournalType.SESSION):
        return _no_reward("reckoned for runs and sessions only")
    if journal.newest > MAX_EVENTS:
        return _no_reward(f"reckoned for journals of up to {MAX_EVENTS:,} events")
    folder = journal.place.path.parent
    try:
        done = subprocess.run(  # noqa: S603  # this module, with a folder's own name
            [
                sys.executable,
                "-m",
                "training.reward_report",
                str(folder.parent.parent),
                folder.name,
                journal.place.type,
            ],
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        found = json.loads(done.stdout or b"null")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        found = None
    return found if isinstance(found, dict) else _no_reward("could not be reckoned from this journal")


def get_reward(rewards: Rewards, call: CallView) -> dict[str, object]:
    """One decision's part of them."""
    unknown: dict[str, object] = {"why": "its step has not ended, or its window is not whole"}
    return rewards.get("why") or rewards.get(decision_key(call), unknown)


def _no_reward(why: str) -> Rewards:
    return {"why": {"why": why}}


def main(words: Sequence[str]) -> None:
    """Print the rewards of a data folder's run or session as JSON."""
    from engine.errors import ClosecallError
    from training.dataset.loaders import load_named_session_experiences, load_run_experiences
    from training.rewards import Weights, compute_call_reward

    data_dir, name, sort = Path(words[0]), words[1], JournalType(words[2])
    weights = Weights()
    try:
        lived = (load_run_experiences if sort is JournalType.RUN else load_named_session_experiences)(
            data_dir, name
        )
    except ClosecallError as error:
        said = _no_reward(str(error)[:200])
    else:
        said = {
            f"{one.key[0]} {one.key[1].isoformat()}": dict(
                compute_call_reward(one.call, one, weights).as_json()
            )
            for one in lived
            if one.call is not None
        }
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Compute the rewards of a run's or session's forecasts for the dashboard, in a process of its own.

The training code loads a whole journal and large libraries, which the dashboard should not hold.
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
    """Return the key of a decision among those of its journal."""
    return f"{call.symbol} {call.as_of.isoformat()}"


def compute_rewards(journal: JournalView) -> Rewards:
    """Compute the rewards of all decisions of a run or session. It takes seconds: call it in a thread."""
    if journal.place.type not in (JournalType.RUN, JournalType.SESSION):
        return _no_reward("computed for runs and sessions only")
    if journal.newest > MAX_EVENTS:
        return _no_reward(f"computed for journals of up to {MAX_EVENTS:,} events")
    folder = journal.place.path.parent
    try:
        process = subprocess.run(  # noqa: S603  # this module, with a folder's own name
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
        rewards = json.loads(process.stdout or b"null")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        rewards = None
    return rewards if isinstance(rewards, dict) else _no_reward("could not be computed from this journal")


def get_reward(rewards: Rewards, call: CallView) -> dict[str, object]:
    """Return the reward of one decision, or why it has none."""
    unknown: dict[str, object] = {"why": "its step has not ended, or its window is incomplete"}
    return rewards.get("why") or rewards.get(decision_key(call), unknown)


def _no_reward(why: str) -> Rewards:
    return {"why": {"why": why}}


def main(words: Sequence[str]) -> None:
    """Print the rewards of a data folder's run or session as JSON."""
    from engine.errors import ClosecallError
    from training.dataset.loaders import load_named_session_experiences, load_run_experiences
    from training.rewards import Weights, compute_call_reward

    data_dir, name, journal_type = Path(words[0]), words[1], JournalType(words[2])
    weights = Weights()
    load = load_run_experiences if journal_type is JournalType.RUN else load_named_session_experiences
    try:
        experiences = load(data_dir, name)
    except ClosecallError as error:
        rewards = _no_reward(str(error)[:200])
    else:
        rewards = {
            f"{item.key[0]} {item.key[1].isoformat()}": dict(
                compute_call_reward(item.call, item, weights).as_json()
            )
            for item in experiences
            if item.call is not None
        }
    sys.stdout.write(json.dumps(rewards))


if __name__ == "__main__":
    main(sys.argv[1:])

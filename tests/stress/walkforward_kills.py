"""A real walk-forward killed with SIGKILL again and again, for a bench; prints whether it ended the same.

`closecall walkforward` runs once without a fault, and then in processes that are killed at random moments and
started again until as many have died as were wanted and the last one has finished.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from engine.journal.events import Kind
from engine.journal.journal import Journal
from strategies.runs import JOURNAL, list_runs
from tests.support.own_processes import started

COMMAND = (sys.executable, "-c", "from tui.cli.main import main; main()", "walkforward", "--json")

WINDOWS = ("--train-days", "60", "--test-days", "25")

MARKET = """
seed = {seed}
[market]
coins = 7
stocks = 7
days = 144
reversal = 2023-01-02
"""
"""The news means the opposite from the second day on: the shipped student is wrong and can be bettered."""


def main() -> None:
    """Run it whole, run it killed, and say where the two differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=4, help="makes the moments of the kills")
    parser.add_argument("--market-seed", type=int, default=31)
    parser.add_argument("--method", default="grpo", help="grpo trains the supervised arm beside it")
    parser.add_argument("--steps", type=int, default=30)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        (home / "closecall.toml").write_text(MARKET.format(seed=said.market_seed))
        command = [*COMMAND, "--config", str(home / "closecall.toml"), *WINDOWS]
        command += ["--method", said.method, "--steps", str(said.steps)]
        began = time.monotonic()
        told = run_until_killed(command, home / "whole", None)
        seconds = time.monotonic() - began
        whole = outcome(told or "{}", home / "whole")
        chance = random.Random(said.seed)
        ended, struck = killed_until_done(command, home, said.kills, chance, 0.4 * seconds)
    report = {
        "kills": struck.total(),
        "killed_after": dict(struck.most_common()),
        "seconds_unkilled": round(seconds, 1),
        "promotions": whole["promotions"],
        "digests": whole["digests"],
        "walkforwards_ended": len(ended),
        "differences": [place for one in ended for place in differences(whole, one)],
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    sys.exit(0 if not report["differences"] and any(whole["promotions"].values()) else 1)


def killed_until_done(
    command: list[str], home: Path, kills: int, chance: random.Random, longest: float
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Kill so many processes, each within `longest` seconds, and let the last walk-forward end.

    Returns what each walk-forward that ended came to (a new one follows where kills are left), and after
    which event the kills struck.
    """
    ended: list[dict[str, Any]] = []
    struck: Counter[str] = Counter()
    while True:
        data = home / f"killed-{len(ended)}"
        last = struck.total() >= kills
        told = run_until_killed(command, data, None if last else chance.uniform(0, longest))
        if told is None:
            struck[newest_event(data)] += 1
            sys.stderr.write(f"kill {struck.total()}: after {newest_event(data)}\n")
            continue
        ended.append(outcome(told, data))
        if last:
            return ended, struck


def run_until_killed(command: list[str], data: Path, seconds: float | None) -> str | None:
    """What a process said that ran to its end; None for one that was killed after so many seconds."""
    with (data.parent / "stderr").open("w") as errors:
        words = [*command, "--data-dir", data]
        with started(words, stdout=subprocess.PIPE, stderr=errors, text=True) as running:
            try:
                told = running.communicate(timeout=seconds)[0]
            except subprocess.TimeoutExpired:
                return None
    if running.returncode:
        raise SystemExit(f"exit code {running.returncode}: {(data.parent / 'stderr').read_text()[-500:]}")
    return told


def outcome(reference: str, data: Path) -> dict[str, Any]:
    """Whatever must be the same: all but names and times of the clock."""
    result = json.loads(reference)
    folds = [
        fold | {"arms": {arm: one | {"seconds": None} for arm, one in fold["arms"].items()}}
        for fold in result["folds"]
    ]
    same = ("promotions", "digests", "scores", "edges", "comparison", "claims")
    return {name: result[name] for name in same} | {"folds": folds, "journal": read_journal(data)}


def read_journal(data: Path) -> dict[str, Any]:
    """The runs on record, each event of a fold in its order, and that the chain is whole."""
    runs = list(list_runs(data))
    with Journal.open(data / "runs" / runs[0].run / JOURNAL, runs[0].run) as journal:
        journal.verify()
        rows = list(journal.read(kinds=(Kind.FOLD_TRAINED, Kind.FOLD_GATED, Kind.PROMOTION)))
    events = [[row.kind, row.payload["arm"], row.payload["fold"], row.payload["challenger"]] for row in rows]
    return {"runs": [one.state for one in runs], "events": events}


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two values of JSON types differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [each for key in one for each in differences(one[key], other[key], f"{place}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [each for number, (a, b) in pairs for each in differences(a, b, f"{place}/{number}")]
    return [] if one == other else [f"{place}: {one} and {other}"]


def newest_event(data: Path) -> str:
    """The kind of the last event on record; "nothing" where there is none yet."""
    runs = [one.run for one in list_runs(data)]
    if not runs:
        return "nothing"
    with Journal.open(data / "runs" / runs[0] / JOURNAL, runs[0]) as journal:
        row = next(journal.read(max(0, journal.last_seq - 1)), None)
    return row.kind if row else "nothing"


if __name__ == "__main__":
    main()

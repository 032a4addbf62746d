"""A real walk-forward killed with SIGKILL again and again, for a bench; prints whether it ended the same.

`closecall walkforward` runs once without a fault, and then in processes that are killed at random moments and
started again, until the given number of them has died and the last one has finished.
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
"""The news means the opposite from the second day on: the shipped student is wrong and can be improved."""


def main() -> None:
    """Run it without and with kills, and print where the two differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=4, help="makes the moments of the kills")
    parser.add_argument("--market-seed", type=int, default=31)
    parser.add_argument("--method", default="grpo", help="grpo trains the supervised arm beside it")
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        (home / "closecall.toml").write_text(MARKET.format(seed=arguments.market_seed))
        command = [*COMMAND, "--config", str(home / "closecall.toml"), *WINDOWS]
        command += ["--method", arguments.method, "--steps", str(arguments.steps)]
        started = time.monotonic()
        output = run_until_killed(command, home / "whole", None)
        seconds = time.monotonic() - started
        whole = outcome(output or "{}", home / "whole")
        chance = random.Random(arguments.seed)
        ended, killed_after = killed_until_done(command, home, arguments.kills, chance, 0.4 * seconds)
    report = {
        "kills": killed_after.total(),
        "killed_after": dict(killed_after.most_common()),
        "seconds_unkilled": round(seconds, 1),
        "promotions": whole["promotions"],
        "digests": whole["digests"],
        "walkforwards_ended": len(ended),
        "differences": [path for result in ended for path in differences(whole, result)],
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    sys.exit(0 if not report["differences"] and any(whole["promotions"].values()) else 1)


def killed_until_done(
    command: list[str], home: Path, kills: int, chance: random.Random, longest: float
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Kill so many processes, each within `longest` seconds, and let the last walk-forward end.

    Returns the outcome of each walk-forward that ended (a new one follows while kills are left), and the last
    event before each kill.
    """
    ended: list[dict[str, Any]] = []
    killed_after: Counter[str] = Counter()
    while True:
        data = home / f"killed-{len(ended)}"
        last = killed_after.total() >= kills
        output = run_until_killed(command, data, None if last else chance.uniform(0, longest))
        if output is None:
            killed_after[newest_event(data)] += 1
            sys.stderr.write(f"kill {killed_after.total()}: after {newest_event(data)}\n")
            continue
        ended.append(outcome(output, data))
        if last:
            return ended, killed_after


def run_until_killed(command: list[str], data: Path, seconds: float | None) -> str | None:
    """Return the output of a process that ran to its end; None if it was killed after so many seconds."""
    with (data.parent / "stderr").open("w") as errors:
        arguments = [*command, "--data-dir", data]
        with started(arguments, stdout=subprocess.PIPE, stderr=errors, text=True) as running:
            try:
                output = running.communicate(timeout=seconds)[0]
            except subprocess.TimeoutExpired:
                return None
    if running.returncode:
        raise SystemExit(f"exit code {running.returncode}: {(data.parent / 'stderr').read_text()[-500:]}")
    return output


def outcome(reference: str, data: Path) -> dict[str, Any]:
    """Return all that must not differ: everything but names and wall clock times."""
    result = json.loads(reference)
    folds = [
        fold | {"arms": {arm: gate | {"seconds": None} for arm, gate in fold["arms"].items()}}
        for fold in result["folds"]
    ]
    same = ("promotions", "digests", "scores", "edges", "comparison", "claims")
    return {name: result[name] for name in same} | {"folds": folds, "journal": read_journal(data)}


def read_journal(data: Path) -> dict[str, Any]:
    """Return the states of the runs and the events of their folds in order; verify the chain."""
    runs = list(list_runs(data))
    with Journal.open(data / "runs" / runs[0].run / JOURNAL, runs[0].run) as journal:
        journal.verify()
        rows = list(journal.read(kinds=(Kind.FOLD_TRAINED, Kind.FOLD_GATED, Kind.PROMOTION)))
    events = [[row.kind, row.payload["arm"], row.payload["fold"], row.payload["challenger"]] for row in rows]
    return {"runs": [run.state for run in runs], "events": events}


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Return where two values of JSON types differ, with both values."""
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        return [line for key in left for line in differences(left[key], right[key], f"{path}/{key}")]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = enumerate(zip(left, right, strict=True))
        return [line for number, (a, b) in pairs for line in differences(a, b, f"{path}/{number}")]
    return [] if left == right else [f"{path}: {left} and {right}"]


def newest_event(data: Path) -> str:
    """Return the kind of the last journaled event; "nothing" if there is none yet."""
    runs = [summary.run for summary in list_runs(data)]
    if not runs:
        return "nothing"
    with Journal.open(data / "runs" / runs[0] / JOURNAL, runs[0]) as journal:
        row = next(journal.read(max(0, journal.last_seq - 1)), None)
    return row.kind if row else "nothing"


if __name__ == "__main__":
    main()

"""Recompute the digests of ten runs and three sessions, from the commands in digests.json.

    python -m tests.golden.digests compare    # say which differ; exit code 1 if any does
    python -m tests.golden.digests write      # write them to digests.json

Run it from the root of a checkout. Names of entries after the word limit it to these. The tests recompute
those that are marked `in_suite`; `make digests` recomputes all.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.golden.commands import DATA, HERE, SHARED, answer, closecall

DIGESTS = HERE / "digests.json"


def digests_of(entry: dict[str, Any], folder: Path) -> dict[str, str]:
    """The digests that a command of digests.json comes to, with all that it writes in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "closecall.toml").write_text(entry["configuration"].replace("{shared}", str(SHARED)))
    words = [word.replace("{shared}", str(SHARED)) for word in entry["command"]]
    if words[0] == "paper":
        closecall(*words, "--config", "closecall.toml", "--data-dir", DATA, "--name", "one", cwd=folder)
        found = answer("check", "parity", "one", "--data-dir", DATA, cwd=folder)["digests"]
    else:
        found = answer(*words, "--config", "closecall.toml", "--data-dir", DATA, cwd=folder)["digests"]
    return {name: found[name] for name in ("forecasts", "orders", "fills", "equity")}


def lacks(entry: dict[str, Any]) -> str:
    """What an entry of digests.json needs and this machine does not have; empty where it has all."""
    return ", ".join(one for one in entry["needs"] if not (SHARED / one).exists())


def recompute(wanted: Sequence[str]) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Each entry of digests.json that can be computed here, and the digests it comes to today.

    `wanted` are the names of entries; all of them where it is empty.
    """
    for entry in json.loads(DIGESTS.read_text(encoding="utf-8")):
        if wanted and entry["name"] not in wanted:
            continue
        if missing := lacks(entry):
            print_line(f"{entry['name']}: skipped, ../shared/data lacks {missing}")
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            made = digests_of(entry, Path(scratch))
        print_line(f"{entry['name']}: {time.monotonic() - began:.1f} s")
        yield entry, made


def write_digests(wanted: Sequence[str]) -> None:
    """Recompute digests and write each into digests.json at once; what cannot be computed here stays."""
    for entry, made in recompute(wanted):
        entries = json.loads(DIGESTS.read_text(encoding="utf-8"))
        for one in entries:
            if one["name"] == entry["name"]:
                one["digests"] = made
        DIGESTS.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def compare_digests(wanted: Sequence[str]) -> bool:
    """Recompute digests; whether all are those in digests.json."""
    differing = [entry["name"] for entry, made in recompute(wanted) if made != entry["digests"]]
    print_line(f"different: {', '.join(differing) or 'none'}")
    return not differing


def print_line(line: str) -> None:
    """Print one line to stderr."""
    sys.stderr.write(line + "\n")


def main() -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("compare", "write"))
    parser.add_argument("names", nargs="*", help="only these entries of digests.json")
    arguments = parser.parse_args()
    if arguments.action == "write":
        write_digests(arguments.names)
        return 0
    return 0 if compare_digests(arguments.names) else 1


if __name__ == "__main__":
    sys.exit(main())

"""The dashboard on a journal of a million events of 150 symbols, for a bench; prints the figures as JSON.

The dashboard runs in a process of its own, on a pseudo-terminal of 200 by 60 cells, as a user has it; another
process writes 20 events a second into the journal meanwhile.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.support.dash_journal import long_journal
from tests.support.dash_terminal import Terminal, Writer, alone

SESSION = "big"


def main() -> None:
    """Make the journal, unless there is one already, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--hour", type=int, default=72_000, help="events of an hour, fed quickly at the end")
    parser.add_argument("--keep", type=Path, help="keep the journal here, and use it again")
    arguments = parser.parse_args()
    if arguments.keep is not None:
        measure(arguments.keep, arguments.events, arguments.hour)
        return
    with tempfile.TemporaryDirectory() as scratch:
        measure(Path(scratch), arguments.events, arguments.hour)


def measure(data_dir: Path, events: int, hour: int) -> None:
    """One stage after the other; each prints its figures at once."""
    path = data_dir / "sessions" / SESSION / "journal.sqlite"
    if not path.is_file():
        _print_line("journal", long_journal(path, events))
    with Writer(path) as writer, Terminal(data_dir) as terminal:
        _print_line("opening", terminal.opening())
        _print_line("keys while the past is counted", terminal.keys(100))
        _print_line("the machine itself", alone(60))
        _print_line("counting", terminal.counted())
        _print_line("keys after", terminal.keys(100))
        for screen in "12":
            terminal.press(screen)
            _print_line(f"cost on screen {screen}", terminal.cost(30.0))
        before = terminal.memory()
        took = writer.hurry(hour)
        figures = {"events": hour, "written_in_s": took, "before_mb": before}
        _print_line("an hour's worth of events", {**figures, "after_mb": terminal.settled_memory()})


def _print_line(what: str, figures: dict[str, object]) -> None:
    sys.stdout.write(json.dumps({what: figures}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

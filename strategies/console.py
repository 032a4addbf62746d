"""What library code says to a person while it works: progress on standard error."""

import os
import sys
from datetime import UTC, datetime
from typing import Any


def utc_now() -> datetime:
    """The wall clock, in UTC. Nothing below `tui` reads it."""
    return datetime.now(UTC)


def print_stderr(line: str) -> None:
    """A line on stderr. Where nobody reads it any longer, the work goes on without."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # until the process ends


def print_wait(wait: Any) -> None:
    """Why a source is asked again, and when."""
    print_stderr(wait_line(wait))


def wait_line(wait: Any) -> str:
    """A pause of a source in one line."""
    return (
        f"{wait.place}: no answer ({wait.reason}); asking again in {wait.seconds:.0f} s, "
        f"try {wait.tried + 1} of {wait.tries}"
    )


def pluralize(number: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 symbol, 2 symbols."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"

"""The clock, progress on standard error, and the wording of messages."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from engine.errors import ClosecallError

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""


def utc_now() -> datetime:
    """Return the wall clock's time in UTC."""
    return datetime.now(UTC)


def print_stderr(line: str) -> None:
    """Write a line to stderr; do nothing where stderr has been closed."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # until the process ends


def print_wait(wait: Any) -> None:
    """Print why a source is asked again, and when."""
    print_stderr(wait_line(wait))


def wait_line(wait: Any) -> str:
    """Return one line on a pause before a source is asked again."""
    return (
        f"{wait.place}: no answer ({wait.reason}); asking again in {wait.seconds:.0f} s, "
        f"try {wait.tried + 1} of {wait.tries}"
    )


def pluralize(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: 1 symbol, 2 symbols."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


@contextmanager
def name_settings() -> Iterator[None]:
    """Write the flags in an error's message as the settings that a caller from Python gives."""
    try:
        yield
    except ClosecallError as error:
        text = re.sub(r"--rates ([A-Z]+)=RATE.*?\)", r'rates={"\1": RATE})', str(error))
        text = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda match: match[1].replace("-", "_") + "=", text)
        text = text.replace("the command line: ", "settings: ")
        raise type(error)(
            re.sub(r"(allow_bad_data|skip_unknown_files|overwrite)=", r"\1=True", text)
        ) from error

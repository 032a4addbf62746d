"""The words of a command line on their way to typer, and typer's complaints on their way back.

Knows how words are grouped and what a complaint looks like, not what any command does.
"""

from collections.abc import Sequence

import typer

from engine.errors import UsageError
from tui.cli import app

_LISTS = ("--bars", "--store", "--news", "--rates", "--symbols", "--feed")


def invoke(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code. Raises ClosecallError, also for a wrong word."""
    try:
        return app(args=spread(arguments), prog_name="closecall", standalone_mode=False) or 0
    except typer.TyperException as error:
        if fault := error.format_message():
            raise UsageError(f"{fault} (see closecall --help)") from error
        return UsageError.exit_code  # a command without arguments: its help was shown
    except SystemExit:
        return 0  # so typer and rich end when the reader of stdout has gone, as in `| head`


def spread(arguments: Sequence[str]) -> list[str]:
    """`--bars A B` as `--bars A --bars B`: these options take all the words up to the next flag.

    Raises UsageError for one without a word, which typer would give the next flag as its value.
    """
    lists = _LISTS if arguments[:1] != ["check"] else ()  # its --store is a switch
    words: list[str] = []
    option = ""
    for word in arguments:
        if word.startswith("-"):
            if words and words[-1] == option:
                raise UsageError(f"{option} needs at least one value (see closecall --help)")
            name = word.partition("=")[0]
            option = name if name in lists else ""
        elif option and words[-1] != option:
            words.append(option)
        words.append(word)
    return words

"""Complete the commands that messages propose: each gets the --data-dir and --config of this command.

A message says `closecall runs`; typed like that after a command with --data-dir it would look elsewhere.
"""

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, TextIO, cast

_OPTIONS = ("--data-dir", "--config")
_COMMAND = re.compile(r"\bclosecall((?: [a-z][a-z-]*)++)(?! --help)\b")


@contextmanager
def complete_remedies(arguments: Sequence[str]) -> Iterator[None]:
    """Complete what is written to stderr, and to stdout unless that is JSON, while the command runs."""
    given = {option: value for option in _OPTIONS if (value := _find_value(arguments, option)) is not None}
    if not given or {"--help", "-h"} & set(arguments):
        yield
        return

    def complete(text: str) -> str:
        return _COMMAND.sub(lambda match: _add_options(match[1].split(), given), text)

    out, err = sys.stdout, sys.stderr
    if "--json" not in arguments:
        sys.stdout = cast("TextIO", _CompletedText(out, complete))
    sys.stderr = completed = cast("TextIO", _CompletedText(err, complete))
    try:
        yield
    finally:
        sys.stdout = out
        if sys.stderr is completed:  # otherwise it was closed, and nothing is written to it any more
            sys.stderr = err


def find_command(words: Sequence[str]) -> tuple[Any, int]:
    """Return the command or group that the first words name, and how many of them do."""
    from typer.main import get_command

    from tui.cli.app import app

    command: Any = get_command(app)
    for number, word in enumerate(words):
        below = getattr(command, "commands", {}).get(word)
        if below is None:
            return command, number
        command = below
    return command, len(words)


def _find_value(arguments: Sequence[str], option: str) -> str | None:
    """Return the last value of an option on a command line, which is the one that the command obeys."""
    given = None
    for word, following in zip_longest(arguments, arguments[1:]):
        name, equals, value = word.partition("=")
        if name == option:
            given = value if equals else following
    return given


def _add_options(words: list[str], given: Mapping[str, str]) -> str:
    command, named = find_command(words)
    known = {option for parameter in command.params for option in parameter.opts} if named else set()
    added = [word for option in given if option in known for word in (option, shlex.quote(given[option]))]
    return " ".join(["closecall", *words[:named], *added, *words[named:]])


class _CompletedText:
    """A stream that completes the commands in what is written."""

    def __init__(self, stream: TextIO, complete: Callable[[str], str]) -> None:
        self._stream, self._complete = stream, complete

    def write(self, text: str) -> int:
        self._stream.write(self._complete(text) if "closecall " in text else text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

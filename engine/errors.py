"""The errors that closecall raises on purpose, each with what the program does about it."""

import difflib
import json
import re
from collections.abc import Callable, Iterable


class ClosecallError(Exception):
    """A problem the user can fix. The command prints its one line on stderr and exits with `exit_code`."""

    exit_code = 3


class UsageError(ClosecallError):
    """A flag, key or combination that makes no sense. Nothing is started; exit code 2."""

    exit_code = 2


class DataError(ClosecallError):
    """A file of bars or news that cannot be trusted. Nothing is run or written; exit code 3."""


class StudentError(ClosecallError):
    """A model that is missing, damaged or unsafe. Nothing is run or written; exit code 3."""


INCOMPATIBLE = "it was written by an incompatible closecall version; open it with that version"
"""The end of an error about a stored value that cannot be read."""


class JournalError(ClosecallError):
    """A journal that is damaged, locked or of another version. Nothing is appended to it; exit code 3."""


class CheckFailed(ClosecallError):
    """A check ran to its end and found a difference. The difference is printed; exit code 4."""

    exit_code = 4


def quote_key(name: str) -> str:
    """Return a name as a key of TOML, in quotes where it needs them: [instruments."7203.T"]."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def toml_table(*names: str) -> str:
    """Return the heading of a table as TOML has it, with quotes where a name needs them."""
    return f"[{'.'.join(map(quote_key, names))}]"


_SHOWN = 20


def suggest(
    word: str,
    known: Iterable[str],
    otherwise: str = "",
    *,
    cutoff: float = 0.6,
    show: Callable[[str], str] = str,
) -> str:
    """Return "did you mean X?" for the known word nearest to an unknown one, in capitals or not.

    Args:
        word: The unknown word.
        known: All words that would have been right.
        otherwise: What is returned where none is near; the default lists the first twenty.
        cutoff: How near a word has to be, from 0 (anything) to 1 (equal).
        show: How the near word is written.
    """
    known = list(known)
    by_small_letters = {name.casefold(): name for name in known}
    if near := difflib.get_close_matches(word.casefold(), by_small_letters, n=1, cutoff=cutoff):
        return f"did you mean {show(by_small_letters[near[0]])}?"
    names, more = sorted(known)[:_SHOWN], len(known) - _SHOWN
    return otherwise or f"choose among {', '.join(names)}{f' and {more:,} more' if more > 0 else ''}"

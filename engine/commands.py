"""What a person may tell a running session, as an event of its journal.

Knows words, authors and instants; what a command does to a session stands in `engine.risk`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from engine.errors import JournalError
from engine.journal import Event
from engine.values import require_utc

COMMAND = "command"
_LONGEST = 500


class CommandKind(StrEnum):
    """The five commands. `pause` and `halt` stop all orders; `flatten` does too, and closes what is held."""

    PAUSE = "pause"
    RESUME = "resume"
    REDUCE = "reduce"
    HALT = "halt"
    FLATTEN = "flatten"

    @property
    def stops(self) -> bool:
        """Whether no order of the strategy's may follow."""
        return self in (CommandKind.PAUSE, CommandKind.HALT, CommandKind.FLATTEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command at an instant. `author` is who gave it and `text` why, in that person's words.

    Raises ValueError without an author, for a time that is not UTC, and for a text of more than 500
    characters.
    """

    at: datetime
    kind: CommandKind
    author: str
    text: str = ""

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
        if not self.author.strip():
            raise ValueError("a command needs an author")
        if len(self.author) + len(self.text) > _LONGEST:
            raise ValueError(f"author and text of a command are longer than {_LONGEST} characters")


def command_event(command: Command) -> Event:
    """The command as the journal keeps it."""
    payload = {"command": command.kind, "author": command.author, "text": command.text}
    return Event(kind=COMMAND, as_of=command.at, payload=payload)


def command_from_payload(as_of: datetime, payload: Mapping[str, Any]) -> Command:
    """The command that `command_event` wrote. Raises JournalError if it is none."""
    try:
        return Command(
            at=as_of,
            kind=CommandKind(payload["command"]),
            author=payload["author"],
            text=payload["text"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalError(
            f"the command of {as_of} cannot be read ({error}); another version wrote it, use that one"
        ) from error

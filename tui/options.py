"""What several commands share: their common flags, the clock, and how JSON is printed."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tui.paths import ENVIRONMENT_VARIABLE

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar=ENVIRONMENT_VARIABLE, help="Where runs and the ledger are kept."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
StudentName = Annotated[
    str | None,
    typer.Option("--student", help="'tiny' (shipped), a model folder, or an id on the Hugging Face hub."),
]
Adapter = Annotated[Path | None, typer.Option("--adapter", help="A folder with a peft adapter.")]
Quantize = Annotated[str | None, typer.Option("--quantization", help="none or nf4 (4-bit, bitsandbytes).")]

Symbols = Annotated[list[str] | None, typer.Option(help="Only these; commas or spaces between them.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file; its keys are the flags.")]


def listed(symbols: list[str] | None) -> list[str] | None:
    """The symbols of a flag, which may stand apart or with commas between them; None where none is given."""
    return [one for word in symbols or [] for one in word.split(",") if one] or None


def now() -> datetime:
    """The wall clock, in UTC. Nothing below `tui` reads it."""
    return datetime.now(UTC)


def stated(**flags: Any) -> dict[str, Any]:
    """The flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")

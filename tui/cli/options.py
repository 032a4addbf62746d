"""What several commands share: their common flags, the clock, and how JSON is printed."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import UsageError
from feeds.sources.registry import list_sources
from llm.backends import describe_students
from tui.cli.paths import ENVIRONMENT_VARIABLE

if TYPE_CHECKING:
    from strategies.config import BacktestConfig
from collections.abc import Sequence

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar=ENVIRONMENT_VARIABLE, help="Where runs and the ledger are kept."),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]

StudentName = Annotated[
    str | None,
    typer.Option("--student", help=describe_students()),
]

Adapter = Annotated[Path | None, typer.Option("--adapter", help="A folder with a peft adapter.")]

Quantize = Annotated[str | None, typer.Option("--quantization", help="none or nf4 (4-bit, bitsandbytes).")]

Symbols = Annotated[list[str] | None, typer.Option(help="Only these; commas or spaces between them.")]

ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file; its keys are the flags.")]


def split_symbols(symbols: list[str] | None) -> list[str] | None:
    """The symbols of a flag, which may stand apart or with commas between them; None where none is given."""
    return [one for word in symbols or [] for one in word.split(",") if one] or None


def drop_unset(**flags: Any) -> dict[str, Any]:
    """The flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


UseChampion = Annotated[
    bool, typer.Option("--champion", help="Let the adapter answer that the registry has as champion.")
]


def with_champion(config: "BacktestConfig", data_dir: Path) -> "BacktestConfig":
    """The configuration with its champion's folder as adapter, where one is wanted; says on stderr which.

    Where nobody was promoted the student answers as it came. Raises UsageError where an adapter is named as
    well, StudentError for a champion whose files are no longer those on record.
    """
    if not config.champion:
        return config
    if config.adapter is not None:
        raise UsageError(f"--champion and --adapter {config.adapter}: only one of them can answer; name one")
    from llm.registry.registry import Registry, champion_settings, registry_exists
    from llm.student import StudentSettings

    wanted = StudentSettings(student=config.student)
    if registry_exists(data_dir):
        with Registry.open(data_dir) as registry:
            wanted = champion_settings(registry, wanted)
    if wanted.adapter is None:
        sys.stderr.write(f"no champion of {config.student} is on record; it answers as it came\n")
    else:
        sys.stderr.write(f"the champion of {config.student} answers: {wanted.adapter.name}\n")
    return config.model_copy(update={"adapter": wanted.adapter})


Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="SOURCE[=SYMBOLS]",
        help=f"{list_sources(described=True)}. Once for each source; a symbol without a source goes to the "
        "first that takes its kind.",
    ),
]

Urls = Annotated[
    list[str] | None,
    typer.Option(
        "--url",
        metavar="SOURCE=URL",
        help="Ask this http(s) address, such as a mirror, in place of the source's own.",
    ),
]


def source_flags(
    source: list[str] | None, url: list[str] | None, symbols: list[str] | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The flags as keys of the configuration, and the source of each symbol that was named with one.

    Raises UsageError for a flag that is not written so.
    """
    from strategies.source_routing import split_sources

    sources, tied = split_sources(source or [])
    wanted = [*tied, *(split_symbols(symbols) or [])]
    tables = dict(_parse_url_option(word) for word in url or [])
    return drop_unset(store=tuple(sources) or None, symbols=wanted or None, sources=tables or None), tied


def require_used(flags: Mapping[str, Any], sources: Sequence[str]) -> None:
    """Raise UsageError for a --url of a source that is not asked."""
    for source in flags.get("sources", {}):
        if source not in sources:
            asked = ", ".join(sources) or "none"
            raise UsageError(
                f"--url {source}=…: that source is not asked (asked: {asked}); name it, or leave it out"
            )


def _parse_url_option(word: str) -> tuple[str, dict[str, str]]:
    source, equals, address = word.partition("=")
    if not equals or "://" in source:
        raise UsageError(
            f"--url {word[:80]}: write it as SOURCE=URL, such as ccxt:binance=http://127.0.0.1:8080"
        )
    return source, {"url": address}

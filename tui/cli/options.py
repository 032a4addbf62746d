"""Options that several commands share, and JSON output."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import UsageError
from feeds.sources.registry import list_sources
from tui.cli.paths import ENVIRONMENT_VARIABLE, data_dir, default_data_dir, shorten_home

if TYPE_CHECKING:
    from strategies.config import BacktestConfig
from collections.abc import Sequence

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar=ENVIRONMENT_VARIABLE,
        help=f"Folder of runs, sessions, stores and models; default: {shorten_home(default_data_dir())}",
    ),
]


def complete_names(*folders: str) -> Callable[[typer.Context, str], list[str]]:
    """Return a completion of the names in folders of the data folder, for typer's `autocompletion`."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        places = (data_dir(context.params.get("data")) / folder for folder in folders)
        names = sorted({path.name for place in places for path in place.glob("*/") if path.is_dir()})
        return [name for name in names if name.startswith(incomplete)]

    return complete


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="TOML file with the same keys as the flags.")
]


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def require_simulated(flags: Mapping[str, Any]) -> None:
    """Raise UsageError for options of the simulated market beside bars of a file or the store."""
    if "market" in flags and ("bars" in flags or "store" in flags):
        raise UsageError("--days, --no-edge, --reversal and --headlines are for the simulated market only")


def with_champion(config: "BacktestConfig", data_dir: Path) -> "BacktestConfig":
    """Return the configuration with the champion's folder as adapter if it asks for one; prints which.

    Without a champion the base model is used. Raises UsageError where an adapter is named as well,
    StudentError for a champion whose files have changed.
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
        sys.stderr.write(f"no champion registered for {config.student}; using the base model\n")
    else:
        sys.stderr.write(f"using the champion of {config.student}: {wanted.adapter.name}\n")
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


def add_sources(
    flags: dict[str, Any], source: list[str] | None, url: list[str] | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the flags with --source and --url among them, and the source of each symbol named with one.

    Args:
        flags: The flags given, as keys of the configuration.
        source: The words of --source.
        url: The words of --url.

    Raises:
        UsageError: For a word that is not written as it should be.
    """
    from strategies.source_routing import split_sources

    sources, overrides = split_sources(source or [])
    added = {
        "store": tuple(sources),
        "symbols": [*overrides, *flags.get("symbols", [])],
        "sources": dict(_parse_url_option(word) for word in url or []),
    }
    return flags | {key: value for key, value in added.items() if value}, overrides


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

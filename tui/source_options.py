"""The flags that name sources of bars, and where they are reached. Knows how they are written, asks none."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from engine.errors import UsageError
from tui.options import listed, stated

Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="SOURCE[=SYMBOLS]",
        help="ccxt:EXCHANGE (coins, such as ccxt:binance), yfinance (stocks) or eastmoney (A-shares). Once "
        "for each source; a symbol without a source goes to the first that takes its kind.",
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
    from strategies.routing import split_sources

    sources, tied = split_sources(source or [])
    wanted = [*tied, *(listed(symbols) or [])]
    tables = dict(_url(word) for word in url or [])
    return stated(store=tuple(sources) or None, symbols=wanted or None, sources=tables or None), tied


def require_used(flags: Mapping[str, Any], sources: Sequence[str]) -> None:
    """Raise UsageError for a --url of a source that is not asked."""
    for source in flags.get("sources", {}):
        if source not in sources:
            asked = ", ".join(sources) or "none"
            raise UsageError(
                f"--url {source}=…: that source is not asked (asked: {asked}); name it, or leave it out"
            )


def _url(word: str) -> tuple[str, dict[str, str]]:
    source, equals, address = word.partition("=")
    if not equals or "://" in source:
        raise UsageError(
            f"--url {word[:80]}: write it as SOURCE=URL, such as ccxt:binance=http://127.0.0.1:8080"
        )
    return source, {"url": address}

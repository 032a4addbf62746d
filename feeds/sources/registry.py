"""The kinds of sources of bars: one row of `SOURCES` and one module for each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from engine.errors import UsageError
from engine.instruments import AssetClass

if TYPE_CHECKING:  # --help prints the names of the sources, and has to be quick
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from engine.calendars import Calendar
    from engine.instruments import Instrument
    from feeds.history.candles import Adjustment
    from feeds.history.client import BarClient
    from feeds.live.protocols import BarSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceType:
    """One kind of source of bars.

    Attributes:
        name: What a user writes: a word, or a word with an argument in capitals such as "ccxt:EXCHANGE".
        help: What it offers, for --help.
        module: The module with its factories (see `SourceModule`), imported when the source is first used.
        takes: The classes of instruments that it is asked for where a symbol names no source.
        fallback: Whether it is also asked for symbols that no other named source takes.
        library: An optional library that it needs, and `extra`, the extra of closecall that installs it.
        refusal: Why a symbol of another class is refused before the source is asked; empty where it is asked.
    """

    name: str
    help: str
    module: str
    takes: tuple[AssetClass, ...]
    fallback: bool = False
    library: str | None = None
    extra: str | None = None
    refusal: str = ""

    def matches(self, source: str) -> bool:
        """Return whether `source` names a source of this kind."""
        kind, _, argument = self.name.partition(":")
        given, _, value = source.partition(":")
        return kind == given and bool(value) if argument else source == self.name


SOURCES = (
    SourceType(
        name="ccxt:EXCHANGE",
        help="coins, such as ccxt:binance",
        module="feeds.sources.ccxt_source",
        takes=(AssetClass.COIN,),
        refusal="has coins' pairs only, and {symbol} is none: write one like BTC/USDT, or name its own "
        "source, such as --source yfinance={symbol}",
    ),
    SourceType(
        name="yfinance",
        help="stocks",
        module="feeds.sources.yfinance_source",
        takes=(AssetClass.STOCK,),
        fallback=True,
        library="yfinance",
        extra="stocks",
    ),
    SourceType(
        name="eastmoney",
        help="A-shares",
        module="feeds.sources.eastmoney_source",
        takes=(AssetClass.A_SHARE,),
        library="akshare",
        extra="china",
    ),
)


class SourceModule(Protocol):
    """The factories that the module of a source offers."""

    def create_client(
        self,
        source: str,
        *,
        timeframe: str,
        adjustment: Adjustment | None,
        clock: Callable[[], datetime],
        url: str | None,
        get_instrument: Callable[[str], Instrument],
    ) -> BarClient:
        """Create a client for past candles; arguments and errors are those of `create_client` below."""
        ...

    def create_live_source(self, client: BarClient, calendars: Mapping[str, Calendar]) -> BarSource:
        """Create a source of live bars over a client of this module; `calendars` are by symbol."""
        ...


def list_sources(*more: str, described: bool = False) -> str:
    """Return the names of all sources and of `more`, as a phrase, each with its help where `described`."""
    names = [f"{kind.name} ({kind.help})" if described else kind.name for kind in SOURCES]
    *first, last = (*names, *more)
    return f"{', '.join(first)} or {last}"


def require_source(source: str) -> SourceType:
    """Return the kind of a source. Raises UsageError for a name that no kind matches."""
    for kind in SOURCES:
        if kind.matches(source):
            return kind
    raise UsageError(
        f"source {source[:40]!r} is unknown; give {list_sources('file')} (for coins, such as ccxt:binance)"
    )


def create_client(
    source: str,
    *,
    timeframe: str = "1d",
    adjustment: Adjustment | None = None,
    clock: Callable[[], datetime],
    url: str | None = None,
    get_instrument: Callable[[str], Instrument] | None = None,
) -> BarClient:
    """Create the client of a source.

    Args:
        source: Its name, such as "ccxt:binance".
        timeframe: The length of a candle, such as "1d".
        adjustment: How splits and dividends are worked into the prices; None for the source's least adjusted.
        clock: Returns the time of this machine in UTC.
        url: An address that is asked in place of the source's own.
        get_instrument: Returns the instrument of a symbol; the default guesses it.

    Raises:
        UsageError: For an unknown source, a timeframe or an adjustment that the source does not have, and a
            library that is not installed.
    """
    from feeds.instruments import guess_instrument

    kind = require_source(source)
    if kind.library is not None:
        _require_library(kind.library, kind.extra)
    return _load_module(kind).create_client(
        source,
        timeframe=timeframe,
        adjustment=adjustment,
        clock=clock,
        url=url,
        get_instrument=get_instrument or guess_instrument,
    )


def create_live_source(client: BarClient, calendars: Mapping[str, Calendar]) -> BarSource:
    """Create a source of live bars over a client of `create_client`; `calendars` are by symbol."""
    return _load_module(require_source(client.name)).create_live_source(client, calendars)


def _load_module(kind: SourceType) -> SourceModule:
    return cast(SourceModule, import_module(kind.module))


def _require_library(name: str, extra: str | None) -> None:
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(f"this source needs {error.name}; run: pip install 'closecall[{extra}]'") from None

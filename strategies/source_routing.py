"""Assigns symbols to sources of bars, and holds the clients of the sources. Fetches nothing."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.errors import DataError, UsageError
from engine.instruments import Instrument
from feeds.history.candles import Adjustment
from feeds.history.client import BarClient, OnWait, RetryPolicy, SourceError, ignore_wait
from feeds.sources.registry import create_client, require_source
from strategies.config import BacktestConfig

SymbolLookup = Callable[[str, str], bool]
"""Whether a source, by name, lists a symbol. Called only where several sources take its asset class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryContext:
    """How work with sources waits: its sleep, what is called before a pause, and the event that ends it."""

    sleep: Callable[[float], None]
    on_wait: OnWait = ignore_wait
    stop: threading.Event | None = None


def split_sources(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Parse `SOURCE` and `SOURCE=SYMBOL,SYMBOL` into the sources, in order, and the source of each symbol.

    Raises UsageError for a symbol that is given to two sources, and for one that is empty.
    """
    overrides: dict[str, str] = {}
    for word in words:
        source, equals, symbols = word.partition("=")
        for symbol in symbols.split(",") if equals else ():
            if not symbol:
                raise UsageError(f"--source {word[:60]}: write it like {source}=SYMBOL,SYMBOL")
            if overrides.setdefault(symbol, source) != source:
                raise UsageError(f"--source {word[:60]}: {symbol} is given to {overrides[symbol]} already")
    return list(dict.fromkeys(word.partition("=")[0] for word in words)), overrides


def assign_symbols(
    sources: Sequence[str],
    instruments: Mapping[str, Instrument],
    symbol_overrides: Mapping[str, str],
    lookup: SymbolLookup,
) -> dict[str, list[str]]:
    """Return the symbols of each source that has any, in the order of the sources.

    Of several sources the first that takes a symbol's asset class gets it (see `feeds.sources.registry`), and
    of several of those the first that lists it; a single source gets all symbols.

    Args:
        sources: The sources by name.
        instruments: The instruments by symbol.
        symbol_overrides: The source of each symbol that is not chosen so.
        lookup: Whether a source lists a symbol.

    Raises:
        UsageError: For a symbol that no source takes, and for an unknown source.
    """
    for source in sources:
        require_source(source)
    assigned: dict[str, list[str]] = {source: [] for source in sources}
    for symbol, instrument in instruments.items():
        source = symbol_overrides.get(symbol) or _select_source(symbol, instrument, sources, lookup)
        assigned[source].append(symbol)
    return {source: symbols for source, symbols in assigned.items() if symbols}


def _select_source(symbol: str, instrument: Instrument, sources: Sequence[str], has: SymbolLookup) -> str:
    if len(sources) == 1:
        return sources[0]
    fitting = [source for source in sources if instrument.asset_class in require_source(source).takes]
    if len(fitting) > 1:
        fitting = [source for source in fitting if has(source, symbol)]
    fitting += [source for source in sources if require_source(source).fallback]
    if not fitting:
        raise UsageError(
            f"none of {', '.join(sources)} takes {symbol}; say which has it, with --source SOURCE={symbol}"
        )
    return fitting[0]


class SourceClients:
    """The clients of the sources, created when first requested. They call public endpoints without a key."""

    def __init__(
        self,
        config: BacktestConfig,
        instruments: Mapping[str, Instrument],
        *,
        clock: Callable[[], datetime],
        waiting: RetryContext,
        timeframe: str = "1d",
        adjustment: Adjustment | None = None,
    ) -> None:
        self._config, self._instruments = config, instruments
        self._clock, self._waiting = clock, waiting
        self._timeframe, self._adjustment = timeframe, adjustment
        self._clients: dict[str, BarClient] = {}

    def get(self, source: str) -> BarClient:
        """Return the client of a source, at the address that the configuration gives it."""
        if source not in self._clients:
            stated = self._config.sources.get(source)
            self._clients[source] = create_client(
                source,
                timeframe=self._timeframe,
                adjustment=self._adjustment,
                clock=self._clock,
                url=stated.url if stated else None,
                get_instrument=self._instruments.__getitem__,
            )
        return self._clients[source]

    def lists_symbol(self, source: str, symbol: str) -> bool:
        """Return whether the source lists the symbol. Raises SourceError where it does not answer."""
        try:
            self._ask(source, [symbol])
        except SourceError:
            raise
        except DataError:
            return False
        return True

    def require(self, by_source: Mapping[str, Sequence[str]]) -> None:
        """Raise UsageError or DataError for a symbol that its source cannot have."""
        for source, symbols in by_source.items():
            kind = require_source(source)
            for symbol in symbols:
                if kind.refusal and self._instruments[symbol].asset_class not in kind.takes:
                    raise UsageError(f"{source} {kind.refusal.format(symbol=symbol)}")
            self._ask(source, symbols)

    def _ask(self, source: str, symbols: Sequence[str]) -> None:
        client = self.get(source)
        patience = RetryPolicy(self._waiting.sleep, self._waiting.on_wait)
        patience.call(lambda: client.require(symbols), source)

"""Which source tells of which symbol, and the clients of the sources. Fetches nothing, knows no journal."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.errors import DataError, UsageError
from engine.instruments import AssetClass, Instrument
from feeds.history.candles import Adjustment
from feeds.history.client import BarClient, OnWait, RetryPolicy, SourceError, ignore_wait
from feeds.sources.registry import create_client, require_source
from strategies.config import BacktestConfig

SymbolLookup = Callable[[str, str], bool]
"""Whether a source, by name, lists a symbol. Asked only where several sources could tell of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryContext:
    """How work with sources waits: its sleep, who is told of a pause, and what ends it."""

    sleep: Callable[[float], None]
    on_wait: OnWait = ignore_wait
    stop: threading.Event | None = None


def split_sources(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """`SOURCE` and `SOURCE=SYMBOL,SYMBOL` as the sources, in order, and the source of each symbol named so.

    Raises UsageError for a symbol that is given to two sources, and for one that is empty.
    """
    tied: dict[str, str] = {}
    for word in words:
        source, equals, symbols = word.partition("=")
        for symbol in symbols.split(",") if equals else ():
            if not symbol:
                raise UsageError(f"--source {word[:60]}: write it like {source}=SYMBOL,SYMBOL")
            if tied.setdefault(symbol, source) != source:
                raise UsageError(f"--source {word[:60]}: {symbol} is given to {tied[symbol]} already")
    return list(dict.fromkeys(word.partition("=")[0] for word in words)), tied


def assign_symbols(
    sources: Sequence[str],
    instruments: Mapping[str, Instrument],
    symbol_overrides: Mapping[str, str],
    lookup: SymbolLookup,
) -> dict[str, list[str]]:
    """The symbols of each source that has any, in the order of the sources.

    A symbol in `tied` goes where that says. Where there is one source, it gets all others. Of several the
    first of the symbol's kind gets it: ccxt:EXCHANGE coins, eastmoney A-shares, yfinance stocks and what
    no other takes; of several exchanges the first that `has` it. Raises UsageError for a symbol that no
    source takes, and for a source that is unknown.
    """
    for source in sources:
        require_source(source)
    found: dict[str, list[str]] = {source: [] for source in sources}
    for symbol, instrument in instruments.items():
        found[symbol_overrides.get(symbol) or _select_source(symbol, instrument, sources, lookup)].append(
            symbol
        )
    return {source: symbols for source, symbols in found.items() if symbols}


def _select_source(symbol: str, instrument: Instrument, sources: Sequence[str], has: SymbolLookup) -> str:
    if len(sources) == 1:
        return sources[0]
    fitting = [source for source in sources if _source_kind(source) is instrument.asset_class]
    if len(fitting) > 1:
        fitting = [source for source in fitting if has(source, symbol)]
    fitting += [source for source in sources if source == "yfinance"]
    if not fitting:
        raise UsageError(
            f"none of {', '.join(sources)} takes {symbol}; say which has it, with --source SOURCE={symbol}"
        )
    return fitting[0]


def _source_kind(source: str) -> AssetClass:
    if source.startswith("ccxt:"):
        return AssetClass.COIN
    return AssetClass.A_SHARE if source == "eastmoney" else AssetClass.STOCK


class SourceClients:
    """The clients of the sources, made when first asked for. They call public endpoints without a key."""

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
        """The client of a source, at the address that the configuration gives it."""
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
        """Whether the source lists the symbol. Raises SourceError where it does not answer."""
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
            for symbol in symbols:
                coin = self._instruments[symbol].asset_class is AssetClass.COIN
                if source.startswith("ccxt:") and not coin:
                    raise UsageError(
                        f"{source} has coins' pairs only, and {symbol} is none: write one like BTC/USDT, or "
                        f"name its own source, such as --source yfinance={symbol}"
                    )
            self._ask(source, symbols)

    def _ask(self, source: str, symbols: Sequence[str]) -> None:
        client = self.get(source)
        patience = RetryPolicy(self._waiting.sleep, self._waiting.on_wait)
        patience.call(lambda: client.require(symbols), source)

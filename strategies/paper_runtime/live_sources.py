"""The live sources of a session: bars from before its start, and the collector that feeds its journal.

The collector runs in the session's process and writes to its journal.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property

from engine.calendars import Calendar, load_calendar
from engine.errors import UsageError
from engine.fx import FxRates
from engine.journal.journal import Journal
from engine.model import Bar
from feeds.files.rates import read_rates
from feeds.history.download import fetch_bars
from feeds.history.file_import import SOURCE as FILES
from feeds.history.store import BarStore
from feeds.live.polling import ConcurrentExecutor
from feeds.live.protocols import ActionSource
from feeds.sources.registry import create_live_source, list_sources
from strategies.console import print_stderr, print_wait
from strategies.data_folder import BARS_FOLDER
from strategies.instrument_settings import build_instruments
from strategies.live_data import create_collector
from strategies.market import warm_up
from strategies.market_data import MarketData
from strategies.paper.clock import Source
from strategies.paper_runtime.action_watch import ActionWatch
from strategies.paper_runtime.launch import LaunchSpec
from strategies.source_routing import RetryContext, SourceClients, assign_symbols

_AHEAD, _BEHIND = timedelta(days=366), timedelta(days=45)
_ASK_SECONDS = 30.0
_LEAST_HISTORY = timedelta(days=120)
"""Days before the session of which bars are fetched, or more where the prompt looks at more."""


class LiveSources:
    """The live sources of a plan's session. `look` is called while a source is waited for, and may raise."""

    def __init__(
        self,
        plan: LaunchSpec,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        look: Callable[[], None],
    ) -> None:
        config = plan.config
        self._plan, self._config, self._clock = plan, config, clock
        self._before = max(_LEAST_HISTORY, warm_up(config))
        sources = [source for source in config.store if source != FILES]
        if not sources:
            raise UsageError(f"name a live source: --source {list_sources()}; or --replay")
        if not config.symbols:
            raise UsageError("name --symbols, such as BTC/USDT or AAPL")

        def sleeping(seconds: float) -> None:
            look()
            sleep(seconds)

        self._sleep = sleeping
        self._instruments = build_instruments(dict.fromkeys(config.symbols), config)
        waiting = RetryContext(sleep=sleeping, on_wait=print_wait)
        self._clients = SourceClients(config, self._instruments, clock=clock, waiting=waiting)
        self._sources = sources

    @cached_property
    def _by_source(self) -> Mapping[str, list[str]]:
        return assign_symbols(
            self._sources, self._instruments, self._plan.symbol_overrides, self._clients.lists_symbol
        )

    @property
    def symbol_overrides(self) -> dict[str, str]:
        """Return the source of each symbol, which a resumed session uses again."""
        return {symbol: source for source, symbols in self._by_source.items() for symbol in symbols}

    def load_market_data(self) -> MarketData:
        """Return the bars up to today, downloading missing ones. Raises DataError or UsageError."""
        since = self._today()
        bars: dict[str, list[Bar]] = {}
        calendars = self._calendars(since.date())
        for source, symbols in self._by_source.items():
            bars |= self._history(source, symbols, since, calendars)
        return MarketData(
            instruments=self._instruments,
            calendars=calendars,
            bars=bars,
            news=(),
            start=since,
            source="live",
            is_simulated=False,
            rates=self._rates(),
        )

    def create_source(self, journal: Journal) -> Source:
        """Return the collector that appends to the session's journal, and what asks for splits beside it."""
        by_source = self._by_source
        first = next(journal.read(0), None)
        began = first.as_of if first else self._clock()
        calendars = self._calendars(began.date())
        collector = create_collector(
            journal,
            self._config,
            by_source,
            clients=self._clients,
            instruments=self._instruments,
            calendars=calendars,
            data_dir=self._plan.data_dir,
            clock=self._clock,
            sleep=self._sleep,
        )
        by_symbol = {symbol: calendars[each.calendar] for symbol, each in self._instruments.items()}
        live = {source: create_live_source(self._clients.get(source), by_symbol) for source in by_source}
        stating = {
            symbol: source
            for name, symbols in by_source.items()
            if isinstance(source := live[name], ActionSource)
            for symbol in symbols
        }
        return ActionWatch(
            collector,
            journal,
            sources=stating,
            calendars=by_symbol,
            since=began,
            executor=ConcurrentExecutor(_ASK_SECONDS),
        )

    def _history(
        self, source: str, symbols: list[str], since: datetime, calendars: Mapping[str, Calendar]
    ) -> dict[str, list[Bar]]:
        self._clients.require({source: symbols})
        print_stderr(f"fetching the days before from {source}: {', '.join(symbols)}")
        store = BarStore(self._plan.data_dir / BARS_FOLDER)
        fetch_bars(
            self._clients.get(source),
            store,
            symbols,
            (since - self._before).date(),
            (since - timedelta(days=1)).date(),
            clock=self._clock,
            sleep=self._sleep,
            on_progress=lambda _stage, _done, _total: None,
            on_wait=print_wait,
        )
        history = {}
        for symbol in symbols:
            instrument = self._instruments[symbol]
            read = store.read(source, symbol).bars(instrument, calendars[instrument.calendar])
            history[symbol] = [
                bar for bar in read if since - self._before <= bar.opens_at and bar.closes_at <= since
            ]
        return history

    def _calendars(self, begun: date) -> dict[str, Calendar]:
        first = begun - self._before - _BEHIND
        last = self._clock().date() + _AHEAD
        codes = {instrument.calendar for instrument in self._instruments.values()}
        return {code: load_calendar(code, first, last) for code in codes}

    def _rates(self) -> FxRates | None:
        config = self._config
        currencies = {instrument.currency for instrument in self._instruments.values()}
        if not (config.rates or config.rates_files):
            if len(currencies) > 1:
                raise UsageError(
                    f"the symbols are quoted in {', '.join(sorted(currencies))}; state what one is worth "
                    "under [rates], such as USDT = 1.0, or choose symbols of one currency"
                )
            return None
        return read_rates(config.rates_files, config.base_currency or "USD", config.rates)

    def _today(self) -> datetime:
        return datetime.combine(self._clock().date(), time(0), tzinfo=UTC)

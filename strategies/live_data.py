"""A collector over a configuration's live sources, for a collection or for a session. Drives nothing."""

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from engine.calendars import Calendar, load_calendar
from engine.errors import UsageError
from engine.instruments import Instrument
from engine.journal.journal import Event, Journal
from feeds.history.client import BarClient
from feeds.history.file_import import SOURCE as FILES
from feeds.live.collector import Collector
from feeds.live.news_feed import NewsFeed
from feeds.live.polling import ConcurrentExecutor
from feeds.live.protocols import BarSource
from feeds.live.scheduler import run_scheduler
from feeds.news.store import NewsStore
from feeds.sources.ccxt_source import CcxtClient, LiveExchange
from feeds.sources.eastmoney_source import EastmoneyClient
from feeds.sources.stocks import LiveStocks
from feeds.sources.yfinance_source import YahooClient
from feeds.symbols import NameTable
from strategies.config import BacktestConfig
from strategies.market_data import NEWS_FILE, build_instruments
from strategies.source_routing import RetryContext, SourceClients, assign_symbols

_POLL_TIMEOUT_SECONDS = 30.0

OnJournaled = Callable[[Sequence[Event]], None]


def create_collector(
    journal: Journal,
    config: BacktestConfig,
    by_source: Mapping[str, Sequence[str]],
    *,
    clients: SourceClients,
    instruments: Mapping[str, Instrument],
    calendars: Mapping[str, Calendar],
    data_dir: Path,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    on_journaled: OnJournaled | None = None,
) -> Collector:
    """The collector that appends to `journal` from the start of today, in UTC.

    `by_source` has the symbols of each source, `calendars` are by code. `on_journaled` is told what was
    journaled. Raises UsageError for a source that tells of no live prices.
    """
    by_symbol = {symbol: calendars[one.calendar] for symbol, one in instruments.items()}
    live = {source: _create_live_source(clients.get(source), by_symbol) for source in by_source}
    store = NewsStore(data_dir / NEWS_FILE)
    names = NameTable.for_instruments(instruments.values(), config.aliases)
    return Collector(
        journal=journal,
        instruments=instruments,
        calendars=calendars,
        sources={symbol: live[source] for source, symbols in by_source.items() for symbol in symbols},
        since=datetime.combine(clock().date(), time(0), tzinfo=UTC),
        news=[NewsFeed(url, store, names, clock=clock, sleep=sleep) for url in config.feeds],
        clock=clock,
        executor=ConcurrentExecutor(_POLL_TIMEOUT_SECONDS),
        provenance={source: clients.get(source).provenance for source in by_source},
        on_journaled=on_journaled,
    )


def _create_live_source(client: BarClient, calendars: Mapping[str, Calendar]) -> BarSource:
    if isinstance(client, YahooClient | EastmoneyClient):
        return LiveStocks(client, calendars)
    if isinstance(client, CcxtClient):
        return LiveExchange(client)
    raise UsageError(f"{client.name} tells of no live prices; name another source")


_CALENDAR_LOOKAHEAD = timedelta(days=366)

_CALENDAR_LOOKBACK = timedelta(days=45)
"""Enough for the corrections of a week, after the longest holiday."""


def collect_live(
    config: BacktestConfig,
    symbol_overrides: Mapping[str, str],
    *,
    name: str,
    data_dir: Path,
    clock: Callable[[], datetime],
    waiting: RetryContext,
    on_journaled: OnJournaled = lambda _events: None,
) -> None:
    """Collect what `config` names until `waiting.stop` is set, or Ctrl-C.

    `tied` names the source of single symbols; the others go to the source that takes them (see
    `strategies.source_routing`). A collection of that name in `data_dir` goes on. `on_journaled` is told what
    was journaled. Raises UsageError for what cannot be collected, SourceError for a source that does not
    answer.
    """
    sources = [source for source in config.store if source != FILES]
    if not sources:
        raise UsageError("files tell of no live prices; name --source ccxt:EXCHANGE, yfinance or eastmoney")
    if not re.fullmatch(r"[\w.-]{1,60}", name):
        raise UsageError(f"--name {name[:40]!r}: use letters, digits, dots, dashes and underscores")
    if not config.symbols:
        raise UsageError("name --symbols, such as BTC/USDT or AAPL")
    instruments = build_instruments(dict.fromkeys(config.symbols), config)
    clients = SourceClients(config, instruments, clock=clock, waiting=waiting)
    by_source = assign_symbols(sources, instruments, symbol_overrides, clients.lists_symbol)
    clients.require(by_source)
    folder = data_dir / "collections" / name
    folder.mkdir(parents=True, exist_ok=True)
    with Journal.open(folder / "journal.sqlite", name, create=True) as journal:
        today = clock().date()
        codes = {one.calendar for one in instruments.values()}
        calendars = _calendars(codes, _first_day(journal) or today, today)
        collector = create_collector(
            journal,
            config,
            by_source,
            clients=clients,
            instruments=instruments,
            calendars=calendars,
            data_dir=data_dir,
            clock=clock,
            sleep=waiting.sleep,
            on_journaled=on_journaled,
        )
        run_scheduler(collector, clock=clock, stop=waiting.stop or threading.Event())


def _calendars(codes: Iterable[str], begun: date, today: date) -> dict[str, Calendar]:
    """From before the collection began, so that what was missed since then has its sessions."""
    first = min(begun, today) - _CALENDAR_LOOKBACK
    return {code: load_calendar(code, first, today + _CALENDAR_LOOKAHEAD) for code in codes}


def _first_day(journal: Journal) -> date | None:
    """The first day of the collection so far."""
    first = next(iter(journal.read(kinds=["collecting"])), None)
    return datetime.fromisoformat(first.payload["since"]).date() if first else None

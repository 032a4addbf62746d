"""Builds a collector over a configuration's live sources, for a collection or for a session."""

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from engine.calendars import Calendar, load_calendar
from engine.errors import UsageError
from engine.instruments import Instrument
from engine.journal.events import Kind, StoredEvent, decode_as
from engine.journal.events.inputs import Collecting
from engine.journal.journal import Journal
from feeds.history.file_import import SOURCE as FILES
from feeds.live.collector import Collector
from feeds.live.news_feed import NewsFeed
from feeds.live.polling import ConcurrentExecutor
from feeds.live.scheduler import run_scheduler
from feeds.news.store import NewsStore
from feeds.sources.registry import create_live_source, list_sources
from feeds.symbols import NameTable
from strategies.config import BacktestConfig
from strategies.data_folder import NEWS_FILE
from strategies.instrument_settings import build_instruments, find_unused_names
from strategies.source_routing import RetryContext, SourceClients, assign_symbols

_POLL_TIMEOUT_SECONDS = 30.0
OnJournaled = Callable[[Sequence[StoredEvent]], None]


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
    """Return the collector that appends to `journal` from the start of today, in UTC.

    Args:
        journal: Where it appends.
        config: The configuration, for feeds and aliases.
        by_source: The symbols of each source.
        clients: The clients of the sources.
        instruments: The instruments by symbol.
        calendars: The calendars by code.
        data_dir: The data folder, for the store of news.
        clock: What time it is, in UTC.
        sleep: Waits for a number of seconds.
        on_journaled: Called with the events of each append.
    """
    by_symbol = {symbol: calendars[instrument.calendar] for symbol, instrument in instruments.items()}
    live = {source: create_live_source(clients.get(source), by_symbol) for source in by_source}
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

    Args:
        config: The sources, symbols and feeds.
        symbol_overrides: The source of single symbols; the others are assigned by
            `strategies.source_routing`.
        name: The collection; an existing one in `data_dir` is resumed.
        data_dir: The data folder.
        clock: What time it is, in UTC.
        waiting: How it waits for sources, and the event that ends it.
        on_journaled: Called with the events of each append.

    Raises:
        UsageError: For what cannot be collected.
        SourceError: For a source that does not answer.
    """
    sources = [source for source in config.store if source != FILES]
    if not sources:
        raise UsageError(f"files have no live prices; name --source {list_sources()}")
    if not re.fullmatch(r"[\w.-]{1,60}", name):
        raise UsageError(f"--name {name[:40]!r}: use letters, digits, dots, dashes and underscores")
    if not config.symbols:
        raise UsageError("name --symbols, such as BTC/USDT or AAPL")
    instruments = build_instruments(dict.fromkeys(config.symbols), config)
    find_unused_names(config, instruments, instruments)
    clients = SourceClients(config, instruments, clock=clock, waiting=waiting)
    by_source = assign_symbols(sources, instruments, symbol_overrides, clients.lists_symbol)
    clients.require(by_source)
    folder = data_dir / "collections" / name
    folder.mkdir(parents=True, exist_ok=True)
    with Journal.open(folder / "journal.sqlite", name, create=True) as journal:
        today = clock().date()
        codes = {instrument.calendar for instrument in instruments.values()}
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
    """Return calendars that begin before the collection, so that missed days have their sessions."""
    first = min(begun, today) - _CALENDAR_LOOKBACK
    return {code: load_calendar(code, first, today + _CALENDAR_LOOKAHEAD) for code in codes}


def _first_day(journal: Journal) -> date | None:
    """Return the first day of the collection so far."""
    first = next(iter(journal.read(kinds=[Kind.COLLECTING])), None)
    return decode_as(Collecting, first).since.date() if first else None

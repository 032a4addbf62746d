"""A collector over a configuration's live sources, for a collection or for a session. Drives nothing."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time
from pathlib import Path

from engine.calendars import Calendar
from engine.errors import UsageError
from engine.instruments import Instrument
from engine.journal import Event, Journal
from feeds.history.bar_sources import BarClient
from feeds.history.eastmoney import EastmoneyClient
from feeds.history.exchanges import CcxtClient
from feeds.history.yahoo import YahooClient
from feeds.live.collector import Collector
from feeds.live.exchange import LiveExchange
from feeds.live.requests import AtOnce
from feeds.live.sources import BarSource
from feeds.live.stocks import LiveStocks
from feeds.live.wire import Wire
from feeds.names import NameTable
from feeds.press.news_store import NewsStore
from strategies.config import BacktestConfig
from strategies.real_facts import NEWS_FILE
from strategies.routing import Clients

_ASK_SECONDS = 30.0

OnJournaled = Callable[[Sequence[Event]], None]


def collector_for(
    journal: Journal,
    config: BacktestConfig,
    by_source: Mapping[str, Sequence[str]],
    *,
    clients: Clients,
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
    live = {source: _live(clients.of(source), by_symbol) for source in by_source}
    store = NewsStore(data_dir / NEWS_FILE)
    names = NameTable.for_instruments(instruments.values(), config.names)
    return Collector(
        journal=journal,
        instruments=instruments,
        calendars=calendars,
        sources={symbol: live[source] for source, symbols in by_source.items() for symbol in symbols},
        since=datetime.combine(clock().date(), time(0), tzinfo=UTC),
        news=[Wire(url, store, names, clock=clock, sleep=sleep) for url in config.feeds],
        clock=clock,
        ask=AtOnce(_ASK_SECONDS),
        said_by={source: clients.of(source).said_by for source in by_source},
        on_journaled=on_journaled,
    )


def _live(client: BarClient, calendars: Mapping[str, Calendar]) -> BarSource:
    if isinstance(client, YahooClient | EastmoneyClient):
        return LiveStocks(client, calendars)
    if isinstance(client, CcxtClient):
        return LiveExchange(client)
    raise UsageError(f"{client.name} tells of no live prices; name another source")
